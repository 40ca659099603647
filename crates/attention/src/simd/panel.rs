//! Products of matrices: rows of floats times rows of vectors, and what becomes of each sum before it is
//! written.

use super::rows::MOST_LANES;
use super::vector::Vector;

/// The operand that is read one float at a time: row r, step t at `data + r·row + t·step`.
#[derive(Clone, Copy)]
pub struct Left {
    /// Row 0, step 0.
    pub data: *const f32,
    /// Floats from one row to the next.
    pub row: usize,
    /// Floats from one step to the next.
    pub step: usize,
}

/// The operand that is read in vectors: step t, column c at `data + t·step + c`.
#[derive(Clone, Copy)]
pub struct Right {
    /// Step 0, column 0.
    pub data: *const f32,
    /// Floats from one step to the next.
    pub step: usize,
}

/// Rows of floats that a sum is written to: row r, column c at `data + r·row + c`.
#[derive(Clone, Copy)]
pub struct Target {
    /// Row 0, column 0.
    pub data: *mut f32,
    /// Floats from one row to the next.
    pub row: usize,
}

impl Target {
    /// The rows from `row` on.
    ///
    /// # Safety
    /// The row exists.
    #[inline(always)]
    pub unsafe fn below(self, row: usize) -> Self {
        Self {
            // SAFETY: the caller's.
            data: unsafe { self.data.add(row * self.row) },
            row: self.row,
        }
    }

    /// The place of a row and column.
    ///
    /// # Safety
    /// Row and column exist.
    #[inline(always)]
    pub unsafe fn at(self, row: usize, column: usize) -> *mut f32 {
        // SAFETY: the caller's.
        unsafe { self.data.add(row * self.row + column) }
    }
}

/// What becomes of the finished sums of a micro-kernel.
///
/// # Safety
/// As for [`Vector`]; the places that belong to rows and columns are the caller's.
pub trait Finish<V: Vector>: Copy {
    /// `sums` are those of the rows from `row` on and the vectors from `column` on.
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        sums: [[V; C]; R],
        row: usize,
        column: usize,
    );

    /// Brings nearer what `finish` will read.
    #[inline(always)]
    fn expect<const R: usize, const C: usize>(self, _row: usize, _column: usize) {}
}

/// target += sum, in the first `width` columns.
#[derive(Clone, Copy)]
pub struct Add {
    /// Where the sums go.
    pub to: Target,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub width: usize,
}

