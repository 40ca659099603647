//! From which length on each approximation is faster than exact attention, and at which accuracy.

use super::{Advice, Answer};
use crate::numbers::{self, list, significant, skill};
use crate::order::natural;
use crate::settings::{Condition, Setting, Settings, is_exact, median_ms};
use crate::speedup::{Speedup, speedup};
use experiment::record::Record;

/// Lengths from which on a crossing can be placed.
const ENOUGH: usize = 3;

/// An approximation along the lengths at which the exact kernel was timed as well.
#[derive(Debug, Clone)]
pub(crate) struct Runner<'a> {
    /// By length.
    pub(crate) points: Vec<Lap<'a>>,
    pub(crate) crossing: Crossing,
    /// Relative error and skill at the crossing; where there is none, at the nearest length measured.
    pub(crate) error: f64,
    pub(crate) skill: f64,
}

/// One length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lap<'a> {
    pub(crate) record: &'a Record,
    /// Time over the exact kernel's.
    pub(crate) ratio: Speedup,
}

impl Lap<'_> {
    pub(crate) fn length(&self) -> f64 {
        self.record.shape.nk as f64
    }
}

/// Where a ratio of times falls below 1 and stays there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Crossing {
    /// At the shortest length already.
    Before(f64),
    At {
        length: f64,
        /// Where the ends of the ratios' intervals cross; absent where beyond the lengths measured.
        interval: (Option<f64>, Option<f64>),
    },
    /// Not at the longest length.
    After(f64),
}

/// All approximations of a condition against one exact variant.
#[derive(Debug, Clone)]
pub(crate) struct Race<'a> {
    pub(crate) condition: Condition,
    /// The label of the exact variant.
    pub(crate) reference: String,
    /// By the length from which on they are faster.
    pub(crate) runners: Vec<Runner<'a>>,
}

/// The races of a run: one a condition with three lengths, an exact variant and an approximation.
pub(crate) fn races<'a>(settings: &Settings<'a>) -> Vec<Race<'a>> {
    let groups = settings.by_condition().into_iter();
    groups
        .filter_map(|(condition, list)| race(condition, &list))
        .collect()
}

fn race<'a>(condition: Condition, list: &[&Setting<'a>]) -> Option<Race<'a>> {
    let reference = reference(list)?;
    let mut laps: Vec<Lap> = Vec::new();
    for setting in list {
        let at = |r: &&Record| r.variant.label == reference && is_exact(r);
        let Some(exact) = setting.measured().find(at) else {
            continue;
        };
        let others = setting.measured().filter(|r| r.variant.label != reference);
        laps.extend(others.filter_map(|record| {
            let ratio = speedup(record, exact)?;
            let positive = ratio.interval.0 > 0.0 && ratio.median > 0.0;
            positive.then_some(Lap { record, ratio })
        }));
    }
    laps.sort_by(|a, b| {
        natural(&a.record.variant.label, &b.record.variant.label)
            .then_with(|| a.length().total_cmp(&b.length()))
    });
    let same = |a: &Lap, b: &Lap| a.record.variant.label == b.record.variant.label;
    let mut runners: Vec<Runner> = laps
        .chunk_by(same)
        // A window wider than a short history is exact there; it is none of the exact ones.
        .filter(|laps| laps.len() >= ENOUGH && laps.iter().any(|l| !is_exact(l.record)))
        .map(Runner::of)
        .collect();
    runners.sort_by(|a, b| a.crossing.order().total_cmp(&b.crossing.order()));
    (!runners.is_empty()).then_some(Race {
        condition,
        reference,
        runners,
    })
}

/// The exact variant to compare with: `blocked` if it ran at three lengths, else the baseline, else the fastest at
/// the longest.
fn reference(list: &[&Setting]) -> Option<String> {
    let timed = |label: &str| {
        let at = |s: &&&Setting| {
            let mut exact = s.measured().filter(|r| is_exact(r));
            exact.any(|r| r.variant.label == label)
        };
        list.iter().filter(at).count() >= ENOUGH
    };
    let baseline = list.iter().flat_map(|s| s.measured()).find_map(|r| {
        let over = r.latency.as_ref()?.speedup.as_ref()?.over.clone();
        timed(&over).then_some(over)
    });
    let longest = list
        .last()?
        .measured()
        .filter(|r| is_exact(r) && timed(&r.variant.label));
    let fastest = || {
        let time = |r: &Record| median_ms(r).unwrap_or(f64::INFINITY);
        longest.min_by(|a, b| time(a).total_cmp(&time(b)))
    };
    let blocked = "blocked".to_string();
    match timed(&blocked) {
        true => Some(blocked),
        false => baseline.or_else(|| Some(fastest()?.variant.label.clone())),
    }
}

