//! The output cut into blocks that tasks own.

use crate::geometry::Geometry;
use crate::output::OutputMut;
use ndarray::{ArrayViewMut1, ArrayViewMut2, ArrayViewMut3, ArrayViewMut4, Axis};
use std::ops::Range;

/// A run of query rows of one history and head, with the slots that they fill.
#[derive(Debug)]
pub struct RowBlock<'a> {
    /// Which history.
    pub sequence: usize,
    /// Which query head.
    pub head: usize,
    /// Which of its queries.
    pub rows: Range<usize>,
    /// `[rows, Dv]`.
    pub o: ArrayViewMut2<'a, f32>,
    /// `[rows]`.
    pub lse: Option<ArrayViewMut1<'a, f32>>,
}

/// The blocks of an output one after another: see [`OutputMut::row_blocks`].
#[derive(Debug)]
pub struct RowBlocks<'a, 'g> {
    geometry: &'g Geometry,
    rows: usize,
    last_first: bool,
    /// Blocks to come.
    left: usize,
    /// Histories taken up, and heads of the last of them.
    sequences: usize,
    heads: usize,
    /// Queries of the last of those heads that no block has taken.
    free: Range<usize>,
    /// Slots of histories, of the history's heads and of the head's rows that are not taken up.
    of_histories: Option<Slots<'a>>,
    of_heads: Option<Slots<'a>>,
    of_rows: Option<Slots<'a>>,
}

impl<'a, 'g> RowBlocks<'a, 'g> {
    pub(crate) fn new(out: OutputMut<'a>, geometry: &'g Geometry, rows: usize) -> Self {
        assert!(rows > 0, "a row block needs rows");
        let s = geometry.shape();
        let of_head = |sequence| geometry.query_range(sequence).len().div_ceil(rows);
        let left = if geometry.is_jagged() {
            s.h * (0..s.b).map(of_head).sum::<usize>()
        } else {
            s.b * s.h * s.nq.div_ceil(rows)
        };
        Self {
            geometry,
            rows,
            last_first: false,
            left,
            sequences: 0,
            heads: 0,
            free: 0..0,
            of_histories: Some(Slots {
                o: out.o,
                lse: out.lse,
            }),
            of_heads: None,
            of_rows: None,
        }
    }

    /// The same blocks, those of a head from its last rows to its first.
    ///
    /// Under a causal mask the last rows see the most keys: workers that take the longest tasks first
    /// end together.
    #[must_use]
    pub fn last_first(mut self) -> Self {
        self.last_first = true;
        self
    }

    /// Takes up the next head that has queries.
    fn next_head(&mut self) -> Option<()> {
        loop {
            if let Some(slots) = self.of_heads.take() {
                (self.of_rows, self.of_heads) = slots.split(Axis(1), 1);
                self.free = 0..self.geometry.query_range(self.sequences - 1).len();
                self.heads += 1;
                return Some(());
            }
            // Histories lie along the batch axis, or end to end along the token axis.
            let (axis, at) = if self.geometry.is_jagged() {
                (Axis(2), self.geometry.query_range(self.sequences).len())
            } else {
                (Axis(0), 1)
            };
            (self.of_heads, self.of_histories) = self.of_histories.take()?.split(axis, at);
            self.sequences += 1;
            self.heads = 0;
        }
    }
}

