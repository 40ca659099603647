//! Scores in f32, of one pair and of a tile of pairs: the same bits.

use ndarray::ArrayView2;
use pulp::{Arch, Simd, WithSimd, bytemuck};
use std::ops::Range;

/// Keys of a tile, a multiple of every register block's width. At D = 64 the transposed tile takes
/// 16 KiB of a first-level cache.
pub(super) const TILE: usize = 64;

/// The score that decides which keys are kept: products summed in the order of D by fused
/// multiply-add, which gives the same bits on every machine; then scaled, then biased; one NaN and
/// one zero, so that scores have one order.
pub(super) fn score(q: &[f32], k: &[f32], scale: f32, bias: f32) -> f32 {
    finish(Arch::new().dispatch(Product { q, k }), scale, bias)
}

/// A sum of products, dispatched for a fused multiply-add in hardware where there is one.
struct Product<'a> {
    q: &'a [f32],
    k: &'a [f32],
}

impl WithSimd for Product<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f32 {
        let pairs = self.q.iter().zip(self.k);
        pairs.fold(0.0, |sum, (q, k)| q.mul_add(*k, sum))
    }
}

#[inline(always)]
fn finish(sum: f32, scale: f32, bias: f32) -> f32 {
    // Adding 0 turns -0 into 0.
    let score = (sum * scale + bias) + 0.0;
    if score.is_nan() { f32::NAN } else { score }
}

/// Queries of a block, a multiple of every register block's height: enough that transposing a tile
/// of keys costs little beside scoring them all.
pub(super) const ROWS: usize = 64;

/// Rows of a matrix as columns, `stride` of them. Columns beyond them hold anything.
// By itself, since wide vectors make scattered writes of it, which are slow.
#[inline(never)]
pub(super) fn transpose(
    from: ArrayView2<'_, f32>,
    rows: Range<usize>,
    out: &mut [f32],
    stride: usize,
) {
    // So many rows at a time, for writes that lie together.
    const GROUP: usize = 8;
    for (group, first) in rows.clone().step_by(GROUP).enumerate() {
        let column = group * GROUP;
        let lines = out.chunks_exact_mut(stride);
        let views: [_; GROUP] = std::array::from_fn(|r| from.row((first + r).min(rows.end - 1)));
        let slices = views.map(|view| view.to_slice());
        if slices.iter().all(Option::is_some) {
            let slices = slices.map(|slice| &slice.unwrap_or_default()[..from.ncols()]);
            for (i, line) in lines.enumerate() {
                let line = &mut line[column..column + GROUP];
                for r in 0..GROUP {
                    line[r] = slices[r][i];
                }
            }
        } else {
            for (i, line) in lines.enumerate() {
                let line = &mut line[column..column + GROUP];
                for (slot, view) in line.iter_mut().zip(&views) {
                    *slot = view[i];
                }
            }
        }
    }
}

/// Queries and a transposed tile of keys.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a> {
    /// `[D, ROWS]`, of which `rows` columns count.
    pub(super) q: &'a [f32],
    pub(super) rows: usize,
    /// `[D, TILE]`, of which `n` columns count.
    pub(super) keys: &'a [f32],
    pub(super) n: usize,
    pub(super) scale: f32,
}

