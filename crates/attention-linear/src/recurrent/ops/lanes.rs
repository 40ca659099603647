//! Decays of one number a lane: sums over blocks of 16 keys, and the triangle inside a block.

#![allow(unsafe_code)]

use super::Ops;
use crate::recurrent::CHUNK;
use attention::simd::{Kernel, Vector, dispatch};

/// Keys of a block.
pub(crate) const SIDE: usize = 16;

/// The least binary logarithm of a step's decay: 2 to that is 0 long before.
const LEAST: f32 = -1e4;

/// Decays of a chunk's keys, rows of `row` floats.
pub(crate) struct LaneDecays<'a> {
    /// In: binary logarithms. Out: the decay of each step `[C, D]`.
    pub(crate) step: &'a mut [f32],
    /// From the start of a key's block up to it, and from it to the block's end `[C, D]`.
    pub(crate) up: &'a mut [f32],
    pub(crate) down: &'a mut [f32],
    /// Over each block `[C / 16, D]`.
    pub(crate) span: &'a mut [f32],
}

/// The rows of a block that read its keys: row r stands behind key `at[r]` of the block.
pub(crate) struct Triangle<'a> {
    /// `[16]`.
    pub(crate) at: [usize; SIDE],
    pub(crate) rows: usize,
    /// Keys of the block.
    pub(crate) keys: usize,
    /// Floats between rows of Q, K and decays.
    pub(crate) row: usize,
    pub(crate) x: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) step: &'a [f32],
}

impl Triangle<'_> {
    fn check(&self, a: usize) {
        assert!(self.rows <= SIDE && self.keys <= SIDE);
        assert!(self.x.len() >= self.rows * self.row);
        assert!(self.k.len() >= self.keys * self.row && self.step.len() >= self.keys * self.row);
        assert!(self.rows == 0 || a >= (self.rows - 1) * CHUNK + SIDE);
    }
}

impl Ops {
    /// Decays from logarithms, for the first `n` keys.
    pub(crate) fn lane_decays(self, decays: LaneDecays<'_>, n: usize, row: usize) {
        assert!(n <= CHUNK && decays.span.len() >= CHUNK / SIDE * row);
        for x in [&decays.step, &decays.up, &decays.down] {
            assert!(x.len() >= n * row);
        }
        dispatch(self.isa, Sums { decays, n, row });
    }

    /// to = A∘B.
    pub(crate) fn times(self, a: &[f32], b: &[f32], to: &mut [f32]) {
        let n = to.len();
        assert!(a.len() == n && b.len() == n && n.is_multiple_of(16));
        let a = a.as_ptr();
        dispatch(self.isa, Times { a, b, to });
    }

    /// Each row of X times the lanes of `factors`.
    pub(crate) fn scale_lanes(self, x: &mut [f32], factors: &[f32]) {
        for row in x.chunks_exact_mut(factors.len().max(1)) {
            let a = row.as_ptr();
            dispatch(
                self.isa,
                Times {
                    a,
                    b: factors,
                    to: row,
                },
            );
        }
    }

    /// A `[rows, 16]`, rows [`CHUNK`] floats apart: products of rows and keys under the decays between
    /// them, zero where a row stands before a key.
    pub(crate) fn triangle(self, triangle: &Triangle<'_>, a: &mut [f32]) {
        triangle.check(a.len());
        dispatch(self.isa, Scores { triangle, a });
    }

    /// Adds to the gradients of rows and keys, by those of A.
    pub(crate) fn triangle_backward(
        self,
        triangle: &Triangle<'_>,
        d_a: &[f32],
        d_x: &mut [f32],
        d_k: &mut [f32],
    ) {
        triangle.check(d_a.len());
        assert!(d_x.len() >= triangle.rows * triangle.row);
        assert!(d_k.len() >= triangle.keys * triangle.row);
        dispatch(
            self.isa,
            ScoresBackward {
                triangle,
                d_a,
                d_x,
                d_k,
            },
        );
    }
}

struct Sums<'a> {
    decays: LaneDecays<'a>,
    n: usize,
    row: usize,
}

