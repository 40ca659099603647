//! No time without a right answer: sampled rows against attention in f64.

use crate::cells::Spec;
use crate::gradients;
use crate::inputs::Inputs;
use attention::accuracy::RowSample;
use attention::{Workers, oracle};
use ndarray::{Array2, Array4, s};
use peers::{Answer, Dtype, Work};
use std::error::Error;

/// The budget of exact attention where scores are small.
const F32_BUDGET: f64 = 2e-6;

/// Query rows that the oracle answers.
const ROWS: usize = 256;

/// The error allowed to bf16: its unit roundoff is 2⁻⁹ ≈ 0.002, and weights are rounded to it too.
const BF16_BUDGET: f64 = 1e-2;

/// The error allowed to gradients in f32.
const GRADIENT_BUDGET: f64 = 1e-5;

/// Rows of a tensor as they should be: of one history and head.
pub(crate) struct Rows {
    pub(crate) sequence: usize,
    pub(crate) head: usize,
    pub(crate) rows: Vec<usize>,
    /// `[rows, D]`.
    pub(crate) values: Array2<f64>,
}

/// What the answers of a cell are held against.
pub(crate) struct Truth {
    o: Vec<Rows>,
    /// Of dQ, dK, dV; none where the cell is not about training.
    gradients: Option<[Vec<Rows>; 3]>,
    max_abs_score: f64,
    budget: f64,
    dtype: Dtype,
}

/// What the gate found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    /// Relative Frobenius error of O.
    pub(crate) error: f64,
    pub(crate) budget: f64,
    /// The largest of those of dQ, dK, dV.
    pub(crate) gradient_error: Option<f64>,
}

impl Truth {
    /// Asks the oracle, or the variant's own f64 form; gradients too where the cell is about
    /// training.
    pub(crate) fn compute(
        inputs: &Inputs,
        spec: &Spec,
        seed: u64,
        workers: &Workers,
    ) -> Result<Self, Box<dyn Error>> {
        let problem = inputs.problem()?;
        let variant = spec.variant()?.map(|v| v.build()).transpose()?;
        let sample = RowSample::seeded(&inputs.rows()?, ROWS, seed);
        let tasks = sample.heads().to_vec();
        let answers = workers.map(tasks, |(sequence, head, rows)| {
            let exact = oracle::rows(&problem.head(sequence, head), &rows);
            let values = match &variant {
                None => exact.output,
                Some(variant) => variant.form_f64(&problem, sequence, head, &rows)?.output,
            };
            let rows = Rows {
                sequence,
                head,
                rows,
                values,
            };
            Ok((rows, exact.max_abs_score))
        });
        let answers: Vec<(Rows, f64)> = answers.into_iter().collect::<attention::Result<_>>()?;
        let max_abs_score = answers.iter().fold(0.0, |m: f64, (_, s)| m.max(*s));
        let exact = (8.0 * f64::from(f32::EPSILON) * max_abs_score).max(F32_BUDGET);
        let budget = variant.map_or(exact, |variant| variant.error_budget(max_abs_score));
        let gradients = (spec.work == Work::Training)
            .then(|| gradients::sampled(&spec.attention, &problem, &inputs.d_o, seed, workers))
            .transpose()?;
        Ok(Self {
            o: answers.into_iter().map(|(rows, _)| rows).collect(),
            gradients,
            max_abs_score,
            budget,
            dtype: spec.dtype,
        })
    }

    /// The error allowed to peers: of exact attention in f32, or what our variant allows itself.
    pub(crate) fn budget(&self) -> f64 {
        self.budget
    }

    /// The largest |S| among the sampled rows.
    pub(crate) fn max_abs_score(&self) -> f64 {
        self.max_abs_score
    }

    /// Judges an answer by the budget of an exact variant in f32, or by that of bf16.
    ///
    /// The error is a sentence that says what is wrong.
    pub(crate) fn judge(&self, answer: &Answer, exact: f64) -> (Verdict, Result<(), String>) {
        let bf16 = self.dtype == Dtype::Bf16;
        let budget = if bf16 { BF16_BUDGET } else { exact };
        let error = relative(&self.o, &answer.o);
        let mut fault = None;
        let unwritten = answer.o.iter().filter(|x| !x.is_finite()).count();
        if unwritten > 0 {
            fault = Some(format!(
                "{unwritten} outputs are not finite or were never written"
            ));
        } else if error.is_nan() || error > budget {
            fault = Some(format!(
                "O is {error:.2e} from the oracle, the budget is {budget:.2e}"
            ));
        }
        let mut gradient_error = None;
        if let Some(truth) = &self.gradients {
            let allowed = if bf16 { BF16_BUDGET } else { GRADIENT_BUDGET };
            let worst = answer.gradients.as_ref().map_or(f64::NAN, |found| {
                let errors = truth.iter().zip(found).map(|(t, f)| relative(t, f));
                errors.fold(0.0, |m, e| if e.is_nan() { e } else { f64::max(m, e) })
            });
            if worst.is_nan() || worst > allowed {
                fault.get_or_insert(format!(
                    "gradients are {worst:.2e} from the oracle, the budget is {allowed:.2e}"
                ));
            }
            gradient_error = Some(worst);
        }
        let verdict = Verdict {
            error,
            budget,
            gradient_error,
        };
        (verdict, fault.map_or(Ok(()), Err))
    }
}

/// ||found - truth|| / ||truth|| over the rows that are known.
fn relative(truth: &[Rows], found: &Array4<f32>) -> f64 {
    let (mut error, mut norm) = (0.0, 0.0);
    for Rows {
        sequence,
        head,
        rows,
        values,
    } in truth
    {
        for (value, &row) in values.outer_iter().zip(rows) {
            let answer = found.slice(s![*sequence, *head, row, ..]);
            for (t, a) in value.iter().zip(answer) {
                error += (f64::from(*a) - t).powi(2);
                norm += t * t;
            }
        }
    }
    if error == 0.0 {
        0.0
    } else {
        (error / norm).sqrt()
    }
}
