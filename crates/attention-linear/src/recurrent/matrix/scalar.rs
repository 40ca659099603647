//! Decays of one number a key, or none.

use super::super::CHUNK;
use super::super::ops::{Decay, Factor, How, Ops, Right, To, columns, rows};
use super::gate::{Gate, Grown, Places, Read};
use super::{Sizes, take};
use std::ops::Range;

/// Where the logarithms come from.
#[derive(Clone, Copy)]
pub(super) enum Source<'p> {
    None,
    /// log2 γ, the same for all keys.
    Constant(f64),
    /// ln of each key's decay.
    Keys(&'p [f32]),
}

/// The least logarithm that is told from minus infinity: 2 to that is 0 long before.
const LEAST: f64 = -1e5;

pub(super) struct Scalar<'p, 'm> {
    source: Source<'p>,
    sizes: Sizes,
    n: usize,
    /// Sums of binary logarithms from the chunk's start up to each key, as number and remainder.
    sums: [[f32; CHUNK]; 2],
    /// Decay from the chunk's start up to each key, and from each key to the chunk's end.
    from_start: [f32; CHUNK],
    to_end: [f32; CHUNK],
    /// Decay over the chunk.
    total: f32,
    places: Places,
    /// The above for the rows that are placed.
    row_sums: [[f32; CHUNK]; 2],
    row_start: [f32; CHUNK],
    limits: [f32; CHUNK],
    /// Gradients of the sums, and of all decays before the chunk's end.
    gradient: [f64; CHUNK],
    border: f64,
    /// Rows of values, scaled `[C, Dv]`; scores' gradients `[C, C]`.
    scaled: &'m mut [f32],
    d_a: &'m mut [f32],
}

impl<'p, 'm> Scalar<'p, 'm> {
    pub(super) fn floats(sizes: &Sizes) -> usize {
        CHUNK * sizes.v_row + CHUNK * CHUNK
    }

    pub(super) fn new(source: Source<'p>, sizes: Sizes, memory: &mut &'m mut [f32]) -> Self {
        Self {
            source,
            sizes,
            n: 0,
            sums: [[0.0; CHUNK]; 2],
            from_start: [1.0; CHUNK],
            to_end: [1.0; CHUNK],
            total: 1.0,
            places: Places {
                first: 0,
                last: 0,
                count: 0,
                strict: false,
            },
            row_sums: [[0.0; CHUNK]; 2],
            row_start: [1.0; CHUNK],
            limits: [0.0; CHUNK],
            gradient: [0.0; CHUNK],
            border: 0.0,
            scaled: take(memory, CHUNK * sizes.v_row),
            d_a: take(memory, CHUNK * CHUNK),
        }
    }

    fn decays(&self) -> bool {
        !matches!(self.source, Source::None)
    }

    /// Decayed, masked products of rows `[count, steps]` and of the chunk's columns `[steps, C]`.
    fn pairs(
        &self,
        ops: Ops,
        x: &[f32],
        x_row: usize,
        steps: usize,
        right: &[f32],
        to: &mut [f32],
    ) {
        for (block, seen) in self.places.blocks() {
            let decay = self.decays().then(|| Decay {
                rows: [
                    &self.row_sums[0][block.start..],
                    &self.row_sums[1][block.start..],
                ],
                keys: [&self.sums[0], &self.sums[1]],
            });
            ops.product(
                rows(&x[block.start * x_row..], x_row),
                Right {
                    data: right,
                    step: CHUNK,
                },
                (block.len(), steps, seen.next_multiple_of(16)),
                To {
                    data: &mut to[block.start * CHUNK..],
                    row: CHUNK,
                },
                How::Scores {
                    decay,
                    limits: &self.limits[block.start..],
                },
            );
        }
    }
}

