//! Rounded numbers held in f32 and multiplied by the f32 kernel's products: no instruction beyond
//! those is needed.

use super::tile::find_largest;
use super::{Keys, Task, Values, scratch_floats};
use crate::simd::{
    Block, Isa, Kernel, Lanes, QUERIES, Vector, accumulate_values, dispatch, pack, score_keys,
};
use std::marker::PhantomData;

/// A rounding of the queries and keys to fewer bits.
pub(crate) trait Rounding {
    /// Whether a row has a scale, by which its scores are multiplied.
    const SCALED: bool;
    /// Rounds a row less `offset`; gives its scale.
    fn row(x: &[f32], offset: &[f32], to: &mut [f32]) -> f32;
    /// Rounds a value.
    fn value(x: f32) -> f32;
}

/// Both products in f32, on numbers rounded by R.
pub(crate) struct Wide<V, R>(PhantomData<(V, R)>);

/// Runs a task on numbers rounded by R.
pub(crate) fn run<R: Rounding>(isa: Isa, task: Task<'_, '_, '_>) {
    dispatch(isa, WideTask::<R>(task, PhantomData));
}

/// Working memory of one worker; the same for vectors of any width.
pub(crate) fn floats<R: Rounding>(d: usize, dv: usize) -> usize {
    scratch_floats::<Wide<Lanes, R>, Wide<Lanes, R>>(d, dv)
}

struct WideTask<'h, 'o, 'm, R>(Task<'h, 'o, 'm>, PhantomData<R>);

impl<R: Rounding> Kernel for WideTask<'_, '_, '_, R> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        // SAFETY: V's instructions are enabled where this runs.
        unsafe { self.0.run::<Wide<V, R>, Wide<V, R>>() }
    }
}

impl<V: Vector, R: Rounding> Keys for Wide<V, R> {
    fn query_floats(d: usize) -> usize {
        d * QUERIES
    }

    fn key_floats(d: usize) -> usize {
        d + usize::from(R::SCALED)
    }

    #[inline(always)]
    unsafe fn pack_queries(q: Block<*const f32>, to: *mut f32, factors: *mut f32, spare: *mut f32) {
        // SAFETY: the caller's sizes; rows of Q are contiguous.
        unsafe {
            for r in 0..q.rows {
                let row = std::slice::from_raw_parts(q.at.add(r * q.stride), q.width);
                let rounded = std::slice::from_raw_parts_mut(spare.add(r * q.width), q.width);
                factors.add(r).write(R::row(row, &[], rounded));
            }
            let rounded = Block {
                at: spare.cast_const(),
                stride: q.width,
                ..q
            };
            pack::<V>(rounded, 1.0, to);
        }
    }

    #[inline(always)]
    unsafe fn pack_keys(k: Block<*const f32>, offset: &[f32], to: *mut f32) {
        let stride = Self::key_floats(k.width);
        // SAFETY: the caller's sizes; rows of K are contiguous.
        unsafe {
            for r in 0..k.rows {
                let row = std::slice::from_raw_parts(k.at.add(r * k.stride), k.width);
                let rounded = std::slice::from_raw_parts_mut(to.add(r * stride), k.width);
                let scale = R::row(row, offset, rounded);
                if R::SCALED {
                    to.add(r * stride + k.width).write(scale);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn score(
        k: *const f32,
        keys: usize,
        d: usize,
        qt: *const f32,
        st: *mut f32,
        largest: *mut f32,
        vectors: usize,
    ) {
        let stride = Self::key_floats(d);
        // SAFETY: the caller's sizes.
        unsafe {
            score_keys::<V>(k, stride, keys, d, qt, st, vectors);
            if R::SCALED {
                for j in 0..keys {
                    let scale = V::splat(*k.add(j * stride + d));
                    for v in 0..vectors {
                        let at = st.add(j * QUERIES + v * V::LANES);
                        V::load(at).mul(scale).store(at);
                    }
                }
            }
            find_largest::<V>(st, keys, largest, vectors);
        }
    }
}

impl<V: Vector, R: Rounding> Values for Wide<V, R> {
    type V = V;

    fn pair_floats(dv: usize) -> usize {
        2 * dv
    }

    #[inline(always)]
    unsafe fn pack_values(v: Block<*const f32>, to: *mut f32) {
        // SAFETY: the caller's sizes; rows of V are contiguous.
        unsafe {
            for r in 0..v.rows {
                let row = std::slice::from_raw_parts(v.at.add(r * v.stride), v.width);
                let rounded = std::slice::from_raw_parts_mut(to.add(r * v.width), v.width);
                for (to, x) in rounded.iter_mut().zip(row) {
                    *to = R::value(*x);
                }
            }
            if v.rows % 2 == 1 {
                std::slice::from_raw_parts_mut(to.add(v.rows * v.width), v.width).fill(0.0);
            }
        }
    }

    #[inline(always)]
    unsafe fn store_weights(st: *mut f32, pair: usize, even: V, odd: V) {
        // SAFETY: the caller's; weights stay where their scores were.
        unsafe {
            even.store(st.add(2 * pair * QUERIES));
            odd.store(st.add((2 * pair + 1) * QUERIES));
        }
    }

    #[inline(always)]
    unsafe fn accumulate(
        v: *const f32,
        pairs: usize,
        dv: usize,
        st: *const f32,
        ot: *mut f32,
        vectors: usize,
    ) {
        // SAFETY: the caller's sizes.
        unsafe { accumulate_values::<V, true>(v, dv, 2 * pairs, dv, st, ot, vectors) }
    }

    #[inline(always)]
    unsafe fn weight(st: *const f32, key: usize) -> f32 {
        // SAFETY: the caller's.
        unsafe { *st.add(key * QUERIES) }
    }

    fn rounded(x: f32) -> f32 {
        R::value(x)
    }
}
