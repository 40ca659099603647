//! Where backward writes.

use crate::error::{Error, Result, expect_shape};
use crate::problem::Problem;
use ndarray::{Array4, ArrayBase, ArrayD, Data, Dimension};
use std::collections::BTreeMap;

/// Gradients of a loss, given its gradient by O: in memory as [`zeros`](Self::zeros) makes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// `[B, H, Nq, D]`.
    pub dq: Array4<f32>,
    /// `[B, Hkv, Nk, D]`.
    pub dk: Array4<f32>,
    /// `[B, Hkv, Nk, Dv]`.
    pub dv: Array4<f32>,
    /// The bias table's, in its shape, where the problem has a bias.
    pub dbias: Option<ArrayD<f32>>,
    /// By name, for each side input or learned parameter that the problem gives.
    pub tensors: BTreeMap<&'static str, ArrayD<f32>>,
}

impl Gradients {
    /// Room for the gradients of a problem, all zero; a training loop makes it once and keeps it.
    #[must_use]
    pub fn zeros(problem: &Problem<'_>) -> Self {
        let s = problem.shape();
        let lead = if problem.geometry().is_jagged() {
            1
        } else {
            s.b
        };
        Self {
            dq: Array4::zeros((lead, s.h, s.nq, s.d)),
            dk: Array4::zeros((lead, s.hkv, s.nk, s.d)),
            dv: Array4::zeros((lead, s.hkv, s.nk, s.dv)),
            dbias: problem.bias().map(|bias| ArrayD::zeros(bias.shape())),
            tensors: problem
                .tensors()
                .map(|(name, tensor)| (name, ArrayD::zeros(tensor.shape())))
                .collect(),
        }
    }

    /// Fills every tensor with one value: 0 to begin a sum, NaN so that a slot which is never
    /// written shows.
    pub fn fill(&mut self, value: f32) {
        self.dq.fill(value);
        self.dk.fill(value);
        self.dv.fill(value);
        let rest = self.dbias.iter_mut().chain(self.tensors.values_mut());
        rest.for_each(|tensor| tensor.fill(value));
    }

    /// Checks shapes and memory order against a problem.
    ///
    /// # Errors
    /// [`Error::Shape`] where a tensor has another shape or is missing, [`Error::Stride`] where it
    /// is not contiguous and row-major.
    pub fn check(&self, problem: &Problem<'_>) -> Result<()> {
        let s = problem.shape();
        let lead = if problem.geometry().is_jagged() {
            1
        } else {
            s.b
        };
        fits("dQ", "[B, H, Nq, D]", &self.dq, &[lead, s.h, s.nq, s.d])?;
        fits("dK", "[B, Hkv, Nk, D]", &self.dk, &[lead, s.hkv, s.nk, s.d])?;
        fits(
            "dV",
            "[B, Hkv, Nk, Dv]",
            &self.dv,
            &[lead, s.hkv, s.nk, s.dv],
        )?;
        if let Some(bias) = problem.bias() {
            let found = self.dbias.as_ref();
            present("dbias", bias.shape(), found)?;
        }
        problem
            .tensors()
            .try_for_each(|(name, tensor)| present(name, tensor.shape(), self.tensors.get(name)))
    }
}

fn present(tensor: &'static str, expected: &[usize], found: Option<&ArrayD<f32>>) -> Result<()> {
    match found {
        Some(found) => fits(
            tensor,
            "the shape of what it is the gradient of",
            found,
            expected,
        ),
        None => expect_shape(
            tensor,
            "the shape of what it is the gradient of",
            &[],
            expected,
        ),
    }
}

fn fits<S: Data<Elem = f32>, D: Dimension>(
    tensor: &'static str,
    letters: &str,
    found: &ArrayBase<S, D>,
    expected: &[usize],
) -> Result<()> {
    expect_shape(tensor, letters, found.shape(), expected)?;
    if found.is_standard_layout() {
        return Ok(());
    }
    Err(Error::Stride {
        tensor,
        strides: found.strides().to_vec(),
    })
}
