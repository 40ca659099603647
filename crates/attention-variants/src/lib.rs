//! The registry of attention variants; nothing else.
//!
//! A variant is one [`Variant`] beside its code and one line in [`VARIANTS`]. Command line, configs,
//! tests, benches and charts derive from this list.
//!
//! ```
//! use attention_variants::Configured;
//! let window = Configured::new("sliding-window", [("window", "256")])?;
//! assert_eq!(window.label(), "sliding-window window=256");
//! let attention = window.build()?;
//! assert!(attention.capabilities().exact);
//! # Ok::<(), attention_variants::RegistryError>(())
//! ```

#![forbid(unsafe_code)]

use attention::variant::{Parameter, Parameters};
use attention::{Attention, Variant};

/// Every variant, in the order in which tables list them.
pub static VARIANTS: &[&Variant] = &[
    &attention_naive::NAIVE,
    &attention_naive::NAIVE_GEMM,
    &attention_blocked::BLOCKED,
    &attention_blocked::BLOCKED_BF16,
    &attention_blocked::BLOCKED_INT8,
    &attention_blocked::SLIDING_WINDOW,
    &attention_blocked::RANDOM_BLOCKS,
    &attention_linear::ELU,
    &attention_linear::RELU,
    &attention_linear::FAVOR,
    &attention_linear::RFA,
    &attention_linear::COSFORMER,
    &attention_linear::LINREC,
    &attention_linear::HEDGEHOG,
    &attention_linear::BASED,
    &attention_linear::REBASED,
    &attention_linear::LINFORMER,
    &attention_linear::NYSTROM,
    &attention_linear::LIGHTSANS,
    &attention_linear::RETNET,
    &attention_linear::GLA,
    &attention_linear::DELTANET,
    &attention_linear::GATED_DELTANET,
    &attention_linear::SELECTIVE_SCAN,
    &attention_retrieval::TOP_K,
    &attention_interest::HSTU,
    &attention_interest::DIN,
    &attention_interest::ADDITIVE,
];

/// What can be wrong with the name of a variant or of a parameter, or with its value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// No variant of this name.
    #[error("unknown variant `{name}`{}; the variants are {}", hint(.nearest), names().join(", "))]
    UnknownVariant {
        /// What was asked for.
        name: String,
        /// The registered name most like it.
        nearest: Option<&'static str>,
    },
    /// The variant has no parameter of this name.
    #[error("`{variant}` has no parameter `{parameter}`{}; it has {}", hint(.nearest), or_none(.known))]
    UnknownParameter {
        /// The variant.
        variant: &'static str,
        /// What was asked for.
        parameter: String,
        /// The parameter most like it.
        nearest: Option<&'static str>,
        /// Those there are.
        known: Vec<&'static str>,
    },
    /// A value that the variant refuses.
    #[error("`{variant}`: {source}")]
    Value {
        /// The variant.
        variant: &'static str,
        /// What is wrong with it.
        source: attention::Error,
    },
}

/// A variant with all its parameters set.
#[derive(Debug, Clone)]
pub struct Configured {
    variant: &'static Variant,
    parameters: Parameters,
}

impl Configured {
    /// A variant by name, with parameters given as text; the rest keep their defaults.
    ///
    /// # Errors
    /// [`RegistryError`] where a name is unknown, with the nearest one, or a value does not fit.
    pub fn new<'s>(
        name: &str,
        settings: impl IntoIterator<Item = (&'s str, &'s str)>,
    ) -> Result<Self, RegistryError> {
        let variant = find(name)?;
        let mut parameters = Parameters::defaults(variant.parameters);
        for (key, text) in settings {
            let parameter = parameter(variant, key)?;
            let value = parameter
                .accept(text)
                .map_err(|source| RegistryError::Value {
                    variant: variant.name,
                    source,
                })?;
            parameters.set(parameter.name, value);
        }
        Ok(Self {
            variant,
            parameters,
        })
    }

    /// What the registry says of the variant.
    #[must_use]
    pub fn variant(&self) -> &'static Variant {
        self.variant
    }

    /// Its parameters, defaults included.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Name and the parameters that are not at their defaults: `sliding-window window=256`.
    #[must_use]
    pub fn label(&self) -> String {
        let defaults = Parameters::defaults(self.variant.parameters);
        let changed = self
            .parameters
            .iter()
            .zip(defaults.iter())
            .filter(|(ours, theirs)| ours != theirs);
        self.label_with(&changed.map(|((name, _), _)| name).collect::<Vec<_>>())
    }

    /// Name and the named parameters: for sweeps, which show what they vary.
    #[must_use]
    pub fn label_with(&self, shown: &[&str]) -> String {
        let mut label = self.variant.name.to_owned();
        for (name, value) in self
            .parameters
            .iter()
            .filter(|(name, _)| shown.contains(name))
        {
            label.push_str(&format!(" {name}={value}"));
        }
        label
    }

    /// Makes the variant.
    ///
    /// # Errors
    /// [`RegistryError::Value`] where its parameters do not fit together.
    pub fn build(&self) -> Result<Box<dyn Attention>, RegistryError> {
        (self.variant.build)(&self.parameters).map_err(|source| RegistryError::Value {
            variant: self.variant.name,
            source,
        })
    }
}

