//! The selective scan: 16 channels side by side, a few entries of their states in registers.

#![allow(unsafe_code)]

use super::Ops;
use attention::simd::{Kernel, Vector, dispatch};

/// Channels of a group.
pub(crate) const CHANNELS: usize = 16;

/// Entries of a state that are walked together; rows of Q, K and rates are padded to 16 of them.
const TILE: usize = 8;

/// Keys of a chunk for one group of channels, and the rows that read inside it.
#[derive(Clone, Copy)]
pub(crate) struct Steps<'a> {
    /// Keys.
    pub(crate) n: usize,
    /// Floats between rows of K and Q.
    pub(crate) row: usize,
    /// A·log2 e `[row, 16]`, zero behind D.
    pub(crate) rates: &'a [f32],
    /// Δ and Δ∘v `[n, 16]`.
    pub(crate) step: &'a [f32],
    pub(crate) x: &'a [f32],
    /// `[n, row]`.
    pub(crate) k: &'a [f32],
    /// The keys that queries stand behind, in order, and their rows `[at.len()·group, row]`.
    pub(crate) at: &'a [usize],
    pub(crate) group: usize,
    pub(crate) q: &'a [f32],
}

impl Steps<'_> {
    fn check(&self) {
        let rows = self.at.len() * self.group;
        assert!(self.row.is_multiple_of(16) && self.rates.len() >= self.row * CHANNELS);
        assert!(self.step.len() >= self.n * CHANNELS && self.x.len() >= self.n * CHANNELS);
        assert!(self.k.len() >= self.n * self.row && self.q.len() >= rows * self.row);
    }
}

/// Gradients that a chunk adds to.
pub(crate) struct StepGradients<'a> {
    /// Of the state behind the chunk; then of that before it `[row, 16]`.
    pub(crate) state: &'a mut [f32],
    /// Of A `[row, 16]`.
    pub(crate) rates: &'a mut [f32],
    /// Of Δ by way of decays, and of Δ∘v `[n, 16]`.
    pub(crate) step: &'a mut [f32],
    pub(crate) x: &'a mut [f32],
    /// `[n, row]` and `[at.len()·group, row]`.
    pub(crate) k: &'a mut [f32],
    pub(crate) q: &'a mut [f32],
}

impl Ops {
    /// Walks a chunk: h ← exp(Δ·A)∘h + k·(Δv), with o += q·h for reading rows `[at.len()·group, 16]`.
    pub(crate) fn scan(self, steps: Steps<'_>, state: &mut [f32], o: &mut [f32]) {
        steps.check();
        assert!(
            state.len() >= steps.row * CHANNELS
                && o.len() >= steps.at.len() * steps.group * CHANNELS
        );
        dispatch(self.isa, Scan { steps, state, o });
    }

    /// Gradients of [`scan`](Self::scan), from the state before the chunk and dO of its reading rows;
    /// `memory` takes [`Ops::SCAN_FLOATS`].
    pub(crate) fn scan_backward(
        self,
        steps: Steps<'_>,
        state: &[f32],
        d_o: &[f32],
        gradients: StepGradients<'_>,
        memory: &mut [f32],
    ) {
        steps.check();
        let (whole, rows) = (steps.row * CHANNELS, steps.at.len() * steps.group);
        let g = &gradients;
        assert!(state.len() >= whole && g.state.len() >= whole && g.rates.len() >= whole);
        assert!(d_o.len() >= rows * CHANNELS && g.q.len() >= rows * steps.row);
        assert!(g.step.len() >= steps.n * CHANNELS && g.x.len() >= steps.n * CHANNELS);
        assert!(g.k.len() >= steps.n * steps.row && memory.len() >= Self::SCAN_FLOATS);
        assert!(steps.n <= crate::recurrent::CHUNK);
        dispatch(
            self.isa,
            ScanBackward {
                steps,
                state,
                d_o,
                gradients,
                memory,
            },
        );
    }

    /// Working memory of [`scan_backward`](Self::scan_backward): states and decays of a tile.
    pub(crate) const SCAN_FLOATS: usize = 2 * (crate::recurrent::CHUNK + 1) * TILE * CHANNELS;
}

struct Scan<'a> {
    steps: Steps<'a>,
    state: &'a mut [f32],
    o: &'a mut [f32],
}

impl Kernel for Scan<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let s = self.steps;
        let (h, o) = (self.state.as_mut_ptr(), self.o.as_mut_ptr());
        for lane in (0..CHANNELS).step_by(V::LANES) {
            for first in (0..s.row).step_by(TILE) {
                // SAFETY: inside dispatch; `Steps::check` has seen the slices.
                unsafe {
                    let place = |i: usize| (first + i) * CHANNELS + lane;
                    let rates: [V; TILE] =
                        std::array::from_fn(|i| V::load(s.rates.as_ptr().add(place(i))));
                    let mut state: [V; TILE] = std::array::from_fn(|i| V::load(h.add(place(i))));
                    let mut query = 0;
                    for t in 0..s.n {
                        let step = V::load(s.step.as_ptr().add(t * CHANNELS + lane));
                        let x = V::load(s.x.as_ptr().add(t * CHANNELS + lane));
                        let k = s.k.as_ptr().add(t * s.row + first);
                        for (i, state) in state.iter_mut().enumerate() {
                            let written = x.mul(V::splat(*k.add(i)));
                            *state = state.mul_add(step.mul(rates[i]).exp2_factor(), written);
                        }
                        while query < s.at.len() && s.at[query] == t {
                            for reader in query * s.group..(query + 1) * s.group {
                                let q = s.q.as_ptr().add(reader * s.row + first);
                                let to = o.add(reader * CHANNELS + lane);
                                let mut sum = V::load(to);
                                for (i, state) in state.iter().enumerate() {
                                    sum = state.mul_add(V::splat(*q.add(i)), sum);
                                }
                                sum.store(to);
                            }
                            query += 1;
                        }
                    }
                    for (i, state) in state.into_iter().enumerate() {
                        state.store(h.add(place(i)));
                    }
                }
            }
        }
    }
}

