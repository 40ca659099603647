//! Decays of one number a lane of K.
//!
//! Products factor only through a point between row and key, or an exponent would be positive. So a
//! chunk is cut into blocks of 16: rows are decayed from their block's start and keys to their block's
//! end, spans of whole blocks lie between, and inside a block decays are multiplied up step by step
//! (Yang et al. 2024, Gated Linear Attention, section 4.3, with steps in place of its exponentials).

mod backward;

use super::super::CHUNK;
use super::super::ops::{Factor, How, LaneDecays, Ops, Right, SIDE, To, Triangle, columns, rows};
use super::gate::{Gate, Grown, Places, Read};
use super::{Sizes, take};
use attention::numeric::LOG2_E;
use ndarray::ArrayView2;
use std::ops::Range;

const BLOCKS: usize = CHUNK / SIDE;

/// The least logarithm of a decay: e to that is 0 long before.
const LEAST: f32 = -1e4;

pub(super) struct Lanes<'p, 'm> {
    /// ln of each key's decays `[Nk, D]`.
    logs: &'p [f32],
    sizes: Sizes,
    n: usize,
    places: Places,
    step: &'m mut [f32],
    up: &'m mut [f32],
    down: &'m mut [f32],
    span: &'m mut [f32],
    /// Decay over the chunk `[D]`.
    total: &'m mut [f32],
    /// Sum of the chunk's logarithms, as number and remainder `[D]`.
    sums: [&'m mut [f32]; 2],
    /// Keys decayed to their block's end, and their transpose; both of the chunk that was loaded last.
    k_down: &'m mut [f32],
    k_down_t: &'m mut [f32],
    known: bool,
    /// Rows decayed from their block's start, and from the chunk's.
    x_up: &'m mut [f32],
    x_start: &'m mut [f32],
    d_a: &'m mut [f32],
    /// A block's sums `[C, D]`.
    block: &'m mut [f32],
    gradient: &'m mut [f32],
    border: &'m mut [f32],
}

impl<'p, 'm> Lanes<'p, 'm> {
    pub(super) fn floats(sizes: &Sizes) -> usize {
        (9 * CHUNK + BLOCKS + 4) * sizes.d_row + CHUNK * CHUNK
    }

    pub(super) fn new(logs: &'p [f32], sizes: Sizes, memory: &mut &'m mut [f32]) -> Self {
        let row = sizes.d_row;
        Self {
            logs,
            sizes,
            n: 0,
            places: Places {
                first: 0,
                last: 0,
                count: 0,
                strict: false,
            },
            step: take(memory, CHUNK * row),
            up: take(memory, CHUNK * row),
            down: take(memory, CHUNK * row),
            span: take(memory, BLOCKS * row),
            total: take(memory, row),
            sums: [take(memory, row), take(memory, row)],
            k_down: take(memory, CHUNK * row),
            k_down_t: take(memory, CHUNK * row),
            known: false,
            x_up: take(memory, CHUNK * row),
            x_start: take(memory, CHUNK * row),
            d_a: take(memory, CHUNK * CHUNK),
            block: take(memory, CHUNK * row),
            gradient: take(memory, CHUNK * row),
            border: take(memory, row),
        }
    }

    fn blocks(&self) -> usize {
        self.n.div_ceil(SIDE)
    }

    /// The rows that stand in a block.
    fn rows_in(&self, block: usize) -> Range<usize> {
        let from = |key: usize| self.places.first_seeing(key);
        from(block * SIDE)..from((block + 1) * SIDE)
    }

    fn span(&self, block: usize) -> &[f32] {
        &self.span[block * self.sizes.d_row..][..self.sizes.d_row]
    }

    /// Keys decayed to the end of their blocks.
    fn decay_keys(&mut self, ops: Ops, k: &[f32]) {
        if !self.known {
            let Sizes { d, d_row, .. } = self.sizes;
            let count = self.n * d_row;
            ops.times(&k[..count], &self.down[..count], &mut self.k_down[..count]);
            ops.transpose(self.k_down, (self.n, d, d_row), self.k_down_t, CHUNK);
            self.known = true;
        }
    }

