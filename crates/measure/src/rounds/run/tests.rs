use super::*;
use std::cell::RefCell;

fn spin(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

const LONG_CALL: Duration = Duration::from_micros(60);

/// The order in which contestants 0..n were called, without warm-up, over `rounds` rounds.
fn visits(n: usize, rounds: usize, seed: u64) -> Vec<usize> {
    let log = RefCell::new(Vec::new());
    let mut contestants: Vec<Contestant> = (0..n)
        .map(|i| {
            let log = &log;
            Contestant::new(i.to_string(), move || log.borrow_mut().push(i))
        })
        .collect();
    let plan = RoundPlan {
        warmup: 0,
        min_rounds: rounds,
        max_rounds: rounds,
        relative_interval: 0.0,
        seed,
        ..RoundPlan::default()
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    assert!(
        samples
            .iter()
            .all(|s| s.nanoseconds.len() == rounds && s.calls_per_sample == 1)
    );
    drop(contestants);
    log.into_inner()
}

#[test]
fn every_round_visits_everyone_in_an_order_of_its_own() {
    let log = visits(5, 40, 3);
    let rounds: Vec<&[usize]> = log.chunks(5).collect();
    assert_eq!(rounds.len(), 40);
    for round in &rounds {
        let mut sorted = round.to_vec();
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4]);
    }
    let distinct: std::collections::BTreeSet<&[usize]> = rounds.iter().copied().collect();
    assert!(distinct.len() > 20, "{} orders", distinct.len());
    // Over many rounds nobody is always first.
    for contestant in 0..5 {
        assert!(rounds.iter().any(|round| round[0] == contestant));
    }
}

#[test]
fn the_seed_decides_the_orders() {
    assert_eq!(visits(4, 12, 7), visits(4, 12, 7));
    assert_ne!(visits(4, 12, 7), visits(4, 12, 8));
}