impl Pairs<'_> {
    /// Writes all scores to `out`, rows `stride` floats apart. `bias` is asked by row and key of
    /// the tile.
    ///
    /// Register blocks leave room for keys and the factors of queries: 8 x 2 vectors of the 32 of
    /// AVX-512 and NEON, 4 x 2 of the 16 of AVX2. Without vectors the compiler makes its own.
    #[inline(always)]
    pub(super) fn score<S: Simd>(
        self,
        simd: S,
        bias: impl Fn(usize, usize) -> f32,
        out: &mut [f32],
        stride: usize,
    ) {
        if S::IS_SCALAR {
            self.blocks::<S, 4, 8>(simd, bias, out, stride);
        } else if S::REGISTER_COUNT >= 32 {
            self.blocks::<S, 8, 2>(simd, bias, out, stride);
        } else {
            self.blocks::<S, 4, 2>(simd, bias, out, stride);
        }
    }

    #[inline(always)]
    fn blocks<S: Simd, const R: usize, const V: usize>(
        self,
        simd: S,
        bias: impl Fn(usize, usize) -> f32,
        out: &mut [f32],
        stride: usize,
    ) {
        for column in (0..self.n).step_by(V * S::F32_LANES) {
            let mut row = 0;
            while row < self.rows {
                let mut write = |row: usize, sums: &[S::f32s; V]| {
                    let sums: &[f32] = bytemuck::cast_slice(sums);
                    let slots = out[row * stride + column..].iter_mut().zip(sums);
                    for (lane, (slot, &sum)) in slots.take(self.n - column).enumerate() {
                        *slot = finish(sum, self.scale, bias(row, column + lane));
                    }
                };
                if row + R <= self.rows {
                    let sums = self.block::<S, R, V>(simd, row, column);
                    for (r, sums) in sums.iter().enumerate() {
                        write(row + r, sums);
                    }
                    row += R;
                } else {
                    let [sums] = self.block::<S, 1, V>(simd, row, column);
                    write(row, &sums);
                    row += 1;
                }
            }
        }
    }

    #[inline(always)]
    fn block<S: Simd, const R: usize, const V: usize>(
        self,
        simd: S,
        row: usize,
        column: usize,
    ) -> [[S::f32s; V]; R] {
        let d = self.keys.len() / TILE;
        let mut sums = [[simd.splat_f32s(0.0); V]; R];
        for i in 0..d {
            let keys = &self.keys[i * TILE + column..][..V * S::F32_LANES];
            let (keys, _) = S::as_simd_f32s(keys);
            let keys: [S::f32s; V] = std::array::from_fn(|v| keys[v]);
            let queries = &self.q[i * ROWS + row..][..R];
            for (sums, &x) in sums.iter_mut().zip(queries) {
                let x = simd.splat_f32s(x);
                for v in 0..V {
                    sums[v] = simd.mul_add_f32s(x, keys[v], sums[v]);
                }
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    struct Tile<'a, F>(Pairs<'a>, F, &'a mut [f32], usize);

    impl<F: Fn(usize, usize) -> f32> WithSimd for Tile<'_, F> {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            let Self(pairs, bias, out, stride) = self;
            pairs.score(simd, bias, out, stride);
        }
    }

    #[test]
    fn a_tile_has_the_bits_of_single_scores() {
        for (rows, n, d) in [(1, 1, 1), (13, 64, 17), (8, 9, 3), (7, 50, 0)] {
            let value = |i: usize| ((i * 31 % 57) as f32 - 28.0) / 7.0;
            let q: Vec<f32> = (0..rows * d).map(value).collect();
            let k = Array2::from_shape_fn((n + 2, d), |(j, i)| value(j * 5 + i * 3 + 1));
            let mut keys = vec![f32::NAN; d * TILE];
            transpose(k.view(), 2..n + 2, &mut keys, TILE);
            let mut queries = vec![f32::NAN; d * ROWS];
            let rows_of_q = ArrayView2::from_shape((rows, d), &q).unwrap();
            transpose(rows_of_q, 0..rows, &mut queries, ROWS);
            let bias = |r: usize, j: usize| value(r + 2 * j);
            let pairs = Pairs {
                q: &queries,
                rows,
                keys: &keys,
                n,
                scale: 0.3,
            };
            let (mut wide, mut narrow) = (vec![f32::NAN; rows * 70], vec![f32::NAN; rows * 70]);
            Arch::new().dispatch(Tile(pairs, bias, &mut wide, 70));
            Arch::Scalar.dispatch(Tile(pairs, bias, &mut narrow, 70));
            for r in 0..rows {
                for j in 0..n {
                    let key = k.row(j + 2).to_vec();
                    let one = score(&q[r * d..(r + 1) * d], &key, 0.3, bias(r, j));
                    assert_eq!(wide[r * 70 + j].to_bits(), one.to_bits());
                    assert_eq!(narrow[r * 70 + j].to_bits(), one.to_bits());
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
