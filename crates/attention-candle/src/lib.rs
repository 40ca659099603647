//! Any registered attention variant as a candle op with gradients, and the fused ops that training one
//! needs.
//!
//! An op here is one node of candle's graph, with a forward and a backward of its own, or one entry of a
//! [`Tape`], whose reverse pass takes less time and no pool of candle's. Ops run on an [`Engine`], workers that the caller names, never on candle's global pool. What an op needs again in
//! backward (L of an attention, the statistics of a layer norm) stays inside it; dropout is drawn anew from
//! counters instead of being stored. Every op gives the same bits on any number of workers.
//!
//! | op | why candle's own will not do |
//! |---|---|
//! | [`Attend`] | materialises the scores, or has no backward |
//! | [`layer_norm`], [`LayerNorm`] | the fast one keeps no gradients and does not say so |
//! | [`gated_norm`], [`unit_rows`] | a node and a pass for every square, sum, root and product, on candle's pool |
//! | [`Affine`] | four nodes and three copies for a product, a bias, an activation and dropout |
//! | [`dropout()`] | its generator cannot be seeded on a CPU |
//! | [`gather`] | its scatter-add runs on one thread, and dropout and positions come apart |
//! | [`gru`], [`unfold_causal`] | a node for every event; convolutions of jagged histories are not there |
//! | [`sampled_loss`], [`softmax_loss`] | logits of every position and item at once |
//!
//! Tensors are f32. A parameter with a bias is one matrix `[in + 1, out]`, the bias its last row, and that of
//! a layer norm is `[2, D]`, gain and shift: candle's ops take three inputs at most.
//!
//! ```
//! use attention::{Mask, Workers, mask::Alignment};
//! use attention_candle::{Attend, Engine};
//! use candle_core::{Device, Tensor, Var};
//!
//! let engine = Engine::new(Workers::new(2)?);
//! let attention = attention_variants::Configured::new("blocked", [])?.build()?;
//! let attend = Attend::new(attention.into(), &engine).with_mask(Mask::causal(Alignment::TopLeft));
//!
//! let q = Var::from_tensor(&Tensor::ones((1, 2, 5, 8), candle_core::DType::F32, &Device::Cpu)?)?;
//! let o = attend.forward(&q, &q, &q)?; // [B, H, Nq, Dv]
//! let gradients = o.sum_all()?.backward()?;
//! assert_eq!(gradients.get(&q).map(|g| g.dims()), Some(&[1, 2, 5, 8][..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod affine;
mod attend;
mod dropout;
mod engine;
mod error;
mod gated_norm;
mod gather;
mod gru;
mod jagged;
mod layer_norm;
mod loss;
mod numeric;
mod ordered;
mod tape;
mod tensor;
mod unfold;
mod unit_rows;

pub use affine::{Activation, Affine};
pub use attend::{Absorbed, Attend};
pub use dropout::{Drop, dropout};
pub use engine::Engine;
pub use error::{Error, Result};
pub use gated_norm::gated_norm;
pub use gather::{Embed, gather, scatter_add};
pub use gru::{gru, gru_step};
pub use layer_norm::{LayerNorm, layer_norm};
pub use loss::{Objective, SKIP, logits, sampled_loss, softmax_loss};
pub use ordered::ordered;
pub use tape::Tape;
pub use tensor::floats;
pub use unfold::unfold_causal;
pub use unit_rows::unit_rows;