impl<'a> Iterator for RowBlocks<'a, '_> {
    type Item = RowBlock<'a>;

    fn next(&mut self) -> Option<RowBlock<'a>> {
        self.left = self.left.checked_sub(1)?;
        if self.free.is_empty() {
            self.next_head()?;
        }
        let slots = self.of_rows.take()?;
        let free = self.free.clone();
        // Either way the cuts lie at multiples of the height.
        let (rows, mine) = if self.last_first {
            let first = (free.end - 1) / self.rows * self.rows;
            let (rest, mine) = slots.split(Axis(2), first);
            self.of_rows = rest;
            self.free.end = first;
            (first..free.end, mine?)
        } else {
            let n = self.rows.min(free.len());
            let (mine, rest) = slots.split(Axis(2), n);
            self.of_rows = rest;
            self.free.start += n;
            (free.start..free.start + n, mine?)
        };
        Some(RowBlock {
            sequence: self.sequences - 1,
            head: self.heads - 1,
            rows,
            o: mine
                .o
                .index_axis_move(Axis(0), 0)
                .index_axis_move(Axis(0), 0),
            lse: mine
                .lse
                .map(|l| l.index_axis_move(Axis(0), 0).index_axis_move(Axis(0), 0)),
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for RowBlocks<'_, '_> {}

/// A part of O `[B, H, Nq, Dv]` and L `[B, H, Nq]`.
#[derive(Debug)]
struct Slots<'a> {
    o: ArrayViewMut4<'a, f32>,
    lse: Option<ArrayViewMut3<'a, f32>>,
}

impl Slots<'_> {
    /// What lies before `at` along an axis, and what lies behind: nothing where that is empty.
    fn split(self, axis: Axis, at: usize) -> (Option<Self>, Option<Self>) {
        if at == 0 {
            return (None, Some(self));
        }
        if at == self.o.len_of(axis) {
            return (Some(self), None);
        }
        let (o, o_rest) = self.o.split_at(axis, at);
        let (lse, lse_rest) = self.lse.map(|l| l.split_at(axis, at)).unzip();
        let rest = Self {
            o: o_rest,
            lse: lse_rest,
        };
        (Some(Self { o, lse }), Some(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mask::Mask;
    use crate::output::Output;
    use crate::shape::Shape;

    /// Writes each block's place into its slots, and checks that every slot got its own once.
    fn each_slot_once(geometry: &Geometry, rows: usize, last_first: bool) {
        let mut output = Output::poisoned(geometry, true);
        let place = |sequence: usize, head: usize, i: usize| {
            (geometry.query_range(sequence).start + i) as f32
                + 1e3 * head as f32
                + if geometry.is_jagged() {
                    0.0
                } else {
                    1e4 * sequence as f32
                }
        };
        let mut blocks = output.view_mut().row_blocks(geometry, rows);
        if last_first {
            blocks = blocks.last_first();
        }
        let (mut count, promised) = (0, blocks.len());
        for mut block in blocks {
            assert!(block.rows.start % rows == 0 && block.rows.len() <= rows);
            for (r, i) in block.rows.clone().enumerate() {
                let x = place(block.sequence, block.head, i);
                block.o.row_mut(r).fill(x);
                block.lse.as_mut().unwrap()[r] = x;
            }
            count += 1;
        }
        assert_eq!(count, promised);
        let lse = output.lse.unwrap();
        for ((b, h, i), &l) in lse.indexed_iter() {
            assert_eq!(l, i as f32 + 1e3 * h as f32 + 1e4 * b as f32);
            assert!(
                output
                    .o
                    .slice(ndarray::s![b, h, i, ..])
                    .iter()
                    .all(|&o| o == l)
            );
        }
    }

    #[test]
    fn every_slot_belongs_to_one_block_whatever_the_layout_and_order() {
        for last_first in [false, true] {
            for rows in [1, 3, 8, usize::MAX] {
                let padded = Shape {
                    dv: 2,
                    ..Shape::square(3, 2, 10, 4)
                };
                each_slot_once(
                    &Geometry::padded(padded, Mask::full()).unwrap(),
                    rows,
                    last_first,
                );
                let jagged = Shape {
                    b: 5,
                    nq: 14,
                    ..padded
                };
                let q = [0, 0, 3, 4, 14, 14];
                let k = [0, 1, 1, 5, 9, 10];
                let jagged = Geometry::jagged(jagged, q.into(), k.into(), Mask::full()).unwrap();
                each_slot_once(&jagged, rows, last_first);
            }
        }
    }

    #[test]
    fn last_rows_come_first_where_wanted() {
        let geometry = Geometry::padded(Shape::square(1, 2, 10, 4), Mask::full()).unwrap();
        let mut output = Output::poisoned(&geometry, false);
        let blocks = output.view_mut().row_blocks(&geometry, 4).last_first();
        let order: Vec<_> = blocks.map(|b| (b.head, b.rows)).collect();
        assert_eq!(
            order,
            [
                (0, 8..10),
                (0, 4..8),
                (0, 0..4),
                (1, 8..10),
                (1, 4..8),
                (1, 0..4)
            ]
        );
    }
}