/// Where the polyline of (length, ratio) on logarithmic axes last comes down through 1.
fn descent(points: impl Iterator<Item = (f64, f64)> + Clone) -> Option<Crossing> {
    let slow = points.clone().filter(|p| p.1 >= 1.0).last();
    let Some((n, ratio)) = slow else {
        return points.map(|p| Crossing::Before(p.0)).next();
    };
    let Some((next, below)) = points.clone().find(|p| p.0 > n) else {
        return Some(Crossing::After(n));
    };
    let share = ratio.ln() / (ratio / below).ln();
    Some(Crossing::At {
        length: n * (next / n).powf(share),
        interval: (None, None),
    })
}

impl Crossing {
    fn of(laps: &[Lap]) -> Self {
        let along = |ratio: fn(&Speedup) -> f64| {
            descent(laps.iter().map(move |l| (l.length(), ratio(&l.ratio))))
        };
        let place = |crossing| match crossing {
            Some(Crossing::At { length, .. }) => Some(length),
            _ => None,
        };
        match along(|r| r.median) {
            Some(Crossing::At { length, .. }) => {
                let low = place(along(|r| r.interval.0));
                let high = place(along(|r| r.interval.1));
                let interval = (low, high);
                Crossing::At { length, interval }
            }
            Some(other) => other,
            None => Crossing::After(0.0),
        }
    }

    /// The length, where what is faster throughout comes first and what is never comes last.
    fn order(self) -> f64 {
        match self {
            Crossing::Before(_) => 0.0,
            Crossing::At { length, .. } => length,
            Crossing::After(_) => f64::INFINITY,
        }
    }

    /// The length at which accuracy is told.
    fn place(self) -> f64 {
        match self {
            Crossing::Before(n) | Crossing::After(n) => n,
            Crossing::At { length, .. } => length,
        }
    }
}

/// Three digits: a length between two that were measured is no exacter.
pub(crate) fn length_words(length: f64) -> String {
    let digits = 10f64.powf((length.log10().floor() - 2.0).max(0.0));
    format!("{:.0}", (length / digits).round() * digits)
}

impl<'a> Runner<'a> {
    fn of(laps: &[Lap<'a>]) -> Self {
        let crossing = Crossing::of(laps);
        let place = crossing.place();
        let errors = |l: &Lap| l.record.accuracy.as_ref().map(|a| a.total);
        let at = |value: &dyn Fn(&Lap) -> f64| {
            let after = laps.iter().position(|l| l.length() >= place);
            let after = after.unwrap_or(laps.len() - 1);
            let before = after.saturating_sub(1);
            let (a, b) = (&laps[before], &laps[after]);
            if after == before || b.length() == place {
                return value(b);
            }
            let share = (place / a.length()).ln() / (b.length() / a.length()).ln();
            value(a) + (value(b) - value(a)) * share
        };
        Runner {
            points: laps.to_vec(),
            crossing,
            error: at(&|l| errors(l).map_or(f64::NAN, |e| e.relative_frobenius)),
            skill: at(&|l| errors(l).map_or(f64::NAN, |e| e.skill)),
        }
    }

    pub(crate) fn label(&self) -> &'a str {
        &self.points[0].record.variant.label
    }

    /// `N ≈ 290 (270 to 310)`, `N ≤ 64`; `None` where it is not faster at the longest length.
    pub(crate) fn from(&self) -> Option<String> {
        let ends = (self.points[0].length(), self.last().length());
        match self.crossing {
            Crossing::Before(n) => Some(format!("N ≤ {n}")),
            Crossing::At { length, interval } => {
                let low = interval.0.map(length_words);
                let low = low.unwrap_or_else(|| format!("under {}", ends.0));
                let high = interval.1.map(length_words);
                let high = high.unwrap_or_else(|| format!("over {}", ends.1));
                Some(format!("N ≈ {} ({low} to {high})", length_words(length)))
            }
            Crossing::After(_) => None,
        }
    }

