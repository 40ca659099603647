//! Products of this crate over the vectors that all kernels share ([`attention::simd`]).

mod product;
pub(crate) mod row_wise;

pub use attention::simd::Isa;
#[cfg(target_arch = "x86_64")]
pub(crate) use attention::simd::transpose16;
pub(crate) use attention::simd::{
    Add, Block, DROP_FLOATS, Drop, Finish, Kernel, Lanes, Left, QUERIES, Right, Target, Vector,
    are_finite, copy_rows, dispatch, dot_rows, pack, prefetch_rows, product, unpack,
};
pub(crate) use product::{accumulate_values, score_keys};
