//! One call of a variant: from slices to a problem, and from gradients to slices.

use crate::engine::Engine;
use crate::error::{Error, Result, expect};
use attention::dropout::Dropout;
use attention::{Attention, Gradients, Layout, Output, OutputMut, Problem};
use attention::{Geometry, Shape};
use candle_core::Tensor;
use ndarray::{Array3, Array4, ArrayView4, ArrayViewD, ArrayViewMut4, IxDyn};
use std::sync::Arc;

/// Which axis comes first in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `[B, H, N, D]`.
    HeadsFirst,
    /// `[B, N, H·D]`, or `[N, H·D]`.
    TokensFirst,
}

/// B, N and H·D of a tensor with tokens before heads.
pub(super) fn dims(dims: &[usize]) -> Result<(usize, usize, usize)> {
    match *dims {
        [n, width] => Ok((1, n, width)),
        [b, n, width] => Ok((b, n, width)),
        _ => Err(Error::Shape {
            op: "attend",
            tensor: "Q, K or V",
            found: dims.to_vec(),
            expected: "[T, H·D] or [B, N, H·D]".into(),
        }),
    }
}

/// A tensor that the variant needs beside Q, K and V.
pub(super) type Extra<'a> = (&'static str, ArrayViewD<'a, f32>);

/// Everything about a call but its tensors.
pub(super) struct Call {
    pub(super) attention: Arc<dyn Attention>,
    pub(super) engine: Engine,
    pub(super) geometry: Geometry,
    pub(super) order: Order,
    pub(super) scale: Option<f32>,
    pub(super) dropout: Option<Dropout>,
}

impl Call {
    /// Checks the shapes, before candle would wrap what is wrong.
    pub(super) fn check(
        &self,
        qkv: [&[usize]; 3],
        extras: &[(&'static str, &Tensor)],
    ) -> Result<()> {
        let s = self.geometry.shape();
        let lead = self.lead();
        let expected = [(s.h, s.nq, s.d), (s.hkv, s.nk, s.d), (s.hkv, s.nk, s.dv)];
        for ((found, name), (h, n, d)) in qkv.iter().zip(["Q", "K", "V"]).zip(expected) {
            match self.order {
                Order::HeadsFirst => {
                    expect("attend", name, "[B, H, N, D]", found, &[lead, h, n, d])?
                }
                Order::TokensFirst if found.len() == 2 => {
                    expect("attend", name, "[T, H·D]", found, &[n, h * d])?;
                }
                Order::TokensFirst => {
                    expect("attend", name, "[B, N, H·D]", found, &[lead, n, h * d])?
                }
            }
        }
        for spec in self.attention.tensors(&self.geometry) {
            let given = extras.iter().find(|(name, _)| *name == spec.name);
            let found = match given {
                Some((_, tensor)) if tensor.dims() == spec.shape => continue,
                Some((_, tensor)) => format!("shape {:?}", tensor.dims()),
                None => "nothing".into(),
            };
            return Err(Error::Attention(attention::Error::Tensor {
                variant: self.attention.capabilities().variant,
                name: spec.name,
                summary: spec.summary,
                expected: spec.shape,
                found,
            }));
        }
        Ok(())
    }

    /// Length of the leading axis.
    fn lead(&self) -> usize {
        match self.geometry.layout() {
            Layout::Padded => self.geometry.shape().b,
            Layout::Jagged { .. } => 1,
        }
    }

    fn view<'a>(
        &self,
        data: &'a [f32],
        h: usize,
        n: usize,
        d: usize,
    ) -> Result<ArrayView4<'a, f32>> {
        let lead = self.lead();
        let view = match self.order {
            Order::HeadsFirst => ArrayView4::from_shape((lead, h, n, d), data),
            Order::TokensFirst => ArrayView4::from_shape((lead, n, h, d), data)
                .map(|tokens| tokens.permuted_axes([0, 2, 1, 3])),
        };
        view.map_err(|fault| candle_core::Error::wrap(fault).into())
    }

