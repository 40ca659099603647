//! What a study shows, in sentences that follow from its rows alone.

use crate::numbers::{bytes, duration, significant};
use experiment::study::{LatencyKind, LatencyPoint, Origin, Outcome, StudyResults};
use recommender::Metric;

/// The findings of a study, the most important first; none where nothing was trained.
pub fn study_sentences(study: &StudyResults, metric: Metric) -> Vec<String> {
    let mut sentences = Vec::new();
    sentences.extend(best(study, metric));
    sentences.extend(beside_exact(study, Origin::Trained));
    sentences.extend(beside_exact(study, Origin::Swapped));
    sentences.extend(state_kept(study));
    sentences
}

/// What a state of users buys at the longest history, and what it takes: of the fastest, and of the model's own
/// attention where that is another.
fn state_kept(study: &StudyResults) -> Option<String> {
    let events = || {
        study
            .latency
            .iter()
            .filter(|point| point.kind == LatencyKind::Event)
    };
    let length = events().map(|point| point.length).max()?;
    let of_length = || events().filter(|point| point.length == length);
    let anew = |event: &LatencyPoint| {
        let is_it = |point: &&LatencyPoint| {
            point.kind == LatencyKind::Request
                && (point.length, &point.model, &point.variant)
                    == (length, &event.model, &event.variant)
        };
        study.latency.iter().find(is_it)
    };
    let words = |event: &LatencyPoint| {
        let speedup = anew(event)?.median_ms / event.median_ms;
        Some(format!(
            "{} with {} ({} times as fast as encoding anew, {} kept)",
            duration(event.median_ms),
            event.label(),
            significant(speedup, 2),
            bytes(event.kept_bytes? as f64)
        ))
    };
    let fastest = of_length().min_by(|a, b| a.median_ms.total_cmp(&b.median_ms))?;
    let against = |outcome: &Outcome| outcome.against.as_ref().map(|against| against.name.clone());
    let own = study.outcomes.iter().find_map(against);
    let own = of_length().find(|point| own.as_ref() == Some(&point.label()));
    let mut parts = vec![words(fastest)?];
    parts.extend(own.filter(|own| *own != fastest).and_then(words));
    Some(format!(
        "With a state of users kept, a request after {length} events takes {}.",
        parts.join(", and ")
    ))
}

/// The best training, beside the best floor.
fn best(study: &StudyResults, metric: Metric) -> Option<String> {
    let value = |outcome: &Outcome| outcome.estimate(metric).map_or(0.0, |e| e.value);
    let of = |origin: Origin| {
        let rows = study.outcomes.iter().filter(|o| o.made.origin == origin);
        rows.max_by(|a, b| value(a).total_cmp(&value(b)))
    };
    let trained = of(Origin::Trained)?;
    let e = trained.estimate(metric)?;
    let floor = of(Origin::Floor).map_or_else(String::new, |floor| {
        format!(
            "; {}, which learns nothing, has {:.4}",
            floor.made.label(),
            value(floor)
        )
    });
    Some(format!(
        "Best is {} with {metric} {:.4} ({:.4} to {:.4}){floor}.",
        trained.made.label(),
        e.value,
        e.low,
        e.high
    ))
}

/// Which variants rank worse than the model's own attention, and which cannot be told from it.
fn beside_exact(study: &StudyResults, origin: Origin) -> Option<String> {
    let rows: Vec<(&str, &experiment::study::Against)> = study
        .outcomes
        .iter()
        .filter(|outcome| outcome.made.origin == origin)
        .filter_map(|outcome| {
            let variant = outcome.made.variant.as_deref()?;
            Some((variant, outcome.against.as_ref()?))
        })
        .collect();
    let than = &rows.first()?.1.name;
    let named = |keep: &dyn Fn(f64, f64) -> bool| {
        let mut names: Vec<&str> = rows
            .iter()
            .filter(|(_, a)| keep(a.test.difference.low, a.test.difference.high))
            .map(|(name, _)| *name)
            .collect();
        names.dedup();
        names
    };
    let worse = named(&|_, high| high < 0.0);
    let better = named(&|low, _| low > 0.0);
    let alike = named(&|low, high| low <= 0.0 && high >= 0.0);
    let how = match origin {
        Origin::Swapped => "Swapped into the trained model",
        _ => "Trained with it from the beginning",
    };
    let mut parts = Vec::new();
    for (names, words) in [
        (better, "better"),
        (alike, "not to be told apart"),
        (worse, "worse"),
    ] {
        if !names.is_empty() {
            parts.push(format!("{words}: {}", names.join(", ")));
        }
    }
    Some(format!(
        "{how}, against {than} over the same users: {}.",
        parts.join("; ")
    ))
}
