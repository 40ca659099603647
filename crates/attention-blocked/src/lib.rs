//! Exact attention over tiles of the score matrix, in O(N) memory.
//!
//! Softmax attention needs each row of scores only once, if the running maximum and sum are kept
//! and what was summed before is rescaled when the maximum grows (Milakov & Gimelshein 2018; Dao et
//! al. 2022). A task is a block of 64 queries of one head; it walks over pieces of up to 64 keys and
//! skips what mask or pattern leave empty ([`attention::walk`]).
//!
//! * `simd/`: a vector of f32 in three widths; products and transposes of tiles over any of them
//! * `tile.rs`: one step of the online softmax
//! * `forward.rs`: a block of queries from Q to O and L
//! * `decode/`: few queries over many keys, and caches of keys and values
//! * `backward/`: gradients by recomputation from L, over the same pieces
//! * `dropout.rs`: weights dropped by a counter-based generator, the same in both directions
//! * `narrow/`: the same walk over operands of fewer bits; `bf16/`: [`BLOCKED_BF16`];
//!   `int8/`: [`BLOCKED_INT8`]
//! * `variants.rs`: [`BLOCKED`], and the patterns [`SLIDING_WINDOW`] and [`RANDOM_BLOCKS`]

//!
//! ```
//! use attention::mask::{Alignment, Mask};
//! use attention::{Problem, Workers};
//! use ndarray::Array4;
//!
//! let [q, k, v] = [0.1, 0.2, 0.3].map(|x| Array4::<f32>::from_elem((2, 8, 300, 64), x));
//! let problem = Problem::new(q.view(), k.view(), v.view())?
//!     .with_mask(Mask::causal(Alignment::TopLeft))?;
//! let output = attention_blocked::attend(&problem, &Workers::new(2)?);
//! assert_eq!(output.o.dim(), (2, 8, 300, 64));
//! # Ok::<(), attention::Error>(())
//! ```

mod backward;
mod bf16;
mod decode;
mod dropout;
mod forward;
mod int8;
mod narrow;
mod simd;
mod tile;
mod variants;

use attention::{Capabilities, Gradients, Output, Problem, Result, Scratch, Workers};
use ndarray::ArrayView4;

pub use bf16::BLOCKED_BF16;
pub use decode::{Precision, prepare};
pub use int8::BLOCKED_INT8;
pub use simd::Isa;
pub use variants::{BLOCKED, RANDOM_BLOCKS, SLIDING_WINDOW};

/// Exact attention of a problem: O `[B, H, Nq, Dv]` and L `[B, H, Nq]`, freshly allocated.
///
/// For calls in a loop, build the variant once and keep its output and scratch:
/// [`Attention::forward`](attention::Attention::forward) then allocates nothing large.
///
/// Time O(visible pairs · (D + Dv)), scratch O(workers · (D + Dv)). It cannot fail: the kernel supports every mask, bias and layout that a problem can have.
pub fn attend(problem: &Problem<'_>, workers: &Workers) -> Output {
    let mut output = Output::poisoned(problem.geometry(), true);
    forward::forward(
        Isa::detect().into(),
        problem,
        output.view_mut(),
        workers,
        &mut Scratch::new(),
    );
    output
}

/// Gradients of a loss by Q, K, V and the bias table, freshly allocated, from what [`attend`] gave and
/// the loss's gradient by O, `[B, H, Nq, Dv]`.
///
/// For calls in a loop, build the variant once and keep gradients and scratch:
/// [`Attention::backward`](attention::Attention::backward) then allocates nothing. Time
/// O(visible pairs · (3·D + 2·Dv)), scratch O(workers · (D + Dv)) (Dao et al. 2022, Algorithm 4).
///
/// ```
/// use attention::{Problem, Workers};
/// use ndarray::Array4;
///
/// let [q, k, v] = [0.1, 0.2, 0.3].map(|x| Array4::<f32>::from_elem((2, 8, 100, 32), x));
/// let problem = Problem::new(q.view(), k.view(), v.view())?;
/// let workers = Workers::serial();
/// let output = attention_blocked::attend(&problem, &workers);
/// // The loss is the sum of O: each value gets the weight that it has in all outputs.
/// let d_o = Array4::ones(output.o.dim());
/// let gradients = attention_blocked::differentiate(&problem, &output, d_o.view(), &workers)?;
/// assert!(gradients.dv.iter().all(|g| (g - 1.0).abs() < 1e-5));
/// # Ok::<(), attention::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`](attention::Error::Shape) where O, L or dO do not fit the problem.
pub fn differentiate(
    problem: &Problem<'_>,
    saved: &Output,
    d_o: ArrayView4<'_, f32>,
    workers: &Workers,
) -> Result<Gradients> {
    let mut gradients = Gradients::zeros(problem);
    Capabilities::all(BLOCKED.name, true).admit_backward(problem, saved, &d_o, &gradients)?;
    backward::backward(
        Isa::detect(),
        problem,
        saved,
        d_o,
        &mut gradients,
        workers,
        &mut Scratch::new(),
    );
    Ok(gradients)
}

/// The README's example, run as it is printed there.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
