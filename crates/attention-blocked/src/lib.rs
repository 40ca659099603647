//! Exact attention over tiles of the score matrix, in O(N) memory.
//!
//! Softmax attention needs each row of scores only once, if the running maximum and sum are kept
//! and what was summed before is rescaled when the maximum grows (Milakov & Gimelshein 2018; Dao et
//! al. 2022). A task is a block of 64 queries of one head; it walks over blocks of 64 keys and skips
//! those that mask or pattern leave empty.
//!
//! * `simd/`: a vector of f32 in three widths, and the two products of a tile over any of them
//! * `tile.rs`: one step of the online softmax
//! * `forward.rs`: the walk over tiles
//! * `variants.rs`: [`BLOCKED`], and the patterns [`SLIDING_WINDOW`] and [`RANDOM_BLOCKS`]

mod forward;
mod simd;
mod tile;
mod variants;

pub use simd::Isa;
pub use variants::{BLOCKED, RANDOM_BLOCKS, SLIDING_WINDOW};
