//! An attention layer with any registered variant inside.

use super::cache::{At, LayerCache};
use super::{ModelError, Parameters, Pass};
use attention::dropout::Dropout;
use attention::mask::{Alignment, Part};
use attention::{Attention, Error, Feature, Geometry, Layout, Mask, Shape};
use attention_candle::{Activation, Affine, Attend};
use attention_variants::Configured;
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which attention a model has, as the registry knows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionConfig {
    /// A registered name.
    pub variant: String,
    /// Its parameters as text; the rest keep their defaults.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

impl Default for AttentionConfig {
    fn default() -> Self {
        Self {
            variant: "blocked".into(),
            parameters: BTreeMap::new(),
        }
    }
}

impl AttentionConfig {
    pub(super) fn build(&self) -> Result<Arc<dyn Attention>, ModelError> {
        let parameters = self
            .parameters
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()));
        Ok(Configured::new(&self.variant, parameters)?.build()?.into())
    }
}

/// Projections to Q, K, V, attention, and the projection back.
///
/// A tensor that the variant learns becomes a parameter; a side input for every token is a linear projection of
/// what keys and values are made of, put into its range: β by σ, a decay's logarithm by ln σ over 16 (Yang et
/// al. 2024, section 4.4), a step of time by ln(1 + eˣ) (Gu & Dao 2023, section 3.6).
pub(super) struct Mixer {
    attention: Arc<dyn Attention>,
    heads: usize,
    head_width: usize,
    /// Of queries, keys, values and what they come to; without them all are the vectors as they are.
    projections: Option<[Var; 4]>,
    learned: Vec<(&'static str, Var)>,
    sides: Vec<Side>,
}

struct Side {
    name: &'static str,
    weight: Var,
    activation: Activation,
    factor: f32,
    /// Numbers a token and head.
    each: Vec<usize>,
}

impl Mixer {
    pub(super) fn new(
        attention: Arc<dyn Attention>,
        sizes: (usize, usize),
        name: &str,
        parameters: &mut Parameters,
    ) -> Result<Self, ModelError> {
        let mut linear =
            |part: &str| parameters.linear(&format!("{name}.{part}"), sizes.0, sizes.0, 0.0);
        let projections = [
            linear("query")?,
            linear("key")?,
            linear("value")?,
            linear("output")?,
        ];
        Ok(Self {
            projections: Some(projections),
            ..Self::bare(attention, sizes, name, parameters)?
        })
    }

    /// Without projections: queries, keys and values are the vectors as they are.
    pub(super) fn bare(
        attention: Arc<dyn Attention>,
        (width, heads): (usize, usize),
        name: &str,
        parameters: &mut Parameters,
    ) -> Result<Self, ModelError> {
        let (mut learned, mut sides) = (Vec::new(), Vec::new());
        for spec in attention.tensors(&geometry(1, heads, width / heads)?) {
            let name = format!("{name}.{}", spec.name);
            if spec.learned {
                learned.push((spec.name, parameters.declared(&name, &spec)?));
                continue;
            }
            // The bias is such that the side input begins as the variant declares it.
            let (activation, factor, bias) = match spec.name {
                "beta" => (Activation::Sigmoid, 1.0, 0.0),
                "log_decay" => (Activation::LogSigmoid, 1.0 / 16.0, -0.2),
                "step" => (Activation::Softplus, 1.0, -2.97),
                name => {
                    let variant = attention.capabilities().variant;
                    return Err(ModelError::SideInput { variant, name });
                }
            };
            let each = spec.shape[3..].to_vec();
            let outputs = heads * each.iter().product::<usize>();
            sides.push(Side {
                name: spec.name,
                weight: parameters.linear(&name, width, outputs, bias)?,
                activation,
                factor,
                each,
            });
        }
        Ok(Self {
            attention,
            heads,
            head_width: width / heads,
            projections: None,
            learned,
            sides,
        })
    }

