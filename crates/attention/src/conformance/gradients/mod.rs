//! Backward against differences of the f64 form, and its bits and memory.

mod case;
mod repeat;

pub(super) use repeat::same_bits;

use super::Verdict;
use super::agree::held;
use crate::attention::Attention;
use crate::capabilities::Feature;
use crate::error::{Error, Result};
use crate::gradients::Gradients;
use crate::output::Output;
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::workers::Workers;
use case::{Case, D_O, Point};
use ndarray::{Array4, Axis, Dimension, s};

/// Step of the central differences; their error is of the order of its square, which a second
/// difference of half the step cancels where the first is not close enough.
const STEP: f32 = 1.0 / 128.0;

/// Entries of a tensor that are tried at most, evenly spread.
const MOST: usize = 200;

/// Entries of Q, K, V, the bias table and each tensor that the variant declares.
pub(super) fn finite_differences(attention: &dyn Attention) -> Verdict {
    let text = |e: Error| e.to_string();
    for case in Case::all(attention).map_err(text)? {
        let mut point = Point::new(attention, &case).map_err(text)?;
        let d_o = super::inputs::normal(D_O, 1300);
        let result = case
            .problem(&point)
            .and_then(|p| gradients(attention, &p, &d_o));
        let gradients = match (attention.capabilities().has(Feature::Backward), result) {
            (false, Err(Error::Unsupported { .. })) => return held(false),
            (false, other) => return Err(format!("backward is not claimed, but gave {other:?}")),
            (true, result) => result.map_err(text)?,
        };
        for place in point.places() {
            let gradient = place
                .in_gradients(&gradients)
                .ok_or_else(|| format!("{}: there is no d{}", case.name, place.name()))?;
            let apart = gradient.len().div_ceil(MOST);
            for (n, (index, &got)) in gradient.indexed_iter().enumerate().step_by(apart.max(1)) {
                let mut loss_at = |step: f32| -> std::result::Result<f64, String> {
                    let start = place.replace(&mut point, n, |x| x + step);
                    let start = start.ok_or_else(|| format!("d{} is too large", place.name()))?;
                    let problem = case.problem(&point).map_err(text)?;
                    let loss = weighted_sum(attention, &problem, &d_o).map_err(text)?;
                    place.replace(&mut point, n, |_| start);
                    Ok(loss)
                };
                let mut slope = |step: f32| -> std::result::Result<f64, String> {
                    Ok((loss_at(step)? - loss_at(-step)?) / f64::from(2.0 * step))
                };
                let mut expected = slope(STEP)?;
                if !is_close(got, expected) {
                    expected = (4.0 * slope(STEP / 2.0)? - expected) / 3.0;
                }
                if !is_close(got, expected) {
                    return Err(format!(
                        "{}: d{}{:?} is {got}, differences give {expected:.6}",
                        case.name,
                        place.name(),
                        index.slice()
                    ));
                }
            }
        }
    }
    held(true)
}

/// Forward, then backward into NaN-poisoned gradients.
fn gradients(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    d_o: &Array4<f32>,
) -> Result<Gradients> {
    let with_lse = attention.capabilities().has(Feature::LogSumExp);
    let mut saved = Output::poisoned(problem.geometry(), with_lse);
    let (workers, mut scratch) = (Workers::serial(), Scratch::new());
    attention.forward(problem, saved.view_mut(), &workers, &mut scratch)?;
    let mut out = Gradients::zeros(problem);
    out.fill(f32::NAN);
    attention.backward(
        problem,
        &saved,
        d_o.view(),
        &mut out,
        &workers,
        &mut scratch,
    )?;
    Ok(out)
}

/// Σ dO∘O by the f64 form.
fn weighted_sum(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    d_o: &Array4<f32>,
) -> Result<f64> {
    let mut sum = 0.0;
    for head in problem.heads() {
        let rows: Vec<usize> = (0..head.q.nrows()).collect();
        let form = attention.form_f64(problem, head.sequence, head.head, &rows)?;
        let tokens = problem.geometry().query_range(head.sequence);
        let lead = if problem.geometry().is_jagged() {
            0
        } else {
            head.sequence
        };
        let d_o = d_o.index_axis(Axis(0), lead);
        let d_o = d_o.slice(s![head.head, tokens, ..]);
        let products = form.output.iter().zip(d_o.iter());
        sum += products.map(|(o, d)| o * f64::from(*d)).sum::<f64>();
    }
    Ok(sum)
}

fn is_close(got: f32, expected: f64) -> bool {
    (f64::from(got) - expected).abs() <= 1e-3 * expected.abs().max(1.0)
}
