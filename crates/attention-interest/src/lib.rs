//! Attention as recommenders weigh a user's history, other than by softmax of dot products.
//!
//! * [`HSTU`]: SiLU of every score, divided by a length (Zhai et al., ICML 2024)
//! * [`DIN`]: a small network's answer to every pair of a candidate and an event (Zhou et al., KDD 2018)
//! * [`ADDITIVE`]: softmax of a hidden layer of tanh; with queries, or as pooling (Bahdanau et al. 2015)
//!
//! Kernels are plain loops over tiles: products and vectors are those of [`attention::simd`], which also
//! chooses the instruction set.
//!
//! ```
//! use attention::variant::Parameters;
//! use attention::{Mask, Output, Problem, Scratch, Tensors, Workers, mask::Alignment};
//! use attention_interest::HSTU;
//! use ndarray::Array4;
//!
//! let x = Array4::from_shape_fn((1, 2, 100, 8), |(_, h, i, d)| ((h + 3 * i + 5 * d) % 7) as f32);
//! let problem = Problem::new(x.view(), x.view(), x.view())?
//!     .with_mask(Mask::causal(Alignment::TopLeft))?;
//! let variant = (HSTU.build)(&Parameters::defaults(HSTU.parameters))?;
//! let learned = Tensors::of(variant.as_ref(), problem.geometry(), 1);
//! let problem = problem.supplied(&learned);
//! let mut out = Output::poisoned(problem.geometry(), false);
//! variant.forward(&problem, out.view_mut(), &Workers::serial(), &mut Scratch::new())?;
//! assert!(out.o.iter().all(|o| o.is_finite()));
//! # Ok::<(), attention::Error>(())
//! ```

#![forbid(unsafe_code)]

mod additive;
mod din;
mod hstu;
mod lanes;
mod learned;
mod memory;
mod rows;
mod tasks;
mod unit;
mod visible;

pub use additive::VARIANT as ADDITIVE;
pub use din::VARIANT as DIN;
pub use hstu::VARIANT as HSTU;

use attention::variant::{Kind, Parameter, Value};
use attention::{Capabilities, Feature};

/// The instruction set to run on.
pub(crate) const ISA: Parameter = Parameter {
    name: "isa",
    kind: Kind::Word(&["auto", "avx512", "avx2", "portable"]),
    default: Value::Word("auto"),
    summary: "the instruction set to run on; auto takes the best there is",
};

/// What variants of an activation unit support.
fn unit_capabilities(name: &'static str) -> Capabilities {
    Capabilities::all(name, false)
        .without(
            Feature::Bias,
            "its scores are a network's, which learns biases of its own",
        )
        .without(
            Feature::Prepare,
            "what is made of the keys alone is a small part of the work for a query",
        )
}
