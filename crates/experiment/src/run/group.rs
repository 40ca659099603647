//! Inputs, oracle, gates and rounds of one group.

use super::call::{Call, Given, Room};
use super::gate::{Gated, Judge, guarded};
use super::gradients::output_gradient;
use super::learnt::Learnt;
use super::progress::{Event, Progress};
use super::{RunError, rows, time};
use crate::config::Layout;
use crate::context::Context;
use crate::pass::Pass;
use crate::plan::{Cell, Group, Plan, Verdict};
use crate::record::{ProblemRow, Record, Status};
use crate::units;
use crate::workload::{Batch, InputError, Inputs};
use attention::accuracy::{Reference, RowSample};
use attention::{Attention, Problem, Tensors, Workers};
use std::cell::OnceCell;
use std::sync::Arc;

/// Inputs of a group and what the oracle says of them.
pub(super) struct Made {
    batch: Batch,
    sample: RowSample,
    reference: Reference,
    pub(super) row: ProblemRow,
}

/// Measures groups; keeps the inputs of the last one, since threads are the innermost axis.
pub(super) struct Bench<'p> {
    plan: &'p Plan,
    context: &'p Context,
    oracle: Workers,
    kept: Option<(String, Result<Arc<Made>, String>)>,
}

impl<'p> Bench<'p> {
    pub(super) fn new(plan: &'p Plan, context: &'p Context) -> Result<Self, RunError> {
        let oracle = Workers::new(measure::machine::available_cpus())?;
        Ok(Self {
            plan,
            context,
            oracle,
            kept: None,
        })
    }

