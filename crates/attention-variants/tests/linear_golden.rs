//! Linear, low-rank and recurrent attention, those of recommenders, and all gradients, against PyTorch in f64.
//!
//! `benches/golden/linear_attention.py` and `interest_attention.py` make the values and say how;
//! `benches/golden/formula.py` has the formula of the inputs and what is stored of an answer.

use attention::mask::{Alignment, Mask};
use attention::{Attention, Feature, Gradients, Output, Problem, Scratch, Tensors, Workers};
use attention_variants::Configured;
use ndarray::{Array, Array4, Dimension, IxDyn};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What an answer in f32 may differ by, unless PyTorch's own f32 is worse than a third of it.
const BOUND: f64 = 2e-6;

const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
const WHOLE: usize = 200;
const FIRST_CHECK: u64 = 100;

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    variant: String,
    parameters: BTreeMap<String, String>,
    shape: [usize; 7],
    scale: f32,
    mask: String,
    lengths: Option<Vec<usize>>,
    tensors: Vec<Own>,
    answers: BTreeMap<String, Answer>,
}

/// A tensor that the variant declares.
#[derive(serde::Deserialize)]
struct Own {
    name: String,
    number: u64,
    shape: Vec<usize>,
    low: f64,
    high: f64,
}

#[derive(serde::Deserialize)]
struct Answer {
    norm: f64,
    values: Vec<f64>,
    checks: Vec<f64>,
    /// The error of PyTorch's f32.
    #[serde(rename = "f32")]
    single: f64,
}

/// u(t, n) of the formula: in [0, 1).
fn uniform(number: u64, n: u64) -> f64 {
    let x = ((number << 32) + n).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ x >> 31) >> 40) as f64 / f64::from(1 << 24)
}

fn fill<D: Dimension>(tensor: &mut Array<f32, D>, number: u64, low: f64, high: f64) {
    for (n, x) in (0..).zip(tensor.iter_mut()) {
        *x = (low + (high - low) * uniform(number, n)) as f32;
    }
}

fn input(number: u64, shape: (usize, usize, usize, usize)) -> Array4<f32> {
    let mut tensor = Array4::zeros(shape);
    fill(&mut tensor, number, -1.5, 1.5);
    tensor
}

impl Answer {
    fn bound(&self) -> f64 {
        BOUND.max(3.0 * self.single)
    }

    /// The relative error of the stored entries, or that which the products show if it is larger.
    fn error(&self, got: &[f32]) -> f64 {
        let got: Vec<f64> = got.iter().map(|x| f64::from(*x)).collect();
        let size = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
        if self.norm == 0.0 {
            return size(&got);
        }
        let place = |k: usize| match got.len() {
            ..=WHOLE => k,
            n => (n as f64 * ((k + 1) as f64 * GOLDEN_RATIO).fract()) as usize,
        };
        let apart = self
            .values
            .iter()
            .enumerate()
            .map(|(k, x)| got[place(k)] - x);
        let mut error = size(&apart.collect::<Vec<_>>()) / size(&self.values);
        for (number, check) in (FIRST_CHECK..).zip(&self.checks) {
            let with: Vec<f64> = (0..got.len() as u64)
                .map(|n| 2.0 * uniform(number, n) - 1.0)
                .collect();
            let product: f64 = got.iter().zip(&with).map(|(x, y)| x * y).sum();
            // |<e, y>| <= ||e||·||y||, and one wrong entry shows in it.
            error = error.max((product - check).abs() / (self.norm * size(&with)));
        }
        error
    }
}

impl Case {
    fn label(&self) -> String {
        let parameters = self.parameters.iter().map(|(k, v)| format!(" {k}={v}"));
        let parameters: String = parameters.collect();
        format!("{}{parameters}: {}", self.variant, self.name)
    }

    fn mask(&self) -> Mask {
        let mask = match self.mask.as_str() {
            "full" => Mask::full(),
            "causal top-left" => Mask::causal(Alignment::TopLeft),
            "causal bottom-right" => Mask::causal(Alignment::BottomRight),
            other => panic!("no mask is called {other}"),
        };
        match &self.lengths {
            None => mask,
            Some(lengths) => mask.and(&Mask::key_lengths(lengths.clone())),
        }
    }

    fn build(&self) -> Result<Box<dyn Attention>, String> {
        let settings = self.parameters.iter();
        let settings = settings.map(|(name, value)| (name.as_str(), value.as_str()));
        Configured::new(&self.variant, settings)
            .and_then(|configured| configured.build())
            .map_err(|error| error.to_string())
    }

