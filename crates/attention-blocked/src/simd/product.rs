//! The two products of a tile. Lanes are queries, so that neither K nor V is ever packed.

use super::vector::Vector;

/// Queries in a block, and floats between the rows of every transposed tile.
pub(crate) const QUERIES: usize = 64;

/// Keys, or columns of V, that a micro-kernel takes at once. With [`Vector::COLUMNS`] vectors of
/// queries this gives the accumulators that hide the latency of a multiply-add.
const ROWS: usize = 4;

/// Multiply-adds in one chain. Longer dot products are summed in pieces, since the rounding error of
/// a chain grows with its length, and that of a score of 100 is already what an exact kernel may have.
const CHAIN: usize = 64;

/// Sᵀ `[keys, QUERIES]` = K `[keys, D]` · Qᵀ `[D, QUERIES]`, for the first `lanes` queries rounded up
/// to whole vectors.
///
/// # Safety
/// V's instructions are enabled. `k` has `keys` rows of `d` floats, `k_stride` apart; `qt` has `d`
/// rows and `st` has `keys` rows of `QUERIES` floats; `lanes` is at most `QUERIES`.
#[inline(always)]
pub(crate) unsafe fn score_keys<V: Vector>(
    k: *const f32,
    k_stride: usize,
    keys: usize,
    d: usize,
    qt: *const f32,
    st: *mut f32,
    lanes: usize,
) {
    // SAFETY: key and query of every micro-kernel stay within the sizes given by the caller.
    unsafe {
        let mut q = 0;
        while q < lanes {
            let vectors = vectors_left::<V>(lanes, q);
            let mut j = 0;
            while j < keys {
                let (k, c) = (k.add(j * k_stride), st.add(j * QUERIES + q));
                let first = d.min(CHAIN);
                let a = Broadcast {
                    data: k,
                    row: k_stride,
                    step: 1,
                    steps: first,
                };
                let done = micro::<V, false>(vectors, keys - j, a, qt.add(q), c);
                let mut t = first;
                while t < d {
                    let steps = (d - t).min(CHAIN);
                    let a = Broadcast {
                        data: k.add(t),
                        row: k_stride,
                        step: 1,
                        steps,
                    };
                    micro::<V, true>(vectors, keys - j, a, qt.add(t * QUERIES + q), c);
                    t += steps;
                }
                j += done;
            }
            q += vectors * V::LANES;
        }
    }
}

/// Oᵀ `[Dv, QUERIES]` += Vᵀ `[Dv, keys]` · Pᵀ `[keys, QUERIES]`.
///
/// The tile is summed from zero and then added: block summation halves the rounding error of long
/// rows.
///
/// # Safety
/// As for [`score_keys`], with `v` of `keys` rows of `dv` floats and `ot` of `dv` rows.
#[inline(always)]
pub(crate) unsafe fn accumulate_values<V: Vector>(
    v: *const f32,
    v_stride: usize,
    keys: usize,
    dv: usize,
    pt: *const f32,
    ot: *mut f32,
    lanes: usize,
) {
    // SAFETY: column and query of every micro-kernel stay within the sizes given by the caller.
    unsafe {
        let mut q = 0;
        while q < lanes {
            let vectors = vectors_left::<V>(lanes, q);
            let mut c = 0;
            while c < dv {
                let a = Broadcast {
                    data: v.add(c),
                    row: 1,
                    step: v_stride,
                    steps: keys,
                };
                let (b, o) = (pt.add(q), ot.add(c * QUERIES + q));
                c += micro::<V, true>(vectors, dv - c, a, b, o);
            }
            q += vectors * V::LANES;
        }
    }
}

/// The operand that is read one float at a time: row r, step t at `data + r·row + t·step`.
#[derive(Clone, Copy)]
struct Broadcast {
    data: *const f32,
    row: usize,
    step: usize,
    steps: usize,
}

#[inline(always)]
fn vectors_left<V: Vector>(lanes: usize, from: usize) -> usize {
    (lanes - from).div_ceil(V::LANES).min(V::COLUMNS)
}

/// Chooses the micro-kernel for what is left; gives the rows done.
#[inline(always)]
unsafe fn micro<V: Vector, const ADD: bool>(
    vectors: usize,
    rows: usize,
    a: Broadcast,
    b: *const f32,
    c: *mut f32,
) -> usize {
    // SAFETY: the caller's, with no more rows and vectors than there are.
    unsafe {
        match (rows >= ROWS, vectors) {
            (true, 4) => multiply::<V, ROWS, 4, ADD>(a, b, c),
            (true, 3) => multiply::<V, ROWS, 3, ADD>(a, b, c),
            (true, 2) => multiply::<V, ROWS, 2, ADD>(a, b, c),
            (true, _) => multiply::<V, ROWS, 1, ADD>(a, b, c),
            (false, 4) => multiply::<V, 1, 4, ADD>(a, b, c),
            (false, 3) => multiply::<V, 1, 3, ADD>(a, b, c),
            (false, 2) => multiply::<V, 1, 2, ADD>(a, b, c),
            (false, _) => multiply::<V, 1, 1, ADD>(a, b, c),
        }
    }
    if rows >= ROWS { ROWS } else { 1 }
}

/// c `[R, C vectors]` = or += Σ over steps t of a(r, t) · b `[t, C vectors]`.
#[inline(always)]
unsafe fn multiply<V: Vector, const R: usize, const C: usize, const ADD: bool>(
    a: Broadcast,
    b: *const f32,
    c: *mut f32,
) {
    // SAFETY: the caller's sizes cover every row, step and vector visited.
    unsafe {
        let mut sums = [[V::splat(0.0); C]; R];
        for t in 0..a.steps {
            let mut row = [V::splat(0.0); C];
            for (v, lane) in row.iter_mut().enumerate() {
                *lane = V::load(b.add(t * QUERIES + v * V::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(*a.data.add(r * a.row + t * a.step));
                for (sum, y) in sums.iter_mut().zip(row) {
                    *sum = x.mul_add(y, *sum);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            for (v, sum) in sums.iter().enumerate() {
                let to = c.add(r * QUERIES + v * V::LANES);
                let value = if ADD { V::load(to).add(*sum) } else { *sum };
                value.store(to);
            }
        }
    }
}
