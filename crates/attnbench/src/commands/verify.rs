//! `verify`: the conformance suite on registered variants.

use crate::failure::Failure;
use crate::output;
use crate::variant::{self, VariantArg};
use attention::Attention;
use attention::conformance::{self, Held, Outcome};
use attention::variant::{Kind, Parameter, Value};
use attention_variants::{Configured, VARIANTS};
use clap::Args;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Check that variants keep their promises on this machine
///
/// Runs the conformance suite: sizes, layouts, masks, extremes, determinism, gradients. A line a check says
/// `pass`, `not claimed` (the variant says that it lacks the feature, and refused a request for it, as it must),
/// or `FAIL` with the reason. Without parameters a variant is checked with its defaults and with each parameter
/// near the ends of its range; with parameters, with these. Exit code 1 if a check fails.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Variants as NAME or NAME:key=value,key=value [default: all]
    #[arg(value_name = "VARIANT", value_parser = variant::parse)]
    variants: Vec<VariantArg>,
}

#[derive(Debug, Default)]
struct Tally {
    settings: usize,
    passed: usize,
    refused: usize,
    failed: usize,
}

impl Verify {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut chosen = Vec::new();
        for arg in &self.variants {
            let configured = arg.configure()?;
            if arg.settings.is_empty() {
                chosen.extend(around_defaults(&configured));
            } else {
                configured.build()?;
                chosen.push(configured);
            }
        }
        if self.variants.is_empty() {
            for variant in VARIANTS {
                chosen.extend(around_defaults(&Configured::new(variant.name, [])?));
            }
        }
        let mut tally = Tally::default();
        for configured in &chosen {
            output::line(configured.label())?;
            tally.check(&*configured.build()?)?;
        }
        tally.end()
    }
}

impl Tally {
    fn check(&mut self, attention: &dyn Attention) -> Result<(), Failure> {
        self.settings += 1;
        // A kernel under development may panic, which must not keep the others from being checked.
        let outcomes = catch_unwind(AssertUnwindSafe(|| conformance::run(attention)));
        let Ok(outcomes) = outcomes else {
            self.failed += 1;
            return output::line("  FAIL         the suite panicked; the message is on stderr");
        };
        outcomes.iter().try_for_each(|outcome| self.count(outcome))
    }

    fn count(&mut self, outcome: &Outcome) -> Result<(), Failure> {
        let check = outcome.check;
        let (count, word, text) = match &outcome.verdict {
            Ok(Held::Passed) => (&mut self.passed, "pass", check.protects),
            Ok(Held::Refused) => (&mut self.refused, "not claimed", check.protects),
            Err(reason) => (&mut self.failed, "FAIL", reason.as_str()),
        };
        *count += 1;
        output::line(format_args!("  {word:<11}  {:<14}  {text}", check.name))
    }

    fn end(&self) -> Result<(), Failure> {
        let Self {
            settings,
            passed,
            refused,
            failed,
        } = self;
        output::line(format_args!(
            "{settings} settings, {} checks: {passed} pass, {refused} not claimed, {failed} fail",
            passed + refused + failed
        ))?;
        if *failed == 0 {
            return Ok(());
        }
        Err(Failure::work(
            format!("{failed} checks failed"),
            "the lines marked FAIL say what and where; times of these variants mean nothing here",
        ))
    }
}

/// The defaults, and each parameter moved towards the ends of its range while the rest stay. What
/// does not fit the other defaults is left out.
fn around_defaults(default: &Configured) -> Vec<Configured> {
    let name = default.variant().name;
    let mut all = vec![default.clone()];
    for parameter in default.variant().parameters {
        for value in near_ends(parameter) {
            let moved = Configured::new(name, [(parameter.name, value.as_str())]);
            all.extend(moved.ok().filter(|moved| moved.build().is_ok()));
        }
    }
    all
}

/// The least value and a large one, as far as they differ from the default: ranges may be open
/// where sizes that nobody would choose begin.
fn near_ends(parameter: &Parameter) -> Vec<String> {
    let values = match (parameter.kind, parameter.default) {
        (Kind::Integer { min, max }, Value::Integer(default)) => {
            let large = default.max(1).saturating_mul(4).clamp(min, max);
            vec![Value::Integer(min), Value::Integer(large)]
        }
        (Kind::Float { min, max }, Value::Float(default)) => {
            let (small, large) = (default / 4.0, default * 4.0);
            let bounded = max - min <= 16.0;
            let (low, high) = if bounded {
                (min, max)
            } else {
                (small.max(min), large.min(max))
            };
            vec![Value::Float(low), Value::Float(high)]
        }
        (Kind::Word(words), _) => words.iter().map(|word| Value::Word(word)).collect(),
        _ => Vec::new(),
    };
    let differ = values.iter().filter(|value| **value != parameter.default);
    differ.map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention::{Capabilities, OutputMut, Problem, Result as Answer, Scratch, Workers};

    struct Zero;

    impl Attention for Zero {
        fn capabilities(&self) -> Capabilities {
            Capabilities::all("zero", true)
        }

        fn forward(
            &self,
            problem: &Problem<'_>,
            mut out: OutputMut<'_>,
            _: &Workers,
            _: &mut Scratch,
        ) -> Answer<()> {
            self.capabilities().admit(problem, &out)?;
            out.o.fill(0.0);
            Ok(())
        }
    }

    #[test]
    fn a_variant_that_computes_something_else_fails() {
        let mut tally = Tally::default();
        tally.check(&Zero).unwrap();
        assert!(tally.failed > 5, "{tally:?}");
        assert!(matches!(tally.end(), Err(Failure::Work { .. })));
    }

    #[test]
    fn parameters_are_moved_within_their_ranges() {
        let parameter = |kind, default| Parameter {
            name: "p",
            kind,
            default,
            summary: "",
        };
        let integer = |min, max, default| {
            near_ends(&parameter(
                Kind::Integer { min, max },
                Value::Integer(default),
            ))
        };
        assert_eq!(integer(1, i64::MAX, 128), ["1", "512"]);
        assert_eq!(integer(1, 100, 64), ["1", "100"]);
        assert_eq!(integer(0, i64::MAX, 0), ["4"]);
        let float = |min, max, default| {
            near_ends(&parameter(Kind::Float { min, max }, Value::Float(default)))
        };
        assert_eq!(float(0.0, 1.0, 0.25), ["0", "1"]);
        assert_eq!(float(0.0, f64::INFINITY, 2.0), ["0.5", "8"]);
        let words = parameter(Kind::Word(&["a", "b"]), Value::Word("a"));
        assert_eq!(near_ends(&words), ["b"]);
    }
}
