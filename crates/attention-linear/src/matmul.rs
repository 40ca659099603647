//! A small matrix product in safe code that the compiler vectorises.

/// Floats by which columns are counted: rows of B and C are padded to a multiple of it.
pub(crate) const LANES: usize = 8;

/// Rows that share one pass over B. 4 x 8 sums fill half of the sixteen vector registers that every
/// x86-64 has, which leaves room for B and the factors of A.
const ROWS: usize = 4;

/// Row-major matrix: where it starts, and floats from one row to the next.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

/// C += A·B for A `[rows, inner]`, B `[inner, cols]`, C `[rows, cols]`; `cols` counts whole lanes.
///
/// Each product is summed by itself and then added, so that long sums over many calls lose little,
/// and every row is summed in the same order wherever it stands.
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
    for column in (0..cols).step_by(LANES) {
        let mut row = 0;
        while row + ROWS <= rows {
            block::<ROWS>(a, b, c, stride, row, column, inner);
            row += ROWS;
        }
        while row < rows {
            block::<1>(a, b, c, stride, row, column, inner);
            row += 1;
        }
    }
}

#[inline(always)]
fn block<const R: usize>(
    a: Rows<'_>,
    b: Rows<'_>,
    c: &mut [f32],
    stride: usize,
    row: usize,
    column: usize,
    inner: usize,
) {
    let left: [&[f32]; R] =
        std::array::from_fn(|r| &a.data[(row + r) * a.stride..(row + r) * a.stride + inner]);
    let mut sums = [[0.0_f32; LANES]; R];
    for (k, right) in b.data.chunks(b.stride).take(inner).enumerate() {
        let right = &right[column..column + LANES];
        for r in 0..R {
            let factor = left[r][k];
            for (sum, x) in sums[r].iter_mut().zip(right) {
                *sum += factor * x;
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        let start = (row + r) * stride + column;
        for (c, sum) in c[start..start + LANES].iter_mut().zip(sums) {
            *c += sum;
        }
    }
}

/// Dot product with one running sum a lane.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let (blocks_a, blocks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = blocks_a
        .remainder()
        .iter()
        .zip(blocks_b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in blocks_a.zip(blocks_b) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Sum with one running sum a lane.
pub(crate) fn sum(a: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let blocks = a.chunks_exact(LANES);
    let tail: f32 = blocks.remainder().iter().sum();
    for x in blocks {
        for lane in 0..LANES {
            sums[lane] += x[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_odd_sizes_and_strides_are_those_of_plain_loops() {
        for (rows, inner, cols) in [(1, 1, 8), (3, 17, 16), (4, 5, 8), (9, 64, 24), (5, 0, 8)] {
            let (sa, sb, sc) = (inner + 3, cols + 8, cols + 1);
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

    #[test]
    fn sums_take_every_element() {
        let a: Vec<f32> = (0..19).map(|i| i as f32).collect();
        assert_eq!(sum(&a), 171.0);
        assert_eq!(dot(&a, &a), (0..19).map(|i| (i * i) as f32).sum());
    }
}
