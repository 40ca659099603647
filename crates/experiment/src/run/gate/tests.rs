use super::*;
use crate::pass::Pass;
use attention::accuracy::RowSample;
use attention::{Capabilities, Feature, Gradients, Output, OutputMut, Prepared, Problem, oracle};
use ndarray::{Array2, Array4, ArrayView4, Axis};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Exact attention, but for one fault.
#[derive(Clone, Copy)]
enum Faulty {
    Not,
    Inaccurate,
    Unwritten,
    Panicking,
    Refusing,
    /// Milliseconds of the first call and of the others, and how many there were.
    Slow([u64; 2], &'static AtomicUsize),
    WrongGradients,
}

impl Attention for Faulty {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all("faulty", true)
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        mut out: OutputMut<'_>,
        _: &Workers,
        _: &mut Scratch,
    ) -> attention::Result<()> {
        for head in problem.heads() {
            let rows: Vec<usize> = (0..head.q.nrows()).collect();
            let exact = oracle::rows(&head, &rows).output;
            for ((i, f), value) in exact.indexed_iter() {
                out.o[[head.sequence, head.head, i, f]] = *value as f32;
            }
        }
        match self {
            Self::Not | Self::WrongGradients => {}
            Self::Inaccurate => out.o.mapv_inplace(|x| x * 1.01),
            Self::Unwritten => out.o[[0, 0, 3, 0]] = f32::NAN,
            Self::Panicking => panic!("index {} is out of bounds", 7),
            Self::Refusing => self
                .capabilities()
                .without(Feature::Bias, "never")
                .require(Feature::Bias)?,
            Self::Slow(milliseconds, calls) => {
                let call = calls.fetch_add(1, Ordering::Relaxed).min(1);
                std::thread::sleep(Duration::from_millis(milliseconds[call]));
            }
        }
        Ok(())
    }

    fn prepare(&self, problem: &Problem<'_>, _: &Workers) -> attention::Result<Box<dyn Prepared>> {
        // Both heads of the test's problem.
        let stacked = |of: fn(&attention::Head<'_>) -> Array2<f32>| {
            let heads: Vec<_> = problem.heads().map(|h| of(&h)).collect();
            let views: Vec<_> = heads
                .iter()
                .map(|h| h.view().insert_axis(Axis(0)))
                .collect();
            let joined = ndarray::concatenate(Axis(0), &views).unwrap();
            joined.insert_axis(Axis(0))
        };
        let wrong = if matches!(self, Self::Inaccurate) {
            1.01
        } else {
            1.0
        };
        let (k, v) = (stacked(|h| h.k.to_owned()), stacked(|h| h.v.to_owned()));
        Ok(Box::new(Absorbing([k, v * wrong])))
    }

    fn backward(
        &self,
        problem: &Problem<'_>,
        _: &Output,
        d_o: ArrayView4<'_, f32>,
        out: &mut Gradients,
        workers: &Workers,
        _: &mut Scratch,
    ) -> attention::Result<()> {
        let sample = RowSample::all(problem.geometry());
        *out = Truth::compute(problem, &sample, d_o, workers).in_f32();
        if matches!(self, Self::WrongGradients) {
            out.dv *= 1.001;
        }
        Ok(())
    }
}

fn gated(variant: Faulty) -> Gated {
    gated_in(variant, Pass::Forward)
}

fn gated_in(variant: Faulty, pass: Pass) -> Gated {
    let x = Array4::from_shape_fn((1, 2, 12, 4), |(_, h, i, f)| {
        ((h * 50 + i * 5 + f) as f32).sin()
    });
    let problem = Problem::new(x.view(), x.view(), x.view()).unwrap();
    let workers = Workers::serial();
    // Only two rows are sampled: a slot that is not written shows all the same.
    let sample = RowSample::seeded(problem.geometry(), 2, 1);
    let given = Given {
        problem: &problem,
        queries: x.view(),
        pass,
        workers: &workers,
    };
    let d_o = (pass == Pass::Training).then(|| x.clone());
    let judge = Judge {
        given,
        reference: &Reference::compute(&problem, &sample, &workers),
        sample: &sample,
        d_o: d_o.as_ref(),
        truth: OnceCell::new(),
        oracle: &workers,
        seconds_per_call: 0.05,
        seed: 1,
    };
    let call = Call::new(Box::new(variant), given.problem, &given).unwrap();
    judge.gate(&call, &mut Room::new(&given))
}

fn refusal(variant: Faulty) -> (Status, String) {
    gated(variant).verdict.unwrap_err()
}

