//! What a plan foretells, and refuses.

mod support;

use experiment::plan::Verdict;
use experiment::record::Status;
use experiment::{Context, Filter, Plan, PlanError};
use support::{config, context, plan};

fn skipped(plan: &Plan, label: &str) -> Option<(Status, String)> {
    let cells = plan.groups.iter().flat_map(|g| &g.cells);
    cells
        .filter(|c| c.label == label)
        .find_map(|c| match &c.verdict {
            Verdict::Run => None,
            Verdict::Skip { status, reason } => Some((*status, reason.clone())),
        })
}

#[test]
fn memory_is_refused_with_the_numbers() {
    let config = config(&[
        "problem.length=16384",
        "problem.heads=32",
        "inputs.workload=gaussian",
        "time.seconds_per_call=1000.0",
    ]);
    let context = Context {
        available_bytes: Some(500_000_000),
        ..context(&[1])
    };
    let plan = Plan::new(&config, &context, None).unwrap();
    // 32 matrices S of 16384 x 16384 f32 are 34.4 GB; Q, K, V and O are 67 MB, the oracle's rows 8 MB.
    let (status, reason) = skipped(&plan, "naive-gemm").unwrap();
    assert_eq!(status, Status::OutOfMemory);
    assert!(
        reason.starts_with("needs 34.4 GB of scratch beside 75.5 MB of tensors and oracle, ")
            && reason.ends_with("500 MB available"),
        "{reason}"
    );
    assert_eq!(
        skipped(&plan, "blocked"),
        None,
        "the blocked kernel takes O(N) memory"
    );
}

#[test]
fn what_is_too_slow_even_at_the_peak_is_refused() {
    let config = config(&[
        "problem.length=16384",
        "problem.heads=4",
        "inputs.workload=gaussian",
        "time.seconds_per_call=0.01",
    ]);
    let plan = Plan::new(&config, &context(&[1]), None).unwrap();
    let (status, reason) = skipped(&plan, "blocked").unwrap();
    assert_eq!(status, Status::Timeout);
    assert!(
        reason.contains("even at the machine's peak, the limit is 10 ms"),
        "{reason}"
    );
    assert_eq!(skipped(&plan, "sliding-window window=4"), None);
}

#[test]
fn identities_are_stable_and_change_with_what_matters() {
    let identity = |sets: &[&str]| plan(&config(sets), None).identity;
    assert_eq!(identity(&[]), identity(&[]));
    assert_eq!(
        identity(&[]),
        identity(&["question=another one"]),
        "prose changes nothing"
    );
    assert_ne!(identity(&[]), identity(&["seed=4"]));
    assert_ne!(
        identity(&[]),
        identity(&["variants.blocked={}", "variants.sliding-window.window=4"])
    );
    let other = Context {
        fingerprint: "elsewhere".into(),
        ..context(&[])
    };
    assert_ne!(
        identity(&[]),
        Plan::new(&config(&[]), &other, None).unwrap().identity
    );
    let mut dirty = context(&[]);
    (dirty.code.git_dirty, dirty.code.git_revision) = (!dirty.code.git_dirty, "abc".into());
    assert_eq!(
        identity(&[]),
        Plan::new(&config(&[]), &dirty, None).unwrap().identity
    );
    dirty.code.identity = "changed".into();
    assert_ne!(
        identity(&[]),
        Plan::new(&config(&[]), &dirty, None).unwrap().identity
    );
}

#[test]
fn cells_have_ids_of_their_own_and_keep_them_in_a_larger_sweep() {
    let ids = |sets: &[&str]| -> Vec<String> {
        plan(&config(sets), None)
            .groups
            .iter()
            .flat_map(|g| g.cells.iter().map(|c| c.id.clone()))
            .collect()
    };
    let (all, some) = (ids(&[]), ids(&["problem.length=40"]));
    let mut unique = all.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), all.len());
    assert!(some.iter().all(|id| all.contains(id)));
}

#[test]
fn filters_act_on_groups_and_on_variants_within() {
    let shape = |filter: &str| {
        let plan = plan(&config(&[]), Some(filter));
        (plan.groups.len(), plan.cells())
    };
    assert_eq!(shape("n>=40"), (2, 8));
    assert_eq!(shape("n>=40,workload=gaus*"), (1, 4));
    assert_eq!(shape("variant=blocked"), (4, 4));
    assert_eq!(shape("variant=sliding-window"), (4, 8));
    assert_eq!(shape("variant=*N/4,n<40"), (2, 2));
    assert_eq!(shape("family!=naive"), (4, 12));
    assert_eq!(shape("entropy!=0.1,mask=causal,d=8,threads=1"), (4, 16));
    let all = plan(&config(&[]), None).identity;
    assert_eq!(
        all,
        plan(&config(&[]), Some("n=24")).identity,
        "groups of the same run"
    );
    assert_ne!(
        all,
        plan(&config(&[]), Some("variant=blocked")).identity,
        "other groups"
    );
    let filter: Filter = "n>1000".parse().unwrap();
    let error = Plan::new(&config(&[]), &context(&[]), Some(&filter)).unwrap_err();
    assert!(
        matches!(error, PlanError::NothingMatches { groups: 4, .. }),
        "{error}"
    );
}

#[test]
fn a_log_without_such_long_histories_is_a_skip_that_names_the_longest() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("small.txt");
    let rows: Vec<String> = (0..30).map(|t| format!("ann item{}", t % 7)).collect();
    std::fs::write(&log, rows.join("\n")).unwrap();
    let log = format!("histories.log={}", log.display());
    let sets = [
        log.as_str(),
        "histories.format=pairs",
        "inputs.workload=histories",
        "problem.head_dimension=2",
    ];
    let plan = plan(&config(&sets), None);
    assert!(matches!(plan.groups[0].cells[0].verdict, Verdict::Run));
    let (status, reason) = skipped(&plan, "blocked").unwrap();
    assert_eq!(status, Status::Unsupported);
    assert_eq!(
        reason,
        "small.txt has 0 histories of 40 events or more, 1 needed; its longest has 30"
    );
    assert_eq!(plan.groups[0].spec.label, "histories (small.txt)");
}