impl Gate for Scalar<'_, '_> {
    fn load(&mut self, ops: Ops, keys: Range<usize>) {
        let n = keys.len();
        let same = n == self.n && !matches!(self.source, Source::Keys(_));
        self.n = n;
        if same || !self.decays() {
            return;
        }
        let mut sum = 0.0f64;
        let mut sums = [0.0f64; CHUNK];
        for (slot, j) in sums.iter_mut().zip(keys) {
            sum += match self.source {
                Source::None => 0.0,
                Source::Constant(log) => log,
                Source::Keys(logs) => (f64::from(logs[j]) * std::f64::consts::LOG2_E).max(LEAST),
            };
            *slot = sum;
        }
        for (j, b) in sums.into_iter().enumerate().take(n) {
            let high = b as f32;
            self.sums[0][j] = high;
            self.sums[1][j] = (b - f64::from(high)) as f32;
            self.from_start[j] = high;
            self.to_end[j] = (sum - b) as f32;
        }
        ops.exp2(&mut self.from_start);
        ops.exp2(&mut self.to_end);
        self.total = sum.exp2() as f32;
    }

    fn place(&mut self, _ops: Ops, places: Places) {
        self.places = places;
        for i in 0..places.count {
            self.limits[i] = places.limit(i) as f32;
            let at = places.at(i);
            self.row_sums[0][i] = self.sums[0][at];
            self.row_sums[1][i] = self.sums[1][at];
            self.row_start[i] = self.from_start[at];
        }
    }

    fn scores(&mut self, ops: Ops, x: &[f32], _k: &[f32], k_t: &[f32], a: &mut [f32]) {
        self.pairs(ops, x, self.sizes.d_row, self.sizes.d, k_t, a);
    }

    fn read(&mut self, ops: Ops, x: &[f32], state: &[f32], to: &mut [f32], subtract: bool) {
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = self.sizes;
        let (keep, times) = if subtract {
            (Factor::One, Factor::MinusRows(&self.row_start))
        } else {
            (Factor::Zero, Factor::Rows(&self.row_start))
        };
        let right = Right {
            data: state,
            step: v_row,
        };
        let size = (self.places.count, d, dv);
        let to = To {
            data: to,
            row: v_row,
        };
        ops.product(rows(x, d_row), right, size, to, How::Linear { keep, times });
    }

    fn write(&mut self, ops: Ops, k: &[f32], u: &[f32], state: &mut [f32]) {
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = self.sizes;
        let u = if self.decays() {
            ops.scale(u, &self.to_end[..self.n], self.scaled, v_row);
            &*self.scaled
        } else {
            u
        };
        let right = Right {
            data: u,
            step: v_row,
        };
        let how = How::Linear {
            keep: Factor::All(self.total),
            times: Factor::One,
        };
        let to = To {
            data: state,
            row: v_row,
        };
        ops.product(columns(k, d_row), right, (d, self.n, dv), to, how);
    }