/// A registered variant by name.
///
/// # Errors
/// [`RegistryError::UnknownVariant`], with the nearest name.
pub fn find(name: &str) -> Result<&'static Variant, RegistryError> {
    VARIANTS
        .iter()
        .find(|v| v.name == name)
        .copied()
        .ok_or_else(|| RegistryError::UnknownVariant {
            name: name.into(),
            nearest: nearest(name, &names()),
        })
}

/// A variant's parameter by name.
///
/// # Errors
/// [`RegistryError::UnknownParameter`], with the nearest name.
pub fn parameter(
    variant: &'static Variant,
    name: &str,
) -> Result<&'static Parameter, RegistryError> {
    variant
        .parameters
        .iter()
        .find(|p| p.name == name)
        .ok_or_else(|| {
            let known: Vec<_> = variant.parameters.iter().map(|p| p.name).collect();
            RegistryError::UnknownParameter {
                variant: variant.name,
                parameter: name.into(),
                nearest: nearest(name, &known),
                known,
            }
        })
}

/// The registered names.
#[must_use]
pub fn names() -> Vec<&'static str> {
    VARIANTS.iter().map(|v| v.name).collect()
}

/// The candidate most like `name`, if any is near enough to be what was meant.
#[must_use]
pub fn nearest<'c>(name: &str, candidates: &[&'c str]) -> Option<&'c str> {
    candidates
        .iter()
        .map(|c| (strsim::jaro_winkler(name, c), *c))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, c)| c)
}

fn hint(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |n| format!(", did you mean `{n}`?"))
}

fn or_none(known: &[&'static str]) -> String {
    if known.is_empty() {
        "none".into()
    } else {
        known.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_defaults_are_acceptable() {
        let mut seen = std::collections::BTreeSet::new();
        for variant in VARIANTS {
            assert!(
                seen.insert(variant.name),
                "{} is registered twice",
                variant.name
            );
            for parameter in variant.parameters {
                let text = parameter.default.to_string();
                assert_eq!(
                    parameter.accept(&text),
                    Ok(parameter.default),
                    "{}",
                    variant.name
                );
            }
            let built = Configured::new(variant.name, []).unwrap().build().unwrap();
            assert_eq!(built.capabilities().variant, variant.name);
        }
    }

    /// What leaves no pair out must not stand in tables and charts as sparse.
    #[test]
    fn approximations_without_a_choice_of_keys_let_every_visible_pair_in() {
        let shape = attention::Shape {
            b: 1,
            h: 2,
            hkv: 2,
            nq: 40,
            nk: 40,
            d: 8,
            dv: 8,
        };
        let geometry = attention::Geometry::padded(shape, attention::Mask::full()).unwrap();
        let linear = |v: &&&Variant| v.family == attention::Family::Linear;
        for variant in VARIANTS.iter().filter(linear) {
            let built = Configured::new(variant.name, []).unwrap().build().unwrap();
            assert_eq!(built.scored_pairs(&geometry), 3200, "{}", variant.name);
        }
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest() {
        let message = Configured::new("sliding_windw", [])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("did you mean `sliding-window`?"),
            "{message}"
        );
        let message = Configured::new("sliding-window", [("windw", "3")])
            .unwrap_err()
            .to_string();
        assert!(message.contains("did you mean `window`?"), "{message}");
        let message = Configured::new("sliding-window", [("window", "0")])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("window = 0: expected a whole number from 1"),
            "{message}"
        );
    }

    #[test]
    fn a_label_shows_what_was_changed() {
        assert_eq!(Configured::new("blocked", []).unwrap().label(), "blocked");
        let blocks = Configured::new("random-blocks", [("density", "0.5")]).unwrap();
        assert_eq!(blocks.label(), "random-blocks density=0.5");
        assert_eq!(blocks.label_with(&["block"]), "random-blocks block=64");
    }
}
