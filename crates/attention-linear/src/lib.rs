//! Attention that is linear in the sequence length: feature maps, low rank, gated recurrences.
//!
//! Three families, in none of which S is ever formed:
//!
//! * **Feature maps** ([`ELU`], [`RELU`], [`FAVOR`], [`RFA`], [`COSFORMER`], [`LINREC`], [`HEDGEHOG`]):
//!   O_i = φ(q_i)ᵀ Σ_j φ(k_j) v_jᵀ / φ(q_i)ᵀ Σ_j φ(k_j), where the sum over keys is shared by all
//!   queries that see them. Causal masks are scanned in chunks. They share one engine and differ in
//!   feature map and normaliser. Features of second degree ([`BASED`], [`REBASED`]) have an engine of
//!   their own, which weighs near keys one by one. [`hedgehog_distillation`] learns hedgehog's maps from
//!   softmax attention.
//! * **Low rank** ([`LINFORMER`], [`NYSTROM`], [`LIGHTSANS`]): a few rows stand for all keys and values
//!   of a history, and softmax goes over them. No causal form.
//! * **Gated recurrences** ([`RETNET`], [`GLA`], [`DELTANET`], [`GATED_DELTANET`], [`SELECTIVE_SCAN`]):
//!   a state that decays, or is corrected, with each key.
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
mod low_rank;
mod recurrent;
mod support;

pub use feature::maps::cosformer::VARIANT as COSFORMER;
pub use feature::maps::distillation::{Distillation, hedgehog_distillation};
pub use feature::maps::elu::VARIANT as ELU;
pub use feature::maps::favor::VARIANT as FAVOR;
pub use feature::maps::hedgehog::VARIANT as HEDGEHOG;
pub use feature::maps::linrec::VARIANT as LINREC;
pub use feature::maps::projection::projection;
pub use feature::maps::relu::VARIANT as RELU;
pub use feature::maps::rfa::VARIANT as RFA;
pub use feature::quadratic::based::VARIANT as BASED;
pub use feature::quadratic::rebased::VARIANT as REBASED;
pub use low_rank::{LIGHTSANS, LINFORMER, NYSTROM};
pub use recurrent::{DELTANET, GATED_DELTANET, GLA, RETNET, SELECTIVE_SCAN};
