//! One variant on one problem, before it runs.

use super::estimate::{self, Estimate};
use super::group::GroupSpec;
use crate::config::{Choice, Config};
use crate::context::Context;
use crate::pass::Pass;
use crate::record::{Status, VariantRow};
use attention::variant::Value;
use attention::{Attention, Geometry};
use attention_variants::Configured;
use serde_json::json;

/// Whether a cell will run.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It will.
    Run,
    /// It will not: its row says why.
    Skip {
        /// What its row will say.
        status: Status,
        /// Why.
        reason: String,
    },
}

impl Verdict {
    pub(crate) fn skip(status: Status, reason: impl Into<String>) -> Self {
        Self::Skip {
            status,
            reason: reason.into(),
        }
    }
}

/// One variant on one problem.
#[derive(Debug, Clone)]
pub struct Cell {
    /// Hash of its config, data, code and machine.
    pub id: String,
    /// Name and the parameters that vary.
    pub label: String,
    /// Name, family, parameters.
    pub variant: VariantRow,
    /// The variant with its parameters; `None` where they do not fit the length.
    pub configured: Option<Configured>,
    /// What a call will take.
    pub estimate: Estimate,
    /// 1 - (pairs that enter an output) / (visible pairs).
    pub mask_sparsity: f64,
    /// Whether it will run.
    pub verdict: Verdict,
}

impl Cell {
    pub(super) fn lay_out(
        choice: &Choice,
        spec: &GroupSpec,
        (geometry, visible): (&Geometry, u64),
        config: &Config,
        context: &Context,
    ) -> Self {
        let mut cell = Self::bare(choice, spec, config, context);
        let Some(configured) = &cell.configured else {
            return cell;
        };
        let attention = match configured.build() {
            Ok(attention) => attention,
            Err(error) => {
                cell.verdict = Verdict::skip(Status::Unsupported, error.to_string());
                return cell;
            }
        };
        cell.variant.exact = attention.capabilities().exact;
        cell.verdict = match admitted(attention.as_ref(), spec.pass, geometry) {
            Err(reason) => Verdict::skip(Status::Unsupported, reason),
            Ok(()) => {
                let peak = context.peak_gflops(spec.threads);
                cell.estimate = Estimate::of(attention.as_ref(), geometry, spec, config, peak);
                let scored = attention.scored_pairs(geometry);
                cell.mask_sparsity = if visible == 0 {
                    0.0
                } else {
                    1.0 - scored as f64 / visible as f64
                };
                estimate::verdict(&cell.estimate, config, context)
            }
        };
        if let Some(reason) = &spec.impossible {
            cell.verdict = Verdict::skip(Status::Unsupported, reason);
        }
        cell
    }

    pub(super) fn without_geometry(
        choice: &Choice,
        spec: &GroupSpec,
        error: &attention::Error,
        config: &Config,
        context: &Context,
    ) -> Self {
        let mut cell = Self::bare(choice, spec, config, context);
        cell.verdict = Verdict::skip(
            Status::Failed,
            format!("the problem cannot be posed: {error}"),
        );
        cell
    }

    /// Identity and variant, without costs.
    fn bare(choice: &Choice, spec: &GroupSpec, config: &Config, context: &Context) -> Self {
        let (configured, verdict) = match choice.at(spec.shape.nk) {
            Ok(configured) => (Some(configured), Verdict::Run),
            Err(error) => (None, Verdict::skip(Status::Unsupported, error.to_string())),
        };
        let parameters = configured.iter().flat_map(|c| c.parameters().iter());
        let parameters = parameters
            .map(|(name, value)| (name.to_owned(), number(value)))
            .collect();
        let family = attention_variants::find(choice.name).map_or("", |v| v.family.name());
        let variant = VariantRow {
            name: choice.name.into(),
            family: family.into(),
            label: choice.label.clone(),
            parameters,
            exact: false,
            rung: config.ladder.iter().position(|l| *l == choice.label),
        };
        let mut described = json!({
            "inputs": spec.key(config),
            "threads": spec.threads,
            "variant": choice.name,
            "parameters": variant.parameters,
            "time": config.time,
        });
        // A forward cell is the one that it was before there were others.
        if spec.pass != Pass::Forward {
            described["pass"] = json!(spec.pass);
        }
        let id = crate::hash::short([
            "cell",
            &described.to_string(),
            &spec.data,
            &context.code.identity,
            &context.fingerprint,
        ]);
        let (label, estimate) = (choice.label.clone(), Estimate::default());
        Self {
            id,
            label,
            variant,
            configured,
            estimate,
            mask_sparsity: 0.0,
            verdict,
        }
    }
}

/// Whether a variant answers such problems with what an experiment can give it.
fn admitted(attention: &dyn Attention, pass: Pass, geometry: &Geometry) -> Result<(), String> {
    if let Some(reason) = pass.objection(attention) {
        return Err(reason);
    }
    attention
        .capabilities()
        .admits_geometry(geometry)
        .map_err(|e| e.to_string())?;
    attention
        .pattern(geometry)
        .map(drop)
        .map_err(|e| e.to_string())
}

fn number(value: Value) -> serde_json::Value {
    match value {
        Value::Integer(n) => json!(n),
        Value::Float(x) => json!(x),
        Value::Word(word) => json!(word),
    }
}
