//! The two products of few queries with many rows.

use super::{Ahead, Element, Rows};
use crate::simd::Vector;

/// Vectors that are summed across their lanes together.
const EIGHT: usize = 8;

/// S `[queries, keys]` = Q·Kᵀ over `d` columns.
///
/// Each score is one chain of multiply-adds a lane and then a sum over lanes in a fixed order, so
/// that its bits do not depend on which other scores are computed beside it. Scores are written in
/// eights: the last ones of a row of `s` beyond the keys are copies of earlier ones.
///
/// # Safety
/// V's instructions are enabled; `q` and `k` have `d` columns, those of `q` filled up with zeros to a
/// whole vector and those of `k` to [`Element::PADDING`]; there is a key; `s` has `q.rows` rows, each
/// with room for the keys rounded up to eight, `s_stride` apart.
#[inline(always)]
pub(crate) unsafe fn score_rows<V: Vector, E: Element>(
    q: Rows<f32>,
    k: Rows<E>,
    d: usize,
    s: *mut f32,
    s_stride: usize,
    ahead: Ahead,
) {
    // SAFETY: the caller's; every row of queries is one of q's.
    unsafe {
        let at = |i: usize| (q.at(i), s.add(i * s_stride));
        let mut i = match q.rows {
            1 => 0,
            _ => {
                score::<V, E, 2, 4, true>(at(0), (q.stride, s_stride), k, d, ahead);
                2
            }
        };
        if V::ACCUMULATORS >= 16 {
            while i + 4 <= q.rows {
                score::<V, E, 4, 4, false>(at(i), (q.stride, s_stride), k, d, ahead);
                i += 4;
            }
        }
        while i + 2 <= q.rows {
            score::<V, E, 2, 4, false>(at(i), (q.stride, s_stride), k, d, ahead);
            i += 2;
        }
        if i < q.rows {
            if i == 0 {
                score::<V, E, 1, 8, true>(at(i), (q.stride, s_stride), k, d, ahead);
            } else {
                score::<V, E, 1, 8, false>(at(i), (q.stride, s_stride), k, d, ahead);
            }
        }
    }
}

/// [`score_rows`] for `Q` queries, `K` keys at once.
#[inline(always)]
unsafe fn score<V: Vector, E: Element, const Q: usize, const K: usize, const FETCH: bool>(
    (q, s): (*const f32, *mut f32),
    (q_stride, s_stride): (usize, usize),
    k: Rows<E>,
    d: usize,
    ahead: Ahead,
) {
    // SAFETY: the caller's; the last key stands in for those that do not exist.
    unsafe {
        let mut j = 0;
        while j < k.rows {
            let mut keys = [k.start; K];
            for (n, key) in keys.iter_mut().enumerate() {
                *key = k.at((j + n).min(k.rows - 1));
            }
            let mut sums = [[V::splat(0.0); Q]; K];
            let mut t = 0;
            // Four vectors of a key after one another: memory is read in its order, which is a fifth
            // faster where it comes from no cache.
            while t + 4 * V::LANES <= d {
                for (key, sums) in keys.iter().zip(&mut sums) {
                    multiply::<V, E, Q, FETCH>(q, q_stride, *key, t, sums, ahead);
                    multiply::<V, E, Q, FETCH>(q, q_stride, *key, t + V::LANES, sums, ahead);
                    multiply::<V, E, Q, FETCH>(q, q_stride, *key, t + 2 * V::LANES, sums, ahead);
                    multiply::<V, E, Q, FETCH>(q, q_stride, *key, t + 3 * V::LANES, sums, ahead);
                }
                t += 4 * V::LANES;
            }
            while t + V::LANES <= d {
                for (key, sums) in keys.iter().zip(&mut sums) {
                    multiply::<V, E, Q, FETCH>(q, q_stride, *key, t, sums, ahead);
                }
                t += V::LANES;
            }
            if t < d {
                for (key, sums) in keys.iter().zip(&mut sums) {
                    let key = key.add(t);
                    if FETCH {
                        ahead.fetch::<V, E>(key, t);
                    }
                    add_products(q.add(t), q_stride, E::load_last(key, d - t), sums);
                }
            }
            write(&sums, s.add(j), s_stride);
            j += K;
        }
    }
}

/// Adds the products of the vector of columns from `t` on of `Q` queries and a key.
#[inline(always)]
unsafe fn multiply<V: Vector, E: Element, const Q: usize, const FETCH: bool>(
    q: *const f32,
    q_stride: usize,
    key: *const E,
    t: usize,
    sums: &mut [V; Q],
    ahead: Ahead,
) {
    // SAFETY: the caller's.
    unsafe {
        let key = key.add(t);
        if FETCH {
            ahead.fetch::<V, E>(key, t);
        }
        add_products(q.add(t), q_stride, E::load(key), sums);
    }
}

/// Adds the products of a vector of columns of `Q` queries and a key.
#[inline(always)]
unsafe fn add_products<V: Vector, const Q: usize>(
    q: *const f32,
    q_stride: usize,
    column: V,
    sums: &mut [V; Q],
) {
    for (m, sum) in sums.iter_mut().enumerate() {
        // SAFETY: the caller's.
        *sum = unsafe { V::load(q.add(m * q_stride)).mul_add(column, *sum) };
    }
}

