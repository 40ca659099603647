//! Gradients by recomputation from L, in O(N) memory.
//!
//! With P = exp(S - L), δ = Σ dO∘O and dP = dO·Vᵀ (Dao et al. 2022, FlashAttention, Algorithm 4):
//! dV = Pᵀ·dO, dS = P∘(dP - δ), dQ = scale·dS·K, dK = scale·dSᵀ·Q. A task is a block of 64 queries of
//! one head, which walks over the same pieces as forward; dQ stays with the task, while dK and dV are
//! summed in place, in the order of the tasks.
//!
//! * `chains.rs`, `turns.rs`: which tasks add to the same memory, and in which order
//! * `block.rs`: a task; `piece.rs`: its five products
//! * `memory.rs`, `sources.rs`, `gradient.rs`: what tasks work in, read and write
//! * `bias.rs`: scores with a bias, and its gradient

mod bias;
mod block;
mod chains;
mod finish;
mod gradient;
mod memory;
mod piece;
mod sources;
mod turns;

use crate::simd::{Isa, dispatch};
use attention::{Gradients, Output, Problem, Scratch, Workers};
use block::{Targets, Task};
use chains::Chains;
use gradient::Gradient;
use memory::Memory;
use ndarray::{ArrayView4, Axis};
use sources::Sources;
use turns::{MOST_WORKERS, Turns};

/// Working memory of one worker, in floats.
pub(crate) fn scratch_floats(d: usize, dv: usize, bias_entries: usize) -> usize {
    Memory::floats(d, dv, bias_entries)
}

/// Writes dQ, dK, dV, and dbias where there is a bias, from what forward saved, L with it; all of the
/// shapes that the problem asks for.
pub(crate) fn backward(
    isa: Isa,
    problem: &Problem<'_>,
    saved: &Output,
    d_o: ArrayView4<'_, f32>,
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let Some(lse) = &saved.lse else { return };
    clear_unasked(problem, out);
    let sources = Sources::new(problem, saved, lse, d_o);
    let targets = Targets {
        dq: Gradient::of(&mut out.dq),
        dk: Gradient::of(&mut out.dk),
        dv: Gradient::of(&mut out.dv),
        bias: problem
            .bias()
            .zip(out.dbias.as_mut())
            .map(|(bias, gradient)| bias::Table::of(bias, gradient)),
    };
    let chains = Chains::of(problem);
    let shape = problem.shape();
    let floats = scratch_floats(shape.d, shape.dv, sources.table_floats());
    let threads = workers.threads().min(MOST_WORKERS);
    let turns = Turns::new(threads, chains.len(), |chain| chains.blocks(chain));
    workers.run(0..threads, scratch, floats, |worker, memory| {
        let mut last = None;
        while let Some(ticket) = turns.take(worker, last) {
            let task = Task {
                sources: &sources,
                targets: &targets,
                turns: &turns,
                worker,
                ticket,
                block: chains.block(ticket),
                memory,
            };
            dispatch(isa, task);
            last = Some(ticket);
        }
    });
}

/// Sets to zero what no task will write to: the bias table, to which all add, and keys of histories
/// without a query.
fn clear_unasked(problem: &Problem<'_>, gradients: &mut Gradients) {
    if let Some(dbias) = &mut gradients.dbias {
        dbias.fill(0.0);
    }
    let geometry = problem.geometry();
    for sequence in 0..problem.shape().b {
        if geometry.query_range(sequence).is_empty() {
            let batch = if geometry.is_jagged() { 0 } else { sequence };
            let keys = geometry.key_range(sequence);
            for tensor in [&mut gradients.dk, &mut gradients.dv] {
                let mut entry = tensor.index_axis_mut(Axis(0), batch);
                entry.slice_axis_mut(Axis(1), keys.clone().into()).fill(0.0);
            }
        }
    }
}
