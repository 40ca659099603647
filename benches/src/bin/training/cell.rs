//! What is timed.

use crate::Failure;
use recommender::{Holdout, Interactions, LogFormat, Part, Split, Targets, read_log};
use std::path::Path;

/// The folder of public logs, and the log in it.
const DATA: &str = "ATTNBENCH_DATA";
const LOG: &str = "ml-1m/ml-1m.txt.gz";

/// The most recent events that the model looks at in ml-1m, and the batches of its steps.
const LONGEST: usize = 200;
const BATCH: usize = 128;
const BATCHES: usize = 8;

/// One thing that every contender does.
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) work: Work,
    /// The length of the model's histories.
    pub(crate) longest: usize,
    /// Items in the catalogue.
    pub(crate) items: usize,
}

/// What is done.
pub(crate) enum Work {
    /// A training step, on each of these batches of histories in turn.
    Step(Vec<Vec<Vec<u32>>>),
    /// Ranks of all users' last events.
    Evaluation(Interactions),
}

impl Cell {
    /// Some histories to compare logits behind.
    pub(crate) fn probes(&self) -> Vec<Vec<u32>> {
        match &self.work {
            Work::Step(batches) => batches[0].iter().take(4).cloned().collect(),
            Work::Evaluation(log) => log.histories().take(64).map(<[u32]>::to_vec).collect(),
        }
    }
}

/// Each user's events before the last, and the last.
pub(crate) fn questions(log: &Interactions) -> Result<(Vec<Vec<u32>>, Vec<u32>), Failure> {
    let split = Split::new(log, Holdout::LeaveOneOut)?;
    let cases = split.cases(Part::Test, Targets::First);
    let list = cases.list.iter();
    Ok(list
        .map(|case| (case.history.items.to_vec(), case.targets[0]))
        .unzip())
}

/// The cells of these names, or all.
pub(crate) fn cells(only: &[String]) -> Result<Vec<Cell>, Failure> {
    let mut cells = vec![full(128, 200), full(32, 1000), full(8, 4096)];
    match std::env::var_os(DATA) {
        Some(folder) => {
            let path = Path::new(&folder).join(LOG);
            cells.extend(real(&read_log(&path, &"auto".parse::<LogFormat>()?)?)?);
        }
        None => eprintln!("{DATA} is not set: without ml-1m's steps and evaluation"),
    }
    if let Some(name) = only.iter().find(|n| cells.iter().all(|c| c.name != **n)) {
        let names: Vec<&str> = cells.iter().map(|cell| cell.name.as_str()).collect();
        return Err(format!("there is no cell `{name}`; there are {}", names.join(", ")).into());
    }
    cells.retain(|cell| only.is_empty() || only.contains(&cell.name));
    Ok(cells)
}

/// Histories that are all as long as the model looks: walks through a catalogue as large as ml-1m's.
fn full(batch: usize, length: usize) -> Cell {
    let items = 3416;
    let mut state = 1u32;
    let mut draw = |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((u64::from(state) * u64::from(below)) >> 32) as u32
    };
    let mut history = || {
        let mut item = draw(items);
        let mut walk = vec![item];
        for _ in 0..length {
            item = (item + 1 + draw(9)) % items;
            walk.push(item);
        }
        walk
    };
    Cell {
        name: format!("{batch}x{length}"),
        work: Work::Step(vec![(0..batch).map(|_| history()).collect()]),
        longest: length,
        items: items as usize,
    }
}

/// Steps on users of ml-1m as they come, and the ranking of all of them.
fn real(log: &Interactions) -> Result<[Cell; 2], Failure> {
    let (histories, _) = questions(log)?;
    let window = |history: &Vec<u32>| history[history.len().saturating_sub(LONGEST + 1)..].to_vec();
    let batches = histories.chunks_exact(BATCH).take(BATCHES);
    let batches = batches.map(|batch| batch.iter().map(window).collect());
    let cell = |name: &str, work| Cell {
        name: name.into(),
        work,
        longest: LONGEST,
        items: log.items(),
    };
    Ok([
        cell("ml-1m-step", Work::Step(batches.collect())),
        cell("ml-1m-evaluation", Work::Evaluation(log.clone())),
    ])
}
