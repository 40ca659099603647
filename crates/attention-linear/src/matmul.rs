//! A small matrix product in vectors as wide as the machine has.

use pulp::{Arch, Simd, WithSimd};

/// Floats by which columns are counted: rows of B and C are padded to a multiple of it, which is the
/// widest vector of any machine.
pub(crate) const LANES: usize = 16;

/// Rows of C that lie one below the other in a register block, where all of them are there.
pub(crate) const ROWS: usize = 8;

/// Row-major matrix: where it starts, and floats from one row to the next.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

/// C += A·B for A `[rows, inner]`, B `[inner, cols]`, C `[rows, cols]`; `cols` counts whole lanes.
///
/// Each product is summed by itself and then added, so that long sums over many calls lose little,
/// and every row is summed in the same order wherever it stands. With fused multiply-add a step is
/// rounded once, without it twice: bits are those of one instruction set.
pub(crate) fn add_product(
    a: Rows<'_>,
    b: Rows<'_>,
    c: (&mut [f32], usize),
    (rows, inner, cols): (usize, usize, usize),
) {
    debug_assert!(cols.is_multiple_of(LANES));
    let (c, stride) = c;
    if inner == 0 {
        return;
    }
    Arch::new().dispatch(Product {
        a,
        b,
        c,
        stride,
        rows,
        inner,
        cols,
    });
}

struct Product<'a> {
    a: Rows<'a>,
    b: Rows<'a>,
    c: &'a mut [f32],
    stride: usize,
    rows: usize,
    inner: usize,
    cols: usize,
}

impl WithSimd for Product<'_> {
    type Output = ();

    /// Blocks of sums that leave registers for B and the factors of A: 8 x 2 vectors of the 32 of
    /// AVX-512 and NEON, 4 x 2 of the 16 of AVX2. Without vectors the compiler makes its own of 4 x
    /// 8 floats.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        if S::IS_SCALAR {
            self.columns::<S, 4, 8>(simd, 0);
        } else if S::REGISTER_COUNT >= 32 {
            let done = self.columns::<S, ROWS, 2>(simd, 0);
            self.columns::<S, ROWS, 1>(simd, done);
        } else {
            self.columns::<S, 4, 2>(simd, 0);
        }
    }
}

impl Product<'_> {
    /// As many columns from `column` on as come in `V` vectors; gives the first that is left.
    #[inline(always)]
    fn columns<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        mut column: usize,
    ) -> usize {
        while column + V * S::F32_LANES <= self.cols {
            let mut row = 0;
            while row + R <= self.rows {
                self.block::<S, R, V>(simd, row, column);
                row += R;
            }
            while row < self.rows {
                self.block::<S, 1, V>(simd, row, column);
                row += 1;
            }
            column += V * S::F32_LANES;
        }
        column
    }

    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        column: usize,
    ) {
        let (a, b, inner, width) = (self.a, self.b, self.inner, V * S::F32_LANES);
        let left: [&[f32]; R] = std::array::from_fn(|r| &a.data[(row + r) * a.stride..][..inner]);
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        #[expect(
            clippy::needless_range_loop,
            reason = "k steps through R rows at a time"
        )]
        for k in 0..inner {
            let (right, _) = S::as_simd_f32s(&b.data[k * b.stride + column..][..width]);
            let right: [S::f32s; V] = std::array::from_fn(|v| right[v]);
            for r in 0..R {
                let factor = simd.splat_f32s(left[r][k]);
                for v in 0..V {
                    sums[r][v] = simd.mul_add_e_f32s(factor, right[v], sums[r][v]);
                }
            }
        }
        for (r, sums) in sums.iter().enumerate() {
            let start = (row + r) * self.stride + column;
            let (c, _) = S::as_mut_simd_f32s(&mut self.c[start..][..width]);
            for (c, sum) in c.iter_mut().zip(sums) {
                *c = simd.add_f32s(*c, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_odd_sizes_and_strides_are_those_of_plain_loops() {
        for (rows, inner, cols) in [
            (1, 1, 16),
            (3, 17, 32),
            (8, 5, 16),
            (21, 64, 48),
            (5, 0, 16),
        ] {
            let (sa, sb, sc) = (inner + 3, cols + 16, cols + 1);
            let value = |i: usize| ((i * 37) % 19) as f32 - 9.0;
            let a: Vec<f32> = (0..rows * sa).map(value).collect();
            let b: Vec<f32> = (0..inner.max(1) * sb).map(|i| value(i + 5)).collect();
            let mut c = vec![1.0; rows * sc];
            let (left, right) = (
                Rows {
                    data: &a,
                    stride: sa,
                },
                Rows {
                    data: &b,
                    stride: sb,
                },
            );
            add_product(left, right, (&mut c, sc), (rows, inner, cols));
            for r in 0..rows {
                for j in 0..cols {
                    let plain: f32 = (0..inner).map(|k| a[r * sa + k] * b[k * sb + j]).sum();
                    assert_eq!(c[r * sc + j], 1.0 + plain);
                }
                assert_eq!(
                    c[r * sc + cols],
                    1.0,
                    "beyond the columns nothing is touched"
                );
            }
        }
    }
}