    /// At the longest length measured.
    fn last(&self) -> &Lap<'a> {
        &self.points[self.points.len() - 1]
    }
}

/// A line for each condition: who is faster from where on.
pub(crate) fn advice(settings: &Settings) -> Option<Advice> {
    let races = races(settings);
    let first = races.first()?;
    let title = format!(
        "From which length on each is faster than {}, with the 95 % interval, and its error there",
        first.reference
    );
    let lines = races.iter().map(|race| {
        let place = match settings.condition_label(&race.condition) {
            label if label.is_empty() => "All".into(),
            label => label,
        };
        let crossed = race.runners.iter().filter_map(|r| {
            Some(format!(
                "{} {} at {} error",
                r.label(),
                r.from()?,
                numbers::error(r.error)
            ))
        });
        let crossed: Vec<String> = crossed.collect();
        let never: Vec<String> = race
            .runners
            .iter()
            .filter(|r| r.from().is_none())
            .map(|r| r.label().to_string())
            .collect();
        let mut parts = Vec::new();
        if !crossed.is_empty() {
            parts.push(list(&crossed));
        }
        if !never.is_empty() {
            parts.push(format!("not by the longest length: {}", list(&never)));
        }
        format!("{place}: {}.", parts.join("; "))
    });
    Some(Advice {
        title,
        lines: lines.collect(),
    })
}

/// The same and the times at the longest length, as a table.
pub(crate) fn answer(settings: &Settings) -> Option<Answer> {
    let races = races(settings);
    let reference = &races.first()?.reference;
    let columns = [
        "Variant".into(),
        format!("Faster than {reference} from"),
        "Error there".into(),
        "Skill there".into(),
        "At the longest N".into(),
        format!("Time over {reference}'s"),
    ];
    let rows = races.iter().map(|race| {
        let rows = race.runners.iter().map(row).collect();
        (settings.condition_label(&race.condition), rows)
    });
    Some(Answer::of(
        format!("From which length each approximation is faster than {reference}"),
        "Where the ratio of times, taken within rounds, last comes down through 1, between two measured lengths on \
         logarithmic axes; in brackets where the ends of the 95 % intervals of the ratios do. Error and skill are interpolated \
         between the same lengths; of a variant that is never faster they are those at its longest length.",
        &columns,
        rows.collect(),
    ))
}

fn row(runner: &Runner) -> Vec<String> {
    let last = runner.last();
    let (low, high) = last.ratio.interval;
    vec![
        runner.label().into(),
        runner
            .from()
            .unwrap_or_else(|| "never, of those measured".into()),
        numbers::error(runner.error),
        skill(runner.skill),
        last.record.shape.nk.to_string(),
        format!(
            "{} ({} to {})",
            significant(last.ratio.median, 3),
            significant(low, 3),
            significant(high, 3)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(points: &[(f64, f64)]) -> Option<Crossing> {
        descent(points.iter().copied())
    }

    #[test]
    fn the_last_descent_through_1_counts() {
        assert_eq!(
            at(&[(64.0, 0.9), (128.0, 0.5)]),
            Some(Crossing::Before(64.0))
        );
        assert_eq!(
            at(&[(64.0, 0.9), (128.0, 1.5)]),
            Some(Crossing::After(128.0))
        );
        let points = [(64.0, 0.5), (128.0, 1.2), (256.0, 2.0), (1024.0, 0.5)];
        let Some(Crossing::At { length, .. }) = at(&points) else {
            panic!("no crossing")
        };
        assert!(
            (length - 512.0).abs() < 1e-9,
            "half way on both axes: {length}"
        );
        assert_eq!(at(&[]), None);
    }

    #[test]
    fn lengths_have_three_digits() {
        let told = [64.4, 290.2, 1234.0, 16384.0].map(length_words);
        assert_eq!(told, ["64", "290", "1230", "16400"]);
    }
}
