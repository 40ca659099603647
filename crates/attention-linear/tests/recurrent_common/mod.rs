//! A question with side inputs drawn at random.

use attention::mask::Mask;
use attention::variant::{Parameters, Variant};
use attention::{Attention, Gradients, Init, Output, Problem, Result, Scratch, Workers};
use attention_linear::{DELTANET, GATED_DELTANET, GLA, RETNET, SELECTIVE_SCAN};
use ndarray::{Array4, ArrayD, Axis, Slice};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use std::ops::Range;

/// Every recurrence.
pub(crate) static ALL: [&Variant; 5] = [&RETNET, &GLA, &DELTANET, &GATED_DELTANET, &SELECTIVE_SCAN];

pub(crate) struct Case {
    pub(crate) attention: Box<dyn Attention>,
    pub(crate) q: Array4<f32>,
    pub(crate) k: Array4<f32>,
    pub(crate) v: Array4<f32>,
    pub(crate) tensors: Vec<(&'static str, ArrayD<f32>)>,
    mask: Mask,
}

impl Case {
    /// Sizes are [B, H, Hkv, N, D, Dv].
    pub(crate) fn random(variant: &Variant, [b, h, hkv, n, d, dv]: [usize; 6], mask: Mask) -> Self {
        let attention = (variant.build)(&Parameters::defaults(variant.parameters)).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut normal = |shape| {
            Array4::from_shape_simple_fn(shape, || {
                let x: f32 = StandardNormal.sample(&mut rng);
                x
            })
        };
        let (q, k, v) = (
            normal((b, h, n, d)),
            normal((b, hkv, n, d)),
            normal((b, hkv, n, dv)),
        );
        let mut case = Self {
            attention,
            q,
            k,
            v,
            tensors: Vec::new(),
            mask,
        };
        let specs = case
            .bare()
            .map(|p| case.attention.tensors(p.geometry()))
            .unwrap();
        for (spec, seed) in specs.into_iter().zip(1..) {
            let mut tensor = spec.make(seed);
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let given = spec.init == Init::Constant(0.0);
            for x in &mut tensor {
                let noise: f32 = StandardNormal.sample(&mut rng);
                // Inputs over two orders of magnitude, of the sign that they have; what is learned, anyhow.
                *x = if spec.learned || given {
                    *x + 0.5 * noise
                } else if spec.name == "beta" {
                    (*x + 0.2 * noise).clamp(0.0, 1.0)
                } else {
                    *x * (1.5 * noise).exp()
                };
            }
            case.tensors.push((spec.name, tensor));
        }
        case
    }

    fn bare(&self) -> Result<Problem<'_>> {
        Problem::new(self.q.view(), self.k.view(), self.v.view())?.with_mask(self.mask.clone())
    }

    pub(crate) fn problem(&self) -> Problem<'_> {
        let tensors = self.tensors.iter();
        tensors.fold(self.bare().unwrap(), |problem, (name, tensor)| {
            problem.with_tensor(name, tensor.view())
        })
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut ArrayD<f32> {
        &mut self.tensors.iter_mut().find(|t| t.0 == name).unwrap().1
    }

    /// Side inputs of some keys, and what is learned.
    pub(crate) fn of_keys(&self, keys: Range<usize>) -> Vec<(&'static str, ArrayD<f32>)> {
        let n = self.k.dim().2;
        let cut = |(name, t): &(&'static str, ArrayD<f32>)| {
            let by_key = t.ndim() > 2 && t.shape()[2] == n;
            let part = if by_key {
                t.slice_axis(Axis(2), Slice::from(keys.clone())).to_owned()
            } else {
                t.clone()
            };
            (*name, part.as_standard_layout().into_owned())
        };
        self.tensors.iter().map(cut).collect()
    }

    /// The question of some tokens alone.
    pub(crate) fn part<R>(&self, tokens: Range<usize>, ask: impl FnOnce(&Problem<'_>) -> R) -> R {
        let cut = |t: &Array4<f32>| {
            t.slice_axis(Axis(2), Slice::from(tokens.clone()))
                .to_owned()
        };
        let (q, k, v) = (cut(&self.q), cut(&self.k), cut(&self.v));
        let tensors = self.of_keys(tokens.clone());
        let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
        let problem = problem.with_mask(self.mask.clone()).unwrap();
        let problem = tensors
            .iter()
            .fold(problem, |p, (name, t)| p.with_tensor(name, t.view()));
        ask(&problem)
    }

    pub(crate) fn forward(&self, threads: usize) -> Result<Output> {
        let problem = self.problem();
        let mut out = Output::poisoned(problem.geometry(), false);
        let workers = Workers::new(threads)?;
        self.attention
            .forward(&problem, out.view_mut(), &workers, &mut Scratch::new())?;
        Ok(out)
    }

    /// Output and gradients for dO = V repeated over heads, in the scratch that was foretold.
    pub(crate) fn run(&self, threads: usize) -> (Output, Gradients) {
        let problem = self.problem();
        let output = self.forward(threads).unwrap();
        let d_o = d_o(&output);
        let mut gradients = Gradients::zeros(&problem);
        gradients.fill(f32::NAN);
        let mut scratch = Scratch::new();
        let foretold = self
            .attention
            .backward_scratch_bytes(problem.geometry(), threads);
        scratch.reserve(foretold);
        let workers = Workers::new(threads).unwrap();
        self.attention
            .backward(
                &problem,
                &output,
                d_o.view(),
                &mut gradients,
                &workers,
                &mut scratch,
            )
            .unwrap();
        assert!(scratch.bytes() <= foretold, "scratch was not foretold");
        (output, gradients)
    }
}

/// A gradient of O that depends on all of it.
pub(crate) fn d_o(output: &Output) -> Array4<f32> {
    output.o.mapv(|x| (3.0 * x).sin())
}

/// Σ dO∘O by the recurrence in f64.
pub(crate) fn loss(case: &Case, d_o: &Array4<f32>) -> f64 {
    let problem = case.problem();
    let of = |head: attention::Head<'_>| {
        let rows: Vec<usize> = (0..head.q.nrows()).collect();
        let form = case
            .attention
            .form_f64(&problem, head.sequence, head.head, &rows)
            .unwrap();
        let d_o = d_o.index_axis(Axis(0), head.sequence);
        let d_o = d_o.index_axis(Axis(0), head.head).mapv(f64::from);
        (form.output * d_o).sum()
    };
    problem.heads().map(of).sum()
}

/// The largest relative Frobenius error of a head against the recurrence in f64.
pub(crate) fn error(case: &Case) -> f64 {
    let problem = case.problem();
    let output = case.forward(1).unwrap().o;
    let mut worst = 0.0f64;
    for head in problem.heads() {
        let rows: Vec<usize> = (0..head.q.nrows()).collect();
        let form = case
            .attention
            .form_f64(&problem, head.sequence, head.head, &rows)
            .unwrap();
        let got = output.index_axis(Axis(0), head.sequence);
        let got = got.index_axis(Axis(0), head.head).mapv(f64::from);
        let squares = |x: ndarray::Array2<f64>| x.mapv(|x| x * x).sum();
        let size = squares(form.output.clone());
        worst = worst.max((squares(got - form.output) / size.max(1e-300)).sqrt());
    }
    worst
}
