//! The learned tensors of an activation unit: declared, read and given their gradients in one order.

use attention::{Gradients, Init, Problem, TensorSpec};

/// A tensor that a unit learns.
pub(crate) struct Learned {
    pub(crate) name: &'static str,
    pub(crate) shape: Vec<usize>,
    /// The deviation with which it begins; zero for biases.
    pub(crate) deviation: f32,
    pub(crate) summary: &'static str,
}

impl Learned {
    /// A matrix that begins as Glorot & Bengio 2010 have it (equation 16, in its normal form).
    pub(crate) fn matrix(name: &'static str, shape: [usize; 2], summary: &'static str) -> Self {
        Self {
            name,
            deviation: (2.0 / shape.iter().sum::<usize>().max(1) as f32).sqrt(),
            shape: shape.to_vec(),
            summary,
        }
    }

    /// A bias that begins as zero.
    pub(crate) fn bias(name: &'static str, size: usize, summary: &'static str) -> Self {
        Self {
            name,
            shape: vec![size],
            deviation: 0.0,
            summary,
        }
    }

    pub(crate) fn spec(self) -> TensorSpec {
        TensorSpec {
            name: self.name,
            learned: true,
            shape: self.shape,
            init: match self.deviation {
                0.0 => Init::Constant(0.0),
                deviation => Init::Normal(deviation),
            },
            summary: self.summary,
        }
    }
}

/// A learned tensor of a problem that was found to have it.
pub(crate) fn weights<'p>(problem: &'p Problem<'_>, name: &str) -> &'p [f32] {
    let tensor = problem.tensor(name);
    tensor.and_then(|t| t.as_slice()).unwrap_or_default()
}

/// Cuts the gradients of all of `specs`, end to end, up.
pub(crate) fn give(specs: &[TensorSpec], gradients: &[f64], out: &mut Gradients) {
    let mut rest = gradients;
    for spec in specs {
        let (own, behind) = rest.split_at(spec.shape.iter().product());
        rest = behind;
        if let Some(gradient) = out.tensors.get_mut(spec.name) {
            for (to, x) in gradient.iter_mut().zip(own) {
                *to = *x as f32;
            }
        }
    }
}
