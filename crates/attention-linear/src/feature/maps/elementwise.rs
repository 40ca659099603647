//! Maps that take every number of Q and K by itself: m = D.

#![allow(unsafe_code)]

use crate::feature::kernels::LANES;
use crate::feature::map::{Extent, FeatureMap, Gradient, Tokens};
use attention::simd::{Isa, Kernel, Vector, dispatch};
use std::marker::PhantomData;

/// A function of one number.
///
/// # Safety
/// As for [`Vector`].
pub(super) trait Function: Sync {
    /// f(x).
    unsafe fn value<V: Vector>(x: V) -> V;
    /// f'(x), given x and f(x).
    unsafe fn slope<V: Vector>(x: V, value: V) -> V;
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
        Extent::plain(d, 2 * d as u64)
    }
}

impl<F: Function> FeatureMap for Elementwise<F> {
    fn features(&self, isa: Isa, tokens: &Tokens<'_>, _work: &mut [f32], phi: &mut [f32]) {
        apply::<F>(isa, tokens, self.d, phi);
    }

    fn pull_back(
        &self,
        isa: Isa,
        tokens: &Tokens<'_>,
        _work: &mut [f32],
        gradient: Gradient<'_>,
        _learned: &mut [f32],
    ) {
        let Gradient { phi, d_phi, dx } = gradient;
        pull::<F>(isa, (tokens, self.d), phi, d_phi, dx);
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

/// dX = f'(X)∘dφ, for X `[n, D]` and φ = f(X).
pub(super) fn pull<F: Function>(
    isa: Isa,
    (tokens, d): (&Tokens<'_>, usize),
    phi: &[f32],
    d_phi: &[f32],
    dx: &mut [f32],
) {
    struct Run<'a, F>([&'a [f32]; 3], &'a mut [f32], PhantomData<F>);
    impl<F: Function> Kernel for Run<'_, F> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run([x, phi, d_phi], dx, _) = self;
            for at in (0..dx.len()).step_by(V::LANES) {
                // SAFETY: all have whole vectors.
                unsafe {
                    let load = [x, phi, d_phi].map(|x| x.as_ptr().add(at));
                    let slope = F::slope(V::load(load[0]), V::load(load[1]));
                    let to = dx.as_mut_ptr().add(at);
                    slope.mul(V::load(load[2])).store(to);
                }
            }
        }
    }
    let floats = tokens.count() * d.next_multiple_of(LANES);
    let from = [&tokens.x[..floats], &phi[..floats], &d_phi[..floats]];
    dispatch(isa, Run(from, &mut dx[..floats], PhantomData::<F>));
}