    /// residual + drop(attention of queries from `x` over keys and values from `memory`), all `[T, D]`.
    pub(super) fn forward(
        &self,
        residual: &Tensor,
        x: &Tensor,
        memory: &Tensor,
        at: At<'_>,
        pass: Pass<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, ModelError> {
        let o = self.attend(x, memory, at, pass, dropout)?;
        match &self.projections {
            Some([.., output]) => Ok(Affine::new(pass.engine).forward_onto(residual, &o, output)?),
            None => Ok((residual + o)?),
        }
    }

    /// Attention of queries from `x` `[C, D]` over keys and values from `memory` `[T, D]`, each query over all of
    /// its own history.
    pub(super) fn read(
        &self,
        x: &Tensor,
        memory: &Tensor,
        layout: Layout,
        pass: Pass<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, ModelError> {
        let o = self.attend(x, memory, At::whole(layout), pass, dropout)?;
        match &self.projections {
            Some([.., output]) => Ok(Affine::new(pass.engine).forward(&o, output)?),
            None => Ok(o),
        }
    }

    fn attend(
        &self,
        x: &Tensor,
        memory: &Tensor,
        at: At<'_>,
        pass: Pass<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, ModelError> {
        let affine = Affine::new(pass.engine);
        let qkv = match &self.projections {
            Some([query, key, value, _]) => [
                affine.forward(x, query)?,
                affine.forward(memory, key)?,
                affine.forward(memory, value)?,
            ],
            None => [x.clone(), memory.clone(), memory.clone()],
        };
        self.weigh(qkv.each_ref(), memory, at, pass, dropout)
    }

    /// O `[T, D]` of Q, K and V; what the variant needs beside them is made of `memory`, as keys are.
    pub(super) fn weigh(
        &self,
        [q, k, v]: [&Tensor; 3],
        memory: &Tensor,
        at: At<'_>,
        pass: Pass<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, ModelError> {
        let sides = self
            .sides
            .iter()
            .map(|side| side.forward(memory, self.heads, pass));
        let sides = sides.collect::<Result<Vec<_>, _>>()?;
        let learned = self
            .learned
            .iter()
            .map(|(name, var)| (*name, var.as_tensor()));
        let extras: Vec<_> = learned
            .chain(
                self.sides
                    .iter()
                    .zip(&sides)
                    .map(|(side, tensor)| (side.name, tensor)),
            )
            .collect();
        if let Some(watch) = pass.watch {
            watch.note(self.heads, [q, k, v]);
        }
        // Some variants have no weights to drop; theirs is the dropout of the other layers alone.
        let drops = self.attention.capabilities().has(Feature::Dropout);
        let attend = Attend::new(self.attention.clone(), pass.engine)
            .with_layout(at.layout)
            .with_mask(at.mask)
            .with_dropout(dropout.filter(|_| drops));
        match at.cache {
            Some(cache) => cache.next(&attend, self.heads, [q, k, v], &extras),
            None => Ok(attend.forward_tokens((self.heads, self.heads), q, k, v, &extras)?),
        }
    }

    /// Room for the keys and values of a history.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the attention cannot absorb keys, or take more of them later.
    pub(super) fn cache(&self) -> Result<LayerCache, ModelError> {
        let geometry = geometry(1, self.heads, self.head_width)?;
        let capabilities = self.attention.capabilities();
        capabilities.admits_geometry(&geometry)?;
        capabilities.require(Feature::Prepare)?;
        let pattern = self.attention.pattern(&geometry)?.unwrap_or_default();
        let is_fixed = |part: &Part| matches!(part, Part::Dense(_) | Part::Blocks(_));
        if pattern.parts().iter().any(is_fixed) {
            return Err(ModelError::Attention(Error::Unsupported {
                variant: capabilities.variant,
                what: "appending keys".into(),
                reason: "its pattern is made for a number of keys, and has no place for one more",
            }));
        }
        Ok(LayerCache::default())
    }
}

impl Side {
    /// `[1, H, T, ...]`, as variants declare their side inputs.
    fn forward(&self, memory: &Tensor, heads: usize, pass: Pass<'_>) -> Result<Tensor, ModelError> {
        let side = Affine::new(pass.engine)
            .with_activation(self.activation)
            .with_factor(self.factor)
            .forward(memory, &self.weight)?;
        let tokens = side.dim(0)?;
        let each = self.each.iter().product::<usize>();
        let side = side
            .reshape((tokens, heads, each))?
            .transpose(0, 1)?
            .contiguous()?;
        let shape: Vec<usize> = [1, heads, tokens]
            .into_iter()
            .chain(self.each.iter().copied())
            .collect();
        Ok(side.reshape(shape)?)
    }
}

fn geometry(tokens: usize, heads: usize, d: usize) -> Result<Geometry, ModelError> {
    let shape = Shape {
        b: 1,
        h: heads,
        hkv: heads,
        nq: tokens,
        nk: tokens,
        d,
        dv: d,
    };
    Ok(Geometry::padded(shape, Mask::causal(Alignment::TopLeft))?)
}
