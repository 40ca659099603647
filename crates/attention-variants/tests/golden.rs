//! The exact kernels against PyTorch in f64.
//!
//! `benches/golden/softmax_attention.py` makes the values.

use attention::mask::{Alignment, Mask};
use attention::variant::Parameters;
use attention::{Gradients, Output, Problem, Scratch, Workers};
use ndarray::Array4;

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    shape: [usize; 7],
    scale: f32,
    o: Vec<f64>,
    lse: Vec<Option<f64>>,
    dq: Vec<f64>,
    dk: Vec<f64>,
    dv: Vec<f64>,
}

impl Case {
    fn mask(&self) -> Mask {
        match self.name.as_str() {
            "full" | "grouped heads, large scale" => Mask::full(),
            "causal top-left" => Mask::causal(Alignment::TopLeft),
            "causal bottom-right" => Mask::causal(Alignment::BottomRight),
            "window 2" => Mask::window(2),
            "key lengths" => Mask::key_lengths([3, 7]),
            "blind rows" => Mask::causal(Alignment::Offset(-2)),
            other => panic!("no mask is known for the golden case {other}"),
        }
    }
}

/// Entry n of tensor number t, by the formula of the script.
fn tensor(number: usize, shape: (usize, usize, usize, usize)) -> Array4<f32> {
    let t = number as f64;
    let mut n = -1.0;
    Array4::from_shape_simple_fn(shape, || {
        n += 1.0;
        (0.37 * t + 0.71 * n + 0.013 * t * n).sin() as f32
    })
}

fn close<'a>(what: &str, got: impl Iterator<Item = &'a f32>, expected: &[f64], budget: f64) {
    let (mut error, mut norm, mut count) = (0.0, 0.0, 0);
    for (got, expected) in got.zip(expected) {
        error += (f64::from(*got) - expected).powi(2);
        norm += expected.powi(2);
        count += 1;
    }
    assert_eq!(count, expected.len(), "{what}: entries");
    assert!(
        (error / norm).sqrt() < budget,
        "{what}: relative error {:e}",
        (error / norm).sqrt()
    );
}

fn holds(name: &str, with_backward: bool) {
    let variant = attention_variants::find(name).expect("a registered name");
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("golden/softmax_attention.json")).expect("valid JSON");
    let attention = (variant.build)(&Parameters::defaults(variant.parameters)).expect("defaults");
    for case in cases {
        let [b, h, hkv, nq, nk, d, dv] = case.shape;
        let (q, k, v) = (
            tensor(1, (b, h, nq, d)),
            tensor(2, (b, hkv, nk, d)),
            tensor(3, (b, hkv, nk, dv)),
        );
        let problem = Problem::new(q.view(), k.view(), v.view())
            .and_then(|p| p.with_scale(case.scale).with_mask(case.mask()))
            .expect("a problem that fits");
        let mut output = Output::poisoned(problem.geometry(), true);
        let (workers, mut scratch) = (Workers::serial(), Scratch::new());
        attention
            .forward(&problem, output.view_mut(), &workers, &mut scratch)
            .expect("an answer");
        // No entry of Q or K is larger than one.
        let budget = attention.error_budget(f64::from(case.scale) * d as f64);
        let what = |letter: &str| format!("{} {}: {letter}", variant.name, case.name);
        close(&what("O"), output.o.iter(), &case.o, budget);
        for (got, expected) in output.lse.iter().flatten().zip(&case.lse) {
            match expected {
                Some(expected) => {
                    approx::assert_relative_eq!(f64::from(*got), expected, max_relative = 1e-6)
                }
                None => assert_eq!(*got, f32::NEG_INFINITY, "{}", what("L")),
            }
        }
        if with_backward {
            let d_o = tensor(4, (b, h, nq, dv));
            let mut gradients = Gradients::zeros(&problem);
            attention
                .backward(
                    &problem,
                    &output,
                    d_o.view(),
                    &mut gradients,
                    &workers,
                    &mut scratch,
                )
                .expect("gradients");
            close(&what("dQ"), gradients.dq.iter(), &case.dq, budget);
            close(&what("dK"), gradients.dk.iter(), &case.dk, budget);
            close(&what("dV"), gradients.dv.iter(), &case.dv, budget);
        }
    }
}

#[test]
fn naive_and_its_gradients_are_those_of_pytorch() {
    holds("naive", true);
}

#[test]
fn naive_gemm_and_its_gradients_are_those_of_pytorch() {
    holds("naive-gemm", true);
}

#[test]
fn blocked_and_its_gradients_are_those_of_pytorch() {
    holds("blocked", true);
}
