//! Which weights of a tile `[keys, QUERIES]` are dropped.

use attention::dropout::{HeadDropout, RowKey};
use attention::simd::{Isa, Kernel, QUERIES, Vector, dispatch};
use std::ops::Range;

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
