//! The two products of a tile. Lanes are queries, so that neither K nor V is ever packed.

use super::{QUERIES, Vector};

/// Multiply-adds in one chain. Longer dot products are summed in pieces, since the rounding error of
/// a chain grows with its length, and that of a score of 100 is already what an exact kernel may have.
const CHAIN: usize = 64;

/// Sᵀ `[keys, QUERIES]` = K `[keys, D]` · Qᵀ `[D, QUERIES]`, for the first `vectors` vectors of
/// queries from `qt` and `st` on.
///
/// # Safety
/// V's instructions are enabled. `k` has `keys` rows of `d` floats, `k_stride` apart; `qt` has `d`
/// rows and `st` has `keys` rows, [`QUERIES`] apart, of `vectors` vectors.
#[inline(always)]
pub(crate) unsafe fn score_keys<V: Vector>(
    k: *const f32,
    k_stride: usize,
    keys: usize,
    d: usize,
    qt: *const f32,
    st: *mut f32,
    vectors: usize,
) {
    // SAFETY: key and query of every micro-kernel stay within the sizes given by the caller.
    unsafe {
        let mut q = 0;
        while q < vectors {
            let columns = (vectors - q).min(V::COLUMNS);
            let (qt, st) = (qt.add(q * V::LANES), st.add(q * V::LANES));
            let mut j = 0;
            while j < keys {
                let (k, c) = (k.add(j * k_stride), st.add(j * QUERIES));
                let first = d.min(CHAIN);
                let a = Broadcast {
                    data: k,
                    row: k_stride,
                    step: 1,
                    steps: first,
                };
                let done = strip::<V, false>(columns, keys - j, a, qt, c);
                let mut t = first;
                while t < d {
                    let steps = (d - t).min(CHAIN);
                    let a = Broadcast {
                        data: k.add(t),
                        row: k_stride,
                        step: 1,
                        steps,
                    };
                    strip::<V, true>(columns, keys - j, a, qt.add(t * QUERIES), c);
                    t += steps;
                }
                j += done;
            }
            q += columns;
        }
    }
}

/// Oᵀ `[Dv, QUERIES]` = or, if ADD, += Vᵀ `[Dv, keys]` · Pᵀ `[keys, QUERIES]`, for the first `vectors` vectors of
/// queries from `pt` and `ot` on.
///
/// The tile is summed from zero and then added: block summation halves the rounding error of long
/// rows.
///
/// # Safety
/// As for [`score_keys`], with `v` of `keys` rows of `dv` floats and `ot` of `dv` rows.
#[inline(always)]
pub(crate) unsafe fn accumulate_values<V: Vector, const ADD: bool>(
    v: *const f32,
    v_stride: usize,
    keys: usize,
    dv: usize,
    pt: *const f32,
    ot: *mut f32,
    vectors: usize,
) {
    // SAFETY: column and query of every micro-kernel stay within the sizes given by the caller.
    unsafe {
        let mut q = 0;
        while q < vectors {
            let columns = (vectors - q).min(V::COLUMNS);
            let (pt, ot) = (pt.add(q * V::LANES), ot.add(q * V::LANES));
            let mut c = 0;
            while c < dv {
                let a = Broadcast {
                    data: v.add(c),
                    row: 1,
                    step: v_stride,
                    steps: keys,
                };
                c += strip::<V, ADD>(columns, dv - c, a, pt, ot.add(c * QUERIES));
            }
            q += columns;
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

/// One strip of rows by `columns` vectors; gives the rows done.
///
/// Rows x columns is the accumulators held in registers: enough to hide the latency of a
/// multiply-add, not so many that they spill.
#[inline(always)]
unsafe fn strip<V: Vector, const ADD: bool>(
    columns: usize,
    rows: usize,
    a: Broadcast,
    b: *const f32,
    c: *mut f32,
) -> usize {
    // SAFETY: the caller's, with no more rows and columns than there are.
    unsafe {
        match columns {
            4 => rows_of::<V, 4, ADD>(rows, a, b, c),
            3 => rows_of::<V, 3, ADD>(rows, a, b, c),
            2 => rows_of::<V, 2, ADD>(rows, a, b, c),
            _ => rows_of::<V, 1, ADD>(rows, a, b, c),
        }
    }
}

#[inline(always)]
unsafe fn rows_of<V: Vector, const C: usize, const ADD: bool>(
    rows: usize,
    a: Broadcast,
    b: *const f32,
    c: *mut f32,
) -> usize {
    // SAFETY: the caller's, with no more rows than there are.
    unsafe {
        if 16 * C <= V::ACCUMULATORS && rows >= 16 {
            multiply::<V, 16, C, ADD>(a, b, c);
            return 16;
        }
        if 8 * C <= V::ACCUMULATORS && rows >= 8 {
            multiply::<V, 8, C, ADD>(a, b, c);
            return 8;
        }
        match rows {
            1 => multiply::<V, 1, C, ADD>(a, b, c),
            2 => multiply::<V, 2, C, ADD>(a, b, c),
            3 => multiply::<V, 3, C, ADD>(a, b, c),
            _ => multiply::<V, 4, C, ADD>(a, b, c),
        }
        rows.min(4)
    }
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
