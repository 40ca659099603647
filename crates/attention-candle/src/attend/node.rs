//! The node of the tape: three inputs, one output, L and its like inside.

use super::call::Call;
use super::extras::{self, Extras};
use crate::error::Result;
use crate::tape::Node;
use crate::tensor::{floats, input, like, output};
use attention::Gradients;
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor};
use ndarray::Array3;
use std::sync::{Arc, Mutex, PoisonError};

/// Puts a checked call on the tape.
pub(super) fn apply(
    call: Call,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    given: &[(&'static str, &Tensor)],
) -> Result<Tensor> {
    let extras = Extras::pack(given)?;
    let state = Arc::new(State {
        call,
        extras,
        lse: Mutex::default(),
        gradients: Mutex::default(),
    });
    let inputs = [q, k, v].map(Tensor::clone);
    let op = Box::new(Attention(state.clone()));
    let o = state.call.engine.apply(Node::Three(inputs, op))?;
    match &state.extras.packed {
        Some(packed) if packed.track_op() => extras::tie(o, packed, [q, k, v], state.clone()),
        _ => Ok(o),
    }
}

/// What forward leaves for backward.
pub(super) struct State {
    pub(super) call: Call,
    pub(super) extras: Extras,
    lse: Mutex<Option<Array3<f32>>>,
    /// Gradients that the extras' node has computed for this one too.
    pub(super) gradients: Mutex<Option<Gradients>>,
}

impl State {
    /// All gradients at once.
    pub(super) fn backward(
        &self,
        qkv: [&Tensor; 3],
        o: &Tensor,
        d_o: &Tensor,
    ) -> candle_core::Result<Gradients> {
        let d_o = d_o.contiguous()?;
        let [q, k, v] = qkv.map(floats);
        let (q, k, v, o, d_o) = (q?, k?, v?, floats(o)?, floats(&d_o)?);
        let lse = self
            .lse
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let packed = self.extras.floats()?;
        let extras = self.call.cut(&packed, &self.extras.names)?;
        Ok(self.call.backward([&q, &k, &v], &extras, &o, lse, &d_o)?)
    }
}

struct Attention(Arc<State>);

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attend"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
        v: &CpuStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let state = &self.0;
        let qkv = [
            input(q, q_layout)?,
            input(k, k_layout)?,
            input(v, v_layout)?,
        ];
        let packed = state.extras.floats()?;
        let extras = state.call.cut(&packed, &state.extras.names)?;
        let (o, lse) = state.call.forward(qkv, &extras)?;
        *state.lse.lock().unwrap_or_else(PoisonError::into_inner) = lse;
        // As Q, but for Dv in the place of D.
        let mut shape = q_layout.dims().to_vec();
        let s = state.call.geometry.shape();
        if let Some(last) = shape.last_mut() {
            *last = if q_layout.dims().len() == 4 {
                s.dv
            } else {
                s.h * s.dv
            };
        }
        Ok(output(o, shape))
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        o: &Tensor,
        d_o: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let state = &self.0;
        let known = state
            .gradients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let gradients = match known {
            Some(gradients) => gradients,
            None => state.backward([q, k, v], o, d_o)?,
        };
        let Gradients { dq, dk, dv, .. } = gradients;
        Ok((
            Some(like(state.call.reorder(dq), q)?),
            Some(like(state.call.reorder(dk), k)?),
            Some(like(state.call.reorder(dv), v)?),
        ))
    }
}
