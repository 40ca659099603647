//! What goes into the attention of each layer: to look at, or to take elsewhere.

use super::{ModelError, Pass, Scorer, Tokens};
use attention_candle::floats;
use candle_core::Tensor;
use ndarray::{Array4, ArrayView2, Axis};
use std::sync::{Mutex, PoisonError};

/// Notes Q, K and V of each attention of a [`Pass`], in the order of the layers.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Vec<(usize, [Tensor; 3])>>);

impl Watch {
    pub(super) fn note(&self, heads: usize, qkv: [&Tensor; 3]) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.push((heads, qkv.map(Tensor::clone)));
    }
}

/// Q, K and V of one layer, each `[B, H, N, D]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerInput {
    /// Queries.
    pub q: Array4<f32>,
    /// Keys.
    pub k: Array4<f32>,
    /// Values.
    pub v: Array4<f32>,
}

impl Scorer<'_> {
    /// What goes into each layer's attention behind the latest `length` events of histories that have as many;
    /// nothing of models without attention.
    ///
    /// # Errors
    /// [`ModelError`] where the model refuses, or where a history is shorter.
    pub fn layers(
        &self,
        histories: &[&[u32]],
        length: usize,
    ) -> Result<Vec<LayerInput>, ModelError> {
        let length = length.min(self.model.longest());
        if let Some(short) = histories.iter().find(|history| history.len() < length) {
            return Err(ModelError::Setting {
                setting: "length",
                value: length.to_string(),
                expected: if short.is_empty() {
                    "histories with events"
                } else {
                    "at most the length of every history"
                },
            });
        }
        let latest = histories.iter().map(|h| &h[h.len() - length..]);
        let tokens = Tokens::new(latest, self.model.longest());
        let watch = Watch::default();
        let pass = Pass {
            engine: self.engine,
            dropout: None,
            watch: Some(&watch),
        };
        self.model.encode(&self.items.detach(), &tokens, pass)?;
        let noted = watch.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let shape = (histories.len(), length);
        noted
            .into_iter()
            .map(|(heads, [q, k, v])| {
                Ok(LayerInput {
                    q: heads_first(&q, heads, shape)?,
                    k: heads_first(&k, heads, shape)?,
                    v: heads_first(&v, heads, shape)?,
                })
            })
            .collect()
    }
}

/// `[B, H, N, D]` from `[B·N, H·D]`.
fn heads_first(
    x: &Tensor,
    heads: usize,
    (b, n): (usize, usize),
) -> Result<Array4<f32>, ModelError> {
    let x = x.contiguous()?;
    let width = x.dim(1)? / heads.max(1);
    let x = floats(&x)?;
    Ok(Array4::from_shape_fn(
        (b, heads, n, width),
        |(b, h, i, d)| x[((b * n + i) * heads + h) * width + d],
    ))
}

impl LayerInput {
    /// How flat each head's causal softmax attention is: mean exp(H(P_i))/(i + 1) over rows and histories, 1 where
    /// every event weighs the same, down to one over the number of events.
    ///
    /// Cost: O(B·H·N²·D).
    #[must_use]
    pub fn entropy(&self) -> Vec<f64> {
        let (b, h, n, d) = self.q.dim();
        let scale = 1.0 / (d.max(1) as f64).sqrt();
        (0..h)
            .map(|head| {
                let rows = (0..b).map(|b| {
                    let of = |x: &Array4<f32>| {
                        let batch = x.index_axis(Axis(0), b);
                        batch.index_axis(Axis(0), head).to_owned()
                    };
                    flatness(of(&self.q).view(), of(&self.k).view(), scale)
                });
                rows.sum::<f64>() / (b * n).max(1) as f64
            })
            .collect()
    }
}

/// Σ over rows of exp(H(P_i))/(i + 1).
fn flatness(q: ArrayView2<'_, f32>, k: ArrayView2<'_, f32>, scale: f64) -> f64 {
    let row = |(i, q): (usize, ndarray::ArrayView1<'_, f32>)| {
        let dot = |k: ndarray::ArrayView1<'_, f32>| {
            let products = q.iter().zip(k).map(|(a, b)| f64::from(*a) * f64::from(*b));
            scale * products.sum::<f64>()
        };
        let scores: Vec<f64> = k.axis_iter(Axis(0)).take(i + 1).map(dot).collect();
        let top = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights = scores.iter().map(|s| (s - top).exp());
        let sum: f64 = weights.clone().sum();
        let entropy: f64 = weights
            .map(|w| w / sum)
            .filter(|p| *p > 0.0)
            .map(|p| -p * p.ln())
            .sum();
        entropy.exp() / (i + 1) as f64
    };
    q.axis_iter(Axis(0)).enumerate().map(row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_scores_are_flat_and_one_large_score_is_not() {
        let zeros = Array4::zeros((2, 1, 8, 4));
        let flat = LayerInput {
            q: zeros.clone(),
            k: zeros.clone(),
            v: zeros.clone(),
        };
        assert!((flat.entropy()[0] - 1.0).abs() < 1e-12);
        let k = Array4::from_shape_fn(
            (2, 1, 8, 4),
            |(_, _, n, _)| if n == 0 { 100.0 } else { 0.0 },
        );
        let peaked = LayerInput {
            q: Array4::ones((2, 1, 8, 4)),
            k,
            v: zeros,
        };
        let expected = (1..=8).map(|n| 1.0 / f64::from(n)).sum::<f64>() / 8.0;
        assert!((peaked.entropy()[0] - expected).abs() < 1e-6);
    }
}
