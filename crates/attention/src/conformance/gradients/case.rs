//! What is differentiated: a question, the numbers that it is asked of, and the place of each number.

use super::super::inputs::{Tensors, normal, shape};
use super::STEP;
use crate::attention::Attention;
use crate::bias::Bias;
use crate::capabilities::Feature;
use crate::dropout::Dropout;
use crate::error::Result;
use crate::gradients::Gradients;
use crate::mask::{Alignment, Mask};
use crate::problem::Problem;
use ndarray::{Array2, ArrayD, ArrayViewD};

/// Shape of dO.
pub(super) const D_O: (usize, usize, usize, usize) = (1, 2, 9, 3);

/// One question.
pub(super) struct Case {
    /// What it is, for messages.
    pub(super) name: String,
    mask: Mask,
    dropout: Option<Dropout>,
    jagged: bool,
}

impl Case {
    /// One for each mask, with and without dropout, and for each layout that a variant claims.
    pub(super) fn all(attention: &dyn Attention) -> Result<Vec<Self>> {
        let has = |feature| attention.capabilities().has(feature);
        let mut masks = vec![("full mask", Mask::full())];
        if has(Feature::Causal) {
            masks.push(("causal mask", Mask::causal(Alignment::BottomRight)));
        }
        let mut dropouts = vec![None];
        if has(Feature::Dropout) {
            dropouts.push(Some(Dropout::new(0.3, 3)?));
        }
        let mut cases = Vec::new();
        for (name, mask) in masks {
            for dropout in &dropouts {
                cases.push(Self {
                    name: format!("{name}{}", dropout.map_or("", |_| ", dropout")),
                    mask: mask.clone(),
                    dropout: *dropout,
                    jagged: false,
                });
            }
            if has(Feature::Jagged) {
                cases.push(Self {
                    name: format!("{name}, jagged"),
                    mask,
                    dropout: None,
                    jagged: true,
                });
            }
        }
        if has(Feature::KeyLengths) {
            cases.push(Self {
                name: "key lengths".into(),
                mask: Mask::key_lengths([7]),
                dropout: None,
                jagged: false,
            });
        }
        Ok(cases)
    }

    /// The question at a point.
    pub(super) fn problem<'p>(&self, point: &'p Point) -> Result<Problem<'p>> {
        let Tensors { q, k, v } = &point.inputs;
        let (q, k, v) = (q.view(), k.view(), v.view());
        let mut problem = if self.jagged {
            Problem::jagged(q, k, v, [0, 4, 9], [0, 7, 11])?
        } else {
            Problem::new(q, k, v)?
        };
        problem = problem.with_mask(self.mask.clone())?.with_scale(0.6);
        if let Some(table) = &point.table {
            problem = problem.with_bias(Bias::Relative(table.view()))?;
        }
        if let Some(dropout) = self.dropout {
            problem = problem.with_dropout(dropout);
        }
        for (name, tensor) in &point.tensors {
            problem = problem.with_tensor(name, tensor.view());
        }
        Ok(problem)
    }
}

/// All numbers that an answer is a function of.
pub(super) struct Point {
    inputs: Tensors,
    table: Option<Array2<f32>>,
    tensors: Vec<(&'static str, ArrayD<f32>)>,
}

impl Point {
    /// Random numbers for a case. Tensors lie around where they begin, since ones and zeros would hide
    /// a factor that is missing; an input (a rate, a gate) keeps its sign.
    pub(super) fn new(attention: &dyn Attention, case: &Case) -> Result<Self> {
        let has = |feature| attention.capabilities().has(feature);
        let hkv = if has(Feature::GroupedHeads) { 1 } else { 2 };
        let mut inputs = Tensors::new(shape([1, 2, hkv, 9, 11, 4, 3]), 1200);
        for x in inputs.q.iter_mut().chain(&mut inputs.k) {
            *x = away_from_zero(0.5 * *x);
        }
        let mut point = Self {
            inputs,
            table: has(Feature::Bias).then(|| normal((2, 7), 5)),
            tensors: Vec::new(),
        };
        let specs = attention.tensors(case.problem(&point)?.geometry());
        for (spec, seed) in specs.into_iter().zip(1400..) {
            let mut tensor = spec.make(seed);
            let noise = normal(tensor.raw_dim(), seed).mapv(|x: f32| 0.25 * x.clamp(-2.0, 2.0));
            tensor.zip_mut_with(&noise, |x, noise| {
                *x += if spec.learned { *noise } else { *x * *noise };
            });
            point.tensors.push((spec.name, tensor));
        }
        Ok(point)
    }

    /// Where its numbers stand.
    pub(super) fn places(&self) -> Vec<Place> {
        let table = self.table.iter().map(|_| Place::Table);
        let tensors = self.tensors.iter().map(|(name, _)| Place::Tensor(name));
        let inputs = [Place::Q, Place::K, Place::V];
        inputs.into_iter().chain(table).chain(tensors).collect()
    }
}

/// Feature maps have a kink at zero, over which no difference may reach.
fn away_from_zero(x: f32) -> f32 {
    x.signum() * x.abs().max(2.0 * STEP)
}

/// A tensor of a [`Point`].
#[derive(Clone, Copy)]
pub(super) enum Place {
    Q,
    K,
    V,
    Table,
    Tensor(&'static str),
}

impl Place {
    /// Its name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Q => "Q",
            Self::K => "K",
            Self::V => "V",
            Self::Table => "bias",
            Self::Tensor(name) => name,
        }
    }

    /// Changes its n-th number, and gives the number before.
    pub(super) fn replace(
        self,
        point: &mut Point,
        n: usize,
        change: impl Fn(f32) -> f32,
    ) -> Option<f32> {
        let entry = match self {
            Self::Q => point.inputs.q.as_slice_mut()?.get_mut(n)?,
            Self::K => point.inputs.k.as_slice_mut()?.get_mut(n)?,
            Self::V => point.inputs.v.as_slice_mut()?.get_mut(n)?,
            Self::Table => point.table.as_mut()?.as_slice_mut()?.get_mut(n)?,
            Self::Tensor(name) => {
                let mut tensors = point.tensors.iter_mut();
                let (_, tensor) = tensors.find(|t| t.0 == name)?;
                tensor.as_slice_mut()?.get_mut(n)?
            }
        };
        let before = *entry;
        *entry = change(before);
        Some(before)
    }

    /// The gradient of its numbers.
    pub(super) fn in_gradients(self, gradients: &Gradients) -> Option<ArrayViewD<'_, f32>> {
        match self {
            Self::Q => Some(gradients.dq.view().into_dyn()),
            Self::K => Some(gradients.dk.view().into_dyn()),
            Self::V => Some(gradients.dv.view().into_dyn()),
            Self::Table => gradients.dbias.as_ref().map(|bias| bias.view()),
            Self::Tensor(name) => gradients.tensors.get(name).map(|t| t.view()),
        }
    }
}