#[test]
fn what_is_right_passes() {
    let gated = gated(Faulty::Not);
    assert!(gated.verdict.is_ok() && gated.gate.unwrap().passed);
    assert!(gated.accuracy.unwrap().total.relative_frobenius < 1e-6);
}

#[test]
fn an_error_beyond_the_budget_is_a_red_gate_that_keeps_its_numbers() {
    let gated = gated(Faulty::Inaccurate);
    let (status, reason) = gated.verdict.unwrap_err();
    assert_eq!(status, Status::Failed);
    assert!(
        reason.contains("is 1.00e-2 from its f64 form, its budget is 2.00e-6"),
        "{reason}"
    );
    assert!(!gated.gate.unwrap().passed);
    approx::assert_relative_eq!(
        gated.accuracy.unwrap().total.relative_frobenius,
        0.01,
        epsilon = 1e-4
    );
}

#[test]
fn a_slot_that_is_not_written_shows_though_no_row_of_the_sample_is_it() {
    let (status, reason) = refusal(Faulty::Unwritten);
    assert_eq!(status, Status::Failed);
    assert!(
        reason.starts_with("1 of 96 outputs are not finite"),
        "{reason}"
    );
}

#[test]
fn a_panic_and_an_error_are_rows_with_their_messages() {
    let panicked = (
        Status::Failed,
        "the kernel panicked: index 7 is out of bounds".to_owned(),
    );
    assert_eq!(refusal(Faulty::Panicking), panicked);
    let refused = (
        Status::Failed,
        "faulty does not support bias: never".to_owned(),
    );
    assert_eq!(refusal(Faulty::Refusing), refused);
}

#[test]
fn a_call_beyond_the_limit_is_a_timeout() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let (status, reason) = refusal(Faulty::Slow([60, 60], &CALLS));
    assert_eq!(status, Status::Timeout);
    assert!(reason.ends_with("the limit is 50 ms"), "{reason}");
}

#[test]
fn a_call_that_is_slow_at_first_is_judged_by_the_second() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    assert!(gated(Faulty::Slow([60, 0], &CALLS)).verdict.is_ok());
}

#[test]
fn a_call_far_beyond_the_limit_is_not_made_again() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let (status, _) = refusal(Faulty::Slow([250, 0], &CALLS));
    assert_eq!(
        (status, CALLS.load(Ordering::Relaxed)),
        (Status::Timeout, 1)
    );
}

#[test]
fn records_hold_no_number_that_json_has_not() {
    assert_eq!(finite(f64::INFINITY), f64::MAX);
    assert_eq!(finite(f64::NAN), f64::MAX);
    assert_eq!(finite(-0.5), -0.5);
}

#[test]
fn training_is_judged_by_its_gradients_too() {
    let right = gated_in(Faulty::Not, Pass::Training);
    assert!(right.verdict.is_ok(), "{:?}", right.verdict);
    let row = right.gradients.unwrap();
    assert!(
        row.passed && row.dq < 1e-6 && row.dk < 1e-6 && row.dv < 1e-6,
        "{row:?}"
    );
    let wrong = gated_in(Faulty::WrongGradients, Pass::Training);
    let (status, reason) = wrong.verdict.unwrap_err();
    assert_eq!(status, Status::Failed);
    assert!(
        reason.ends_with("and 1.00e-3 from those in f64, the budget is 8.00e-6"),
        "{reason}"
    );
    assert!(
        gated(Faulty::WrongGradients).verdict.is_ok(),
        "forward has no gradients"
    );
}

/// Exact attention over keys and values of its own.
struct Absorbing([Array4<f32>; 2]);

impl Prepared for Absorbing {
    fn forward(
        &self,
        q: ArrayView4<'_, f32>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> attention::Result<()> {
        let [k, v] = &self.0;
        let problem = Problem::new(q, k.view(), v.view())?;
        Faulty::Not.forward(&problem, out, workers, scratch)
    }

    fn append(&mut self, _: ArrayView4<'_, f32>, _: ArrayView4<'_, f32>) -> attention::Result<()> {
        Ok(())
    }

    fn bytes(&self) -> u64 {
        7
    }
}

#[test]
fn decode_answers_from_what_was_absorbed() {
    let gated = gated_in(Faulty::Not, Pass::Decode);
    assert!(gated.verdict.is_ok() && gated.gradients.is_none());
    let (status, reason) = gated_in(Faulty::Inaccurate, Pass::Decode)
        .verdict
        .unwrap_err();
    assert_eq!(status, Status::Failed);
    assert!(reason.contains("from its f64 form"), "{reason}");
}
