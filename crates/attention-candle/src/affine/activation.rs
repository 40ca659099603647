//! Activations and their slopes.

use crate::numeric::{sigmoid, softplus};

/// What is applied to the sums of a linear layer, or behind a norm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// max(x, 0).
    Relu,
    /// x·σ(x) (Elfwing et al. 2018; the gates of HSTU).
    Silu,
    /// σ(x): gates in (0, 1).
    Sigmoid,
    /// ln(1 + exp(x)): positive rates.
    Softplus,
    /// ln σ(x): logarithms of decays, never positive.
    LogSigmoid,
}

impl Activation {
    #[inline(always)]
    pub(crate) fn apply(self, x: &mut [f32]) {
        let map = |x: &mut [f32], f: fn(f32) -> f32| x.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Self::Identity => {}
            Self::Relu => x
                .iter_mut()
                .for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x }),
            Self::Silu => x.iter_mut().for_each(|x| *x *= sigmoid(*x)),
            Self::Sigmoid => x.iter_mut().for_each(|x| *x = sigmoid(*x)),
            Self::Softplus => map(x, softplus),
            Self::LogSigmoid => map(x, |x| -softplus(-x)),
        }
    }

    /// Multiplies gradients by the slopes at x.
    #[inline(always)]
    pub(crate) fn differentiate(self, x: &[f32], gradients: &mut [f32]) {
        let pairs = gradients.iter_mut().zip(x);
        match self {
            Self::Identity => {}
            Self::Relu => pairs.for_each(|(g, x)| *g = if *x > 0.0 { *g } else { 0.0 }),
            Self::Silu => pairs.for_each(|(g, x)| {
                let s = sigmoid(*x);
                *g *= s * (1.0 + x * (1.0 - s));
            }),
            Self::Sigmoid => pairs.for_each(|(g, x)| {
                let s = sigmoid(*x);
                *g *= s * (1.0 - s);
            }),
            Self::Softplus => pairs.for_each(|(g, x)| *g *= sigmoid(*x)),
            Self::LogSigmoid => pairs.for_each(|(g, x)| *g *= sigmoid(-x)),
        }
    }
}
