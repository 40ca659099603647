//! O of a block of queries, tile by tile of keys.

use super::softmax::Running;
use super::{KEYS, Lanes, Unit, query, tiles, values_floats};
use crate::memory;
use crate::rows::{copy_rows, corner, tokens};
use crate::tasks::last_rows_see_most;
use attention::mask::Tile;
use attention::simd::Isa;
use attention::simd::matrix::{Rows, RowsMut, Sum, multiply, padded};
use attention::{Head, OutputMut, Problem, RowBlock, Scratch, Shape, Workers};
use std::ops::Range;

/// Queries of a task: enough to share what is made of keys, few enough that a request's candidates are
/// work for several workers.
const ROWS: usize = 16;

fn sizes(unit: &impl Unit, shape: &Shape) -> [usize; 4] {
    [
        unit.floats()[0],
        values_floats(shape),
        ROWS * KEYS,
        ROWS * shape.dv,
    ]
}

/// Floats of one worker.
pub(crate) fn forward_floats(unit: &impl Unit, shape: &Shape) -> usize {
    memory::floats(sizes(unit, shape))
}

/// Writes O, and L where there is room for it.
pub(crate) fn forward(
    isa: Isa,
    unit: &impl Unit,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let (geometry, shape) = (problem.geometry(), problem.shape());
    let mut blocks = out.row_blocks(geometry, ROWS);
    if last_rows_see_most(geometry) {
        blocks = blocks.last_first();
    }
    let floats = forward_floats(unit, shape);
    workers.run(blocks, scratch, floats, |block, memory| {
        let [own, values, weights, o] = memory::cut(memory, sizes(unit, shape));
        let head = problem.head(block.sequence, block.head);
        let task = Task {
            isa,
            unit,
            head,
            rows: block.rows.clone(),
            own,
            values,
            weights,
            o,
            running: [Running::NONE; ROWS],
        };
        task.run(block);
    });
}

struct Task<'a, 'm, U> {
    isa: Isa,
    unit: &'a U,
    head: Head<'a>,
    rows: Range<usize>,
    /// The unit's.
    own: &'m mut [f32],
    /// V of a tile, rows filled up.
    values: &'m mut [f32],
    /// `[ROWS, KEYS]`.
    weights: &'m mut [f32],
    /// `[ROWS, Dv]`, relative to the maxima.
    o: &'m mut [f32],
    running: [Running; ROWS],
}

impl<U: Unit> Task<'_, '_, U> {
    fn run(mut self, mut block: RowBlock<'_>) {
        self.o.fill(0.0);
        for keys in tiles(self.head.mask.span_of(self.rows.clone())) {
            if self.head.mask.tile(self.rows.clone(), keys.clone()) != Tile::Empty {
                self.add(keys);
            }
        }
        let width = self.head.v.ncols();
        for (r, running) in self.running[..self.rows.len()].iter().enumerate() {
            let share = if self.unit.softmax() {
                running.share()
            } else {
                1.0
            };
            for (to, x) in block.o.row_mut(r).iter_mut().zip(&self.o[r * width..]) {
                *to = x * share;
            }
            if let Some(lse) = &mut block.lse {
                lse[r] = running.log_sum_exp();
            }
        }
    }

    /// Adds the weighted values of a tile.
    fn add(&mut self, keys: Range<usize>) {
        let (head, width) = (self.head, self.head.v.ncols());
        self.unit.open(tokens(head.k, keys.clone()), self.own);
        let v = tokens(head.v, keys.clone());
        let finite = copy_rows(self.isa, v, &[1.0; KEYS], self.values);
        for (r, i) in self.rows.clone().enumerate() {
            let weights = self.weights[r * KEYS..]
                .first_chunk_mut()
                .expect("ROWS rows");
            if head.mask.tile(i..i + 1, keys.clone()) == Tile::Empty {
                weights.fill(0.0);
                continue;
            }
            self.unit.score(query(&head, i), self.own, weights);
            let softmax = self.unit.softmax();
            let hidden = if softmax { f32::NEG_INFINITY } else { 0.0 };
            hide(&head, i, keys.clone(), weights, hidden);
            if softmax {
                let factor = self.running[r].advance(weights, keys.len());
                if factor != 1.0 {
                    let o = &mut self.o[r * width..(r + 1) * width];
                    o.iter_mut().for_each(|o| *o *= factor);
                }
            }
            drop_weights(&head, i, keys.clone(), weights);
        }
        if finite {
            let left = corner(self.weights, KEYS, 0..self.rows.len(), 0..keys.len());
            let right = Rows {
                data: self.values,
                stride: padded(width),
            };
            let to = RowsMut {
                data: self.o,
                stride: width,
            };
            multiply(self.isa, left, right, to, width, Sum::Add);
            return;
        }
        // 0·NaN is NaN: what a query may not see is left out.
        for (r, i) in self.rows.clone().enumerate() {
            for (lane, v) in v.outer_iter().enumerate() {
                if head.mask.visible(i, keys.start + lane) {
                    let weight = self.weights[r * KEYS + lane];
                    for (o, v) in self.o[r * width..].iter_mut().zip(v) {
                        *o += weight * v;
                    }
                }
            }
        }
    }
}

/// Sets what query `i` may not see of a tile, and lanes behind it, to a number.
pub(super) fn hide(head: &Head<'_>, i: usize, keys: Range<usize>, lanes: &mut Lanes, to: f32) {
    lanes[keys.len()..].fill(to);
    if head.mask.tile(i..i + 1, keys.clone()) != Tile::Full {
        for (lane, j) in lanes.iter_mut().zip(keys) {
            if !head.mask.visible(i, j) {
                *lane = to;
            }
        }
    }
}

/// Multiplies what belongs to weights by 0 or 1/(1 - rate), where some are dropped.
pub(super) fn drop_weights(head: &Head<'_>, i: usize, keys: Range<usize>, lanes: &mut Lanes) {
    if let Some(drop) = head.dropout {
        let row = drop.row(i);
        for (lane, j) in lanes.iter_mut().zip(keys) {
            *lane *= drop.multiplier(row, j);
        }
    }
}
