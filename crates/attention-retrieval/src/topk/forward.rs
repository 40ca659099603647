//! The kernel: score a block of queries, then select and sum row by row.

use super::score::{TILE, score_tile, transpose};
use super::select::{each_kept, room, threshold};
use attention::mask::Tile;
use attention::{Geometry, Head, OutputMut, Problem, RowBlock, Scratch, Workers};
use ndarray::ArrayView1;

/// Queries of a block: a transposed tile of keys serves so many, and so many rows of scores are
/// kept at a time.
const ROWS: usize = 32;

/// Values that are summed by themselves before they join the others: with thousands of kept keys, one
/// running sum would lose more to rounding than all else.
const PART: usize = 64;

/// Floats of a worker's memory.
#[derive(Clone, Copy)]
struct Memory {
    /// Scores `[ROWS, Nk]`.
    scores: usize,
    /// Q `[ROWS, D]`.
    q: usize,
    /// Kᵀ `[D, TILE]`.
    keys: usize,
    /// Scores that may be among the k largest.
    room: usize,
    /// Two running sums `[2, Dv]`.
    sums: usize,
}

impl Memory {
    fn of(k: usize, geometry: &Geometry) -> Self {
        let shape = geometry.shape();
        let nk = (0..shape.b)
            .map(|s| geometry.key_range(s).len())
            .max()
            .unwrap_or(0);
        Self {
            scores: ROWS * nk,
            q: ROWS * shape.d,
            keys: shape.d * TILE,
            room: room(k, nk),
            sums: 2 * shape.dv,
        }
    }

    fn total(self) -> usize {
        self.scores + self.q + self.keys + self.room + self.sums
    }
}

pub(super) fn scratch_bytes(k: usize, geometry: &Geometry, threads: usize) -> u64 {
    let shape = geometry.shape();
    let blocks: usize = (0..shape.b)
        .map(|s| geometry.query_range(s).len().div_ceil(ROWS))
        .sum();
    let workers = threads.min(blocks * shape.h).max(1);
    Scratch::bytes_for(workers, Memory::of(k, geometry).total())
}

pub(super) fn forward(
    k: usize,
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let geometry = problem.geometry();
    let memory = Memory::of(k, geometry);
    let blocks = out.row_blocks(geometry, ROWS);
    workers.run(blocks, scratch, memory.total(), |block, floats| {
        let (scores, rest) = floats.split_at_mut(memory.scores);
        let (q, rest) = rest.split_at_mut(memory.q);
        let (keys, rest) = rest.split_at_mut(memory.keys);
        let (room, sums) = rest.split_at_mut(memory.room);
        let head = problem.head(block.sequence, block.head);
        score_block(&head, &block, q, keys, scores);
        answer(k, &head, block, scores, room, sums);
    });
}

/// Scores of the block's queries and all keys that any of them may see; rows Nk floats apart.
fn score_block(
    head: &Head<'_>,
    block: &RowBlock<'_>,
    q: &mut [f32],
    tile: &mut [f32],
    scores: &mut [f32],
) {
    let (rows, d, nk) = (block.rows.clone(), head.q.ncols(), head.k.nrows());
    let queries = rows.clone().flat_map(|i| head.q.row(i));
    q.iter_mut().zip(queries).for_each(|(slot, &x)| *slot = x);
    let span = head.mask.span_of(rows.clone());
    for start in span.clone().step_by(TILE) {
        let keys = start..span.end.min(start + TILE);
        if head.mask.tile(rows.clone(), keys.clone()) == Tile::Empty {
            continue;
        }
        transpose(head.k, keys.clone(), tile);
        let out = (&mut scores[start..], nk);
        let (queries, n) = (&q[..rows.len() * d], keys.len());
        match head.bias {
            None => score_tile(queries, rows.len(), tile, n, head.scale, |_, _| 0.0, out),
            Some(bias) => {
                let bias = |r, j| bias.at(rows.start + r, start + j);
                score_tile(queries, rows.len(), tile, n, head.scale, bias, out);
            }
        }
    }
}

fn answer(
    k: usize,
    head: &Head<'_>,
    mut block: RowBlock<'_>,
    scores: &[f32],
    room: &mut [f32],
    sums: &mut [f32],
) {
    let nk = head.k.nrows();
    let (sums, part) = sums.split_at_mut(head.v.ncols());
    for (r, i) in block.rows.clone().enumerate() {
        let span = head.mask.span(i);
        let first = span.start;
        let row = &scores[r * nk + first..r * nk + span.end];
        let visible = |j: usize| head.mask.regular(i, first + j);
        let kept = threshold(row, k, visible, room);
        let mut largest = f32::NEG_INFINITY;
        each_kept(row, kept, visible, |_, s| largest = largest.max(s));
        sums.fill(0.0);
        part.fill(0.0);
        let (mut total, mut count) = (0.0_f64, 0_usize);
        each_kept(row, kept, visible, |j, s| {
            let weight = (s - largest).exp();
            total += f64::from(weight);
            count += 1;
            add_scaled(part, weight, head.v.row(first + j));
            if count % PART == 0 {
                flush(part, sums);
            }
        });
        flush(part, sums);
        // A row that sees nothing has O = 0 and L = -inf.
        let share = if count == 0 {
            0.0
        } else {
            (1.0 / total) as f32
        };
        let slots = block.o.row_mut(r);
        slots
            .into_iter()
            .zip(sums.iter())
            .for_each(|(o, sum)| *o = sum * share);
        if let Some(lse) = &mut block.lse {
            lse[r] = if count == 0 {
                f32::NEG_INFINITY
            } else {
                (f64::from(largest) + total.ln()) as f32
            };
        }
    }
}

/// sums += part; part = 0.
fn flush(part: &mut [f32], sums: &mut [f32]) {
    sums.iter_mut().zip(part.iter()).for_each(|(s, p)| *s += p);
    part.fill(0.0);
}

/// sums += weight·value.
fn add_scaled(sums: &mut [f32], weight: f32, value: ArrayView1<'_, f32>) {
    match value.as_slice() {
        Some(value) => {
            let pairs = sums.iter_mut().zip(value);
            pairs.for_each(|(sum, v)| *sum += weight * v);
        }
        None => {
            let pairs = sums.iter_mut().zip(value);
            pairs.for_each(|(sum, v)| *sum += weight * v);
        }
    }
}
