use super::*;
use attention::accuracy::RowSample;
use attention::{Capabilities, Feature, OutputMut, oracle};
use ndarray::Array4;
use std::time::Duration;

/// Exact attention, but for one fault.
#[derive(Clone, Copy, PartialEq)]
enum Faulty {
    Not,
    Inaccurate,
    Unwritten,
    Panicking,
    Refusing,
    Slow,
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
            Self::Not => {}
            Self::Inaccurate => out.o.mapv_inplace(|x| x * 1.01),
            Self::Unwritten => out.o[[0, 0, 3, 0]] = f32::NAN,
            Self::Panicking => panic!("index {} is out of bounds", 7),
            Self::Refusing => self
                .capabilities()
                .without(Feature::Bias, "never")
                .require(Feature::Bias)?,
            Self::Slow => std::thread::sleep(Duration::from_millis(60)),
        }
        Ok(())
    }
}

fn gated(variant: Faulty) -> Gated {
    let x = Array4::from_shape_fn((1, 2, 12, 4), |(_, h, i, f)| {
        ((h * 50 + i * 5 + f) as f32).sin()
    });
    let problem = Problem::new(x.view(), x.view(), x.view()).unwrap();
    let workers = Workers::serial();
    // Only two rows are sampled: a slot that is not written shows all the same.
    let sample = RowSample::seeded(problem.geometry(), 2, 1);
    let judge = Judge {
        problem: &problem,
        reference: &Reference::compute(&problem, &sample, &workers),
        workers: &workers,
        oracle: &workers,
        seconds_per_call: 0.05,
        seed: 1,
    };
    judge.gate(&variant, &mut Output::poisoned(problem.geometry(), false))
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
    let (status, reason) = refusal(Faulty::Slow);
    assert_eq!(status, Status::Timeout);
    assert!(reason.ends_with("the limit is 50 ms"), "{reason}");
}

#[test]
fn records_hold_no_number_that_json_has_not() {
    assert_eq!(finite(f64::INFINITY), f64::MAX);
    assert_eq!(finite(f64::NAN), f64::MAX);
    assert_eq!(finite(-0.5), -0.5);
}
