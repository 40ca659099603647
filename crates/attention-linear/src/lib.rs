//! Attention by feature maps, linear in the sequence length.
//!
//! O_i = φ(q_i)ᵀ Σ_j φ(k_j) v_jᵀ / φ(q_i)ᵀ Σ_j φ(k_j): the sum over keys is shared by all queries
//! that see them, so that S is never formed. Causal masks are scanned in chunks. Variants share one
//! engine and differ in feature map and normaliser: [`ELU`], [`RELU`], [`FAVOR`],
//! [`RFA`], [`COSFORMER`], [`LINREC`] and [`HEDGEHOG`].
//!
//! Kernels are written once and run on AVX-512, AVX2 with FMA, or what the compiler makes of plain
//! lanes, chosen at run time or by the parameter `isa`. Outputs have the bits of one instruction set;
//! error budgets leave room for each.
//!
//! ```
//! use attention::variant::Parameters;
//! use attention::{Mask, Output, Problem, Scratch, Workers, mask::Alignment};
//! use ndarray::Array4;
//! let x = Array4::from_shape_fn((1, 2, 100, 8), |(_, h, i, d)| ((h + 3 * i + 5 * d) % 7) as f32);
//! let problem = Problem::new(x.view(), x.view(), x.view())?
//!     .with_mask(Mask::causal(Alignment::TopLeft))?;
//! let favor = attention_linear::FAVOR;
//! let variant = (favor.build)(&Parameters::defaults(favor.parameters))?;
//! let mut out = Output::poisoned(problem.geometry(), false);
//! variant.forward(&problem, out.view_mut(), &Workers::serial(), &mut Scratch::new())?;
//! assert!(out.o.iter().all(|o| o.is_finite()));
//! # Ok::<(), attention::Error>(())
//! ```

#![deny(unsafe_code)]

mod feature;
mod form;
mod history;
mod recurrent;
mod support;

pub use feature::maps::cosformer::VARIANT as COSFORMER;
pub use feature::maps::elu::VARIANT as ELU;
pub use feature::maps::favor::VARIANT as FAVOR;
pub use feature::maps::hedgehog::VARIANT as HEDGEHOG;
pub use feature::maps::linrec::VARIANT as LINREC;
pub use feature::maps::projection::projection;
pub use feature::maps::relu::VARIANT as RELU;
pub use feature::maps::rfa::VARIANT as RFA;
pub use recurrent::{DELTANET, GATED_DELTANET, GLA, RETNET, SELECTIVE_SCAN};
