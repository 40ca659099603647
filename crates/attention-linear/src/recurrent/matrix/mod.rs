//! States of a matrix `[D, Dv]`: S_t = decay_t∘S_{t-1} + k_t u_tᵀ, o = scale·q·S.
//!
//! u_t is v_t, or by the delta rule β_t (v_t - decay_t∘S_{t-1}ᵀ k_t). A chunk of 32 keys is a few
//! products: with b the sum of the chunk's logarithms of decays up to a key,
//! O = e^b∘Q·S + tril(e^(b_i - b_j) Q·Kᵀ)·U and S ← e^(b_C)∘S + (e^(b_C - b_j) K)ᵀ·U; the delta rule
//! solves (I + tril(e^(b_i - b_j) K·Kᵀ, -1)·diag β)·W = V - e^b∘K·S for U = diag(β)·W first (the WY
//! form of Yang et al. 2024, equations 8 to 11, without forming W of the state). Exponents are
//! differences that are never positive, so that nothing overflows.
//!
//! * `gate.rs`: what a decay must answer; `scalar.rs`: one number a key; `lanes.rs`: one a lane of it
//! * `chunk.rs`: what forward, backward and prepared states share of a chunk
//! * `forward.rs`, `backward.rs`, `prepared.rs`

mod backward;
mod chunk;
mod forward;
mod gate;
mod lanes;
mod prepared;
mod scalar;

pub(super) use backward::backward;
pub(super) use forward::forward;
pub(super) use prepared::prepare;

use super::ops::Ops;
use super::support::take;
use attention::simd::Isa;
use attention::{Geometry, Scratch};

/// Where decays come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decays {
    /// There are none.
    None,
    /// γ_h = 1 - 2^(-5 - h) of key head h.
    Heads,
    /// The side input `log_decay` `[B, Hkv, Nk]`.
    Keys,
    /// The side input `log_decay` `[B, Hkv, Nk, D]`.
    Lanes,
}

impl Decays {
    /// Whether they are a side input.
    pub(super) fn are_given(self) -> bool {
        matches!(self, Self::Keys | Self::Lanes)
    }
}

/// A recurrence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) isa: Isa,
    pub(super) decays: Decays,
    /// Whether u_t is the delta rule's, with the side input `beta` `[B, Hkv, Nk]` and keys and queries
    /// brought to unit length.
    pub(super) delta: bool,
}

impl Rule {
    fn ops(&self) -> Ops {
        Ops { isa: self.isa }
    }
}

/// Sizes of a task: D, its columns of V, and both as rows are padded in scratch.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    d: usize,
    dv: usize,
    d_row: usize,
    v_row: usize,
}

impl Sizes {
    fn of(d: usize, dv: usize) -> Self {
        Self {
            d,
            dv,
            d_row: d.next_multiple_of(16),
            v_row: dv.next_multiple_of(16),
        }
    }

    /// Floats of a state.
    fn state(&self) -> usize {
        self.d * self.v_row
    }
}

/// Bytes of scratch that forward takes.
pub(super) fn scratch_bytes(rule: &Rule, geometry: &Geometry, threads: usize) -> u64 {
    let plan = forward::Plan::of(geometry, threads);
    Scratch::bytes_for(plan.workers(threads), forward::floats(rule, &plan.sizes))
}

/// Bytes of scratch that backward takes.
pub(super) fn backward_scratch_bytes(rule: &Rule, geometry: &Geometry, threads: usize) -> u64 {
    let shape = geometry.shape();
    let workers = threads.min(shape.b * shape.hkv).max(1);
    Scratch::bytes_for(workers, backward::floats(rule, geometry))
}
