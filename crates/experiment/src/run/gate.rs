//! One call into a poisoned output, and what it is worth.

use crate::record::{AccuracyRow, ErrorsRow, GateRow, MemoryRow, Status};
use crate::units;
use attention::accuracy::{Accuracy, ErrorSums, Errors, Reference};
use attention::{Attention, Output, Problem, Scratch, Workers};
use measure::bootstrap_interval;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What the gate found.
pub(super) struct Gated {
    pub(super) accuracy: Option<AccuracyRow>,
    pub(super) gate: Option<GateRow>,
    pub(super) memory: Option<MemoryRow>,
    /// Why the cell is not timed.
    pub(super) verdict: Result<(), (Status, String)>,
}

/// What the gate judges by.
pub(super) struct Judge<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) reference: &'a Reference,
    /// Workers that the variant is timed with.
    pub(super) workers: &'a Workers,
    /// Workers that compute f64 forms.
    pub(super) oracle: &'a Workers,
    pub(super) seconds_per_call: f64,
    pub(super) seed: u64,
}

/// Resamples of the rows for the interval of an error.
const RESAMPLES: usize = 1000;

/// Runs work of a variant; a panic in it is an error with its message.
pub(super) fn guarded<T>(work: impl FnOnce() -> attention::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Err(format!(
                "the kernel panicked: {}",
                text.unwrap_or_else(|| "without a message".into())
            ))
        }
    }
}

impl Judge<'_> {
    /// Calls a variant once and measures its answer.
    pub(super) fn gate(&self, variant: &dyn Attention, output: &mut Output) -> Gated {
        output.poison();
        let mut scratch = Scratch::new();
        let needed = variant.scratch_bytes(self.problem.geometry(), self.workers.threads());
        let started = Instant::now();
        let (called, peak) = measure::peak_during(|| {
            guarded(|| {
                scratch.reserve(needed);
                variant.forward(self.problem, output.view_mut(), self.workers, &mut scratch)
            })
        });
        let seconds = started.elapsed().as_secs_f64();
        let memory = MemoryRow {
            peak_bytes: measure::memory::is_installed().then_some(peak.peak_bytes_above_start),
            scratch_bytes: scratch.bytes(),
            resident_bytes: measure::memory::resident_bytes(),
        };
        drop(scratch);
        let nothing = |verdict| Gated {
            accuracy: None,
            gate: None,
            memory: None,
            verdict: Err(verdict),
        };
        if let Err(reason) = called {
            return nothing((Status::Failed, reason));
        }
        let unwritten = output.o.iter().filter(|x| !x.is_finite()).count();
        if unwritten > 0 {
            let total = output.o.len();
            let reason =
                format!("{unwritten} of {total} outputs are not finite or were never written");
            return nothing((Status::Failed, reason));
        }
        let measured = guarded(|| {
            self.reference
                .measure(variant, self.problem, output, self.oracle)
        });
        let accuracy = match measured {
            Ok(accuracy) => accuracy,
            Err(reason) => return nothing((Status::Failed, format!("its f64 form: {reason}"))),
        };
        let (value, budget) = (
            accuracy.implementation.relative_frobenius,
            variant.error_budget(self.reference.max_abs_score()),
        );
        let passed = value <= budget;
        let limit = self.seconds_per_call;
        let verdict = if !passed {
            let reason =
                format!("the kernel is {value:.2e} from its f64 form, its budget is {budget:.2e}");
            Err((Status::Failed, reason))
        } else if seconds > limit {
            let (took, limit) = (units::seconds(seconds), units::seconds(limit));
            Err((
                Status::Timeout,
                format!("a call took {took}, the limit is {limit}"),
            ))
        } else {
            Ok(())
        };
        Gated {
            accuracy: Some(self.row(&accuracy)),
            gate: Some(GateRow {
                value: finite(value),
                budget,
                passed,
            }),
            memory: Some(memory),
            verdict,
        }
    }

    fn row(&self, accuracy: &Accuracy) -> AccuracyRow {
        let rows = &accuracy.rows;
        let interval = bootstrap_interval(rows.len(), RESAMPLES, self.seed, |drawn| {
            relative(rows, drawn)
        });
        let weights = accuracy.weights;
        AccuracyRow {
            total: errors(&accuracy.total),
            relative_frobenius_interval: (finite(interval.0), finite(interval.1)),
            approximation: errors(&accuracy.approximation),
            implementation: errors(&accuracy.implementation),
            total_variation: weights.map(|w| finite(w.total_variation)),
            missed_mass: weights.map(|w| finite(w.missed_mass)),
            top10_overlap: weights.map(|w| finite(w.top10_overlap)),
            negative_mass: weights.map(|w| finite(w.negative_mass)),
        }
    }
}

fn relative(rows: &[ErrorSums], drawn: &[usize]) -> f64 {
    let (mut error, mut norm) = (0.0, 0.0);
    for &row in drawn {
        error += rows[row].squared_error;
        norm += rows[row].squared_norm;
    }
    if error == 0.0 {
        0.0
    } else {
        (error / norm).sqrt()
    }
}

fn errors(errors: &Errors) -> ErrorsRow {
    ErrorsRow {
        relative_frobenius: finite(errors.relative_frobenius),
        max_abs: finite(errors.max_abs),
        p999_abs: finite(errors.p999_abs),
        mean_cosine: finite(errors.mean_cosine),
        skill: finite(errors.skill),
    }
}

/// JSON has no infinity and no NaN: an error over a truth of zero becomes the largest number.
pub(super) fn finite(x: f64) -> f64 {
    if x.is_nan() {
        f64::MAX
    } else {
        x.clamp(f64::MIN, f64::MAX)
    }
}

#[cfg(test)]
mod tests;