    fn read_backward(&mut self, ops: Ops, read: Read<'_>, mut grown: Grown<'_>) {
        let Read {
            x,
            a,
            g,
            k,
            u_t,
            state_t,
        } = read;
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = self.sizes;
        let (count, n) = (self.places.count, self.n);
        let d_a = std::mem::take(&mut self.d_a);
        self.pairs(ops, g, v_row, dv, u_t, d_a);
        for key in (0..n).step_by(16) {
            let first = self.places.first_seeing(key);
            let size = |columns| (16.min(n - key), count - first, columns);
            if first == count {
                continue;
            }
            if let Some(d_u) = &mut grown.u {
                let right = Right {
                    data: &g[first * v_row..],
                    step: v_row,
                };
                let to = To {
                    data: &mut d_u[key * v_row..],
                    row: v_row,
                };
                let left = columns(&a[first * CHUNK + key..], CHUNK);
                ops.product(left, right, size(dv), to, How::ADD);
            }
            ops.product(
                columns(&d_a[first * CHUNK + key..], CHUNK),
                Right {
                    data: &x[first * d_row..],
                    step: d_row,
                },
                size(d),
                To {
                    data: &mut grown.k[key * d_row..],
                    row: d_row,
                },
                How::ADD,
            );
        }
        if self.decays() {
            ops.scale(g, &self.row_start[..count], self.scaled, v_row);
        }
        let g = if self.decays() { &*self.scaled } else { g };
        let row = d_row;
        ops.product(
            rows(g, v_row),
            Right {
                data: state_t,
                step: d_row,
            },
            (count, dv, d),
            To {
                data: &mut *grown.x,
                row,
            },
            How::PUT,
        );
        for (block, seen) in self.places.blocks() {
            ops.product(
                rows(&d_a[block.start * CHUNK..], CHUNK),
                Right {
                    data: k,
                    step: d_row,
                },
                (block.len(), seen, d),
                To {
                    data: &mut grown.x[block.start * d_row..],
                    row,
                },
                How::ADD,
            );
        }
        let right = Right {
            data: g,
            step: v_row,
        };
        let to = To {
            data: grown.state,
            row: v_row,
        };
        ops.product(columns(x, d_row), right, (d, count, dv), to, How::ADD);
        self.d_a = d_a;
    }

    fn write_backward(
        &mut self,
        ops: Ops,
        k: &[f32],
        u: &[f32],
        (state, state_t): (&mut [f32], &[f32]),
        d_k: &mut [f32],
        d_u: &mut [f32],
    ) {
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = self.sizes;
        let n = self.n;
        let how = How::put(&self.to_end);
        let right = Right {
            data: &*state,
            step: v_row,
        };
        let to = To {
            data: d_u,
            row: v_row,
        };
        ops.product(rows(k, d_row), right, (n, d, dv), to, how);
        let right = Right {
            data: state_t,
            step: d_row,
        };
        let to = To {
            data: d_k,
            row: d_row,
        };
        ops.product(rows(u, v_row), right, (n, dv, d), to, how);
        if self.decays() {
            let total = [self.total; CHUNK];
            for rows in state.chunks_mut(CHUNK * v_row.max(1)) {
                let count = rows.len() / v_row.max(1);
                ops.scale_in_place(rows, &total[..count], v_row);
            }
        }
    }

    fn begin_gradient(&mut self, ops: Ops, state: &[f32], d_state: &[f32]) {
        let Sizes { d, dv, v_row, .. } = self.sizes;
        self.gradient = [0.0; CHUNK];
        self.border = 0.0;
        let mut dots = [0.0; CHUNK];
        for first in (0..d).step_by(CHUNK) {
            let count = CHUNK.min(d - first);
            let at = first * v_row;
            ops.dots(&state[at..], &d_state[at..], (count, dv, v_row), &mut dots);
            self.border += dots[..count].iter().map(|x| f64::from(*x)).sum::<f64>();
        }
    }

    fn rows_gradient(&mut self, ops: Ops, x: &[f32], d_x: &[f32]) {
        let mut dots = [0.0; CHUNK];
        let size = (self.places.count, self.sizes.d, self.sizes.d_row);
        ops.dots(x, d_x, size, &mut dots);
        for (i, dot) in dots.iter().enumerate().take(self.places.count) {
            self.gradient[self.places.at(i)] += f64::from(*dot);
        }
    }

    /// Of V alone: the sums scale q by e^b and v by e^-b.
    fn finish_gradient(
        &mut self,
        ops: Ops,
        _keys: [&[f32]; 2],
        [v, d_v]: [&[f32]; 2],
        to: &mut [f32],
    ) {
        let mut dots = [0.0; CHUNK];
        ops.dots(v, d_v, (self.n, self.sizes.dv, self.sizes.v_row), &mut dots);
        let mut sum = self.border;
        for j in (0..self.n).rev() {
            sum += self.gradient[j] - f64::from(dots[j]);
            to[j] = sum as f32;
        }
    }
}
