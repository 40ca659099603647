//! The contract that every attention variant meets.
//!
//! A [`Problem`] holds Q, K, V and the question asked of them: a problem [`Mask`], a scale, a bias, a
//! padded or jagged layout. A variant implements [`Attention`] and introduces itself by a
//! [`Variant`]. Its answers are measured against an [`oracle`] in f64 ([`accuracy`]) and must pass
//! the [`conformance`] suite for everything that it claims.
//!
//! | symbol | meaning |
//! |---|---|
//! | B, H, Hkv | batch, query heads, key/value heads |
//! | Nq, Nk, D, Dv | queries, keys, head dimension of Q and K, of V |
//! | S = scale·QKᵀ + bias | scores |
//! | P = softmax(S), L = logsumexp(S) | weights; per-row log-sum-exp |
//! | Ω(i) | the keys that query i may see |

#![deny(unsafe_code)]

pub mod accuracy;
mod attention;
mod bias;
mod capabilities;
pub mod conformance;
mod cost;
pub mod dropout;
mod error;
mod geometry;
mod gradients;
pub mod mask;
pub mod numeric;
pub mod oracle;
mod output;
mod problem;
mod row_blocks;
mod scratch;
mod shape;
pub mod simd;
pub mod tensors;
pub mod variant;
pub mod walk;
mod workers;

pub use attention::{Attention, Form, Prepared};
pub use bias::{Bias, HeadBias};
pub use capabilities::{Capabilities, Feature};
pub use cost::Cost;
pub use error::{Error, Result, expect_shape};
pub use geometry::{Geometry, Layout};
pub use gradients::Gradients;
pub use mask::Mask;
pub use output::{Output, OutputMut};
pub use problem::{Head, Problem};
pub use row_blocks::{RowBlock, RowBlocks};
pub use scratch::{Parts, Scratch};
pub use shape::Shape;
pub use tensors::{Init, TensorSpec, Tensors};
pub use variant::{Family, Variant};
pub use workers::Workers;
