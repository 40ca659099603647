//! Properties that every variant must have for what it claims.
//!
//! A library function, so that the tests of each variant crate and the command line's `verify` run
//! the same suite. A feature that a variant does not claim is checked too: the request must be
//! refused by a typed error, never answered by something else.
//!
//! ```no_run
//! # fn my_variant_conforms(my_variant: &attention::Variant) {
//! attention::conformance::hold(my_variant, &[("window", "64")]).unwrap();
//! # }
//! ```

mod agree;
mod dropout;
mod errors;
mod extremes;
mod gradients;
mod inputs;
mod layouts;
mod masks;
mod supplied;

use crate::attention::Attention;
use crate::variant::{Parameters, Variant};

/// A property, and what goes wrong for users without it.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Short name.
    pub name: &'static str,
    /// What it protects.
    pub protects: &'static str,
    run: fn(&dyn Attention) -> Verdict,
}

/// How a check ended: which of its parts the variant claims and has, or what is wrong.
pub type Verdict = Result<Held, String>;

/// A check that found no fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// The variant has the property.
    Passed,
    /// The variant does not claim it, and refuses requests for it.
    Refused,
}

/// One check on one variant.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which check.
    pub check: &'static Check,
    /// How it ended.
    pub verdict: Verdict,
}

/// All checks, in the order in which they run.
pub static CHECKS: &[Check] = &[
    Check {
        name: "shapes",
        protects: "sizes that are no multiple of anything, from 1 up",
        run: layouts::odd_shapes,
    },
    Check {
        name: "empty",
        protects: "no histories, no queries, no keys: answered, not panicked on",
        run: layouts::empty,
    },
    Check {
        name: "strides",
        protects: "tensors in any memory order",
        run: layouts::strides,
    },
    Check {
        name: "grouped heads",
        protects: "query heads read the key head that is theirs",
        run: layouts::grouped_heads,
    },
    Check {
        name: "jagged",
        protects: "histories end to end give what each gives alone",
        run: layouts::jagged,
    },
    Check {
        name: "causal",
        protects: "all alignments; no look into the future",
        run: masks::causal,
    },
    Check {
        name: "window",
        protects: "i - W < j <= i, and both its edges",
        run: masks::window,
    },
    Check {
        name: "key lengths",
        protects: "padding is never seen",
        run: masks::key_lengths,
    },
    Check {
        name: "dense mask",
        protects: "any boolean matrix, alone and with others",
        run: masks::dense,
    },
    Check {
        name: "block mask",
        protects: "tiles of any side",
        run: masks::blocks,
    },
    Check {
        name: "bias",
        protects: "dense and relative, per head and shared",
        run: masks::bias,
    },
    Check {
        name: "dropout",
        protects: "the same weights are dropped for any layout and number of threads",
        run: dropout::choices,
    },
    Check {
        name: "log-sum-exp",
        protects: "partial results merge, and backward recomputes",
        run: masks::log_sum_exp,
    },
    Check {
        name: "blind rows",
        protects: "a query that sees nothing gets zero, not NaN",
        run: masks::blind_rows,
    },
    Check {
        name: "hidden NaN",
        protects: "what is masked changes nothing, even NaN and infinity",
        run: extremes::hidden,
    },
    Check {
        name: "visible NaN",
        protects: "a fault in the data shows where it matters, and only there",
        run: extremes::visible,
    },
    Check {
        name: "extreme logits",
        protects: "finite answers for logits of ±1e4",
        run: extremes::logits,
    },
    Check {
        name: "determinism",
        protects: "the same bits for 1, 2 and 4 threads, and on every run",
        run: layouts::determinism,
    },
    Check {
        name: "scratch",
        protects: "memory is what was foretold",
        run: layouts::scratch,
    },
    Check {
        name: "errors",
        protects: "wrong shapes and strides are errors that name the tensor",
        run: errors::typed,
    },
    Check {
        name: "gradients",
        protects: "backward is the derivative of forward, by every tensor",
        run: gradients::finite_differences,
    },
    Check {
        name: "gradient bits",
        protects: "the same gradients for 1, 2 and 4 threads, in the memory that was foretold",
        run: gradients::same_bits,
    },
];

/// Runs every check on a variant.
#[must_use]
pub fn run(attention: &dyn Attention) -> Vec<Outcome> {
    let supplied = supplied::Supplied(attention);
    CHECKS
        .iter()
        .map(|check| Outcome {
            check,
            verdict: (check.run)(&supplied),
        })
        .collect()
}

/// Builds a variant from settings given as text and runs every check on it: the test of a variant
/// crate in a line.
///
/// # Errors
/// The first fault, with the settings and the check that found it.
pub fn hold(variant: &Variant, settings: &[(&str, &str)]) -> Result<(), String> {
    let fault = |what: &str, text: String| format!("{} {settings:?}, {what}: {text}", variant.name);
    let mut parameters = Parameters::defaults(variant.parameters);
    for (name, text) in settings {
        let parameter = variant.parameters.iter().find(|p| p.name == *name);
        let parameter = parameter.ok_or_else(|| fault("settings", format!("no `{name}`")))?;
        let value = parameter
            .accept(text)
            .map_err(|e| fault("settings", e.to_string()))?;
        parameters.set(parameter.name, value);
    }
    let attention = (variant.build)(&parameters).map_err(|e| fault("settings", e.to_string()))?;
    for outcome in run(attention.as_ref()) {
        outcome
            .verdict
            .map_err(|text| fault(outcome.check.name, text))?;
    }
    Ok(())
}
