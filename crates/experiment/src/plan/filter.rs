//! `--filter variant=blocked,n>=1024`: which groups, and which variants in them.

use super::cell::Cell;
use super::group::GroupSpec;
use std::fmt;
use std::str::FromStr;

/// What a condition may be about.
pub const FIELDS: [&str; 9] = [
    "variant", "family", "workload", "n", "d", "threads", "mask", "pass", "entropy",
];

/// Fields whose values are numbers.
const NUMBERS: [&str; 4] = ["n", "d", "threads", "entropy"];

/// Conditions joined by commas, all of which must hold.
///
/// A condition on `variant` (name or label) or `family` selects cells within groups, any other whole
/// groups. Words are compared with `=` and `!=`, `*` standing for any characters; numbers also with
/// `<`, `<=`, `>` and `>=`.
///
/// ```
/// use experiment::Filter;
/// let filter: Filter = "variant=sliding*,n>=1024".parse()?;
/// assert_eq!(filter.to_string(), "variant=sliding*,n>=1024");
/// assert!("length>3".parse::<Filter>().unwrap_err().to_string().contains("variant, family, workload"));
/// # Ok::<(), experiment::FilterError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Vec<Condition>);

/// A filter that is not understood.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("filter condition `{condition}`: {reason}")]
pub struct FilterError {
    /// The condition.
    pub condition: String,
    /// What is wrong with it, and what would be accepted.
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq)]
struct Condition {
    field: &'static str,
    comparison: Comparison,
    value: String,
    number: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    NotEqual,
    AtLeast,
    AtMost,
    Equal,
    Above,
    Below,
}

/// Longer signs first, so that `>=` is not read as `>`.
const SIGNS: [(&str, Comparison); 6] = [
    ("!=", Comparison::NotEqual),
    (">=", Comparison::AtLeast),
    ("<=", Comparison::AtMost),
    ("=", Comparison::Equal),
    (">", Comparison::Above),
    ("<", Comparison::Below),
];

impl FromStr for Filter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        text.split(',')
            .map(|part| Condition::parse(part.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self, FilterError> {
        let refuse = |reason: String| FilterError {
            condition: text.into(),
            reason,
        };
        let found = SIGNS
            .iter()
            .filter_map(|(sign, comparison)| Some((text.find(sign)?, *sign, *comparison)))
            .min_by_key(|(at, sign, _)| (*at, std::cmp::Reverse(sign.len())));
        let Some((at, sign, comparison)) = found else {
            return Err(refuse(
                "expected FIELD=VALUE, or !=, <, <=, >, >= between them".into(),
            ));
        };
        let (name, value) = (text[..at].trim(), text[at + sign.len()..].trim());
        let Some(field) = FIELDS.iter().copied().find(|f| *f == name) else {
            let hint = attention_variants::nearest(name, &FIELDS);
            let hint = hint.map_or_else(String::new, |n| format!(" (did you mean `{n}`?)"));
            return Err(refuse(format!(
                "no field `{name}`{hint}; the fields are {}",
                FIELDS.join(", ")
            )));
        };
        if value.is_empty() {
            return Err(refuse("there is nothing to compare with".into()));
        }
        let word = !NUMBERS.contains(&field);
        if word && !matches!(comparison, Comparison::Equal | Comparison::NotEqual) {
            return Err(refuse(format!(
                "`{field}` is a word: compare it with = or !="
            )));
        }
        let number = match value.parse() {
            _ if word => f64::NAN,
            Ok(number) => number,
            Err(_) => return Err(refuse(format!("`{field}` is a number, `{value}` is not"))),
        };
        Ok(Self {
            field,
            comparison,
            value: value.into(),
            number,
        })
    }

    fn selects_variants(&self) -> bool {
        matches!(self.field, "variant" | "family")
    }

    fn of_words(&self, words: &[&str]) -> bool {
        let any = words.iter().any(|word| matches(&self.value, word));
        any == (self.comparison == Comparison::Equal)
    }

    fn of_number(&self, number: Option<f64>) -> bool {
        let Some(number) = number else {
            return self.comparison == Comparison::NotEqual;
        };
        match self.comparison {
            Comparison::Equal => number == self.number,
            Comparison::NotEqual => number != self.number,
            Comparison::AtLeast => number >= self.number,
            Comparison::AtMost => number <= self.number,
            Comparison::Above => number > self.number,
            Comparison::Below => number < self.number,
        }
    }
}

impl Filter {
    /// Whether it selects cells within groups.
    #[must_use]
    pub fn selects_variants(&self) -> bool {
        self.0.iter().any(Condition::selects_variants)
    }

    /// The conditions on variants alone.
    pub(super) fn variant_part(&self) -> String {
        Self(
            self.0
                .iter()
                .filter(|c| c.selects_variants())
                .cloned()
                .collect(),
        )
        .to_string()
    }

    pub(super) fn keeps_group(&self, spec: &GroupSpec) -> bool {
        self.0.iter().all(|condition| match condition.field {
            "workload" => condition.of_words(&[spec.workload.name]),
            "mask" => condition.of_words(&[&spec.mask.to_string(), &spec.mask_in_words()]),
            "pass" => condition.of_words(&[spec.pass.name()]),
            "n" => condition.of_number(Some(spec.shape.nk as f64)),
            "d" => condition.of_number(Some(spec.shape.d as f64)),
            "threads" => condition.of_number(Some(spec.threads as f64)),
            "entropy" => condition.of_number(spec.entropy),
            _ => true,
        })
    }

    pub(super) fn keeps_cell(&self, cell: &Cell) -> bool {
        self.0.iter().all(|condition| match condition.field {
            "variant" => condition.of_words(&[&cell.label, &cell.variant.name]),
            "family" => condition.of_words(&[&cell.variant.family]),
            _ => true,
        })
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self
            .0
            .iter()
            .map(|c| {
                let sign = SIGNS
                    .iter()
                    .find(|(_, s)| *s == c.comparison)
                    .map_or("=", |(sign, _)| sign);
                format!("{}{sign}{}", c.field, c.value)
            })
            .collect();
        f.write_str(&parts.join(","))
    }
}

/// Whether text matches a pattern in which `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        for (pattern, text, expected) in [
            ("blocked", "blocked", true),
            ("blocked", "blocked x", false),
            ("sliding*", "sliding-window window=64", true),
            ("*=64", "sliding-window window=64", true),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn mistakes_are_told_with_what_would_do() {
        let reason = |text: &str| text.parse::<Filter>().unwrap_err().reason;
        assert!(reason("varaint=x").contains("did you mean `variant`?"));
        assert!(reason("n>=many").contains("is a number"));
        assert!(reason("variant>blocked").contains("= or !="));
        assert!(reason("blocked").contains("FIELD=VALUE"));
        assert!(reason("n=").contains("nothing to compare"));
    }

    #[test]
    fn signs_are_read_whole() {
        let filter: Filter = "n>=3, d!=4,threads<2,variant=top-k k=16".parse().unwrap();
        assert_eq!(filter.to_string(), "n>=3,d!=4,threads<2,variant=top-k k=16");
        assert!(filter.0[0].of_number(Some(3.0)) && !filter.0[2].of_number(Some(2.0)));
        assert!(filter.selects_variants());
        assert_eq!(filter.variant_part(), "variant=top-k k=16");
    }
}
