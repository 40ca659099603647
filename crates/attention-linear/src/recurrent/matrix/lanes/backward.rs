//! Gradients: what is decayed block by block on the way there comes back block by block, by Horner's
//! rule over the spans between.

use super::super::super::CHUNK;
use super::super::super::ops::{How, Ops, Right, SIDE, To, columns, rows};
use super::super::Sizes;
use super::super::gate::{Grown, Read};
use super::{Lanes, triangle};

impl Lanes<'_, '_> {
    /// Gradients of rows that read the chunk and the state before it.
    pub(super) fn reads(&mut self, ops: Ops, read: Read<'_>, mut grown: Grown<'_>) {
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
        let values = Right {
            data: g,
            step: v_row,
        };
        let to = To {
            data: &mut *grown.state,
            row: v_row,
        };
        ops.product(
            columns(self.x_start, d_row),
            values,
            (d, count, dv),
            to,
            How::ADD,
        );
        if let Some(d_u) = &mut grown.u {
            for key in (0..n).step_by(SIDE) {
                let first = self.places.first_seeing(key);
                let left = columns(&a[(first * CHUNK + key).min(a.len())..], CHUNK);
                let right = Right {
                    data: &g[first * v_row..],
                    step: v_row,
                };
                let to = To {
                    data: &mut d_u[key * v_row..],
                    row: v_row,
                };
                let size = (SIDE.min(n - key), count - first, dv);
                ops.product(left, right, size, to, How::ADD);
            }
        }
        let limits: [f32; CHUNK] = std::array::from_fn(|i| self.places.limit(i) as f32);
        for (block, seen) in self.places.blocks() {
            let right = Right {
                data: u_t,
                step: CHUNK,
            };
            let to = To {
                data: &mut self.d_a[block.start * CHUNK..],
                row: CHUNK,
            };
            let how = How::Scores {
                decay: None,
                limits: &limits[block.start..],
            };
            let size = (block.len(), dv, seen.next_multiple_of(SIDE));
            ops.product(rows(&g[block.start * v_row..], v_row), right, size, to, how);
        }
        let right = Right {
            data: state_t,
            step: d_row,
        };
        let to = To {
            data: &mut *grown.x,
            row: d_row,
        };
        ops.product(rows(g, v_row), right, (count, dv, d), to, How::PUT);
        for block in 0..self.blocks() {
            let of = self.rows_in(block);
            for before in 0..block {
                let part = of.start * d_row..of.end * d_row;
                ops.scale_lanes(&mut grown.x[part], self.span(before));
                let left = rows(&self.d_a[of.start * CHUNK + before * SIDE..], CHUNK);
                let right = Right {
                    data: &self.k_down[before * SIDE * d_row..],
                    step: d_row,
                };
                let to = To {
                    data: &mut grown.x[of.start * d_row..],
                    row: d_row,
                };
                ops.product(left, right, (of.len(), SIDE, d), to, How::ADD);
            }
        }
        self.rows_from_start(ops, grown.x);
        self.keys_backward(ops, grown.k);
        for block in 0..self.blocks() {
            let key = block * SIDE;
            let keys = SIDE.min(n - key);
            for (first, count, at) in self.triangles(block) {
                let from = [
                    &x[first * d_row..],
                    &k[key * d_row..],
                    &self.step[key * d_row..],
                ];
                let of = triangle((at, count, keys), d_row, from);
                let d_x = &mut grown.x[first * d_row..];
                let d_a = &self.d_a[first * CHUNK + key..];
                ops.triangle_backward(&of, d_a, d_x, &mut grown.k[key * d_row..]);
            }
        }
    }

    /// Gradients of the chunk's writing to the state.
    pub(super) fn writes(
        &mut self,
        ops: Ops,
        (k, u): (&[f32], &[f32]),
        (state, state_t): (&mut [f32], &[f32]),
        (d_k, d_u): (&mut [f32], &mut [f32]),
    ) {
        let Sizes {
            d,
            dv,
            d_row,
            v_row,
        } = self.sizes;
        self.keys_to_end(ops, k);
        let right = Right {
            data: &*state,
            step: v_row,
        };
        let to = To {
            data: d_u,
            row: v_row,
        };
        ops.product(
            rows(self.block, d_row),
            right,
            (self.n, d, dv),
            to,
            How::PUT,
        );
        let right = Right {
            data: state_t,
            step: d_row,
        };
        let to = To {
            data: self.block,
            row: d_row,
        };
        ops.product(rows(u, v_row), right, (self.n, dv, d), to, How::PUT);
        for block in 0..self.blocks() {
            let part = block * SIDE * d_row..self.n.min((block + 1) * SIDE) * d_row;
            for behind in block + 1..self.blocks() {
                let span = &self.span[behind * d_row..][..d_row];
                ops.scale_lanes(&mut self.block[part.clone()], span);
            }
        }
        let count = self.n * d_row;
        ops.times(&self.block[..count], &self.down[..count], &mut d_k[..count]);
        ops.scale_in_place(state, &self.total[..d], v_row);
    }

    /// Gradients of rows by those of the rows decayed from their block's start.
    fn rows_from_start(&self, ops: Ops, d_x: &mut [f32]) {
        let row = self.sizes.d_row;
        for i in 0..self.places.count {
            let at = self.places.at(i) * row;
            ops.scale_lanes(&mut d_x[i * row..(i + 1) * row], &self.up[at..at + row]);
        }
    }

    /// Adds to dK what rows in later blocks than the key's contribute.
    fn keys_backward(&mut self, ops: Ops, d_k: &mut [f32]) {
        let Sizes { d, d_row, .. } = self.sizes;
        for key_block in 0..self.blocks().saturating_sub(1) {
            let sums = &mut self.block[..SIDE * d_row];
            sums.fill(0.0);
            for block in (key_block + 1..self.n.div_ceil(SIDE)).rev() {
                let from = |key: usize| self.places.first_seeing(key);
                let of = from(block * SIDE)..from((block + 1) * SIDE);
                ops.scale_lanes(sums, &self.span[block * d_row..][..d_row]);
                if of.is_empty() {
                    continue;
                }
                let left = columns(&self.d_a[of.start * CHUNK + key_block * SIDE..], CHUNK);
                let right = Right {
                    data: &self.x_up[of.start * d_row..],
                    step: d_row,
                };
                let to = To {
                    data: &mut *sums,
                    row: d_row,
                };
                ops.product(left, right, (SIDE, of.len(), d), to, How::ADD);
            }
            let first = key_block * SIDE * d_row;
            let pairs = sums.iter().zip(&self.down[first..]);
            let to = d_k[first..].iter_mut().zip(pairs);
            to.for_each(|(to, (sum, down))| *to += sum * down);
        }
    }
}
