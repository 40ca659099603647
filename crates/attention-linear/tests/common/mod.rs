//! What the tests of all variants share.
#![allow(dead_code)]

use attention::accuracy::{Accuracy, Reference, RowSample};
use attention::variant::{Parameters, Variant};
use attention::{Attention, Output, Problem, Scratch, Shape, Workers};
use ndarray::Array4;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

pub(crate) fn build(variant: &Variant, given: &[(&'static str, &str)]) -> Box<dyn Attention> {
    let mut parameters = Parameters::defaults(variant.parameters);
    for (name, value) in given {
        let declared = variant.parameters.iter().find(|p| p.name == *name).unwrap();
        parameters.set(name, declared.accept(value).unwrap());
    }
    (variant.build)(&parameters).unwrap()
}

/// Q, K and V of independent Gaussians, Q times `spread`.
pub(crate) struct Tensors {
    pub(crate) q: Array4<f32>,
    pub(crate) k: Array4<f32>,
    pub(crate) v: Array4<f32>,
}

impl Tensors {
    pub(crate) fn gaussian(s: Shape, spread: f32, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |shape, factor: f32| {
            Array4::from_shape_simple_fn(shape, || {
                let x: f32 = StandardNormal.sample(&mut rng);
                factor * x
            })
        };
        Self {
            q: draw((s.b, s.h, s.nq, s.d), spread),
            k: draw((s.b, s.hkv, s.nk, s.d), 1.0),
            v: draw((s.b, s.hkv, s.nk, s.dv), 1.0),
        }
    }

    pub(crate) fn problem(&self) -> Problem<'_> {
        Problem::new(self.q.view(), self.k.view(), self.v.view()).unwrap()
    }
}

pub(crate) fn run(variant: &dyn Attention, problem: &Problem<'_>, threads: usize) -> Output {
    let mut out = Output::poisoned(problem.geometry(), false);
    let mut scratch = Scratch::new();
    let foretold = variant.scratch_bytes(problem.geometry(), threads);
    scratch.reserve(foretold);
    let workers = Workers::new(threads).unwrap();
    variant
        .forward(problem, out.view_mut(), &workers, &mut scratch)
        .unwrap();
    assert_eq!(
        scratch.bytes(),
        foretold / 4 * 4,
        "scratch was not foretold"
    );
    out
}

/// Errors over all rows.
pub(crate) fn measure(variant: &dyn Attention, problem: &Problem<'_>, out: &Output) -> Accuracy {
    let workers = Workers::serial();
    let reference = Reference::compute(problem, &RowSample::all(problem.geometry()), &workers);
    reference.measure(variant, problem, out, &workers).unwrap()
}

/// The kernel's relative error against its own form.
pub(crate) fn gate(variant: &dyn Attention, problem: &Problem<'_>) -> f64 {
    let out = run(variant, problem, 1);
    measure(variant, problem, &out)
        .implementation
        .relative_frobenius
}