impl<V: Vector> Finish<V> for Add {
    #[inline(always)]
    unsafe fn finish<const R: usize, const C: usize>(
        self,
        sums: [[V; C]; R],
        row: usize,
        column: usize,
    ) {
        if column + C * V::LANES <= self.width {
            // By reference, so that the loops unroll and sums stay in registers.
            for (r, sums) in sums.iter().enumerate() {
                for (c, sum) in sums.iter().enumerate() {
                    // SAFETY: the trait's contract.
                    unsafe {
                        let to = self.to.at(row + r, column + c * V::LANES);
                        V::load(to).add(*sum).store(to);
                    }
                }
            }
            return;
        }
        let mut lanes = [0.0; MOST_LANES];
        for (r, sums) in sums.into_iter().enumerate() {
            for (c, sum) in sums.into_iter().enumerate() {
                let column = column + c * V::LANES;
                // SAFETY: the trait's contract; no column from `width` on is touched.
                unsafe {
                    if column + V::LANES <= self.width {
                        let to = self.to.at(row + r, column);
                        V::load(to).add(sum).store(to);
                    } else if column < self.width {
                        sum.store(lanes.as_mut_ptr());
                        for (n, x) in lanes[..self.width - column].iter().enumerate() {
                            *self.to.at(row + r, column + n) += x;
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn expect<const R: usize, const C: usize>(self, row: usize, column: usize) {
        if row >= self.rows {
            return;
        }
        for r in row..row + R {
            for c in 0..C {
                let at = r * self.to.row + column + c * V::LANES;
                V::prefetch(self.to.data.wrapping_add(at));
            }
        }
    }
}

/// Σ over `steps` of left(r, t)·right(t, c) for `rows` rows and `columns` columns, rounded up to whole
/// vectors.
///
/// Micro-kernels keep 8 to 18 sums in registers: enough to hide the latency of a multiply-add on two
/// pipes, few enough not to spill, and at most 10 loads for 16 multiply-adds.
///
/// # Safety
/// V's instructions are enabled; both operands hold `steps` steps, the left `rows` rows, the right
/// `columns` floats a step rounded up to whole vectors; `finish` may be called on all of them.
#[inline(always)]
pub unsafe fn product<V: Vector, F: Finish<V>>(
    left: Left,
    right: Right,
    (rows, steps, columns): (usize, usize, usize),
    finish: F,
) {
    let vectors = columns.div_ceil(V::LANES);
    if vectors == 0 {
        return;
    }
    // Groups of columns of like width: 3 + 3 vectors run better than 4 + 2.
    let width = vectors.div_ceil(vectors.div_ceil(V::COLUMNS));
    let mut v = 0;
    while v < vectors {
        let group = width.min(vectors - v);
        let mut r = 0;
        while r < rows {
            // SAFETY: row and column stay within the sizes given by the caller.
            unsafe {
                r += micro::<V, F>(
                    group,
                    rows - r,
                    left,
                    right,
                    steps,
                    (r, v * V::LANES),
                    finish,
                );
            }
        }
        v += group;
    }
}

/// Runs the micro-kernel that fits what is left; gives the rows done.
#[inline(always)]
unsafe fn micro<V: Vector, F: Finish<V>>(
    vectors: usize,
    rows: usize,
    left: Left,
    right: Right,
    steps: usize,
    at: (usize, usize),
    finish: F,
) -> usize {
    macro_rules! kernel {
        ($rows:literal, $vectors:literal) => {{
            // SAFETY: the caller's, with no more rows and vectors than there are.
            unsafe { multiply::<V, F, $rows, $vectors>(left, right, steps, at, finish) };
            $rows
        }};
    }
    match (V::COLUMNS, vectors) {
        (4, 4) if rows >= 4 => kernel!(4, 4),
        (4, 4) if rows >= 2 => kernel!(2, 4),
        (4, 4) => kernel!(1, 4),
        (4, 3) if rows >= 6 => kernel!(6, 3),
        (4, 3) if rows >= 4 => kernel!(4, 3),
        (4, 3) if rows >= 2 => kernel!(2, 3),
        (4, 3) => kernel!(1, 3),
        (4, 2) if rows >= 8 => kernel!(8, 2),
        (2 | 4, 2) if rows >= 4 => kernel!(4, 2),
        (2 | 4, 2) if rows >= 2 => kernel!(2, 2),
        (2 | 4, 2) => kernel!(1, 2),
        (2 | 4, _) if rows >= 8 => kernel!(8, 1),
        _ if rows >= 4 => kernel!(4, 1),
        _ if rows >= 2 => kernel!(2, 1),
        _ => kernel!(1, 1),
    }
}

/// One tile of R rows and C vectors of columns, its sums in registers.
#[inline(always)]
unsafe fn multiply<V: Vector, F: Finish<V>, const R: usize, const C: usize>(
    left: Left,
    right: Right,
    steps: usize,
    (row, column): (usize, usize),
    finish: F,
) {
    // SAFETY: the caller's sizes cover every row, step and vector visited.
    unsafe {
        let (a, b) = (left.data.add(row * left.row), right.data.add(column));
        // What is added to may lie in another core's cache: two micro-kernels are time to fetch it.
        if row == 0 {
            finish.expect::<R, C>(0, column);
            finish.expect::<R, C>(R, column);
        }
        finish.expect::<R, C>(row + 2 * R, column);
        let mut sums = [[V::splat(0.0); C]; R];
        for t in 0..steps {
            let mut y = [V::splat(0.0); C];
            for (c, y) in y.iter_mut().enumerate() {
                *y = V::load(b.add(t * right.step + c * V::LANES));
            }
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = V::splat(*a.add(r * left.row + t * left.step));
                for (sum, y) in sums.iter_mut().zip(y) {
                    *sum = x.mul_add(y, *sum);
                }
            }
        }
        finish.finish(sums, row, column);
    }
}
