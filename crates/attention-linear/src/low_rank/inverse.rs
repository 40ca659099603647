//! An iterative pseudo-inverse of a small matrix of softmax rows.
//!
//! Z ← ¼·Z·(13I - Y·(15I - Y·(7I - Y))) with Y = A·Z, from Z = Aᵀ/‖A‖₁ (Razavi et al. 2014; Xiong et al.
//! 2021, equation 11): third order where it converges, and products alone. ‖A‖∞, by which the source
//! divides too, is 1 for rows that sum to one. A singular value that is zero but for rounding stays
//! small: each iteration multiplies its inverse by 13/4 at most.

use super::kernels::{Ending, left, left_turned, product, right, turn};
use attention::simd::{Isa, Target};

/// A `[rows, columns]`, and how often to iterate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inverse {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// Floats from one row of any matrix to the next.
    pub(crate) stride: usize,
    /// Rows that any matrix has room for.
    pub(crate) most: usize,
    pub(crate) iterations: usize,
}

impl Inverse {
    fn floats(self) -> usize {
        self.most * self.stride
    }

    /// Floats of all Z, from the first to the last.
    pub(crate) fn iterates(self) -> usize {
        (self.iterations + 1) * self.floats()
    }

    /// Floats to work in, forward and backward.
    pub(crate) fn work(self) -> usize {
        8 * self.floats()
    }

    fn matrix(self, at: *mut f32, n: usize) -> Target {
        Target {
            data: at.wrapping_add(n * self.floats()),
            row: self.stride,
        }
    }

    /// The last Z `[columns, rows]`.
    pub(crate) fn last(self, iterates: *mut f32) -> Target {
        self.matrix(iterates, self.iterations)
    }

    /// Writes all Z.
    ///
    /// # Safety
    /// A is there, and `iterates` and `work` have the floats that are
    /// asked for.
    pub(crate) unsafe fn run(self, isa: Isa, a: Target, iterates: *mut f32, work: *mut f32) {
        // SAFETY: the caller's.
        unsafe {
            let (_, sum) = self.largest_column(a);
            turn(
                isa,
                a,
                self.rows,
                self.columns,
                1.0 / sum,
                self.matrix(iterates, 0),
            );
            for n in 0..self.iterations {
                let z = self.matrix(iterates, n);
                let [.., t3] = self.factors(isa, a, z, work);
                let size = (self.columns, self.rows, self.rows);
                let to = self.write(self.matrix(iterates, n + 1), 0.25);
                product(isa, left(z), right(t3), size, to);
            }
        }
    }

    /// The column of the largest sum, and the sum: ‖A‖₁.
    ///
    /// # Safety
    /// A is there.
    unsafe fn largest_column(self, a: Target) -> (usize, f32) {
        let sum = |c: usize| -> f32 {
            // SAFETY: the caller's.
            (0..self.rows).map(|r| unsafe { *a.at(r, c) }).sum()
        };
        (0..self.columns)
            .map(|c| (c, sum(c)))
            .fold((0, 0.0), |most, c| if c.1 <= most.1 { most } else { c })
    }

    fn write(self, to: Target, factor: f32) -> Ending {
        Ending::write(to, self.stride, factor)
    }

    /// Y, 7I - Y, 15I - Y·(7I - Y) and 13I - Y·(15I - Y·(7I - Y)) for one Z.
    ///
    /// # Safety
    /// As for [`run`](Self::run).
    unsafe fn factors(self, isa: Isa, a: Target, z: Target, work: *mut f32) -> [Target; 4] {
        let n = self.rows;
        let all @ [y, t1, t2, t3] = [0, 1, 2, 3].map(|n| self.matrix(work, n));
        // SAFETY: the caller's.
        unsafe {
            let add_to_diagonal = |t: Target, x: f32| (0..n).for_each(|i| *t.at(i, i) += x);
            product(
                isa,
                left(a),
                right(z),
                (n, self.columns, n),
                self.write(y, 1.0),
            );
            for r in 0..n {
                for c in 0..n {
                    *t1.at(r, c) = -*y.at(r, c);
                }
            }
            add_to_diagonal(t1, 7.0);
            product(isa, left(y), right(t1), (n, n, n), self.write(t2, -1.0));
            add_to_diagonal(t2, 15.0);
            product(isa, left(y), right(t2), (n, n, n), self.write(t3, -1.0));
            add_to_diagonal(t3, 13.0);
        }
        all
    }

    /// dA `[rows, columns]` from the gradient of the last Z, which is overwritten.
    ///
    /// # Safety
    /// As for [`run`](Self::run), which has written `iterates`.
    pub(crate) unsafe fn back(
        self,
        isa: Isa,
        a: Target,
        iterates: *mut f32,
        d_z: Target,
        d_a: Target,
        work: *mut f32,
    ) {
        let (n, k) = (self.rows, self.columns);
        // SAFETY: the caller's.
        unsafe {
            let zero = |t: Target| {
                std::slice::from_raw_parts_mut(t.data, self.floats()).fill(0.0);
            };
            zero(d_a);
            let [turned, d_t3, d_t2, d_y] = [4, 5, 6, 7].map(|n| self.matrix(work, n));
            for i in (0..self.iterations).rev() {
                let z = self.matrix(iterates, i);
                let [y, t1, t2, t3] = self.factors(isa, a, z, work);
                // dT3 = ¼·Zᵀ·dZ', and then dZ = ¼·dZ'·T3ᵀ over dZ'.
                let size = (n, k, n);
                product(
                    isa,
                    left_turned(z),
                    right(d_z),
                    size,
                    self.write(d_t3, 0.25),
                );
                turn(isa, t3, n, n, 0.25, turned);
                // T3 is not needed any more, and makes room for the product.
                let next = t3;
                let size = (k, n, n);
                product(isa, left(d_z), right(turned), size, self.write(next, 1.0));
                std::ptr::copy_nonoverlapping(next.data.cast_const(), d_z.data, self.floats());
                turn(isa, t2, n, n, -1.0, turned);
                product(
                    isa,
                    left(d_t3),
                    right(turned),
                    (n, n, n),
                    self.write(d_y, 1.0),
                );
                let size = (n, n, n);
                product(
                    isa,
                    left_turned(y),
                    right(d_t3),
                    size,
                    self.write(d_t2, -1.0),
                );
                turn(isa, t1, n, n, -1.0, turned);
                product(isa, left(d_t2), right(turned), size, Ending::add(d_y, n));
                product(isa, left_turned(y), right(d_t2), size, Ending::add(d_y, n));
                turn(isa, z, k, n, 1.0, turned);
                product(
                    isa,
                    left(d_y),
                    right(turned),
                    (n, n, k),
                    Ending::add(d_a, k),
                );
                product(
                    isa,
                    left_turned(a),
                    right(d_y),
                    (k, n, n),
                    Ending::add(d_z, n),
                );
            }
            // Z₀ = Aᵀ / ‖A‖₁.
            let (top, sum) = self.largest_column(a);
            let first = self.matrix(iterates, 0);
            let mut d_sum = 0.0;
            for c in 0..k {
                for r in 0..n {
                    let d = *d_z.at(c, r);
                    *d_a.at(r, c) += d / sum;
                    d_sum -= d * *first.at(c, r) / sum;
                }
            }
            for r in 0..n {
                *d_a.at(r, top) += d_sum;
            }
        }
    }
}
