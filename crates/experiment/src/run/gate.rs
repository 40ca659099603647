//! A call into a poisoned output, and what it is worth.

use super::call::{Call, Given, Room};
use super::gradients::Truth;
use crate::record::{AccuracyRow, ErrorsRow, GateRow, GradientsRow, MemoryRow, Status};
use crate::units;
use attention::accuracy::{Accuracy, ErrorSums, Errors, Reference, RowSample};
use attention::{Attention, Scratch, Workers};
use measure::bootstrap_interval;
use ndarray::Array4;
use std::cell::OnceCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// What the gate found.
pub(super) struct Gated {
    pub(super) accuracy: Option<AccuracyRow>,
    pub(super) gate: Option<GateRow>,
    pub(super) gradients: Option<GradientsRow>,
    pub(super) memory: Option<MemoryRow>,
    /// Rows whose normaliser was at its floor.
    pub(super) guarded_rows: u64,
    /// Why the cell is not timed.
    pub(super) verdict: Result<(), (Status, String)>,
}

impl Gated {
    fn refused(status: Status, reason: String) -> Self {
        Self {
            accuracy: None,
            gate: None,
            gradients: None,
            memory: None,
            guarded_rows: 0,
            verdict: Err((status, reason)),
        }
    }
}

/// What a call took.
struct Called {
    seconds: f64,
    memory: MemoryRow,
    guarded_rows: u64,
}

/// What the gate judges by.
pub(super) struct Judge<'a> {
    /// What variants are given, with the workers that they are timed with.
    pub(super) given: Given<'a>,
    pub(super) reference: &'a Reference,
    /// The rows that the reference answers.
    pub(super) sample: &'a RowSample,
    /// A dense dO, where the pass has gradients.
    pub(super) d_o: Option<&'a Array4<f32>>,
    /// Gradients of the problem without a pattern, once they are asked for.
    pub(super) truth: OnceCell<Truth>,
    /// Workers that compute f64 forms.
    pub(super) oracle: &'a Workers,
    pub(super) seconds_per_call: f64,
    pub(super) seed: u64,
}

/// A first call takes longer than those that follow: it touches every page of its scratch for the
/// first time. Up to this many times the limit, a second call is made and judged instead.
const COLD: f64 = 4.0;

/// Resamples of the rows for the interval of an error.
const RESAMPLES: usize = 1000;

/// How much more than its output a kernel's gradients may be off: dS is a difference of terms that each carry
/// the error of an output.
const GRADIENT_SLACK: f64 = 4.0;

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
    /// Calls a variant, measures its answer and judges how long a call takes.
    pub(super) fn gate(&self, call: &Call<'_>, room: &mut Room) -> Gated {
        let patterned = match self.patterned_truth(call.variant()) {
            Ok(truth) => truth,
            Err(reason) => return Gated::refused(Status::Failed, reason),
        };
        let truth = self.d_o.map(|dense| match &patterned {
            Some(truth) => truth,
            None => self.truth.get_or_init(|| {
                Truth::compute(self.given.problem, self.sample, dense.view(), self.oracle)
            }),
        });
        match self.called(call, truth, room) {
            Ok(called) => self.judged(call, truth, room, called),
            Err(reason) => Gated::refused(Status::Failed, reason),
        }
    }

    /// Gradients of its own for a variant that looks at a pattern.
    fn patterned_truth(&self, variant: &dyn Attention) -> Result<Option<Truth>, String> {
        let Some(dense) = self.d_o else {
            return Ok(None);
        };
        let problem = self.given.problem;
        let pattern = variant
            .pattern(problem.geometry())
            .map_err(|e| e.to_string())?;
        let truth = pattern.map(|pattern| {
            let patterned = problem.patterned(&pattern)?;
            Ok(Truth::compute(
                &patterned,
                self.sample,
                dense.view(),
                self.oracle,
            ))
        });
        truth
            .transpose()
            .map_err(|e: attention::Error| e.to_string())
    }

    /// A call whose outputs were all written.
    fn called(
        &self,
        call: &Call<'_>,
        truth: Option<&Truth>,
        room: &mut Room,
    ) -> Result<Called, String> {
        room.poison();
        room.scratch = Scratch::new();
        let needed = call.scratch_bytes(&self.given);
        let run = |room: &mut Room| {
            let started = Instant::now();
            let called = guarded(|| {
                room.scratch.reserve(needed);
                call.run(&self.given, truth.map(|t| &t.d_o), room)
            });
            called.map(|()| started.elapsed().as_secs_f64())
        };
        let (cold, peak) = measure::peak_during(|| run(room));
        let guarded_rows = room.scratch.take_guarded();
        let memory = MemoryRow {
            peak_bytes: measure::memory::is_installed().then_some(peak.peak_bytes_above_start),
            scratch_bytes: room.scratch.bytes(),
            resident_bytes: measure::memory::resident_bytes(),
        };
        let limit = self.seconds_per_call;
        let seconds = match cold {
            Ok(cold) if limit < cold && cold <= COLD * limit => run(room),
            cold => cold,
        };
        room.scratch = Scratch::new();
        let seconds = seconds?;
        let unwritten = room.output.o.iter().filter(|x| !x.is_finite()).count();
        if unwritten > 0 {
            let total = room.output.o.len();
            return Err(format!(
                "{unwritten} of {total} outputs are not finite or were never written"
            ));
        }
        Ok(Called {
            seconds,
            memory,
            guarded_rows,
        })
    }

    fn judged(&self, call: &Call<'_>, truth: Option<&Truth>, room: &Room, called: Called) -> Gated {
        let (variant, seconds) = (call.variant(), called.seconds);
        let measured = guarded(|| {
            self.reference
                .measure(variant, call.problem, &room.output, self.oracle)
        });
        let accuracy = match measured {
            Ok(accuracy) => accuracy,
            Err(reason) => {
                return Gated::refused(Status::Failed, format!("its f64 form: {reason}"));
            }
        };
        let (value, budget) = (
            accuracy.implementation.relative_frobenius,
            variant.error_budget(self.reference.max_abs_score()),
        );
        let gate = GateRow {
            value: finite(value),
            budget,
            passed: value <= budget,
        };
        let gradients = truth
            .zip(room.gradients.as_ref())
            .map(|(truth, got)| truth.judge(got, GRADIENT_SLACK * budget));
        let limit = self.seconds_per_call;
        let red = gradients.filter(|g| !g.passed);
        let verdict = if !gate.passed {
            let reason =
                format!("the kernel is {value:.2e} from its f64 form, its budget is {budget:.2e}");
            Err((Status::Failed, reason))
        } else if let Some(GradientsRow {
            dq, dk, dv, budget, ..
        }) = red
        {
            let reason = format!(
                "dQ, dK and dV are {dq:.2e}, {dk:.2e} and {dv:.2e} from those in f64, the budget is {budget:.2e}"
            );
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
            gate: Some(gate),
            gradients,
            memory: Some(called.memory),
            guarded_rows: called.guarded_rows,
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