/// Writes the sums over lanes, a row of `K` scores for each query.
#[inline(always)]
unsafe fn write<V: Vector, const Q: usize, const K: usize>(
    sums: &[[V; Q]; K],
    s: *mut f32,
    s_stride: usize,
) {
    let mut n = 0;
    while n < Q * K {
        let mut eight = [sums[0][0]; EIGHT];
        for (m, sum) in eight.iter_mut().enumerate() {
            *sum = sums[(n + m) % K][(n + m) / K];
        }
        // SAFETY: the caller's.
        unsafe {
            let scores = V::sums(eight);
            for m in 0..EIGHT.div_ceil(K) {
                let to = s.add((n / K + m) * s_stride);
                to.copy_from_nonoverlapping(scores.as_ptr().add(m * K), K.min(EIGHT));
            }
        }
        n += EIGHT;
    }
}

/// O `[queries, Dv]` += P `[queries, keys]` · V `[keys, Dv]`.
///
/// Even and odd keys are summed apart, from zero, and then added to O: block summation, and twice
/// the chains. The bits of a query do not depend on which others are beside it.
///
/// # Safety
/// V's instructions are enabled; `p` has as many columns as `v` has rows; `v` has `dv` columns, filled
/// up to [`Element::PADDING`]; `o` has `p.rows` rows of `dv` floats rounded up to a whole vector,
/// `o_stride` apart.
#[inline(always)]
pub(crate) unsafe fn add_values<V: Vector, E: Element>(
    p: Rows<f32>,
    v: Rows<E>,
    dv: usize,
    o: *mut f32,
    o_stride: usize,
    ahead: Ahead,
) {
    // SAFETY: the caller's; columns stay below dv rounded up to a vector.
    unsafe {
        let mut c = 0;
        while c < dv {
            let vectors = (dv - c).div_ceil(V::LANES).min(V::COLUMNS);
            let values = Values {
                v: Rows {
                    start: v.start.add(c),
                    ..v
                },
                width: (dv - c).min(vectors * V::LANES),
                ahead,
            };
            let o = o.add(c);
            match vectors {
                4 => columns::<V, E, 4>(p, values, o, o_stride),
                3 => columns::<V, E, 3>(p, values, o, o_stride),
                2 => columns::<V, E, 2>(p, values, o, o_stride),
                _ => columns::<V, E, 1>(p, values, o, o_stride),
            }
            c += vectors * V::LANES;
        }
    }
}

/// Some columns of V.
#[derive(Clone, Copy)]
struct Values<E> {
    v: Rows<E>,
    /// How many columns.
    width: usize,
    ahead: Ahead,
}

/// [`add_values`] for `C` vectors of columns.
#[inline(always)]
unsafe fn columns<V: Vector, E: Element, const C: usize>(
    p: Rows<f32>,
    values: Values<E>,
    o: *mut f32,
    o_stride: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let at = |i: usize| (p.at(i), o.add(i * o_stride));
        if p.rows == 1 {
            add::<V, E, 1, C, true>(at(0), (p.stride, o_stride), values);
            return;
        }
        add::<V, E, 2, C, true>(at(0), (p.stride, o_stride), values);
        let mut i = 2;
        while i + 2 <= p.rows {
            add::<V, E, 2, C, false>(at(i), (p.stride, o_stride), values);
            i += 2;
        }
        if i < p.rows {
            add::<V, E, 1, C, false>(at(i), (p.stride, o_stride), values);
        }
    }
}

/// [`add_values`] for `Q` queries and `C` vectors of columns.
#[inline(always)]
unsafe fn add<V: Vector, E: Element, const Q: usize, const C: usize, const FETCH: bool>(
    (mut p, o): (*const f32, *mut f32),
    (p_stride, o_stride): (usize, usize),
    values: Values<E>,
) {
    // SAFETY: the caller's.
    unsafe {
        let Rows {
            start: mut row,
            stride,
            rows,
        } = values.v;
        let mut even = [[V::splat(0.0); C]; Q];
        let mut odd = even;
        for _ in 0..rows / 2 {
            let next = row.wrapping_add(stride);
            step::<V, E, Q, C, FETCH>(p, p_stride, row, values, &mut even);
            step::<V, E, Q, C, FETCH>(p.add(1), p_stride, next, values, &mut odd);
            row = next.wrapping_add(stride);
            p = p.add(2);
        }
        if rows % 2 == 1 {
            step::<V, E, Q, C, FETCH>(p, p_stride, row, values, &mut even);
        }
        for n in 0..Q {
            for c in 0..C {
                let to = o.add(n * o_stride + c * V::LANES);
                V::load(to).add(even[n][c].add(odd[n][c])).store(to);
            }
        }
    }
}

/// Adds one row of values, weighted.
#[inline(always)]
unsafe fn step<V: Vector, E: Element, const Q: usize, const C: usize, const FETCH: bool>(
    p: *const f32,
    p_stride: usize,
    row: *const E,
    values: Values<E>,
    sums: &mut [[V; C]; Q],
) {
    // SAFETY: the caller's.
    unsafe {
        let mut vectors = [V::splat(0.0); C];
        for (c, vector) in vectors.iter_mut().enumerate() {
            let at = row.add(c * V::LANES);
            if FETCH {
                values.ahead.fetch::<V, E>(at, c * V::LANES);
            }
            *vector = if c + 1 < C || values.width == C * V::LANES {
                E::load(at)
            } else {
                E::load_last(at, values.width - c * V::LANES)
            };
        }
        for (n, sums) in sums.iter_mut().enumerate() {
            let weight = V::splat(*p.add(n * p_stride));
            for (sum, vector) in sums.iter_mut().zip(&vectors) {
                *sum = weight.mul_add(*vector, *sum);
            }
        }
    }
}
