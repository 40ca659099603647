//! A study from beginning to end.

use super::config::{StudyConfig, Training};
use super::data::StudyData;
use super::error::StudyError;
use super::folder::{
    LATENCY, RECORDS, RunInfo, STUDY, SUMMARY, StudyInfo, hash_of, keep, kept, make, read_json,
    read_lines, write_json, write_lines,
};
use super::judge::Judge;
use super::latency::{self, LatencyKind, LatencyPoint};
use super::outcome::{Against, Made, Origin, Outcome, Ranked, STUDY_SCHEMA_VERSION};
use super::progress::{StudyEvent, StudyProgress};
use super::swap::{Base, swap};
use super::table::table;
use super::train::{Place, Trained, finished, train};
use crate::context::Context;
use crate::store::{StoreError, replace};
use recommender::Split;
use recommender::baseline::{ItemKnn, Popularity};
use recommender::evaluate::{Bootstrap, paired_test};
use std::path::{Path, PathBuf};

/// Where results go, and what of the study is wanted.
#[derive(Debug, Clone, Default)]
pub struct StudyOptions {
    /// The folder; by default `runs/<study>/<identity>`.
    pub out: Option<PathBuf>,
    /// Sets an old folder aside and begins anew.
    pub fresh: bool,
    /// Only trainings that [fit](Training::fits) one of these; all where it is empty.
    pub only: Vec<String>,
    /// Threads; all that there are where it is 0.
    pub threads: usize,
}

/// What a study has come to so far.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyResults {
    /// Its folder.
    pub dir: PathBuf,
    /// Everything but the rows.
    pub info: StudyInfo,
    /// Floors, trainings, swaps.
    pub outcomes: Vec<Outcome>,
    /// What was timed.
    pub latency: Vec<LatencyPoint>,
}

/// Trains, evaluates, swaps and times what the folder does not hold yet.
///
/// Several processes may work on one study: each training is one process's at a time, and what another is at is
/// left to it.
///
/// ```no_run
/// use experiment::study::{StudyConfig, StudyOptions, run_study};
/// let config = StudyConfig::load("experiments/recommender-simulated.toml".as_ref(), &[])?;
/// let results = run_study(&config, &StudyOptions::default(), &mut ())?;
/// println!("{} rows in {}", results.outcomes.len(), results.dir.display());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`StudyError`]; what was finished before is kept.
pub fn run_study(
    config: &StudyConfig,
    options: &StudyOptions,
    progress: &mut dyn StudyProgress,
) -> Result<StudyResults, StudyError> {
    let cache = Path::new("runs").join(".cache");
    let data = config.data.open(config.folder.as_deref(), Some(&cache))?;
    let context = Context::detect();
    let identity = config.identity(data.log.checksum(), &context.code.identity);
    let dir = options
        .out
        .clone()
        .unwrap_or_else(|| Path::new("runs").join(&config.name).join(&identity));
    if options.fresh && dir.exists() {
        set_aside(&dir)?;
    }
    make(&dir)?;
    let info = inform(&dir, config, &data, &context, identity)?;
    let threads = match options.threads {
        0 => measure::machine::available_cpus(),
        threads => threads,
    };
    let split = data.split()?;
    let judge = Judge::new(&config.evaluation, &config.name, &split, threads)?;
    let work = Work {
        config,
        data: &data,
        split: &split,
        judge: &judge,
        dir: &dir,
        threads,
    };
    let all = work.trainings(&options.only);
    let mut known = 0;
    for (run, folder) in &all {
        known += usize::from(finished(run, folder)?.is_some());
    }
    progress.event(&StudyEvent::Started {
        dir: &dir,
        log: &info.log.2,
        trainings: all.len(),
        finished: known,
    });
    work.floors(progress)?;
    let mut whole = options.only.is_empty();
    for (index, (run, folder)) in all.iter().enumerate() {
        let place = Place {
            info: run,
            index,
            of: all.len(),
            folder,
        };
        let ended = train(&place, (&data, &split), &judge, threads, progress)?;
        whole &= ended == Trained::Here;
        work.write()?;
    }
    work.swaps(whole, progress)?;
    let outcomes = work.write()?;
    let latency = work.latency(whole, progress)?;
    progress.event(&StudyEvent::Finished { dir: &dir });
    Ok(StudyResults {
        dir,
        info,
        outcomes,
        latency,
    })
}

