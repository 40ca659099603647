//! Maps that take every number of Q and K by itself: m = D.

#![allow(unsafe_code)]

use crate::feature::kernels::{LANES, add_dots, rows, rows_mut, scale_rows};
use crate::feature::map::{CHUNK, Extent, FeatureMap, Tokens};
use attention::simd::{Isa, Kernel, Vector, dispatch};
use std::marker::PhantomData;

/// A function of one number.
///
/// # Safety
/// As for [`Vector`].
pub(super) trait Function: Sync {
    /// f(x).
    unsafe fn value<V: Vector>(x: V) -> V;
}

/// φ(x)_c = f(x_c), for head dimension D.
pub(super) struct Elementwise<F> {
    d: usize,
    function: PhantomData<F>,
}

impl<F: Function> Elementwise<F> {
    pub(super) fn new(d: usize) -> Self {
        Self {
            d,
            function: PhantomData,
        }
    }

    pub(super) fn extent(d: usize) -> Extent {
        Extent {
            width: d,
            work: 0,
            learned: 0,
            flops: 2 * d as u64,
        }
    }
}

impl<F: Function> FeatureMap for Elementwise<F> {
    fn features(&self, isa: Isa, tokens: &Tokens<'_>, _work: &mut [f32], phi: &mut [f32]) {
        apply::<F>(isa, tokens, self.d, phi);
    }
}

/// f of every number of X `[n, D]`.
pub(super) fn apply<F: Function>(isa: Isa, tokens: &Tokens<'_>, d: usize, phi: &mut [f32]) {
    struct Run<'a, F>(&'a [f32], &'a mut [f32], PhantomData<F>);
    impl<F: Function> Kernel for Run<'_, F> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let (x, phi) = (self.0.as_ptr(), self.1.as_mut_ptr());
            for at in (0..self.1.len()).step_by(V::LANES) {
                // SAFETY: both have whole vectors.
                unsafe { F::value(V::load(x.add(at))).store(phi.add(at)) };
            }
        }
    }
    let stride = d.next_multiple_of(LANES);
    let floats = tokens.count() * stride;
    let (x, phi) = (&tokens.x[..floats], &mut phi[..floats]);
    dispatch(isa, Run(x, phi, PhantomData::<F>));
    if d < stride {
        phi.chunks_exact_mut(stride)
            .for_each(|row| row[d..].fill(0.0));
    }
}

/// Divides each of `n` rows of D numbers by its norm, or by `least` where that is larger.
pub(super) fn scale_to_unit(isa: Isa, x: &mut [f32], n: usize, d: usize, least: f32) {
    let stride = d.next_multiple_of(LANES);
    let mut factors = [0.0; CHUNK];
    let factors = &mut factors[..n];
    add_dots(isa, rows(x, stride), rows(x, stride), stride, factors);
    factors
        .iter_mut()
        .for_each(|f| *f = 1.0 / f.sqrt().max(least));
    scale_rows(isa, rows_mut(x, stride), factors, stride);
}