#[test]
fn steady_calls_converge_before_the_maximum() {
    let mut contestants = [Contestant::new("steady", || {
        spin(Duration::from_micros(200))
    })];
    let plan = RoundPlan {
        relative_interval: 0.1,
        min_rounds: 8,
        max_rounds: 500,
        ..RoundPlan::default()
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    assert_eq!(samples[0].stop, Stop::Converged);
    assert!((8..500).contains(&samples[0].nanoseconds.len()));
    assert_eq!(samples[0].warmup_ns.len(), 3);
    assert!(crate::median(&samples[0].as_f64()) >= 200_000.0);
}

#[test]
fn one_that_converged_says_so_when_another_did_not() {
    let mut toggle = false;
    let mut contestants = [
        Contestant::new("steady", || spin(Duration::from_micros(300))),
        Contestant::new("erratic", || {
            toggle = !toggle;
            spin(Duration::from_micros(if toggle { 60 } else { 900 }));
        }),
    ];
    let plan = RoundPlan {
        relative_interval: 0.1,
        max_rounds: 40,
        ..RoundPlan::default()
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    assert_eq!(
        (samples[0].stop, samples[1].stop),
        (Stop::Converged, Stop::MaxRounds)
    );
    assert_eq!(
        (samples[0].nanoseconds.len(), samples[1].nanoseconds.len()),
        (40, 40)
    );
}

#[test]
fn short_calls_are_batched_and_reported_per_call() {
    let mut contestants = [
        Contestant::new("short", || spin(Duration::from_micros(2))),
        Contestant::new("long", || spin(Duration::from_micros(120))),
    ];
    let plan = RoundPlan {
        max_rounds: 15,
        ..RoundPlan::default()
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    assert!(
        (10..=26).contains(&samples[0].calls_per_sample),
        "{}",
        samples[0].calls_per_sample
    );
    assert_eq!(samples[1].calls_per_sample, 1);
    let per_call = crate::median(&samples[0].as_f64());
    assert!((2_000.0..6_000.0).contains(&per_call), "{per_call}");
}

#[test]
fn a_spent_budget_still_gives_the_minimum() {
    // Neither alone exceeds the budget with its 40 rounds of 1 ms, both together do.
    let call = || spin(Duration::from_millis(1));
    let mut contestants = [Contestant::new("a", call), Contestant::new("b", call)];
    let plan = RoundPlan {
        warmup: 1,
        min_rounds: 40,
        relative_interval: 0.0,
        budget: Duration::from_millis(65),
        ..RoundPlan::default()
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    assert_eq!(samples[0].stop, Stop::Budget);
    for samples in &samples {
        assert_eq!(samples.nanoseconds.len(), 40);
    }
}

#[test]
fn a_contestant_that_alone_exceeds_the_budget_ends_the_rounds_early() {
    let mut contestants = [
        Contestant::new("quick", || spin(LONG_CALL)),
        Contestant::new("slow", || spin(Duration::from_millis(30))),
    ];
    let plan = RoundPlan {
        budget: Duration::from_millis(10),
        ..RoundPlan::default()
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    for samples in &samples {
        assert_eq!(
            (samples.nanoseconds.len(), samples.stop),
            (1, Stop::BudgetBeforeMinimum)
        );
    }
    assert_eq!(samples[1].warmup_ns.len(), 1, "warming up is cut short too");
}

#[test]
fn progress_comes_after_each_warm_up_and_each_round() {
    let mut contestants = [
        Contestant::new("a", || spin(LONG_CALL)),
        Contestant::new("b", || spin(LONG_CALL)),
    ];
    let plan = RoundPlan {
        min_rounds: 7,
        max_rounds: 7,
        ..RoundPlan::default()
    };
    let mut seen = Vec::new();
    run_rounds(&mut contestants, &plan, &mut |progress| seen.push(progress));
    let phases: Vec<Phase> = seen.iter().map(|progress| progress.phase).collect();
    let warm_ups = (0..2).map(|contestant| Phase::WarmUp { contestant });
    assert_eq!(
        phases,
        warm_ups
            .chain((1..=7).map(|done| Phase::Rounds { done }))
            .collect::<Vec<_>>()
    );
    assert!(
        seen.windows(2)
            .all(|pair| pair[0].elapsed <= pair[1].elapsed && pair[0].fraction <= pair[1].fraction)
    );
    assert_eq!(seen.last().map(|progress| progress.fraction), Some(1.0));
    assert!(
        seen.last()
            .is_some_and(|progress| progress.widest_interval.is_some())
    );
}

#[test]
fn a_target_of_zero_is_never_reached() {
    // Some nanoseconds a call, averaged over thousands: samples are equal to the nanosecond.
    let mut contestants = [Contestant::new("empty", || {})];
    let plan = RoundPlan {
        relative_interval: 0.0,
        max_rounds: 30,
        ..RoundPlan::default()
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    assert_eq!(
        (samples[0].nanoseconds.len(), samples[0].stop),
        (30, Stop::MaxRounds)
    );
}

#[test]
fn degenerate_plans_are_answered() {
    assert!(run_rounds(&mut [], &RoundPlan::default(), &mut |_| {}).is_empty());
    let mut contestants = [Contestant::new("a", || {})];
    let plan = RoundPlan {
        warmup: 0,
        min_rounds: 9,
        max_rounds: 0,
        budget: Duration::ZERO,
        ..RoundPlan::default()
    };
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    assert_eq!(samples[0].nanoseconds.len(), 1);
}

#[test]
fn who_times_itself_is_believed_and_never_batched() {
    let mut turns = 0;
    let plan = RoundPlan {
        warmup: 1,
        min_rounds: 4,
        max_rounds: 4,
        ..RoundPlan::default()
    };
    let mut contestants = [Contestant::self_timed("elsewhere", || {
        turns += 1;
        Duration::from_nanos(700 + turns)
    })];
    let samples = run_rounds(&mut contestants, &plan, &mut |_| {});
    assert_eq!(samples[0].warmup_ns, [701]);
    assert_eq!(samples[0].nanoseconds, [702, 703, 704, 705]);
    assert_eq!(samples[0].calls_per_sample, 1);
}
