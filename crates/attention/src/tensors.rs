//! Tensors that a variant needs beside Q, K and V: what it declares, and how they begin.

use crate::attention::Attention;
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::problem::Problem;
use ndarray::{ArrayD, ArrayViewD, Dimension, IxDyn};
use std::collections::BTreeMap;

/// A tensor that a variant needs beside Q, K and V.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorSpec {
    /// The name under which [`Problem::with_tensor`] gives it.
    pub name: &'static str,
    /// Whether it is learned (a projection, a feature map) or an input (gates, timestamps).
    pub learned: bool,
    /// Its shape for the geometry that was asked about.
    pub shape: Vec<usize>,
    /// What it is before anybody has learned or measured it.
    pub init: Init,
    /// What it is, in a line.
    pub summary: &'static str,
}

/// How a tensor begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// The same number everywhere.
    Constant(f32),
    /// Ones on the diagonal of the last two axes, zeros elsewhere.
    Identity,
    /// Independent normal numbers of mean 0 and this standard deviation.
    Normal(f32),
}

impl TensorSpec {
    /// The tensor as it begins. An entry depends on the seed, the tensor's name and its own index
    /// alone, so that tensors for histories of different length agree where they overlap.
    #[must_use]
    pub fn make(&self, seed: u64) -> ArrayD<f32> {
        let name = self
            .name
            .bytes()
            .fold(mix(seed), |hash, byte| mix(hash ^ u64::from(byte)));
        ArrayD::from_shape_fn(IxDyn(&self.shape), |index| {
            let at = index.slice();
            match self.init {
                Init::Constant(x) => x,
                Init::Identity => match at {
                    [.., row, column] => f32::from(u8::from(row == column)),
                    _ => 1.0,
                },
                Init::Normal(deviation) => {
                    let key = at.iter().fold(name, |hash, &i| mix(hash ^ i as u64));
                    (f64::from(deviation) * normal(key)) as f32
                }
            }
        })
    }
}

/// A bijection of 64 bits without pattern (the finaliser of SplitMix64, Steele et al. 2014).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// A standard normal number from a key (Box and Muller 1958).
fn normal(key: u64) -> f64 {
    let uniform = |bits: u64| ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    let (u, v) = (uniform(mix(key)), uniform(mix(!key)));
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Tensors by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tensors(BTreeMap<&'static str, ArrayD<f32>>);

impl Tensors {
    /// Everything that a variant declares for a geometry, as it begins.
    #[must_use]
    pub fn of(attention: &dyn Attention, geometry: &Geometry, seed: u64) -> Self {
        let specs = attention.tensors(geometry);
        Self(specs.iter().map(|s| (s.name, s.make(seed))).collect())
    }

    /// Names and tensors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, ArrayViewD<'_, f32>)> {
        self.0.iter().map(|(name, tensor)| (*name, tensor.view()))
    }

    /// One to change, by name.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut ArrayD<f32>> {
        self.0.get_mut(name)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks that a problem gives every tensor that a variant declares, in its shape.
///
/// # Errors
/// [`Error::Tensor`] for one that is missing, has another shape or is not contiguous in row-major order.
pub fn expect_tensors(attention: &dyn Attention, problem: &Problem<'_>) -> Result<()> {
    for spec in attention.tensors(problem.geometry()) {
        let fault = |found: String| Error::Tensor {
            variant: attention.capabilities().variant,
            name: spec.name,
            summary: spec.summary,
            expected: spec.shape.clone(),
            found,
        };
        match problem.tensor(spec.name) {
            None => return Err(fault("nothing".into())),
            Some(tensor) if tensor.shape() != spec.shape => {
                return Err(fault(format!("shape {:?}", tensor.shape())));
            }
            Some(tensor) if !tensor.is_standard_layout() => {
                return Err(fault(format!("strides {:?}", tensor.strides())));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(shape: &[usize], init: Init) -> TensorSpec {
        TensorSpec {
            name: "w",
            learned: true,
            shape: shape.to_vec(),
            init,
            summary: "",
        }
    }

    #[test]
    fn a_longer_tensor_begins_as_the_shorter_one() {
        let (short, long) = (
            spec(&[3, 5], Init::Normal(2.0)),
            spec(&[3, 9], Init::Normal(2.0)),
        );
        let (short, long) = (short.make(1), long.make(1));
        assert_eq!(short, long.slice(ndarray::s![.., ..5]).into_dyn());
        assert_ne!(short, spec(&[3, 5], Init::Normal(2.0)).make(2));
    }

    #[test]
    fn normal_numbers_have_their_mean_and_deviation() {
        let x = spec(&[200, 300], Init::Normal(0.5)).make(7).mapv(f64::from);
        let mean = x.mean().unwrap();
        let deviation = x.mapv(|x| (x - mean).powi(2)).mean().unwrap().sqrt();
        assert!(mean.abs() < 0.01, "{mean}");
        assert!((deviation - 0.5).abs() < 0.01, "{deviation}");
    }

    #[test]
    fn an_identity_is_one_for_each_head() {
        let eye = spec(&[2, 3, 3], Init::Identity).make(0);
        assert_eq!(eye.sum(), 6.0);
        assert_eq!(eye[[1, 2, 2]], 1.0);
    }
}
