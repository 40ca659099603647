//! Answers to one user, on one thread: the whole history encoded, or the next event of a state that is kept.

use super::config::{LatencyConfig, Training};
use super::data::StudyData;
use super::error::StudyError;
use super::latency::{LatencyKind, LatencyPoint, begin_all, point, timed};
use measure::Contestant;
use ndarray::Array2;
use recommender::evaluate::top_k;
use recommender::model::{ModelError, Scorer, UserState};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Of the list that a user is answered with.
const ANSWERS: usize = 10;

/// Times both for histories of one length: every model encodes, and those that can go on from a state.
pub(super) fn requests(
    config: &LatencyConfig,
    trainings: &[Training],
    data: &StudyData,
    length: usize,
) -> Result<Vec<LatencyPoint>, StudyError> {
    // Models that look at as many events as are asked.
    let long: Vec<Training> = trainings
        .iter()
        .map(|training| Training {
            model: training.model.clone().with_longest(length),
            ..training.clone()
        })
        .collect();
    let trainers = begin_all(&long, data, 1)?;
    let log = &data.log;
    // Items as the log has them, over and over where no user has so many.
    let (_, items) = log.jagged();
    let history: Vec<u32> = items.iter().copied().cycle().take(length).collect();
    let (mut able, mut reasons) = (Vec::new(), Vec::new());
    for (trainer, training) in trainers.iter().zip(trainings) {
        let user = UserState::new(trainer.scorer(), &history);
        reasons.push(user.as_ref().err().map(ToString::to_string));
        able.extend(user.map(|user| (trainer, training, user.bytes())));
    }
    let fault = RefCell::new(None);
    let note = |error| {
        fault.borrow_mut().get_or_insert(error);
        Duration::ZERO
    };
    let encode = trainers.iter().zip(trainings).map(|(trainer, training)| {
        let (history, mut scores) = (&history, Array2::zeros((1, log.items())));
        Contestant::new(training.label(), move || {
            if let Err(error) = request(trainer.scorer(), history, &mut scores) {
                note(error);
            }
        })
    });
    let go_on = able.iter().map(|(trainer, training, _)| {
        let (history, mut scores) = (&history, Array2::zeros((1, log.items())));
        Contestant::self_timed(training.label(), move || {
            next_event(trainer.scorer(), history, &mut scores).unwrap_or_else(note)
        })
    });
    let mut rounds = timed(config, encode.chain(go_on).collect());
    if let Some(error) = fault.take() {
        return Err(error.into());
    }
    let events = rounds.split_off(trainings.len());
    let mut points = Vec::new();
    for ((samples, training), not_kept) in rounds.into_iter().zip(trainings).zip(reasons) {
        let request = point(samples, training, (LatencyKind::Request, length, 1, 1));
        points.extend(request.map(|point| LatencyPoint { not_kept, ..point }));
    }
    for (samples, (_, training, bytes)) in events.into_iter().zip(able) {
        let event = point(samples, training, (LatencyKind::Event, length, 1, 1));
        let kept_bytes = Some(bytes);
        points.extend(event.map(|point| LatencyPoint {
            kept_bytes,
            ..point
        }));
    }
    Ok(points)
}

fn request(
    scorer: Scorer<'_>,
    history: &[u32],
    scores: &mut Array2<f32>,
) -> Result<(), ModelError> {
    scorer.score(&[history], scores.view_mut())?;
    black_box(top_k(scores.as_slice().unwrap_or_default(), ANSWERS));
    Ok(())
}

/// How long the latest event of a history takes, by a state that knows those before it.
fn next_event(
    scorer: Scorer<'_>,
    history: &[u32],
    scores: &mut Array2<f32>,
) -> Result<Duration, ModelError> {
    let Some((&latest, before)) = history.split_last() else {
        return Ok(Duration::ZERO);
    };
    // The event before it goes in alone as well: what was prepared at its exact size moves once when it grows.
    let (first, second) = before.split_at(before.len().saturating_sub(1));
    let mut user = UserState::new(scorer, first)?;
    second.iter().try_for_each(|&item| user.observe(item))?;
    let begin = Instant::now();
    user.observe(latest)?;
    user.score(scores.row_mut(0))?;
    black_box(top_k(scores.as_slice().unwrap_or_default(), ANSWERS));
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::super::config::StudyConfig;
    use super::*;

    const SHOP: &str = r#"
        name = "corner-shop"
        [data]
        simulated = { users = 20, items = 30, clusters = 3 }
        [evaluation]
        seen = "kept"
        [training]
        loss = { name = "softmax" }
        [models.sasrec]
        model = { sasrec = { width = 8, blocks = 1, positions = "from-first" } }
        vary_attention = true
        [models.counted-from-latest]
        model = { sasrec = { width = 8, blocks = 1 } }
        [variants.blocked]
        [variants.linear-elu]
        [variants.naive]
        [latency]
        lengths = [1, 12]
        seconds = 0.01
    "#;

    #[test]
    fn who_keeps_a_state_is_timed_with_it_and_the_others_say_why() {
        let config = StudyConfig::parse("shop.toml", SHOP, &[]).unwrap();
        let data = config.data.open(None, None).unwrap();
        let latency = config.latency.as_ref().unwrap();
        let bytes = [1, 12].map(|length| {
            let points = requests(latency, &config.trainings(), &data, length).unwrap();
            assert!(points.iter().all(|point| point.length == length));
            let of = |kind, label: &str| {
                let mut found = points
                    .iter()
                    .filter(|p| p.kind == kind && p.label() == label);
                let first = found.next();
                assert!(found.next().is_none(), "{kind:?} of {label} twice");
                first
            };
            let kept = ["blocked", "linear-elu"].map(|variant| {
                let label = format!("sasrec, {variant}");
                let request = of(LatencyKind::Request, &label).unwrap();
                assert_eq!((request.kept_bytes, &request.not_kept), (None, &None));
                let event = of(LatencyKind::Event, &label).unwrap();
                assert!(event.median_ms > 0.0 && event.samples_ns.len() > 4);
                event.kept_bytes.unwrap()
            });
            for (label, reason) in [
                ("sasrec, naive", "naive does not support prepare"),
                (
                    "counted-from-latest, blocked",
                    "counted from the latest event",
                ),
            ] {
                assert_eq!(of(LatencyKind::Event, label), None);
                let request = of(LatencyKind::Request, label).unwrap();
                let not_kept = request.not_kept.as_deref().unwrap();
                assert!(not_kept.contains(reason), "{not_kept}");
            }
            kept
        });
        let [[exact, linear], [exact_later, linear_later]] = bytes;
        assert!(exact_later > exact && linear_later == linear, "{bytes:?}");
    }
}
