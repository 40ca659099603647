//! How a variant introduces itself: one [`Variant`] value beside its code, listed in the registry.

use crate::attention::Attention;
use crate::error::{Error, Result};
use std::collections::BTreeMap;

/// Families share a colour in charts and a crate in the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Exact, materialises S.
    Naive,
    /// Exact over the keys of mask and pattern, tiled, O(N) memory.
    Blocked,
    /// Never forms S.
    Linear,
    /// Each query over the few keys that matter to it.
    Retrieval,
    /// A recommender's interest in each event by a weight of another form than softmax of dot products.
    Interest,
}

impl Family {
    /// All families, in the order in which legends list them.
    pub const ALL: [Self; 5] = [
        Self::Naive,
        Self::Blocked,
        Self::Linear,
        Self::Retrieval,
        Self::Interest,
    ];

    /// The family in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Blocked => "blocked",
            Self::Linear => "linear",
            Self::Retrieval => "retrieval",
            Self::Interest => "interest",
        }
    }
}

/// A parameter's value.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub enum Value {
    /// A whole number.
    Integer(i64),
    /// A real number.
    Float(f64),
    /// One of a parameter's words.
    Word(&'static str),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(n) => write!(f, "{n}"),
            Self::Float(x) => write!(f, "{x}"),
            Self::Word(w) => f.write_str(w),
        }
    }
}

/// What a parameter accepts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A whole number, both ends allowed.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A real number, both ends allowed.
    Float {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer { min, max: i64::MAX } => write!(f, "a whole number from {min} on"),
            Self::Integer { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Float { min, max } => write!(f, "a number from {min} to {max}"),
            Self::Word(words) => write!(f, "one of {}", words.join(", ")),
        }
    }
}

/// One typed parameter of a variant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its key in configs.
    pub name: &'static str,
    /// What it accepts.
    pub kind: Kind,
    /// Its value where none is given.
    pub default: Value,
    /// What it does, in a line.
    pub summary: &'static str,
}

impl Parameter {
    /// Fits a value to the parameter; a whole number serves as a real one.
    ///
    /// # Errors
    /// [`Error::Parameter`] where the value is of another type or out of range.
    pub fn accept(&self, value: &str) -> Result<Value> {
        let accepted = match self.kind {
            Kind::Integer { min, max } => value
                .parse()
                .ok()
                .filter(|n| (min..=max).contains(n))
                .map(Value::Integer),
            Kind::Float { min, max } => value
                .parse()
                .ok()
                .filter(|x| (min..=max).contains(x))
                .map(Value::Float),
            Kind::Word(words) => words.iter().find(|w| **w == value).map(|w| Value::Word(w)),
        };
        accepted.ok_or_else(|| Error::Parameter {
            parameter: self.name,
            value: value.into(),
            expected: format!("expected {}", self.kind),
        })
    }
}

/// A variant's parameters, complete: defaults where nothing was given.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters(BTreeMap<&'static str, Value>);

impl Parameters {
    /// The defaults of a list of parameters.
    #[must_use]
    pub fn defaults(parameters: &[Parameter]) -> Self {
        Self(parameters.iter().map(|p| (p.name, p.default)).collect())
    }

    /// Replaces one value that [`Parameter::accept`] has passed.
    pub fn set(&mut self, name: &'static str, value: Value) {
        self.0.insert(name, value);
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Value)> + '_ {
        self.0.iter().map(|(name, value)| (*name, *value))
    }

    /// A whole number.
    ///
    /// # Panics
    /// Where the variant did not declare the parameter so: a fault in the variant.
    #[must_use]
    pub fn integer(&self, name: &str) -> usize {
        match self.0.get(name) {
            Some(Value::Integer(n)) => usize::try_from(*n).unwrap_or(0),
            other => panic!("{name} is no declared integer parameter: {other:?}"),
        }
    }

    /// A real number.
    ///
    /// # Panics
    /// Where the variant did not declare the parameter so: a fault in the variant.
    #[must_use]
    pub fn float(&self, name: &str) -> f64 {
        match self.0.get(name) {
            Some(Value::Float(x)) => *x,
            other => panic!("{name} is no declared float parameter: {other:?}"),
        }
    }

    /// A word.
    ///
    /// # Panics
    /// Where the variant did not declare the parameter so: a fault in the variant.
    #[must_use]
    pub fn word(&self, name: &str) -> &'static str {
        match self.0.get(name) {
            Some(Value::Word(w)) => w,
            other => panic!("{name} is no declared word parameter: {other:?}"),
        }
    }
}

/// Everything that lists, help, configs, tests and charts need to know of a variant.
#[derive(Debug, Clone, Copy)]
pub struct Variant {
    /// Its key in configs and on the command line.
    pub name: &'static str,
    /// Its family.
    pub family: Family,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Time in the sequence length N, as text: `O(N²·D)`.
    pub time: &'static str,
    /// What is kept of one head of a history of N to answer further queries, as text: `N·(D + Dv)`.
    pub state: &'static str,
    /// Paper, section or equation.
    pub source: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Makes it from complete parameters.
    pub build: fn(&Parameters) -> Result<Box<dyn Attention>>,
}
