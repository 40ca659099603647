//! Landmarks of all histories and heads.

use super::Plan;
use super::landmarks::means;
use crate::low_rank::memory::{Shelf, block};
use crate::low_rank::pieces::{keys, queries};
use attention::simd::Isa;
use attention::{Problem, Workers};

/// Landmarks of a task.
const FEW: usize = 16;

/// Writes the landmarks of queries, a part for each history and query head, and of keys, a part for
/// each history and key head.
pub(super) fn gather(
    isa: Isa,
    plan: Plan,
    problem: &Problem<'_>,
    workers: &Workers,
    (of_queries, of_keys): (Shelf, Shelf),
    memory: Shelf,
) {
    let (geometry, shape) = (problem.geometry(), problem.shape());
    let group = shape.h / shape.hkv.max(1);
    let shares = plan.sizes.m.div_ceil(FEW);
    let tasks = shape.b * (shape.h + shape.hkv) * shares;
    // SAFETY: the caller keeps the memory, and nobody else uses it during the call.
    let parts = unsafe { memory.slices() };
    workers.run_on(0..tasks, parts, |task, _| {
        let (share, place) = (task % shares, task / shares);
        let heads = shape.h + shape.hkv;
        let (sequence, head) = (place / heads, place % heads);
        // A history of which no key is visible needs no landmarks.
        let n = keys(geometry, sequence);
        if n == 0 {
            return;
        }
        // SAFETY: no other task writes to these landmarks.
        let (tokens, to) = unsafe {
            if head < shape.h {
                let all = 0..queries(geometry, sequence);
                let q = problem.head(sequence, head).q;
                (block(q, all), of_queries.part(sequence * shape.h + head))
            } else {
                let head = head - shape.h;
                let k = problem.head(sequence, head * group).k;
                (block(k, 0..n), of_keys.part(sequence * shape.hkv + head))
            }
        };
        let m = plan.of(tokens.rows);
        let which = (share * FEW).min(m)..((share + 1) * FEW).min(m);
        // SAFETY: the tokens are there, and room for all landmarks.
        unsafe { means(isa, tokens, m, which, to) };
    });
}
