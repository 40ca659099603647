//! What happens to the scores of a tile `[keys, QUERIES]`, vector by vector.

use attention::dropout::{HeadDropout, RowKey};
use attention::numeric::{LOG2_E, exp2_nonpositive};
use attention::simd::{Isa, Kernel, QUERIES, Vector, dispatch};
use std::ops::Range;

/// Lanes that loops take at once, so that the compiler makes vectors of them: a group of queries.
const GROUP: usize = attention::walk::GROUP;

/// σ(x), without overflow at either end.
#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let e = exp2_nonpositive(-x.abs() * LOG2_E);
    let r = 1.0 / (1.0 + e);
    if x >= 0.0 { r } else { e * r }
}

/// S becomes S·σ(S) in some lanes of the first `keys` rows.
pub(super) fn silu(isa: Isa, scores: &mut [f32], keys: usize, lanes: Range<usize>) {
    struct Run<'a>(&'a mut [f32], usize, Range<usize>);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Self(scores, keys, lanes) = self;
            for row in scores.chunks_exact_mut(QUERIES).take(keys) {
                for group in row[lanes.clone()].as_chunks_mut::<GROUP>().0 {
                    for s in group {
                        *s *= sigmoid(*s);
                    }
                }
            }
        }
    }
    dispatch(isa, Run(scores, keys, lanes));
}

/// S becomes S·σ(S), and dA becomes dS = dA·σ(S)·(1 + S·(1 - σ(S))).
pub(super) fn silu_back(
    isa: Isa,
    (scores, d_weights): (&mut [f32], &mut [f32]),
    keys: usize,
    lanes: Range<usize>,
) {
    struct Run<'a>(&'a mut [f32], &'a mut [f32], usize, Range<usize>);
    impl Kernel for Run<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let Self(scores, d_weights, keys, lanes) = self;
            let rows = scores.chunks_exact_mut(QUERIES);
            let rows = rows.zip(d_weights.chunks_exact_mut(QUERIES)).take(keys);
            for (scores, d_weights) in rows {
                let scores = scores[lanes.clone()].as_chunks_mut::<GROUP>().0;
                let d_weights = d_weights[lanes.clone()].as_chunks_mut::<GROUP>().0;
                for (scores, d_weights) in scores.iter_mut().zip(d_weights) {
                    for (s, d) in scores.iter_mut().zip(d_weights) {
                        let sigma = sigmoid(*s);
                        let weight = *s * sigma;
                        *d *= sigma + weight * (1.0 - sigma);
                        *s = weight;
                    }
                }
            }
        }
    }
    dispatch(isa, Run(scores, d_weights, keys, lanes));
}

/// Which weights of a block of queries are dropped.
pub(super) struct Drop {
    head: HeadDropout,
    rows: [RowKey; QUERIES],
}

impl Drop {
    pub(super) fn new(head: HeadDropout, rows: &Range<usize>) -> Self {
        let mut keys = [RowKey { a: 0, b: 0 }; QUERIES];
        for (key, i) in keys.iter_mut().zip(rows.clone()) {
            *key = head.row(i);
        }
        Self { head, rows: keys }
    }

    /// Multiplies what belongs to weights by 0 or 1/(1 - rate).
    pub(super) fn apply(
        &self,
        isa: Isa,
        tile: &mut [f32],
        keys: Range<usize>,
        lanes: Range<usize>,
    ) {
        struct Run<'a>(&'a Drop, &'a mut [f32], Range<usize>, Range<usize>);
        impl Kernel for Run<'_> {
            #[inline(always)]
            fn run<V: Vector>(self) {
                let Self(drop, tile, keys, lanes) = self;
                let (threshold, factor) = (drop.head.threshold(), drop.head.factor());
                for (row, j) in tile.chunks_exact_mut(QUERIES).zip(keys) {
                    for (x, key) in row[lanes.clone()].iter_mut().zip(&drop.rows[lanes.clone()]) {
                        *x *= if key.draw(j) >= threshold {
                            factor
                        } else {
                            0.0
                        };
                    }
                }
            }
        }
        dispatch(isa, Run(self, tile, keys, lanes));
    }
}
