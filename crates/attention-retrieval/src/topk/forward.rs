//! The kernel: score a block of queries, then select and sum row by row.

use super::score::{Pairs, ROWS, TILE, transpose};
use super::select::{HIDDEN, each_kept, room, threshold};
use super::sum::Batch;
use attention::mask::Tile;
use attention::{Geometry, Head, OutputMut, Problem, RowBlock, Scratch, Workers};
use pulp::{Arch, Simd, WithSimd};

/// Floats of a worker's memory.
#[derive(Clone, Copy)]
struct Memory {
    /// Scores `[ROWS, Nk]`.
    scores: usize,
    /// Qᵀ `[D, ROWS]`.
    q: usize,
    /// Kᵀ `[D, TILE]`.
    keys: usize,
    /// What bounds the k-th largest score, and the scores that reach it.
    room: usize,
    /// O before it is divided `[Dv]`.
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
            sums: shape.dv,
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
    let arch = Arch::new();
    workers.run(blocks, scratch, memory.total(), |block, floats| {
        let head = &problem.head(block.sequence, block.head);
        arch.dispatch(Task {
            k,
            head,
            block,
            memory,
            floats,
        });
    });
}

/// One block of queries.
struct Task<'a, 'b> {
    k: usize,
    head: &'a Head<'a>,
    block: RowBlock<'b>,
    memory: Memory,
    floats: &'a mut [f32],
}

impl WithSimd for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let floats = std::mem::take(&mut self.floats);
        let (scores, rest) = floats.split_at_mut(self.memory.scores);
        let (q, rest) = rest.split_at_mut(self.memory.q);
        let (keys, rest) = rest.split_at_mut(self.memory.keys);
        let (room, sums) = rest.split_at_mut(self.memory.room);
        self.score(simd, q, keys, scores);
        self.answer(simd, scores, room, sums);
    }
}

impl Task<'_, '_> {
    /// Scores of the block's queries and all keys that any of them may see; rows Nk floats apart.
    #[inline(always)]
    fn score<S: Simd>(&self, simd: S, q: &mut [f32], tile: &mut [f32], scores: &mut [f32]) {
        let (head, rows) = (self.head, self.block.rows.clone());
        let nk = head.k.nrows();
        transpose(head.q, rows.clone(), q, ROWS);
        let span = head.mask.span_of(rows.clone());
        for start in span.clone().step_by(TILE) {
            let keys = start..span.end.min(start + TILE);
            if head.mask.tile(rows.clone(), keys.clone()) == Tile::Empty {
                for r in 0..rows.len() {
                    scores[r * nk..][keys.clone()].fill(HIDDEN);
                }
                continue;
            }
            transpose(head.k, keys.clone(), tile, TILE);
            let pairs = Pairs {
                q,
                rows: rows.len(),
                keys: tile,
                n: keys.len(),
                scale: head.scale,
            };
            let out = &mut scores[start..];
            match head.bias {
                None => pairs.score(simd, |_, _| 0.0, out, nk),
                Some(bias) => {
                    let bias = |r, j| bias.at(rows.start + r, start + j);
                    pairs.score(simd, bias, out, nk);
                }
            }
            if head.mask.regular_tile(rows.clone(), keys.clone()) != Tile::Full {
                for (r, i) in rows.clone().enumerate() {
                    let hidden = keys.clone().filter(|&j| !head.mask.regular(i, j));
                    hidden.for_each(|j| scores[r * nk + j] = HIDDEN);
                }
            }
        }
    }

    #[inline(always)]
    fn answer<S: Simd>(mut self, simd: S, scores: &[f32], room: &mut [f32], sums: &mut [f32]) {
        let (head, nk) = (self.head, self.head.k.nrows());
        for (r, i) in self.block.rows.clone().enumerate() {
            let span = head.mask.span(i);
            let row = &scores[r * nk..][span.clone()];
            let kept = threshold(row, self.k, room);
            let largest = largest(row);
            sums.fill(0.0);
            let mut batch = Batch::new(head.v, largest);
            each_kept(row, kept, |j, s| batch.push(simd, span.start + j, s, sums));
            let total = batch.finish(simd, sums);
            // A row that sees nothing has O = 0 and L = -inf.
            let share = total.map_or(0.0, |total| (1.0 / total) as f32);
            let slots = self.block.o.row_mut(r);
            slots
                .into_iter()
                .zip(sums.iter())
                .for_each(|(o, sum)| *o = sum * share);
            if let Some(lse) = &mut self.block.lse {
                lse[r] = total.map_or(f32::NEG_INFINITY, |total| {
                    (f64::from(largest) + total.ln()) as f32
                });
            }
        }
    }
}

/// Largest score, NaN and hidden ones passed over.
#[inline(always)]
fn largest(scores: &[f32]) -> f32 {
    let larger = |m: f32, s: f32| if s > m { s } else { m };
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (groups, rest) = scores.as_chunks();
    for group in groups {
        for (lane, &s) in lanes.iter_mut().zip::<&[f32; 16]>(group) {
            *lane = larger(*lane, s);
        }
    }
    let tail = rest.iter().fold(f32::NEG_INFINITY, |m, &s| larger(m, s));
    lanes.iter().fold(tail, |m, &s| larger(m, s))
}