    /// The rows of a group, one a cell, in its order.
    pub(super) fn measure(
        &mut self,
        group: &Group,
        learnt: &Learnt,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Record>, RunError> {
        let (plan, context) = (self.plan, self.context);
        let mut records: Vec<Record> = group
            .cells
            .iter()
            .map(|cell| rows::bare(plan, context, group, cell))
            .collect();
        let limit = plan.config.time.seconds_per_call;
        for (record, cell) in records.iter_mut().zip(&group.cells) {
            let calls = (group.spec.pass, group.spec.threads);
            match &cell.verdict {
                Verdict::Skip { status, reason } => rows::end(record, *status, reason.clone()),
                Verdict::Run => {
                    if let Some(s) = learnt.too_long(&cell.label, calls, cell.estimate.flops, limit)
                    {
                        let (s, limit) = (units::seconds(s), units::seconds(limit));
                        let reason = format!(
                            "a call would take {s} at this variant's rate, the limit is {limit}"
                        );
                        rows::end(record, Status::Timeout, reason);
                    }
                }
            }
        }
        if records.iter().all(|r| r.status != Status::Ok) {
            return Ok(records);
        }
        match self.made(group) {
            Ok(made) => self.fill(group, &made, &mut records, progress)?,
            Err(reason) => {
                let waiting = records.iter_mut().filter(|r| r.status == Status::Ok);
                waiting.for_each(|record| rows::end(record, Status::Failed, reason.clone()));
            }
        }
        Ok(records)
    }

    fn made(&mut self, group: &Group) -> Result<Arc<Made>, String> {
        let key = group.spec.key(&self.plan.config);
        match &self.kept {
            Some((kept, made)) if *kept == key => made.clone(),
            _ => {
                // The last group's inputs go before the next ones come.
                self.kept = None;
                let made = self
                    .make(group)
                    .map(Arc::new)
                    .map_err(|error| error.to_string());
                self.kept = Some((key, made.clone()));
                made
            }
        }
    }

    fn make(&self, group: &Group) -> Result<Made, InputError> {
        let spec = group.spec.inputs(&self.plan.config);
        let inputs = Inputs::make(&spec, &self.plan.opened, &self.oracle)?;
        let sample = inputs.sample()?;
        let batch = match group.spec.layout {
            Layout::Padded => inputs.padded(),
            Layout::Jagged => inputs.jagged(),
        };
        drop(inputs);
        let reference = Reference::compute(&batch.problem()?, &sample, &self.oracle);
        let row = rows::problem(&reference, sample.len(), &group.spec.lengths);
        Ok(Made {
            batch,
            sample,
            reference,
            row,
        })
    }

    fn fill(
        &self,
        group: &Group,
        made: &Made,
        records: &mut [Record],
        progress: &mut dyn Progress,
    ) -> Result<(), RunError> {
        let problem = match made.batch.problem() {
            Ok(problem) => problem,
            Err(error) => {
                records
                    .iter_mut()
                    .for_each(|r| rows::end(r, Status::Failed, error.to_string()));
                return Ok(());
            }
        };
        let workers = Workers::new(group.spec.threads)?;
        let given = Given {
            problem: &problem,
            queries: made.batch.queries(),
            pass: group.spec.pass,
            workers: &workers,
        };
        let mut room = Room::new(&given);
        let d_o = (given.pass == Pass::Training)
            .then(|| output_gradient(self.plan.config.seed, room.output.o.dim()));
        let judge = Judge {
            given,
            reference: &made.reference,
            sample: &made.sample,
            d_o: d_o.as_ref(),
            truth: OnceCell::new(),
            oracle: &self.oracle,
            seconds_per_call: self.plan.config.time.seconds_per_call,
            seed: self.plan.config.seed,
        };
        let tensors: Vec<Tensors> = group
            .cells
            .iter()
            .map(|cell| self.tensors(cell, &problem))
            .collect();
        let problems: Vec<Problem<'_>> = tensors.iter().map(|t| problem.supplied(t)).collect();
        let mut passed: Vec<(usize, Call<'_>)> = Vec::new();
        for (index, (record, cell)) in records.iter_mut().zip(&group.cells).enumerate() {
            record.problem = Some(made.row.clone());
            if record.status != Status::Ok {
                continue;
            }
            progress.event(&Event::Gate { label: &cell.label });
            match self.build(cell, &problems[index], &given) {
                Err((status, reason)) => rows::end(record, status, reason),
                Ok(call) => {
                    let Gated {
                        accuracy,
                        gate,
                        gradients,
                        memory,
                        guarded_rows,
                        verdict,
                    } = judge.gate(&call, &mut room);
                    (record.accuracy, record.gate, record.memory) = (accuracy, gate, memory);
                    (record.gradients, record.guarded_rows) = (gradients, guarded_rows);
                    match verdict {
                        Ok(()) => passed.push((index, call)),
                        Err((status, reason)) => rows::end(record, status, reason),
                    }
                }
            }
        }
        let timing = time::Timing {
            plan: self.plan,
            context: self.context,
            group,
            given,
            d_o: d_o.as_ref(),
        };
        timing.rounds(room, &passed, records, progress);
        if given.pass == Pass::Decode {
            timing.prepares(&passed, records);
        }
        Ok(())
    }

    /// What a variant needs beside Q, K and V, as it begins.
    fn tensors(&self, cell: &Cell, problem: &Problem<'_>) -> Tensors {
        let runs = cell.verdict == Verdict::Run;
        let configured = cell.configured.as_ref().filter(|_| runs);
        let variant = configured.and_then(|configured| configured.build().ok());
        let seed = self.plan.config.seed;
        variant.map_or_else(Tensors::default, |variant| {
            Tensors::of(variant.as_ref(), problem.geometry(), seed)
        })
    }

    /// The variant made ready, unless its scratch does not fit beside what is held by now.
    fn build<'a>(
        &self,
        cell: &Cell,
        problem: &'a Problem<'a>,
        given: &Given<'_>,
    ) -> Result<Call<'a>, (Status, String)> {
        let needed = cell.estimate.scratch_bytes;
        if let Some(available) = measure::memory::available_bytes().filter(|a| needed > *a) {
            let (needed, available) = (units::bytes(needed), units::bytes(available));
            return Err((
                Status::OutOfMemory,
                format!("needs {needed} of scratch, {available} available"),
            ));
        }
        let configured = cell
            .configured
            .as_ref()
            .ok_or((Status::Unsupported, "no parameters".to_owned()))?;
        let variant: Box<dyn Attention> = configured
            .build()
            .map_err(|error| (Status::Unsupported, error.to_string()))?;
        guarded(|| Call::new(variant, problem, given)).map_err(|reason| (Status::Failed, reason))
    }
}