    /// Q, K and V as variants see them.
    pub(super) fn views<'a>(&self, qkv: [&'a [f32]; 3]) -> Result<[ArrayView4<'a, f32>; 3]> {
        let Shape {
            h,
            hkv,
            nq,
            nk,
            d,
            dv,
            ..
        } = *self.geometry.shape();
        Ok([
            self.view(qkv[0], h, nq, d)?,
            self.view(qkv[1], hkv, nk, d)?,
            self.view(qkv[2], hkv, nk, dv)?,
        ])
    }

    /// O as variants write it.
    pub(super) fn view_mut<'a>(&self, data: &'a mut [f32]) -> Result<ArrayViewMut4<'a, f32>> {
        let Shape { h, nq, dv, .. } = *self.geometry.shape();
        let lead = self.lead();
        let view = match self.order {
            Order::HeadsFirst => ArrayViewMut4::from_shape((lead, h, nq, dv), data),
            Order::TokensFirst => ArrayViewMut4::from_shape((lead, nq, h, dv), data)
                .map(|tokens| tokens.permuted_axes([0, 2, 1, 3])),
        };
        view.map_err(|fault| candle_core::Error::wrap(fault).into())
    }

    pub(super) fn problem<'a>(
        &self,
        qkv: [&'a [f32]; 3],
        extras: &[Extra<'a>],
    ) -> Result<Problem<'a>> {
        let [q, k, v] = self.views(qkv)?;
        let mut problem = match self.geometry.layout() {
            Layout::Padded => Problem::new(q, k, v)?,
            Layout::Jagged {
                q: queries,
                k: keys,
            } => Problem::jagged(q, k, v, queries.clone(), keys.clone())?,
        }
        .with_mask(self.geometry.mask().clone())?;
        if let Some(scale) = self.scale {
            problem = problem.with_scale(scale);
        }
        if let Some(dropout) = self.dropout {
            problem = problem.with_dropout(dropout);
        }
        for (name, tensor) in extras {
            problem = problem.with_tensor(name, tensor.clone());
        }
        Ok(problem)
    }

    /// O in the order of the inputs, and L where the variant has one.
    pub(super) fn forward(
        &self,
        qkv: [&[f32]; 3],
        extras: &[Extra<'_>],
    ) -> Result<(Vec<f32>, Option<Array3<f32>>)> {
        let problem = self.problem(qkv, extras)?;
        let Shape { h, nq, dv, .. } = *self.geometry.shape();
        let lead = self.lead();
        let mut data = vec![0.0; lead * h * nq * dv];
        let o = self.view_mut(&mut data)?;
        let has_lse = self
            .attention
            .capabilities()
            .has(attention::Feature::LogSumExp);
        let mut lse = has_lse.then(|| Array3::zeros((lead, h, nq)));
        let out = OutputMut {
            o,
            lse: lse.as_mut().map(|lse| lse.view_mut()),
        };
        let (attention, workers) = (&self.attention, self.engine.workers());
        self.engine
            .with_scratch(|scratch| attention.forward(&problem, out, workers, scratch))?;
        Ok((data, lse))
    }

    /// Gradients in the variant's own layout, from O, L and dO.
    pub(super) fn backward(
        &self,
        qkv: [&[f32]; 3],
        extras: &[Extra<'_>],
        o: &[f32],
        lse: Option<Array3<f32>>,
        d_o: &[f32],
    ) -> Result<Gradients> {
        let problem = self.problem(qkv, extras)?;
        let Shape { h, nq, dv, .. } = *self.geometry.shape();
        let saved = Output {
            o: self.view(o, h, nq, dv)?.to_owned(),
            lse,
        };
        let d_o = self.view(d_o, h, nq, dv)?;
        let mut gradients = Gradients::zeros(&problem);
        let (attention, workers) = (&self.attention, self.engine.workers());
        self.engine.with_scratch(|scratch| {
            attention.backward(&problem, &saved, d_o, &mut gradients, workers, scratch)
        })?;
        Ok(gradients)
    }

    /// A gradient `[B, H, N, D]` in the order of the inputs.
    pub(super) fn reorder(&self, gradient: Array4<f32>) -> Vec<f32> {
        let gradient = match self.order {
            Order::TokensFirst if gradient.dim().1 > 1 => {
                let tokens = gradient.permuted_axes([0, 2, 1, 3]);
                tokens.as_standard_layout().into_owned()
            }
            _ => gradient,
        };
        gradient.into_raw_vec_and_offset().0
    }

    /// Cuts one slice into the variant's tensors.
    pub(super) fn cut<'a>(
        &self,
        packed: &'a [f32],
        names: &[(&'static str, Vec<usize>)],
    ) -> Result<Vec<Extra<'a>>> {
        let mut rest = packed;
        names
            .iter()
            .map(|(name, shape)| {
                let (data, tail) = rest.split_at(shape.iter().product());
                rest = tail;
                let view =
                    ArrayViewD::from_shape(IxDyn(shape), data).map_err(candle_core::Error::wrap)?;
                Ok((*name, view))
            })
            .collect()
    }
}
