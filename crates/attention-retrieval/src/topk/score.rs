//! Scores in f32, of one pair and of a tile of pairs: the same bits.

use ndarray::ArrayView2;
use std::ops::Range;

/// Keys of a tile. At D = 64 the transposed tile takes 16 KiB of a first-level cache.
pub(super) const TILE: usize = 64;

/// Queries and keys of a register block: 4 x 8 sums in half of the vector registers that every
/// x86-64 has.
const ROWS: usize = 4;
const LANES: usize = 8;

/// The score that decides which keys are kept: products summed in the order of D, then scaled, then
/// biased; one NaN and one zero, so that scores have one order.
pub(super) fn score(q: &[f32], k: &[f32], scale: f32, bias: f32) -> f32 {
    let mut sum = 0.0;
    for (q, k) in q.iter().zip(k) {
        sum += q * k;
    }
    finish(sum, scale, bias)
}

#[inline(always)]
fn finish(sum: f32, scale: f32, bias: f32) -> f32 {
    // Adding 0 turns -0 into 0.
    let score = (sum * scale + bias) + 0.0;
    if score.is_nan() { f32::NAN } else { score }
}

/// Keys as columns `[D, TILE]`.
pub(super) fn transpose(k: ArrayView2<'_, f32>, keys: Range<usize>, out: &mut [f32]) {
    for (j, key) in keys.enumerate() {
        let column = out.iter_mut().skip(j).step_by(TILE);
        column.zip(k.row(key)).for_each(|(slot, &x)| *slot = x);
    }
}

/// Scores of `rows` queries `[rows, D]` and one tile of keys `[D, TILE]`, of which `n` count;
/// written to `out`, rows `stride` floats apart. `bias` is asked by row and key of the tile.
pub(super) fn score_tile(
    q: &[f32],
    rows: usize,
    keys: &[f32],
    n: usize,
    scale: f32,
    bias: impl Fn(usize, usize) -> f32,
    (out, stride): (&mut [f32], usize),
) {
    let d = keys.len() / TILE;
    for column in (0..n).step_by(LANES) {
        let count = LANES.min(n - column);
        let mut row = 0;
        while row < rows {
            let height = ROWS.min(rows - row);
            let sums = if height == ROWS {
                block::<ROWS>(&q[row * d..], d, keys, column)
            } else {
                let mut sums = [[0.0; LANES]; ROWS];
                for (r, sums) in sums.iter_mut().take(height).enumerate() {
                    [*sums] = block::<1>(&q[(row + r) * d..], d, keys, column);
                }
                sums
            };
            for (r, sums) in sums.iter().take(height).enumerate() {
                let start = (row + r) * stride + column;
                for (lane, slot) in out[start..start + count].iter_mut().enumerate() {
                    *slot = finish(sums[lane], scale, bias(row + r, column + lane));
                }
            }
            row += height;
        }
    }
}

#[inline(always)]
fn block<const R: usize>(q: &[f32], d: usize, keys: &[f32], column: usize) -> [[f32; LANES]; R] {
    let queries: [&[f32]; R] = std::array::from_fn(|r| &q[r * d..(r + 1) * d]);
    let mut sums = [[0.0_f32; LANES]; R];
    for (i, keys) in keys.chunks_exact(TILE).enumerate() {
        let keys = &keys[column..column + LANES];
        for r in 0..R {
            let x = queries[r][i];
            for (sum, k) in sums[r].iter_mut().zip(keys) {
                *sum += x * k;
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn a_tile_has_the_bits_of_single_scores() {
        for (rows, n, d) in [(1, 1, 1), (5, 64, 17), (4, 9, 3), (7, 50, 0)] {
            let value = |i: usize| ((i * 31 % 57) as f32 - 28.0) / 7.0;
            let q: Vec<f32> = (0..rows * d).map(value).collect();
            let k = Array2::from_shape_fn((n + 2, d), |(j, i)| value(j * 5 + i * 3 + 1));
            let mut keys = vec![f32::NAN; d * TILE];
            transpose(k.view(), 2..n + 2, &mut keys);
            let bias = |r: usize, j: usize| value(r + 2 * j);
            let mut out = vec![f32::NAN; rows * 70];
            score_tile(&q, rows, &keys, n, 0.3, bias, (&mut out, 70));
            for r in 0..rows {
                for j in 0..n {
                    let key = k.row(j + 2).to_vec();
                    let one = score(&q[r * d..(r + 1) * d], &key, 0.3, bias(r, j));
                    assert_eq!(out[r * 70 + j].to_bits(), one.to_bits());
                }
            }
        }
    }

    #[test]
    fn there_is_one_zero_and_one_nan() {
        assert_eq!(
            score(&[-1.0], &[0.0], 1.0, -0.0).to_bits(),
            0.0_f32.to_bits()
        );
        let nan = score(&[f32::INFINITY], &[0.0], -1.0, 0.0);
        assert_eq!(nan.to_bits(), f32::NAN.to_bits());
    }
}