    /// The variant's tensors by the formula.
    fn tensors(&self, attention: &dyn Attention, problem: &Problem<'_>) -> Result<Tensors, String> {
        let mut tensors = Tensors::of(attention, problem.geometry(), 0);
        let declared = tensors.iter().count();
        if declared != self.tensors.len() {
            let names: Vec<_> = tensors.iter().map(|(name, _)| name).collect();
            return Err(format!("it declares {names:?}, the case has others"));
        }
        for own in &self.tensors {
            let tensor = tensors.get_mut(&own.name);
            let tensor = tensor.ok_or(format!("it declares no {}", own.name))?;
            if tensor.shape() != own.shape {
                let (name, found) = (&own.name, tensor.shape());
                return Err(format!("{name} is {found:?}, expected {:?}", own.shape));
            }
            fill(tensor, own.number, own.low, own.high);
        }
        Ok(tensors)
    }

    /// The error of O and of each gradient with its bound, as far as they can be had.
    fn errors(&self, errors: &mut Vec<(String, f64, f64)>) -> Result<(), String> {
        let attention = self.build()?;
        let [b, h, hkv, nq, nk, d, dv] = self.shape;
        let (q, k, v, d_o) = (
            input(1, (b, h, nq, d)),
            input(2, (b, hkv, nk, d)),
            input(3, (b, hkv, nk, dv)),
            input(4, (b, h, nq, dv)),
        );
        let problem = Problem::new(q.view(), k.view(), v.view())
            .and_then(|p| p.with_scale(self.scale).with_mask(self.mask()))
            .map_err(|error| error.to_string())?;
        let tensors = self.tensors(attention.as_ref(), &problem)?;
        let problem = problem.supplied(&tensors);
        let (workers, mut scratch) = (Workers::serial(), Scratch::new());
        let with_lse = attention.capabilities().has(Feature::LogSumExp);
        let mut output = Output::poisoned(problem.geometry(), with_lse);
        let mut judge = |name: &str, tensor: Option<&[f32]>| {
            let answer = self
                .answers
                .get(name)
                .ok_or(format!("no {name} is known"))?;
            let got = tensor.ok_or(format!("{name} is not contiguous"))?;
            errors.push((name.into(), answer.error(got), answer.bound()));
            Ok::<(), String>(())
        };
        attention
            .forward(&problem, output.view_mut(), &workers, &mut scratch)
            .map_err(|error| error.to_string())?;
        judge("o", output.o.as_slice())?;
        let mut gradients = Gradients::zeros(&problem);
        gradients.fill(f32::NAN);
        let (saved, d_o) = (&output, d_o.view());
        attention
            .backward(&problem, saved, d_o, &mut gradients, &workers, &mut scratch)
            .map_err(|error| error.to_string())?;
        judge("dq", gradients.dq.as_slice())?;
        judge("dk", gradients.dk.as_slice())?;
        judge("dv", gradients.dv.as_slice())?;
        for (name, tensor) in &gradients.tensors {
            judge(&format!("d{name}"), tensor.as_slice())?;
        }
        Ok(())
    }
}

#[test]
fn they_and_their_gradients_are_those_of_pytorch() {
    hold(include_str!("golden/linear_attention.json"));
}

#[test]
fn those_of_recommenders_are_those_of_pytorch() {
    hold(include_str!("golden/interest_attention.json"));
}

fn hold(cases: &str) {
    let cases: Vec<Case> = serde_json::from_str(cases).expect("valid JSON");
    let mut wrong = 0;
    for case in cases {
        let mut errors = Vec::new();
        let answered = case.errors(&mut errors);
        let mut line = format!("{:60}", case.label());
        for (name, error, bound) in errors {
            // NaN is not within any bound.
            let good = error <= bound;
            let word = if good { "" } else { " TOO LARGE" };
            wrong += usize::from(!good);
            let _ = write!(line, "  {name} {error:.1e} <= {bound:.1e}{word}");
        }
        if let Err(reason) = answered {
            wrong += 1;
            let _ = write!(line, "  FAILED: {reason}");
        }
        println!("{line}");
    }
    assert_eq!(wrong, 0, "answers that are not those of PyTorch; see above");
}

/// Where it fails, the drawing has changed: run both lines at the top of the script again.
#[test]
fn random_projections_are_those_that_pytorch_was_given() {
    #[derive(serde::Deserialize)]
    struct Drawn {
        d: usize,
        seed: u64,
        rows: Vec<f32>,
    }
    let all: Vec<Drawn> =
        serde_json::from_str(include_str!("golden/projection.json")).expect("valid JSON");
    for Drawn { d, seed, rows } in all {
        let expected = Array::from_shape_vec(IxDyn(&[rows.len() / d, d]), rows).expect("rows of D");
        let drawn = attention_linear::projection(expected.shape()[0], d, seed);
        assert_eq!(drawn.into_dyn(), expected);
    }
}