impl Kernel for Sums<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let LaneDecays {
            step,
            up,
            down,
            span,
        } = self.decays;
        for c in (0..self.row).step_by(V::LANES) {
            for (block, first) in (0..self.n).step_by(SIDE).enumerate() {
                let keys = first..self.n.min(first + SIDE);
                // SAFETY: inside dispatch; rows are padded to whole vectors and the slices hold them.
                unsafe {
                    let log = |t: usize, step: &[f32]| {
                        let x = V::load(step.as_ptr().add(t * self.row + c));
                        V::splat(LEAST).max(x)
                    };
                    let mut sum = V::splat(0.0);
                    for t in keys.clone().rev() {
                        sum.exp2().store(down.as_mut_ptr().add(t * self.row + c));
                        sum = sum.add(log(t, step));
                    }
                    sum.exp2()
                        .store(span.as_mut_ptr().add(block * self.row + c));
                    let mut sum = V::splat(0.0);
                    for t in keys {
                        let at = t * self.row + c;
                        let log = log(t, step);
                        sum = sum.add(log);
                        sum.exp2().store(up.as_mut_ptr().add(at));
                        log.exp2().store(step.as_mut_ptr().add(at));
                    }
                }
            }
        }
    }
}

struct Times<'a> {
    a: *const f32,
    b: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for Times<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        for c in (0..self.to.len()).step_by(V::LANES) {
            // SAFETY: inside dispatch; all three hold whole vectors of the same number.
            unsafe {
                let product = V::load(self.a.add(c)).mul(V::load(self.b.as_ptr().add(c)));
                product.store(self.to.as_mut_ptr().add(c));
            }
        }
    }
}

struct Scores<'a> {
    triangle: &'a Triangle<'a>,
    a: &'a mut [f32],
}

impl Kernel for Scores<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let t = self.triangle;
        for j in 0..t.keys {
            // SAFETY: inside dispatch; `Triangle::check` has seen the slices, rows hold whole vectors.
            unsafe {
                let mut sums = [V::splat(0.0); SIDE];
                for c in (0..t.row).step_by(V::LANES) {
                    let mut decayed = V::load(t.k.as_ptr().add(j * t.row + c));
                    let mut key = j;
                    for (r, sum) in sums.iter_mut().enumerate().take(t.rows) {
                        if t.at[r] < j {
                            continue;
                        }
                        while key < t.at[r] {
                            key += 1;
                            decayed = decayed.mul(V::load(t.step.as_ptr().add(key * t.row + c)));
                        }
                        *sum = decayed.mul_add(V::load(t.x.as_ptr().add(r * t.row + c)), *sum);
                    }
                }
                for half in [0, 8] {
                    let part: [V; 8] = std::array::from_fn(|r| sums[half + r]);
                    for (r, sum) in V::sums(part).into_iter().enumerate() {
                        if half + r < t.rows {
                            self.a[(half + r) * CHUNK + j] = sum;
                        }
                    }
                }
            }
        }
        for r in 0..t.rows {
            self.a[r * CHUNK + t.keys..r * CHUNK + SIDE].fill(0.0);
        }
    }
}

struct ScoresBackward<'a> {
    triangle: &'a Triangle<'a>,
    d_a: &'a [f32],
    d_x: &'a mut [f32],
    d_k: &'a mut [f32],
}

impl Kernel for ScoresBackward<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let t = self.triangle;
        for c in (0..t.row).step_by(V::LANES) {
            for j in 0..t.keys {
                // SAFETY: inside dispatch; the sizes were checked, rows hold whole vectors.
                unsafe {
                    let at_key = j * t.row + c;
                    let k = V::load(t.k.as_ptr().add(at_key));
                    let d_k = self.d_k.as_mut_ptr().add(at_key);
                    let mut sum = V::load(d_k);
                    let mut decay = V::splat(1.0);
                    let mut key = j;
                    for r in 0..t.rows {
                        if t.at[r] < j {
                            continue;
                        }
                        while key < t.at[r] {
                            key += 1;
                            decay = decay.mul(V::load(t.step.as_ptr().add(key * t.row + c)));
                        }
                        let at = r * t.row + c;
                        let weight = decay.mul(V::splat(*self.d_a.as_ptr().add(r * CHUNK + j)));
                        let d_x = self.d_x.as_mut_ptr().add(at);
                        weight.mul_add(k, V::load(d_x)).store(d_x);
                        sum = weight.mul_add(V::load(t.x.as_ptr().add(at)), sum);
                    }
                    sum.store(d_k);
                }
            }
        }
    }
}