/// What a folder holds of a study.
///
/// # Errors
/// [`StudyError::Store`] where it cannot be read, [`StudyError::NotATraining`] where it is no study's.
pub fn read_study(dir: &Path) -> Result<StudyResults, StudyError> {
    let Some(info) = read_json::<StudyInfo>(&dir.join(STUDY))? else {
        return Err(StudyError::NotATraining {
            path: dir.into(),
            reason: format!("no {STUDY} in it; give the folder of a study"),
        });
    };
    Ok(StudyResults {
        dir: dir.into(),
        info,
        outcomes: read_lines(&dir.join(RECORDS))?,
        latency: read_lines(&dir.join(LATENCY))?,
    })
}

struct Work<'a> {
    config: &'a StudyConfig,
    data: &'a StudyData,
    split: &'a Split<'a>,
    judge: &'a Judge<'a>,
    dir: &'a Path,
    threads: usize,
}

impl Work<'_> {
    fn trainings(&self, only: &[String]) -> Vec<(RunInfo, PathBuf)> {
        let chosen = |training: &Training| {
            only.is_empty() || only.iter().any(|pattern| training.fits(pattern))
        };
        let all = self.config.trainings().into_iter().filter(chosen);
        all.map(|training| {
            let folder = self.folder(&training);
            (self.describe(training), folder)
        })
        .collect()
    }

    fn folder(&self, training: &Training) -> PathBuf {
        self.dir.join("trainings").join(training.folder())
    }

    fn describe(&self, training: Training) -> RunInfo {
        RunInfo {
            schema_version: STUDY_SCHEMA_VERSION,
            experiment: self.config.name.clone(),
            training,
            data: self.config.data.clone(),
            folder: self.config.folder.clone(),
            log_checksum: self.data.log.checksum().into(),
            items: self.data.log.items(),
            evaluation: self.config.evaluation.clone(),
        }
    }

    /// Popularity and item neighbourhoods, where they are wanted.
    fn floors(&self, progress: &mut dyn StudyProgress) -> Result<Vec<Ranked>, StudyError> {
        if !self.config.evaluation.floors {
            return Ok(Vec::new());
        }
        let path = self.dir.join("floors.json");
        let settings = hash_of(&(
            &self.config.evaluation,
            self.split.holdout(),
            self.data.log.checksum(),
        ));
        if let Some(rows) = kept(&path, &settings)? {
            return Ok(rows);
        }
        let popular = Popularity::fit(self.split);
        let neighbours = ItemKnn::fit(self.split, NEIGHBOURS, self.judge.pool());
        let rows = vec![
            self.judge.ranked(&popular, Made::floor("popularity"))?,
            self.judge.ranked(&neighbours, Made::floor("item-kNN"))?,
        ];
        tell(&rows, progress);
        keep(&path, &settings, &rows)?;
        Ok(rows)
    }

    /// Each variant in the place of the base's attention; only what is there already, where not all is `wanted`.
    fn swaps(
        &self,
        wanted: bool,
        progress: &mut dyn StudyProgress,
    ) -> Result<Vec<Ranked>, StudyError> {
        let Some(config) = &self.config.swap else {
            return Ok(Vec::new());
        };
        let Some(training) = self.reference(&config.model) else {
            return Ok(Vec::new());
        };
        let (info, folder) = (self.describe(training.clone()), self.folder(&training));
        if finished(&info, &folder)?.is_none() {
            return Ok(Vec::new());
        }
        let base = Base {
            training: &training,
            folder: &folder,
        };
        let mut all = Vec::new();
        for (name, variant) in &self.config.variants {
            let attention = variant.attention(name);
            if training.model.attention() == Some(&attention) {
                continue;
            }
            let place = self.dir.join("swaps").join(name);
            let path = place.join("result.json");
            let settings = hash_of(&(&info, &attention, config.fine_tune));
            let rows = match kept(&path, &settings)? {
                Some(rows) => rows,
                None if !wanted => continue,
                None => {
                    let given = (name.as_str(), variant);
                    let data = (self.data, self.split);
                    let rows = swap(
                        &base,
                        given,
                        config,
                        data,
                        self.judge,
                        self.threads,
                        progress,
                    )?;
                    tell(&rows, progress);
                    make(&place)?;
                    keep(&path, &settings, &rows)?;
                    rows
                }
            };
            all.extend(rows);
        }
        Ok(all)
    }

    /// Every row that there is, whoever made it: floors, trainings, swaps.
    fn rows(&self) -> Result<Vec<Ranked>, StudyError> {
        let mut rows = self.floors(&mut ())?;
        for (run, folder) in self.trainings(&[]) {
            // Trainings of other settings are refused when it is their turn.
            rows.extend(finished(&run, &folder).ok().flatten());
        }
        rows.extend(self.swaps(false, &mut ())?);
        Ok(rows)
    }

    /// The training of a model that others of it are compared with: with the model's own attention if that is
    /// among them, else the first.
    fn reference(&self, model: &str) -> Option<Training> {
        let own = self.config.models.get(model)?.model.attention();
        let all = self.config.trainings();
        let of_model = || all.iter().filter(|training| training.name == model);
        let found = of_model().find(|training| training.model.attention() == own);
        found.or_else(|| of_model().next()).cloned()
    }

    /// Every row with its comparison, on disk.
    fn write(&self) -> Result<Vec<Outcome>, StudyError> {
        let rows = self.rows()?;
        let mut outcomes = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut outcome = row.outcome.clone();
            outcome.against = self.against(row, &rows)?;
            outcomes.push(outcome);
        }
        write_lines(&self.dir.join(RECORDS), &outcomes)?;
        replace(&self.dir.join(SUMMARY), table(&outcomes).as_bytes())?;
        Ok(outcomes)
    }

    fn against(&self, row: &Ranked, rows: &[Ranked]) -> Result<Option<Against>, StudyError> {
        let made = &row.outcome.made;
        let Some(reference) = self.reference(&made.model) else {
            return Ok(None);
        };
        let label = reference.label();
        let own = super::train::variant_of(&reference);
        let is_it = |other: &&Ranked| {
            let other = &other.outcome.made;
            other.origin == Origin::Trained
                && (&other.model, other.seed, &other.variant) == (&made.model, made.seed, &own)
        };
        let other = rows
            .iter()
            .find(is_it)
            .filter(|other| other.outcome.made != *made);
        let Some(other) = other else {
            return Ok(None);
        };
        let (metric, bootstrap) = (self.config.evaluation.metric, Bootstrap::default());
        let (first, second) = (&row.evaluation, &other.evaluation);
        let test = paired_test(first, second, metric, bootstrap, self.judge.pool())?;
        Ok(Some(Against { name: label, test }))
    }

    fn latency(
        &self,
        wanted: bool,
        progress: &mut dyn StudyProgress,
    ) -> Result<Vec<LatencyPoint>, StudyError> {
        let path = self.dir.join(LATENCY);
        let mut known: Vec<LatencyPoint> = read_lines(&path)?;
        let Some(config) = &self.config.latency else {
            return Ok(Vec::new());
        };
        let mut one_each: Vec<Training> = Vec::new();
        for training in self.config.trainings() {
            if !one_each.iter().any(|t| t.label() == training.label()) {
                one_each.push(training);
            }
        }
        let threads = match config.threads {
            0 => self.threads,
            threads => threads,
        };
        let checksum = self.data.log.checksum();
        let settings = hash_of(&(config, &one_each, threads, checksum, LatencyKind::ALL));
        known.retain(|point| point.settings == settings);
        if !wanted || !known.is_empty() {
            return Ok(known);
        }
        let mut tell = |what: &str| progress.event(&StudyEvent::Timing { what });
        let mut points = latency::time(
            config,
            &one_each,
            (self.data, self.split),
            threads,
            &mut tell,
        )?;
        for point in &mut points {
            point.settings.clone_from(&settings);
        }
        write_lines(&path, &points)?;
        Ok(points)
    }
}

