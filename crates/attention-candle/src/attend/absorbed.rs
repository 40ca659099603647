//! Keys and values absorbed once, to which tokens are added one by one.

use super::call::Order;
use super::extras::Extras;
use super::{Attend, token_shape};
use crate::error::Result;
use crate::tensor::floats;
use attention::{Layout, OutputMut, Prepared};
use candle_core::{Device, Tensor};

/// Keys and values that a variant has [prepared](attention::Attention::prepare), with the call that they came
/// with. For models in use: nothing here has a gradient.
pub struct Absorbed {
    attend: Attend,
    heads: (usize, usize),
    prepared: Box<dyn Prepared>,
}

impl Attend {
    /// Absorbs the keys and values of a call of [`forward_tokens`](Self::forward_tokens), which is not answered.
    ///
    /// Cost: the variant's, of preparing.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward), and [`attention::Error::Unsupported`] of a variant that does not
    /// [prepare](attention::Feature::Prepare).
    ///
    /// ```
    /// use attention::{Mask, Workers, mask::Alignment};
    /// use attention_candle::{Attend, Engine};
    /// use candle_core::{DType, Device, Tensor};
    ///
    /// let attention = attention_variants::Configured::new("linear-elu", [])?.build()?;
    /// let attend = Attend::new(attention.into(), &Engine::new(Workers::serial()))
    ///     .with_mask(Mask::causal(Alignment::TopLeft));
    /// let past = Tensor::ones((5, 16), DType::F32, &Device::Cpu)?; // five tokens, two heads of eight
    /// let next = Tensor::ones((1, 16), DType::F32, &Device::Cpu)?;
    /// let mut absorbed = attend.absorb_tokens((2, 2), [&past, &past, &past], &[])?;
    /// let state = absorbed.bytes();
    /// assert_eq!(absorbed.next([&next, &next, &next], &[])?.dims(), [1, 16]);
    /// assert_eq!(absorbed.bytes(), state, "a linear attention keeps a state of fixed size");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn absorb_tokens(
        &self,
        heads: (usize, usize),
        qkv: [&Tensor; 3],
        extras: &[(&'static str, &Tensor)],
    ) -> Result<Absorbed> {
        let call = self.call(token_shape(heads, qkv)?, Order::TokensFirst)?;
        call.check(qkv.map(Tensor::dims), extras)?;
        let [q, k, v] = qkv.map(Tensor::contiguous);
        let (q, k, v) = (q?, k?, v?);
        let (q, k, v) = (floats(&q)?, floats(&k)?, floats(&v)?);
        let extras = Extras::pack(extras)?;
        let packed = extras.floats()?;
        let extras = call.cut(&packed, &extras.names)?;
        let problem = call.problem([&q, &k, &v], &extras)?;
        Ok(Absorbed {
            attend: self.clone(),
            heads,
            prepared: self.attention.prepare(&problem, self.engine.workers())?,
        })
    }
}

impl Absorbed {
    /// Appends the next token of each history and gives its O `[1, H·Dv]`, of q `[1, H·D]`, k `[1, Hkv·D]`, v
    /// `[1, Hkv·Dv]`, and the variant's tensors as its call for that one token would have them. Where there are
    /// several histories, `[B, 1, ...]`.
    ///
    /// Cost: the variant's, of one query: O(N·(D + Dv)) a head of an exact one, O(D·Dv) of one with a state.
    ///
    /// # Errors
    /// As for [`forward`](Attend::forward), and where what is prepared cannot grow.
    pub fn next(
        &mut self,
        qkv: [&Tensor; 3],
        extras: &[(&'static str, &Tensor)],
    ) -> Result<Tensor> {
        let attend = self.attend.clone().with_layout(Layout::Padded);
        let call = attend.call(token_shape(self.heads, qkv)?, Order::TokensFirst)?;
        call.check(qkv.map(Tensor::dims), extras)?;
        let mut dims = qkv[0].dims().to_vec();
        let [q, k, v] = qkv.map(Tensor::contiguous);
        let (q, k, v) = (q?, k?, v?);
        let (q, k, v) = (floats(&q)?, floats(&k)?, floats(&v)?);
        let [q, k, v] = call.views([&q, &k, &v])?;
        // What is learned was prepared with the first tokens.
        let learned = |name: &str| {
            let specs = self.attend.attention.tensors(&call.geometry);
            specs.iter().any(|spec| spec.learned && spec.name == name)
        };
        let extras = extras.iter().filter(|(name, _)| !learned(name)).copied();
        let extras = Extras::pack(&extras.collect::<Vec<_>>())?;
        let packed = extras.floats()?;
        let sides = call.cut(&packed, &extras.names)?;
        self.prepared.append_with(k, v, &sides)?;
        let shape = call.geometry.shape();
        let mut data = vec![0.0; shape.b * shape.h * shape.nq * shape.dv];
        let out = OutputMut {
            o: call.view_mut(&mut data)?,
            lse: None,
        };
        let engine = &self.attend.engine;
        engine.with_scratch(|scratch| self.prepared.forward(q, out, engine.workers(), scratch))?;
        if let Some(last) = dims.last_mut() {
            *last = shape.h * shape.dv;
        }
        Ok(Tensor::from_vec(data, dims, &Device::Cpu)?)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.prepared.bytes()
    }
}
