//! Few queries over a long history: keys are split, and partial results merged by log-sum-exp.
//!
//! A block of 64 queries that holds one query computes 64 times what is asked, and one query over
//! one head gives work to one thread. Here lanes are the columns of K and V, a task is a chunk of the
//! keys of one key head with all queries that read it (those of every query head that shares it), and
//! what the chunks give is merged in the order of the keys (Dao et al. 2023, Flash-Decoding). Chunks
//! have one size, so the same bits come out for any number of threads.
//!
//! * `source.rs`: where queries, keys and values come from
//! * `plan.rs`: which histories are split, and into what
//! * `chunk.rs`: the online softmax over a chunk
//! * `merge.rs`: the ordered merge
//! * `cache.rs`: keys and values kept between calls, in three precisions
//! * `store.rs`: rows that grow; `stand.rs`: the mask for the queries of a call

mod cache;
mod chunk;
mod merge;
mod plan;
mod source;
mod stand;
mod store;

pub(crate) use cache::prepare_on;
pub use cache::{Precision, prepare};
pub(crate) use merge::merge;
pub(crate) use plan::{Plan, plan};
pub(crate) use source::Source;

use crate::simd::row_wise::Element;
use crate::simd::{Isa, dispatch};
use attention::Workers;
use chunk::Chunk;
use std::ops::Range;

/// Queries of a history of f32 up to which its keys are split.
pub(crate) const FEW: usize = <f32 as Element>::FEW;

/// Scores and sums every chunk of the plan into `partials`; each worker has a part of its own.
pub(crate) fn chunks<'w, S: Source>(
    isa: Isa,
    source: &S,
    plan: &Plan<impl Fn(usize) -> (usize, Range<usize>) + Sync>,
    partials: &mut [f32],
    workers: &Workers,
    parts: impl ExactSizeIterator<Item = &'w mut [f32]> + Send,
) {
    workers.run_on(plan.tasks(partials), parts, |task, memory| {
        let plan::Task {
            sequence,
            key_head,
            keys,
            partial,
        } = task;
        dispatch(
            isa,
            Chunk {
                source,
                sequence,
                key_head,
                keys,
                partial,
                memory,
            },
        );
    });
}