struct ScanBackward<'a> {
    steps: Steps<'a>,
    state: &'a [f32],
    d_o: &'a [f32],
    gradients: StepGradients<'a>,
    memory: &'a mut [f32],
}

impl Kernel for ScanBackward<'_> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let s = self.steps;
        let g = self.gradients;
        let (states, decays) = self.memory.split_at_mut(Ops::SCAN_FLOATS / 2);
        let (states, decays) = (states.as_mut_ptr(), decays.as_mut_ptr());
        for lane in (0..CHANNELS).step_by(V::LANES) {
            for first in (0..s.row).step_by(TILE) {
                // SAFETY: inside dispatch; the sizes were checked, and `memory` holds a tile a key.
                unsafe {
                    let place = |i: usize| (first + i) * CHANNELS + lane;
                    let kept = |t: usize, i: usize| (t * TILE + i) * CHANNELS + lane;
                    let rates: [V; TILE] =
                        std::array::from_fn(|i| V::load(s.rates.as_ptr().add(place(i))));
                    // Slot t holds the state before key t.
                    let mut state: [V; TILE] =
                        std::array::from_fn(|i| V::load(self.state.as_ptr().add(place(i))));
                    for (i, state) in state.iter().enumerate() {
                        state.store(states.add(kept(0, i)));
                    }
                    for t in 0..s.n {
                        let step = V::load(s.step.as_ptr().add(t * CHANNELS + lane));
                        let x = V::load(s.x.as_ptr().add(t * CHANNELS + lane));
                        let k = s.k.as_ptr().add(t * s.row + first);
                        for (i, state) in state.iter_mut().enumerate() {
                            let decay = step.mul(rates[i]).exp2_factor();
                            decay.store(decays.add(kept(t, i)));
                            *state = state.mul_add(decay, x.mul(V::splat(*k.add(i))));
                            state.store(states.add(kept(t + 1, i)));
                        }
                    }
                    let load = |from: &[f32]| -> [V; TILE] {
                        std::array::from_fn(|i| V::load(from.as_ptr().add(place(i))))
                    };
                    let (mut d_state, mut d_rates) = (load(g.state), load(g.rates));
                    let mut query = s.at.len();
                    for t in (0..s.n).rev() {
                        while query > 0 && s.at[query - 1] == t {
                            query -= 1;
                            for reader in query * s.group..(query + 1) * s.group {
                                let d_o = V::load(self.d_o.as_ptr().add(reader * CHANNELS + lane));
                                let q = s.q.as_ptr().add(reader * s.row + first);
                                let mut products = [d_o; TILE];
                                for i in 0..TILE {
                                    d_state[i] = d_o.mul_add(V::splat(*q.add(i)), d_state[i]);
                                    products[i] = d_o.mul(V::load(states.add(kept(t + 1, i))));
                                }
                                let to = reader * s.row + first;
                                let to = g.q[to..to + TILE].iter_mut();
                                to.zip(V::sums(products)).for_each(|(to, sum)| *to += sum);
                            }
                        }
                        let step = V::load(s.step.as_ptr().add(t * CHANNELS + lane));
                        let x = V::load(s.x.as_ptr().add(t * CHANNELS + lane));
                        let k = s.k.as_ptr().add(t * s.row + first);
                        let d_x = g.x.as_mut_ptr().add(t * CHANNELS + lane);
                        let d_step = g.step.as_mut_ptr().add(t * CHANNELS + lane);
                        let (mut by_x, mut by_step) = (V::load(d_x), V::load(d_step));
                        let mut products = [x; TILE];
                        for i in 0..TILE {
                            products[i] = d_state[i].mul(x);
                            by_x = d_state[i].mul_add(V::splat(*k.add(i)), by_x);
                            let before = V::load(states.add(kept(t, i)));
                            d_state[i] = d_state[i].mul(V::load(decays.add(kept(t, i))));
                            let exponent = d_state[i].mul(before);
                            by_step = exponent.mul_add(rates[i], by_step);
                            d_rates[i] = exponent.mul_add(step, d_rates[i]);
                        }
                        by_x.store(d_x);
                        by_step.store(d_step);
                        let to = t * s.row + first;
                        let to = g.k[to..to + TILE].iter_mut();
                        to.zip(V::sums(products)).for_each(|(to, sum)| *to += sum);
                    }
                    for i in 0..TILE {
                        d_state[i].store(g.state.as_mut_ptr().add(place(i)));
                        d_rates[i].store(g.rates.as_mut_ptr().add(place(i)));
                    }
                }
            }
        }
    }
}
