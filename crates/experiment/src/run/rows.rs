//! Rows, from what is known before a call to what came of it.

use crate::config::Layout;
use crate::context::Context;
use crate::plan::{Cell, Group, Plan};
use crate::record::{CostRow, ProblemRow, Record, SCHEMA_VERSION, ShapeRow, Status, WorkloadRow};
use attention::accuracy::Reference;

/// A row of which nothing is measured yet.
pub(super) fn bare(plan: &Plan, context: &Context, group: &Group, cell: &Cell) -> Record {
    let spec = &group.spec;
    let attention::Shape {
        b,
        h,
        hkv,
        nq,
        nk,
        d,
        dv,
    } = spec.shape;
    let estimate = &cell.estimate;
    Record {
        schema_version: SCHEMA_VERSION,
        experiment: plan.config.name.clone(),
        cell: cell.id.clone(),
        group: group.id.clone(),
        workload: WorkloadRow {
            kind: spec.workload.name.into(),
            label: spec.label.clone(),
            target_entropy: spec.entropy,
            seed: plan.config.seed,
            data: spec.data.clone(),
        },
        shape: ShapeRow {
            b,
            h,
            hkv,
            nq,
            nk,
            d,
            dv,
            jagged: spec.layout == Layout::Jagged,
        },
        mask: spec.mask_in_words(),
        pass: spec.pass,
        threads: spec.threads,
        variant: cell.variant.clone(),
        status: Status::Ok,
        reason: None,
        problem: None,
        mask_sparsity: cell.mask_sparsity,
        guarded_rows: 0,
        accuracy: None,
        gate: None,
        gradients: None,
        cost: CostRow {
            flops: estimate.flops,
            bytes: estimate.bytes,
            scratch_bytes: estimate.scratch_bytes,
            tensor_bytes: estimate.tensor_bytes,
        },
        latency: None,
        prepare: None,
        memory: None,
        isa: context.machine.isa.clone(),
        machine: context.fingerprint.clone(),
        code: context.code.identity.clone(),
        warnings: Vec::new(),
    }
}

/// Ends a row otherwise than well.
pub(super) fn end(record: &mut Record, status: Status, reason: String) {
    record.status = status;
    record.reason = Some(reason);
    record.latency = None;
    record.prepare = None;
}

/// What the oracle says of a problem.
pub(super) fn problem(reference: &Reference, sampled_rows: usize, lengths: &[usize]) -> ProblemRow {
    let mass = reference.mass();
    let (batch, longest) = (
        lengths.len() as f64,
        lengths.iter().copied().max().unwrap_or(0) as f64,
    );
    let waste = |power: i32| {
        let used: f64 = lengths.iter().map(|n| (*n as f64).powi(power)).sum();
        let laid_out = batch * longest.powi(power);
        if laid_out > 0.0 {
            1.0 - used / laid_out
        } else {
            0.0
        }
    };
    ProblemRow {
        entropy: mass.entropy,
        kappa_90: mass.kappa_90,
        kappa_99: mass.kappa_99,
        top1: mass.top1,
        max_abs_score: reference.max_abs_score(),
        sampled_rows,
        rho1: waste(1),
        rho2: waste(2),
    }
}
