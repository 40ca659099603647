//! A plan carried out, group by group.

mod call;
mod gate;
mod gradients;
mod group;
mod learnt;
mod progress;
mod rows;
mod time;

pub use progress::{Event, Progress};

use crate::context::{Context, Rates};
use crate::plan::Plan;
use crate::record::Record;
use crate::store::{Session, StoreError, Writer};
use group::Bench;
use learnt::Learnt;
use measure::Peak;
use measure::machine::CpuTime;
use measure::warnings::{peak_drift, steal};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Why a run stopped. What it measured before is kept, and the next call continues.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The folder of results.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Threads for oracle or kernels.
    #[error(transparent)]
    Threads(#[from] attention::Error),
}

/// Where results go, and whether old ones count.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The folder; by default `runs/<experiment>/<identity>`.
    pub out: Option<PathBuf>,
    /// Sets old records aside and measures all anew.
    pub fresh: bool,
}

/// What a run left.
#[derive(Debug, Clone)]
pub struct RunSummary {
    /// The folder.
    pub dir: PathBuf,
    /// All rows, those of earlier calls included.
    pub records: Vec<Record>,
    /// Groups that this call measured.
    pub measured: usize,
    /// Groups that earlier calls had finished.
    pub reused: usize,
}

/// The folder of a plan's results.
#[must_use]
pub fn default_dir(plan: &Plan) -> PathBuf {
    Path::new("runs")
        .join(&plan.config.name)
        .join(&plan.identity)
}

/// Runs every group of the plan that its folder does not hold yet.
///
/// A cell that cannot be measured is a row with a reason, and the run goes on; an error is of the
/// folder or of the system. `context` gains the peaks that it measures.
///
/// ```no_run
/// use experiment::{Config, Context, Plan, RunOptions};
/// let config = Config::load("experiments/quickstart.toml".as_ref(), &[])?;
/// let mut context = Context::detect();
/// let plan = Plan::new(&config, &context, None)?;
/// let done = experiment::run(&plan, &mut context, &RunOptions::default(), &mut ())?;
/// println!("{} rows in {}", done.records.len(), done.dir.display());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`RunError`].
pub fn run(
    plan: &Plan,
    context: &mut Context,
    options: &RunOptions,
    progress: &mut dyn Progress,
) -> Result<RunSummary, RunError> {
    let dir = options.out.clone().unwrap_or_else(|| default_dir(plan));
    let mut writer = Writer::open(&dir, plan, context, options.fresh)?;
    let (finished, open): (Vec<_>, Vec<_>) = plan
        .groups
        .iter()
        .enumerate()
        .partition(|(_, group)| writer.has_group(&group.id));
    progress.event(&Event::Started {
        dir: &dir,
        groups: plan.groups.len(),
        finished: finished.len(),
    });
    let measures = open.iter().any(|(_, group)| group.runs());
    let watch = if measures {
        Some(begin_session(&mut writer, plan, context)?)
    } else {
        None
    };
    let mut learnt = Learnt::from_records(&writer.records);
    let mut bench = Bench::new(plan, context)?;
    let mut left: f64 = open.iter().map(|(_, group)| group.seconds).sum();
    let (mut predicted, started) = (0.0, Instant::now());
    for (index, group) in &open {
        // Predictions are scaled by how the groups so far compared with theirs.
        let pace = if predicted > 0.0 {
            started.elapsed().as_secs_f64() / predicted
        } else {
            1.0
        };
        progress.event(&Event::Group {
            index: *index,
            of: plan.groups.len(),
            title: &group.spec.title(&plan.config.problem),
            left: Duration::try_from_secs_f64(left * pace).unwrap_or(Duration::MAX),
        });
        let rows = bench.measure(group, &learnt, progress)?;
        rows.iter()
            .for_each(|row| progress.event(&Event::Cell { record: row }));
        learnt.add(&rows);
        writer.append(rows)?;
        left -= group.seconds;
        predicted += group.seconds;
    }
    writer.finish(plan)?;
    if let Some(watch) = watch {
        end_session(&mut writer, watch)?;
    }
    progress.event(&Event::Finished { dir: &dir });
    let (measured, reused) = (open.len(), finished.len());
    Ok(RunSummary {
        dir,
        records: writer.records,
        measured,
        reused,
    })
}

/// The state of the machine at the start, to compare the end with.
struct Watch {
    peak: Option<Peak>,
    cpu: Option<CpuTime>,
}

fn begin_session(
    writer: &mut Writer,
    plan: &Plan,
    context: &mut Context,
) -> Result<Watch, RunError> {
    let threads: BTreeSet<usize> = plan.groups.iter().map(|g| g.spec.threads).collect();
    let rates: Vec<Rates> = threads
        .iter()
        .map(|&t| context.measure(t).clone())
        .collect();
    let most = threads.last().copied().unwrap_or(1);
    let peak = rates.last().map(|r| r.peak.clone());
    let started = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    writer.manifest.sessions.push(Session {
        started: started.as_secs(),
        placement: measure::placement(),
        rates,
        warnings: measure::warnings::machine_warnings(&context.machine, most),
    });
    writer.write_manifest()?;
    Ok(Watch {
        peak,
        cpu: CpuTime::now(),
    })
}

/// Adds what changed while the session lasted: a peak that moved, CPU time that was withheld.
fn end_session(writer: &mut Writer, watch: Watch) -> Result<(), RunError> {
    let drift = watch
        .peak
        .and_then(|before| peak_drift(&before, &measure::fma_peak(before.threads)));
    let withheld = watch
        .cpu
        .zip(CpuTime::now())
        .and_then(|(before, after)| steal(&before, &after));
    if let Some(session) = writer.manifest.sessions.last_mut() {
        session.warnings.extend(drift.into_iter().chain(withheld));
    }
    Ok(writer.write_manifest()?)
}
