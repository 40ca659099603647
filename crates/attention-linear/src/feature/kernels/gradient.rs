//! What backward does to the rows of a chunk beside forward's.

#![allow(unsafe_code)]

use super::{LANES, Rows, RowsMut};
use attention::simd::{Isa, Kernel, Vector, dispatch};

/// to[c] += Σ_r weights[r]·X[r, c].
pub(crate) fn add_weighted_columns(isa: Isa, x: Rows<'_>, weights: &[f32], to: &mut [f32]) {
    assert!(to.len().is_multiple_of(LANES) && x.holds(weights.len(), to.len()));
    struct Run<'a>(Rows<'a>, &'a [f32], &'a mut [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, weights, to) = self;
            for c in (0..to.len()).step_by(V::LANES) {
                // SAFETY: rows and columns are those that were checked.
                unsafe {
                    let (mut even, mut odd) = (V::splat(0.0), V::splat(0.0));
                    for (r, &w) in weights.iter().enumerate() {
                        let v = V::load(x.data.as_ptr().add(r * x.stride + c));
                        (even, odd) = (odd, v.mul_add(V::splat(w), even));
                    }
                    let at = to.as_mut_ptr().add(c);
                    V::load(at).add(even.add(odd)).store(at);
                }
            }
        }
    }
    dispatch(isa, Run(x, weights, to));
}

/// X[r, c] += weights[r]·row[c].
pub(crate) fn add_outer(isa: Isa, x: RowsMut<'_>, weights: &[f32], row: &[f32]) {
    assert!(row.len().is_multiple_of(LANES) && x.holds(weights.len(), row.len()));
    struct Run<'a>(*mut f32, usize, &'a [f32], &'a [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(x, stride, weights, row) = self;
            for (r, &w) in weights.iter().enumerate() {
                for c in (0..row.len()).step_by(V::LANES) {
                    // SAFETY: rows and columns are those that were checked.
                    unsafe {
                        let at = x.add(r * stride + c);
                        let v = V::load(row.as_ptr().add(c));
                        v.mul_add(V::splat(w), V::load(at)).store(at);
                    }
                }
            }
        }
    }
    dispatch(isa, Run(x.data.as_mut_ptr(), x.stride, weights, row));
}

/// X ∘= Y.
pub(crate) fn multiply_by(isa: Isa, x: &mut [f32], y: &[f32]) {
    assert!(x.len() == y.len() && x.len().is_multiple_of(LANES));
    struct Run<'a>(&'a mut [f32], &'a [f32]);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            for c in (0..self.0.len()).step_by(V::LANES) {
                // SAFETY: both have whole vectors.
                unsafe {
                    let at = self.0.as_mut_ptr().add(c);
                    V::load(at).mul(V::load(self.1.as_ptr().add(c))).store(at);
                }
            }
        }
    }
    dispatch(isa, Run(x, y));
}

/// to[r] += A_r·Σ of the first seen[r] rows of B; `running` is memory for one row, and `seen` never
/// falls.
pub(crate) fn add_running_dots(
    isa: Isa,
    (a, b): (Rows<'_>, Rows<'_>),
    seen: &[usize],
    running: &mut [f32],
    to: &mut [f32],
) {
    let most = seen.last().copied().unwrap_or(0);
    assert!(a.holds(seen.len(), running.len()) && b.holds(most, running.len()));
    assert!(running.len().is_multiple_of(LANES) && seen.is_sorted() && seen.len() <= to.len());
    struct Run<'a>(
        Rows<'a>,
        Rows<'a>,
        &'a [usize],
        &'a mut [f32],
        &'a mut [f32],
    );
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Run(a, b, seen, running, to) = self;
            running.fill(0.0);
            let mut added = 0;
            for (group, (seen, to)) in seen.chunks(8).zip(to.chunks_mut(8)).enumerate() {
                // SAFETY: rows and columns are those that were checked.
                unsafe {
                    let mut sums = [V::splat(0.0); 8];
                    for (r, (sum, &seen)) in sums.iter_mut().zip(seen).enumerate() {
                        let row = a.data.as_ptr().add((group * 8 + r) * a.stride);
                        for c in (0..running.len()).step_by(V::LANES) {
                            let at = running.as_mut_ptr().add(c);
                            let mut total = V::load(at);
                            for j in added..seen {
                                total = total.add(V::load(b.data.as_ptr().add(j * b.stride + c)));
                            }
                            total.store(at);
                            *sum = total.mul_add(V::load(row.add(c)), *sum);
                        }
                        added = seen;
                    }
                    for (to, sum) in to.iter_mut().zip(V::sums(sums)).take(seen.len()) {
                        *to += sum;
                    }
                }
            }
        }
    }
    dispatch(isa, Run(a, b, seen, running, to));
}
