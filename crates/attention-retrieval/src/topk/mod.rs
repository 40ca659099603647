//! Exact top-k attention: softmax over the k keys of the largest scores.

mod form;
mod forward;
mod score;
mod select;
mod sum;

use attention::variant::{Family, Kind, Parameter, Value, Variant};
use attention::{
    Attention, Capabilities, Cost, Feature, Form, Geometry, OutputMut, Problem, Result, Scratch,
    Workers,
};

const NAME: &str = "top-k";

/// Softmax attention of each query over the k visible keys of the largest scores.
///
/// Every visible key is scored, so that no key of the top k is ever missed; of equal scores the
/// earlier key wins, and a NaN score counts as the largest, so that it reaches the output. L is the
/// log-sum-exp over the kept keys alone: for partial results of disjoint sets of keys it merges
/// those sets' top k, not the top k of all.
///
/// Which keys are kept is decided by the score in f32, the products summed one after another in the
/// order of D by fused multiply-add, times the scale, plus the bias. That is part of the definition, for the f64 form as
/// well: between two keys whose scores differ by less than rounding neither is the better answer,
/// and a form that chose for itself would differ by a whole value.
///
/// Source: Qi et al., SIM, CIKM 2020 (soft search); Chang et al., TWIN, KDD 2023.
/// Cost: O(Nq·Nk·D + Nq·k·Dv) time, O(Nk) scratch a worker.
pub static VARIANT: Variant = Variant {
    name: NAME,
    family: Family::Retrieval,
    summary: "softmax attention of each query over the k keys of the largest scores",
    time: "O(N²·D + N·k·D)",
    state: "N·(D + Dv)",
    source: "Qi et al., SIM, CIKM 2020 (soft search)",
    parameters: &[Parameter {
        name: "k",
        kind: Kind::Integer {
            min: 1,
            max: i64::MAX,
        },
        default: Value::Integer(64),
        summary: "keys that each query keeps",
    }],
    build: |parameters| {
        Ok(Box::new(TopK {
            k: parameters.integer("k"),
        }))
    },
};

struct TopK {
    k: usize,
}

impl Attention for TopK {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all(NAME, false)
            .without(
                Feature::Dropout,
                "for training, and there is no backward pass yet",
            )
            .without(Feature::Backward, "no backward pass yet")
            .without(Feature::Prepare, "no packed keys kept between calls yet")
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        forward::forward(self.k, problem, out, workers, scratch);
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, threads: usize) -> u64 {
        forward::scratch_bytes(self.k, geometry, threads)
    }

    /// Every visible pair is scored, for 2·D + 2 operations; 2·Dv + 4 more for a kept one.
    fn cost(&self, geometry: &Geometry, threads: usize) -> Cost {
        let shape = geometry.shape();
        let scoring = geometry.visible_pairs() * (2 * shape.d + 2) as u64;
        let keeping = self.scored_pairs(geometry) * (2 * shape.dv + 4) as u64;
        Cost {
            flops: scoring + keeping,
            bytes: shape.tensor_bytes(),
            scratch_bytes: self.scratch_bytes(geometry, threads),
        }
    }

    fn scored_pairs(&self, geometry: &Geometry) -> u64 {
        let shape = geometry.shape();
        let kept: u64 = (0..shape.b)
            .map(|s| {
                let mask = geometry.sequence(s);
                (0..mask.queries())
                    .map(|i| mask.count(i).min(self.k) as u64)
                    .sum::<u64>()
            })
            .sum();
        kept * shape.h as u64
    }

    fn form_f64(
        &self,
        problem: &Problem<'_>,
        sequence: usize,
        head: usize,
        rows: &[usize],
    ) -> Result<Form> {
        Ok(form::form(self.k, &problem.head(sequence, head), rows))
    }
}
