//! How far an answer is from softmax attention in f64 under the problem mask alone.
//!
//! Two errors are kept apart: the *approximation* error is that of the variant's f64 form, the
//! *implementation* error that of its f32 kernel against this form. What a pattern leaves out is
//! approximation error, so that sparsity has a price.

mod errors;
mod mass;
mod sample;
mod weights;

pub use errors::{ErrorSums, Errors};
pub use mass::{Mass, effective_keys};
pub use sample::RowSample;
pub use weights::WeightErrors;

use crate::attention::Attention;
use crate::error::Result;
use crate::oracle::{self, ExactRows};
use crate::output::Output;
use crate::problem::Problem;
use crate::workers::Workers;
use ndarray::{Array2, Axis};

/// The oracle's answer for the sampled rows of one history and head.
#[derive(Debug, Clone)]
struct HeadReference {
    sequence: usize,
    head: usize,
    rows: Vec<usize>,
    exact: ExactRows,
    /// Ō `[rows, Dv]`.
    mean: Array2<f64>,
    /// Visible keys of each row.
    visible: Vec<usize>,
}

/// The oracle's answer for a sample of query rows; computed once for all variants of a problem.
///
/// Memory: O(rows·Nk).
#[derive(Debug, Clone)]
pub struct Reference {
    heads: Vec<HeadReference>,
    max_abs_score: f64,
}

/// Everything that is reported about one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// The kernel against softmax attention: what a user gets.
    pub total: Errors,
    /// The variant's f64 form against softmax attention.
    pub approximation: Errors,
    /// The kernel against the variant's f64 form.
    pub implementation: Errors,
    /// Where the variant has weights.
    pub weights: Option<WeightErrors>,
    /// Sums of each sampled row, kernel against softmax attention, for intervals by resampling.
    pub rows: Vec<ErrorSums>,
}

impl Reference {
    /// Asks the oracle for the sampled rows. Cost: O(rows·Nk·(D + Dv)).
    #[must_use]
    pub fn compute(problem: &Problem<'_>, sample: &RowSample, workers: &Workers) -> Self {
        let tasks = sample.heads().to_vec();
        let heads = workers.map(tasks, |(sequence, head, rows)| {
            let view = problem.head(sequence, head);
            HeadReference {
                exact: oracle::rows(&view, &rows),
                mean: oracle::mean_of_visible(&view, &rows),
                visible: rows.iter().map(|&i| view.mask.count(i)).collect(),
                sequence,
                head,
                rows,
            }
        });
        let max_abs_score = heads
            .iter()
            .fold(0.0, |m: f64, h| m.max(h.exact.max_abs_score));
        Self {
            heads,
            max_abs_score,
        }
    }

    /// The largest |S| among the sampled rows.
    #[must_use]
    pub fn max_abs_score(&self) -> f64 {
        self.max_abs_score
    }

    /// How the weight is spread over the keys.
    #[must_use]
    pub fn mass(&self) -> Mass {
        Mass::of(self.heads.iter().flat_map(|h| {
            h.exact
                .weights
                .outer_iter()
                .zip(&h.visible)
                .map(|(w, &n)| (w.to_vec(), n))
        }))
    }

    /// Measures a variant's answer.
    ///
    /// # Errors
    /// Those of [`Attention::form_f64`].
    pub fn measure(
        &self,
        variant: &dyn Attention,
        problem: &Problem<'_>,
        output: &Output,
        workers: &Workers,
    ) -> Result<Accuracy> {
        let jagged = problem.geometry().is_jagged();
        let parts = workers.map(self.heads.iter().collect(), |h: &HeadReference| {
            let form = variant.form_f64(problem, h.sequence, h.head, &h.rows)?;
            let start = problem.geometry().query_range(h.sequence).start;
            let batch = if jagged { 0 } else { h.sequence };
            let mut rows = Vec::with_capacity(h.rows.len());
            for (r, &i) in h.rows.iter().enumerate() {
                let token = if jagged { start + i } else { i };
                let kernel = output
                    .o
                    .index_axis(Axis(0), batch)
                    .index_axis_move(Axis(0), h.head)
                    .index_axis_move(Axis(0), token)
                    .mapv(f64::from);
                let (exact, mean) = (h.exact.output.row(r), h.mean.row(r));
                rows.push([
                    ErrorSums::of(kernel.view(), exact, mean),
                    ErrorSums::of(form.output.row(r), exact, mean),
                    ErrorSums::of(kernel.view(), form.output.row(r), mean),
                ]);
            }
            let weights = form
                .weights
                .map(|w| WeightErrors::of(&h.exact.weights, &w, &h.visible));
            Ok((rows, weights))
        });
        let parts = parts.into_iter().collect::<Result<Vec<_>>>()?;
        let of = |which: usize| {
            Errors::from_rows(
                parts
                    .iter()
                    .flat_map(|(rows, _)| rows.iter().map(|r| &r[which])),
            )
        };
        let accuracy = Accuracy {
            total: of(0),
            approximation: of(1),
            implementation: of(2),
            weights: WeightErrors::mean(parts.iter().map(|(_, w)| w.as_ref())),
            rows: Vec::new(),
        };
        let rows = parts
            .into_iter()
            .flat_map(|(rows, _)| rows.into_iter().map(|[total, ..]| total));
        Ok(Accuracy {
            rows: rows.collect(),
            ..accuracy
        })
    }
}
