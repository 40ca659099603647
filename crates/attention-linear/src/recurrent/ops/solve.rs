//! Triangular systems of a chunk, by blocks of 16.

use super::{How, Left, Ops, Right, To};
use crate::recurrent::CHUNK;
use attention::simd::{Kernel, Vector, dispatch};

/// Rows that are solved in registers.
const SIDE: usize = 16;

impl Ops {
    /// W of W + L·diag(β)·W = R, in place of R `[n, row]`, and U = diag(β)·W; L strictly lower
    /// triangular, its rows [`CHUNK`] floats apart.
    pub(crate) fn solve(self, l: &[f32], beta: &[f32], w: &mut [f32], u: &mut [f32], row: usize) {
        let n = beta.len();
        for first in (0..n).step_by(SIDE) {
            let count = SIDE.min(n - first);
            let left = Left {
                data: &l[first * CHUNK..],
                row: CHUNK,
                step: 1,
            };
            let right = Right { data: u, step: row };
            let to = To {
                data: &mut w[first * row..],
                row,
            };
            self.product(left, right, (count, first, row), to, How::SUB);
            self.diagonal(l, &beta[first..first + count], (w, u), (first, row, false));
        }
    }

    /// X of X + Lᵀ·diag(β)·X = R, in place of R, and Y = diag(β)·X.
    pub(crate) fn solve_transposed(
        self,
        l: &[f32],
        beta: &[f32],
        x: &mut [f32],
        y: &mut [f32],
        row: usize,
    ) {
        let n = beta.len();
        for first in (0..n).step_by(SIDE).rev() {
            let count = SIDE.min(n - first);
            let below = first + count;
            if below < n {
                let left = Left {
                    data: &l[below * CHUNK + first..],
                    row: 1,
                    step: CHUNK,
                };
                let right = Right {
                    data: &y[below * row..],
                    step: row,
                };
                let to = To {
                    data: &mut x[first * row..],
                    row,
                };
                self.product(left, right, (count, n - below, row), to, How::SUB);
            }
            self.diagonal(l, &beta[first..below], (x, y), (first, row, true));
        }
    }

    fn diagonal(
        self,
        l: &[f32],
        beta: &[f32],
        (w, u): (&mut [f32], &mut [f32]),
        (first, row, transposed): (usize, usize, bool),
    ) {
        let count = beta.len();
        assert!(count <= SIDE && l.len() >= CHUNK * CHUNK && first + SIDE <= CHUNK);
        let from = first * row;
        let part = from..from + count * row;
        let mut factors = [0.0; SIDE];
        factors[..count].copy_from_slice(beta);
        dispatch(
            self.isa,
            Diagonal {
                l: &l[first * CHUNK + first..],
                beta: factors,
                count,
                w: &mut w[part.clone()],
                u: &mut u[part],
                row,
                transposed,
            },
        );
    }
}

struct Diagonal<'a> {
    l: &'a [f32],
    beta: [f32; SIDE],
    count: usize,
    w: &'a mut [f32],
    u: &'a mut [f32],
    row: usize,
    transposed: bool,
}

impl Kernel for Diagonal<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for c in (0..self.row).step_by(V::LANES) {
            // SAFETY: inside dispatch; rows are padded to whole vectors and the slices hold `count`.
            unsafe {
                let mut x = [V::splat(0.0); SIDE];
                for (r, x) in x.iter_mut().enumerate().take(self.count) {
                    *x = V::load(self.w.as_ptr().add(r * self.row + c));
                }
                if self.transposed {
                    for s in (0..SIDE).rev().filter(|s| *s < self.count) {
                        let y = x[s].mul(V::splat(-self.beta[s]));
                        for (t, x) in x.iter_mut().enumerate().take(s) {
                            *x = y.mul_add(V::splat(*self.l.as_ptr().add(s * CHUNK + t)), *x);
                        }
                    }
                } else {
                    for s in 0..SIDE {
                        let y = x[s].mul(V::splat(-self.beta[s]));
                        for (t, x) in x.iter_mut().enumerate().skip(s + 1) {
                            *x = y.mul_add(V::splat(*self.l.as_ptr().add(t * CHUNK + s)), *x);
                        }
                    }
                }
                for (r, x) in x.into_iter().enumerate().take(self.count) {
                    let at = r * self.row + c;
                    x.store(self.w.as_mut_ptr().add(at));
                    x.mul(V::splat(self.beta[r]))
                        .store(self.u.as_mut_ptr().add(at));
                }
            }
        }
    }
}
