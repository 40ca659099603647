//! Attention of any variant as a node of candle's tape.

mod absorbed;
mod call;
mod extras;
mod node;

pub use absorbed::Absorbed;

use crate::engine::Engine;
use crate::error::Result;
use attention::dropout::Dropout;
use attention::{Attention, Feature, Geometry, Layout, Mask, Shape};
use call::{Call, Order, dims};
use candle_core::Tensor;
use std::sync::Arc;

/// A variant of attention with everything that a call has beside Q, K and V.
///
/// [`forward`](Self::forward) takes heads before tokens, [`forward_tokens`](Self::forward_tokens) tokens before
/// heads, as linear layers give them. Histories lie padded, or end to end by offsets
/// ([`with_layout`](Self::with_layout)). What a variant learns or is given beside Q, K and V (its
/// [`tensors`](Attention::tensors)) goes in by name, and gets its gradient.
///
/// L and, where they are needed, O stay inside the node. Not supported, and refused by
/// [`attention::Error::Unsupported`] with the variant's reason: gradients of variants without backward, and
/// whatever else a variant's [`capabilities`](Attention::capabilities) exclude. A bias table is not an
/// input.
#[derive(Clone)]
pub struct Attend {
    attention: Arc<dyn Attention>,
    engine: Engine,
    layout: Layout,
    mask: Mask,
    scale: Option<f32>,
    dropout: Option<Dropout>,
}

impl Attend {
    /// A padded batch under a full mask, scale 1/√D, no dropout.
    #[must_use]
    pub fn new(attention: Arc<dyn Attention>, engine: &Engine) -> Self {
        Self {
            attention,
            engine: engine.clone(),
            layout: Layout::Padded,
            mask: Mask::full(),
            scale: None,
            dropout: None,
        }
    }

    /// With a problem mask.
    #[must_use]
    pub fn with_mask(mut self, mask: Mask) -> Self {
        self.mask = mask;
        self
    }

    /// With histories end to end instead of padded, or the other way round.
    #[must_use]
    pub fn with_layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// With a factor of QKᵀ other than 1/√D.
    #[must_use]
    pub fn with_scale(mut self, scale: f32) -> Self {
        self.scale = Some(scale);
        self
    }

    /// With dropout of the weights, or without.
    #[must_use]
    pub fn with_dropout(mut self, dropout: Option<Dropout>) -> Self {
        self.dropout = dropout.filter(|dropout| dropout.rate() > 0.0);
        self
    }

    /// O `[B, H, Nq, Dv]` of q `[B, H, Nq, D]`, k `[B, Hkv, Nk, D]`, v `[B, Hkv, Nk, Dv]`; a jagged batch has
    /// B = 1 and all tokens of its histories along N.
    ///
    /// # Errors
    /// [`Error::Attention`](crate::Error::Attention) for what the variant refuses and for tensors that it
    /// lacks, [`Error::Candle`](crate::Error::Candle) for tensors that are not of four axes and f32.
    pub fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        self.forward_with(q, k, v, &[])
    }

    /// As [`forward`](Self::forward), with the variant's own tensors by name, in the shapes that it declares.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn forward_with(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        extras: &[(&'static str, &Tensor)],
    ) -> Result<Tensor> {
        let (b, h, nq, d) = q.dims4()?;
        let (_, hkv, nk, _) = k.dims4()?;
        let dv = v.dims4()?.3;
        let shape = Shape {
            b,
            h,
            hkv,
            nq,
            nk,
            d,
            dv,
        };
        let call = self.call(shape, Order::HeadsFirst)?;
        self.answer(call, [q, k, v], extras)
    }

    /// O `[T, H·Dv]` of q `[T, H·D]`, k `[T, Hkv·D]`, v `[T, Hkv·Dv]`: the heads of a token side by side. A padded
    /// batch has an axis before these, `[B, N, H·D]`.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn forward_tokens(
        &self,
        heads: (usize, usize),
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        extras: &[(&'static str, &Tensor)],
    ) -> Result<Tensor> {
        let call = self.call(token_shape(heads, [q, k, v])?, Order::TokensFirst)?;
        self.answer(call, [q, k, v], extras)
    }

    fn call(&self, shape: Shape, order: Order) -> Result<Call> {
        let geometry = match &self.layout {
            Layout::Padded => Geometry::padded(shape, self.mask.clone())?,
            Layout::Jagged { q, k } => {
                let b = q.len().saturating_sub(1);
                let shape = Shape { b, ..shape };
                Geometry::jagged(shape, q.clone(), k.clone(), self.mask.clone())?
            }
        };
        let capabilities = self.attention.capabilities();
        capabilities.admits_geometry(&geometry)?;
        if self.dropout.is_some() {
            capabilities.require(Feature::Dropout)?;
        }
        Ok(Call {
            attention: self.attention.clone(),
            engine: self.engine.clone(),
            geometry,
            order,
            scale: self.scale,
            dropout: self.dropout,
        })
    }

    fn answer(
        &self,
        call: Call,
        qkv: [&Tensor; 3],
        extras: &[(&'static str, &Tensor)],
    ) -> Result<Tensor> {
        let [q, k, v] = qkv.map(Tensor::contiguous);
        let (q, k, v) = (q?, k?, v?);
        call.check([q.dims(), k.dims(), v.dims()], extras)?;
        let inputs = [&q, &k, &v]
            .into_iter()
            .chain(extras.iter().map(|(_, t)| *t));
        if inputs.into_iter().any(Tensor::track_op) {
            self.attention.capabilities().require(Feature::Backward)?;
        }
        node::apply(call, &q, &k, &v, extras)
    }
}

/// Sizes of tensors with tokens before heads.
fn token_shape((h, hkv): (usize, usize), qkv: [&Tensor; 3]) -> Result<Shape> {
    let [q, k, v] = qkv.map(|t| dims(t.dims()));
    let ((b, nq, q), (_, nk, _), (_, _, v)) = (q?, k?, v?);
    let share = |width: usize, heads: usize| width.checked_div(heads).unwrap_or(0);
    Ok(Shape {
        b,
        h,
        hkv,
        nq,
        nk,
        d: share(q, h),
        dv: share(v, hkv),
    })
}
