//! A kernel against its own f64 form.

use super::{Held, Verdict};
use crate::accuracy::{ErrorSums, Errors};
use crate::attention::Attention;
use crate::capabilities::Feature;
use crate::error::Error;
use crate::oracle;
use crate::output::Output;
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::workers::Workers;
use ndarray::{Array1, Axis};

/// Runs forward on the calling thread into NaN-poisoned outputs.
pub(super) fn answer(attention: &dyn Attention, problem: &Problem<'_>) -> Result<Output, String> {
    answer_on(attention, problem, &Workers::serial())
}

/// Runs forward on given workers into NaN-poisoned outputs; L is asked for where it is claimed.
pub(super) fn answer_on(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    workers: &Workers,
) -> Result<Output, String> {
    let with_lse = attention.capabilities().has(Feature::LogSumExp);
    let mut output = Output::poisoned(problem.geometry(), with_lse);
    attention
        .forward(problem, output.view_mut(), workers, &mut Scratch::new())
        .map_err(|e| format!("{} on {}", e, problem.shape()))?;
    Ok(output)
}

/// Answers, and compares every row with the f64 form within the variant's budget. NaN must stand
/// in the same rows of both.
pub(super) fn check(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    what: &str,
) -> Result<Output, String> {
    let output = answer(attention, problem)?;
    compare(attention, problem, &output, what)?;
    Ok(output)
}

/// Compares an answer with the f64 form of a problem that it should be the answer to.
pub(super) fn compare(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    output: &Output,
    what: &str,
) -> Result<(), String> {
    let fault = |text: String| format!("{what}: {text} ({})", problem.shape());
    let mut rows = Vec::new();
    let mut largest = 0.0;
    for head in problem.heads() {
        let all: Vec<usize> = (0..head.q.nrows()).collect();
        let form = attention
            .form_f64(problem, head.sequence, head.head, &all)
            .map_err(|e| fault(e.to_string()))?;
        let scores = oracle::rows(&head, &all);
        largest = f64::max(largest, scores.max_abs_score);
        for (i, expected) in form.output.outer_iter().enumerate() {
            let got = row_of(problem, output, head.sequence, head.head, i);
            let (got_nan, expected_nan) = (not_finite(&got), not_finite(&expected.to_owned()));
            if got_nan != expected_nan {
                return Err(fault(format!(
                    "history {}, head {}, query {i} is {} where its f64 form is {}",
                    head.sequence,
                    head.head,
                    finite_word(got_nan),
                    finite_word(expected_nan),
                )));
            }
            if !got_nan {
                rows.push(ErrorSums::of(got.view(), expected, expected));
            }
        }
    }
    let error = Errors::from_rows(rows.iter()).relative_frobenius;
    let budget = attention.error_budget(largest);
    if error > budget {
        return Err(fault(format!(
            "relative error {error:.2e} exceeds the budget of {budget:.2e}"
        )));
    }
    Ok(())
}

/// One row of O in f64.
pub(super) fn row_of(
    problem: &Problem<'_>,
    output: &Output,
    sequence: usize,
    head: usize,
    i: usize,
) -> Array1<f64> {
    let geometry = problem.geometry();
    let (batch, token) = if geometry.is_jagged() {
        (0, geometry.query_range(sequence).start + i)
    } else {
        (sequence, i)
    };
    let o = output.o.index_axis(Axis(0), batch);
    o.index_axis(Axis(0), head).row(token).mapv(f64::from)
}

/// Refuses to go on unless a feature is claimed; an unclaimed one must be refused by the variant.
pub(super) fn claimed(
    attention: &dyn Attention,
    feature: Feature,
    problem: &Problem<'_>,
) -> Result<bool, String> {
    let capabilities = attention.capabilities();
    if capabilities.has(feature) {
        return Ok(true);
    }
    let with_lse = feature == Feature::LogSumExp;
    let mut output = Output::poisoned(problem.geometry(), with_lse);
    let call = attention.forward(
        problem,
        output.view_mut(),
        &Workers::serial(),
        &mut Scratch::new(),
    );
    match call {
        Err(Error::Unsupported { .. }) => Ok(false),
        other => Err(format!(
            "{} is not claimed, but a request for it gave {other:?} instead of a refusal",
            feature.name()
        )),
    }
}

/// The verdict of a check that found no fault.
pub(super) fn held(claimed: bool) -> Verdict {
    Ok(if claimed { Held::Passed } else { Held::Refused })
}

fn not_finite(row: &Array1<f64>) -> bool {
    row.iter().any(|x| !x.is_finite())
}

fn finite_word(bad: bool) -> &'static str {
    if bad { "not finite" } else { "finite" }
}