    /// Rows decayed from the start of their blocks.
    fn decay_rows(&mut self, ops: Ops, x: &[f32]) {
        let row = self.sizes.d_row;
        for i in 0..self.places.count {
            let (at, i) = (self.places.at(i) * row, i * row);
            ops.times(
                &x[i..i + row],
                &self.up[at..at + row],
                &mut self.x_up[i..i + row],
            );
        }
    }

    /// The triangles of a block's keys and of the rows that stand in it, 16 rows at a time.
    fn triangles(&self, block: usize) -> impl Iterator<Item = (usize, usize, [usize; SIDE])> {
        let (places, of) = (self.places, self.rows_in(block));
        of.clone().step_by(SIDE).map(move |first| {
            let count = SIDE.min(of.end - first);
            let at = |r: usize| places.at((first + r).min(of.end - 1)) - block * SIDE;
            (first, count, std::array::from_fn(at))
        })
    }
}

/// What a triangle reads.
fn triangle<'a>(
    (at, count, keys): ([usize; SIDE], usize, usize),
    row: usize,
    [x, k, step]: [&'a [f32]; 3],
) -> Triangle<'a> {
    Triangle {
        at,
        rows: count,
        keys,
        row,
        x,
        k,
        step,
    }
}

impl Gate for Lanes<'_, '_> {
    fn load(&mut self, ops: Ops, keys: Range<usize>) {
        let Sizes { d, d_row, .. } = self.sizes;
        self.n = keys.len();
        self.known = false;
        let logs = &self.logs[keys.start * d..keys.end * d];
        // Lanes behind D hold what was made of them the last time.
        self.step.fill(0.0);
        if let Ok(view) = ArrayView2::from_shape((self.n, d), logs) {
            ops.copy(view, LOG2_E, self.step, d_row);
        }
        // To twice the digits, since what it is wrong by adds up over the chunks of a long memory.
        let [high, low] = &mut self.sums;
        high.fill(0.0);
        low.fill(0.0);
        for row in logs.chunks_exact(d.max(1)) {
            let sums = high.iter_mut().zip(low.iter_mut());
            for ((high, low), log) in sums.zip(row) {
                let log = log.max(LEAST);
                let sum = *high + log;
                let added = sum - *high;
                *low += (*high - (sum - added)) + (log - added);
                *high = sum;
            }
        }
        let sums = high.iter().zip(low.iter());
        for (total, (high, low)) in self.total.iter_mut().zip(sums) {
            *total = (f64::from(*high) + f64::from(*low)).exp() as f32;
        }
        let decays = LaneDecays {
            step: self.step,
            up: self.up,
            down: self.down,
            span: self.span,
        };
        ops.lane_decays(decays, self.n, d_row);
    }

    fn place(&mut self, _ops: Ops, places: Places) {
        self.places = places;
    }

    fn scores(&mut self, ops: Ops, x: &[f32], k: &[f32], _k_t: &[f32], a: &mut [f32]) {
        let Sizes { d, d_row, .. } = self.sizes;
        self.decay_keys(ops, k);
        self.decay_rows(ops, x);
        let count = self.places.count * d_row;
        self.x_start[..count].copy_from_slice(&self.x_up[..count]);
        for block in 0..self.blocks() {
            let of = self.rows_in(block);
            if of.is_empty() {
                continue;
            }
            for before in (0..block).rev() {
                let right = Right {
                    data: &self.k_down_t[before * SIDE..],
                    step: CHUNK,
                };
                let to = To {
                    data: &mut a[of.start * CHUNK + before * SIDE..],
                    row: CHUNK,
                };
                let left = rows(&self.x_start[of.start * d_row..], d_row);
                ops.product(left, right, (of.len(), d, SIDE), to, How::PUT);
                let span = &self.span[before * d_row..][..d_row];
                ops.scale_lanes(&mut self.x_start[of.start * d_row..of.end * d_row], span);
            }
            let key = block * SIDE;
            let keys = SIDE.min(self.n - key);
            // Rows of other blocks may be taken together with these.
            for row in a[of.start * CHUNK..of.end * CHUNK].chunks_exact_mut(CHUNK) {
                row[key + SIDE..].fill(0.0);
            }
            for (first, count, at) in self.triangles(block) {
                let from = [
                    &x[first * d_row..],
                    &k[key * d_row..],
                    &self.step[key * d_row..],
                ];
                let of = triangle((at, count, keys), d_row, from);
                ops.triangle(&of, &mut a[first * CHUNK + key..]);
            }
        }
    }

