//! What is done to matrices of some tokens: each a kernel of its own behind a plain call.
//!
//! A call costs a few nanoseconds of dispatch and does the work of [`TOKENS`](super::pieces::TOKENS)
//! rows, so that every kernel is compiled once an instruction set, and what is built of them is plain
//! code.
//!
//! All have one contract: pointers hold what the arguments say, rows that are read or written in vectors
//! being filled up to whole ones ([`padded`](super::memory::padded)).

mod product;
mod rows;
mod softmax;

pub(crate) use product::{Ending, left, left_turned, product, right, tokens};
pub(crate) use rows::{
    add_all, block, copy, cut, dot_rows, fetch, scale_rows, transpose, turn, whole,
};
pub(crate) use softmax::{Running, advance, normalise, normalise_back, soften, soften_back};

/// A kernel and the call that dispatches it: the body sees arguments and a vector type `V`.
macro_rules! kernel {
    ($(#[$doc:meta])* fn $name:ident<$V:ident>($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$doc])*
        pub(crate) unsafe fn $name(isa: attention::simd::Isa, $($argument: $type),*) {
            struct Run {
                $($argument: $type),*
            }
            impl attention::simd::Kernel for Run {
                #[allow(unused_unsafe)] // of kernels that call safe functions alone
                #[inline(always)]
                fn run<$V: attention::simd::Vector>(self) {
                    let Self { $($argument),* } = self;
                    // SAFETY: inside dispatch; the rest is the caller's promise.
                    unsafe { $body }
                }
            }
            attention::simd::dispatch(isa, Run { $($argument),* });
        }
    };
}
pub(crate) use kernel;