fn tell(rows: &[Ranked], progress: &mut dyn StudyProgress) {
    for row in rows {
        progress.event(&StudyEvent::Evaluated {
            outcome: &row.outcome,
        });
    }
}

/// Of the item-kNN floor.
const NEIGHBOURS: usize = 100;

/// Writes `study.json`, or checks the one that is there.
fn inform(
    dir: &Path,
    config: &StudyConfig,
    data: &StudyData,
    context: &Context,
    identity: String,
) -> Result<StudyInfo, StudyError> {
    let path = dir.join(STUDY);
    let info = StudyInfo {
        schema_version: STUDY_SCHEMA_VERSION,
        experiment: config.name.clone(),
        question: config.question.trim().into(),
        identity,
        config_given: config.given.clone(),
        overrides: config.overrides.clone(),
        config: serde_json::to_value(config).unwrap_or_default(),
        log: (
            data.label.clone(),
            data.log.checksum().into(),
            data.log.statistics().to_string(),
        ),
        code: context.code.clone(),
        machine: context.machine.clone(),
        placement: measure::placement(),
    };
    if let Some(known) = read_json::<StudyInfo>(&path)?
        && (known.experiment != info.experiment || known.log.1 != info.log.1)
    {
        return Err(StoreError::OtherRun {
            path: dir.into(),
            found: known.identity,
            expected: info.identity,
        }
        .into());
    }
    write_json(&path, &info)?;
    Ok(info)
}

fn set_aside(dir: &Path) -> Result<(), StudyError> {
    let seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(format!(".old-{seconds}"));
    let to = dir.with_file_name(name);
    std::fs::rename(dir, &to).map_err(|e| StoreError::io("rename", dir, e))?;
    Ok(())
}