    /// Of the rows that `scores` has decayed from the chunk's start.
    fn read(&mut self, ops: Ops, _x: &[f32], state: &[f32], to: &mut [f32], subtract: bool) {
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = self.sizes;
        let right = Right {
            data: state,
            step: v_row,
        };
        let to = To {
            data: to,
            row: v_row,
        };
        let how = if subtract { How::SUB } else { How::PUT };
        let size = (self.places.count, d, dv);
        ops.product(rows(self.x_start, d_row), right, size, to, how);
    }

    fn write(&mut self, ops: Ops, k: &[f32], u: &[f32], state: &mut [f32]) {
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = self.sizes;
        self.keys_to_end(ops, k);
        let right = Right {
            data: u,
            step: v_row,
        };
        let how = How::Linear {
            keep: Factor::Rows(self.total),
            times: Factor::One,
        };
        let to = To {
            data: state,
            row: v_row,
        };
        ops.product(columns(self.block, d_row), right, (d, self.n, dv), to, how);
    }

    fn read_backward(&mut self, ops: Ops, read: Read<'_>, grown: Grown<'_>) {
        self.reads(ops, read, grown);
    }

    fn write_backward(
        &mut self,
        ops: Ops,
        k: &[f32],
        u: &[f32],
        state: (&mut [f32], &[f32]),
        d_k: &mut [f32],
        d_u: &mut [f32],
    ) {
        self.writes(ops, (k, u), state, (d_k, d_u));
    }

    fn begin_gradient(&mut self, ops: Ops, state: &[f32], d_state: &[f32]) {
        let Sizes { d, dv, v_row, .. } = self.sizes;
        self.gradient.fill(0.0);
        ops.dots(state, d_state, (d, dv, v_row), self.border);
    }

    fn rows_gradient(&mut self, _ops: Ops, x: &[f32], d_x: &[f32]) {
        let row = self.sizes.d_row;
        for i in 0..self.places.count {
            let to = &mut self.gradient[self.places.at(i) * row..][..row];
            let pairs = x[i * row..].iter().zip(&d_x[i * row..]);
            to.iter_mut()
                .zip(pairs)
                .for_each(|(to, (x, d))| *to += x * d);
        }
    }

    /// Of K alone: the sums scale q by e^b and k by e^-b, lane by lane.
    fn finish_gradient(
        &mut self,
        _ops: Ops,
        [k, d_k]: [&[f32]; 2],
        _values: [&[f32]; 2],
        to: &mut [f32],
    ) {
        let row = self.sizes.d_row;
        for j in (0..self.n).rev() {
            let part = j * row..(j + 1) * row;
            let pairs = k[part.clone()].iter().zip(&d_k[part.clone()]);
            let gradients = self.gradient[part.clone()].iter().zip(pairs);
            let sums = self.border.iter_mut().zip(gradients);
            for (to, (sum, (x, (k, d)))) in to[part].iter_mut().zip(sums) {
                *sum += x - k * d;
                *to = *sum;
            }
        }
    }
}

impl Lanes<'_, '_> {
    /// `block` = keys decayed to the chunk's end.
    fn keys_to_end(&mut self, ops: Ops, k: &[f32]) {
        let row = self.sizes.d_row;
        let count = self.n * row;
        ops.times(&k[..count], &self.down[..count], &mut self.block[..count]);
        for block in 0..self.blocks() {
            let part = block * SIDE * row..self.n.min((block + 1) * SIDE) * row;
            for behind in block + 1..self.blocks() {
                let span = &self.span[behind * row..][..row];
                ops.scale_lanes(&mut self.block[part.clone()], span);
            }
        }
    }
}
