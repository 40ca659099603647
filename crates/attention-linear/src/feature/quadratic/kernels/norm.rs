//! The norm of projected tokens.

#![allow(unsafe_code)]

use crate::feature::kernels::LANES;
use ::attention::simd::{Isa, Kernel, Vector, dispatch};

/// Added to the variance.
pub(in crate::feature::quadratic) const LEAST_VARIANCE: f32 = 1e-5;

const ONES: [f32; LANES] = [1.0; LANES];

/// Subtracts from each row `[n, r]` its mean, multiplies it with 1/√(variance + [`LEAST_VARIANCE`]),
/// and keeps that factor; what lies behind the r entries must be zero and stays so.
pub(in crate::feature::quadratic) fn normalise(
    isa: Isa,
    x: &mut [f32],
    (n, rank, stride): (usize, usize, usize),
    inverse: &mut [f32],
) {
    assert!(n * stride <= x.len() && n <= inverse.len());
    assert!(rank.next_multiple_of(LANES) <= stride);
    struct Run<'a>(&'a mut [f32], usize, usize, &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, rank, stride, inverse) = self;
            let (share, x) = (1.0 / rank as f32, x.as_mut_ptr());
            for (group, inverse) in inverse.chunks_mut(8).enumerate() {
                // SAFETY: rows and columns are those that were checked.
                unsafe {
                    let zero = V::splat(0.0);
                    let row = |r: usize| x.add((group * 8 + r) * stride);
                    let mut sums = [zero; 8];
                    for (r, sum) in sums.iter_mut().enumerate().take(inverse.len()) {
                        for c in (0..rank).step_by(V::LANES) {
                            *sum = sum.add(V::load(row(r).add(c)));
                        }
                    }
                    let means = V::sums(sums);
                    sums = [zero; 8];
                    for (r, sum) in sums.iter_mut().enumerate().take(inverse.len()) {
                        let mean = V::splat(-means[r] * share);
                        for c in (0..rank).step_by(V::LANES) {
                            let ones = V::load_first(ONES.as_ptr(), (rank - c).min(V::LANES));
                            let at = row(r).add(c);
                            let apart = mean.mul_add(ones, V::load(at));
                            apart.store(at);
                            *sum = apart.mul_add(apart, *sum);
                        }
                    }
                    let squares = V::sums(sums);
                    for (r, inverse) in inverse.iter_mut().enumerate() {
                        *inverse = 1.0 / (squares[r] * share + LEAST_VARIANCE).sqrt();
                        for c in (0..rank).step_by(V::LANES) {
                            let at = row(r).add(c);
                            V::load(at).mul(V::splat(*inverse)).store(at);
                        }
                    }
                }
            }
        }
    }
    dispatch(isa, Run(x, rank, stride, &mut inverse[..n]));
}

/// Y = γ∘X + β row by row, for γ and β in whole lanes.
pub(in crate::feature::quadratic) fn affine(
    isa: Isa,
    x: &[f32],
    (n, stride): (usize, usize),
    (gamma, beta): (&[f32], &[f32]),
    y: &mut [f32],
) {
    assert!(gamma.len() == beta.len() && gamma.len().is_multiple_of(LANES));
    assert!(gamma.len() <= stride && n * stride <= x.len().min(y.len()));
    struct Run<'a>(&'a [f32], usize, (&'a [f32], &'a [f32]), &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, stride, (gamma, beta), y) = self;
            let lines = x.chunks_exact(stride).zip(y.chunks_exact_mut(stride));
            for (x, y) in lines {
                for c in (0..gamma.len()).step_by(V::LANES) {
                    // SAFETY: rows and columns are those that were checked.
                    unsafe {
                        let (gamma, beta) = (gamma.as_ptr().add(c), beta.as_ptr().add(c));
                        let x = V::load(x.as_ptr().add(c));
                        x.mul_add(V::load(gamma), V::load(beta))
                            .store(y.as_mut_ptr().add(c));
                    }
                }
            }
        }
    }
    if stride > 0 {
        let floats = n * stride;
        dispatch(
            isa,
            Run(&x[..floats], stride, (gamma, beta), &mut y[..floats]),
        );
    }
}
