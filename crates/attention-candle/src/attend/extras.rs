//! Gradients of what a variant takes beside Q, K and V, though a node has three inputs.
//!
//! Those tensors are packed into one, and a second node stands behind the attention: it passes O on, and
//! has the packed tensor as its second input. Backward reaches it first. It computes all gradients at once,
//! returns that of the packed tensor, and leaves the others for the attention's own node.

use super::node::State;
use crate::error::Result;
use crate::tape::Node;
use crate::tensor::{floats, input, like, output};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use std::sync::{Arc, PoisonError};

/// Tensors by name, end to end in one.
pub(super) struct Extras {
    pub(super) packed: Option<Tensor>,
    pub(super) names: Vec<(&'static str, Vec<usize>)>,
}

impl Extras {
    pub(super) fn pack(given: &[(&'static str, &Tensor)]) -> Result<Self> {
        let flat = given.iter().map(|(_, tensor)| tensor.flatten_all());
        let flat = flat.collect::<candle_core::Result<Vec<_>>>()?;
        let packed = match &flat[..] {
            [] => None,
            [one] => Some(one.contiguous()?),
            many => Some(Tensor::cat(many, 0)?),
        };
        let names = given
            .iter()
            .map(|(name, tensor)| (*name, tensor.dims().to_vec()));
        Ok(Self {
            packed,
            names: names.collect(),
        })
    }

    pub(super) fn floats(&self) -> candle_core::Result<Vec<f32>> {
        self.packed
            .as_ref()
            .map_or(Ok(Vec::new()), |packed| Ok(floats(packed)?.to_vec()))
    }
}

/// O once more, with the packed tensor on the tape.
pub(super) fn tie(
    o: Tensor,
    packed: &Tensor,
    qkv: [&Tensor; 3],
    state: Arc<State>,
) -> Result<Tensor> {
    let qkv = qkv.map(Tensor::clone);
    let engine = state.call.engine.clone();
    let inputs = [o, packed.clone()];
    Ok(engine.apply(Node::Two(inputs, Box::new(Tie { qkv, state })))?)
}

struct Tie {
    qkv: [Tensor; 3],
    state: Arc<State>,
}

impl CustomOp2 for Tie {
    fn name(&self) -> &'static str {
        "attend-extras"
    }

    fn cpu_fwd(
        &self,
        o: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(output(input(o, layout)?.to_vec(), layout.shape().clone()))
    }

    fn bwd(
        &self,
        o: &Tensor,
        packed: &Tensor,
        _: &Tensor,
        d_o: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let [q, k, v] = &self.qkv;
        let mut gradients = self.state.backward([q, k, v], o, d_o)?;
        let mut d_packed = Vec::with_capacity(packed.elem_count());
        for (name, _) in &self.state.extras.names {
            let gradient = gradients.tensors.remove(name);
            d_packed.extend(gradient.into_iter().flatten());
        }
        let d_packed = like(d_packed, packed)?;
        let known = &self.state.gradients;
        *known.lock().unwrap_or_else(PoisonError::into_inner) = Some(gradients);
        Ok((Some(d_o.clone()), Some(d_packed)))
    }
}
