//! Everyone who may take part with a number of threads, and one cell run by them.

use crate::cells::Spec;
use crate::contender::Contender;
use crate::gate::Truth;
use crate::inputs::Inputs;
use crate::ours::Ours;
use crate::record::{self, OURS, Row, Status};
use crate::rounds::{self, Entrant};
use attention::Workers;
use ndarray::ArrayD;
use peers::{Cell, Peer, Program, Scores, Timeouts, Work, catalog};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

/// The project's folder, where scripts and installed peers are.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Scores of more than this stay allocated in some libraries: such a peer is ended after the cell.
const MUCH: u64 = 256 << 20;

/// Processes and workers of one number of threads.
pub(crate) struct Field {
    workers: Workers,
    oracle: Workers,
    programs: Vec<Program>,
    /// Running ones; the error of those that did not start.
    peers: BTreeMap<String, Result<Peer, peers::Error>>,
    threads: usize,
}

impl Field {
    /// Nobody is started before a cell asks for it.
    pub(crate) fn new(threads: usize) -> Result<Self, Box<dyn Error>> {
        Ok(Self {
            workers: Workers::new(threads)?,
            oracle: Workers::new(measure::machine::available_cpus())?,
            programs: catalog(Path::new(ROOT)),
            peers: BTreeMap::new(),
            threads,
        })
    }

    /// Runs a cell: the gate for each, then rounds for those that passed.
    pub(crate) fn run(
        &mut self,
        spec: &Spec,
        ours: &[String],
        theirs: &[String],
        baseline: &str,
        seed: u64,
        seconds: f64,
    ) -> Result<Vec<Row>, Box<dyn Error>> {
        let inputs = Inputs::draw(spec, seed)?;
        let jagged = inputs.jagged();
        let training = spec.work == Work::Training;
        let truth = Truth::compute(&inputs, spec, seed, &self.oracle)?;
        let d_o = training.then(|| inputs.d_o.view());
        let drawn = drawn(spec)?;
        let mut problem = inputs.problem()?;
        if let Some(drawn) = &drawn {
            problem = problem.with_tensor("projection", drawn.view());
        }
        let cell = Cell::write(&problem, spec.work, spec.dtype, d_o)?;
        let cell = cell.with_attention(&spec.attention);
        let shape = (spec.b, spec.h, inputs.q.dim().2, spec.d);

        self.start(theirs, &cell);
        let mut rows = Vec::new();
        let mut entrants = Vec::new();
        for name in ours {
            let mut row = Row::new(spec, name, OURS);
            row.version = Some(env!("CARGO_PKG_VERSION").into());
            match Ours::prepare(name, &inputs, jagged.as_ref(), spec.work, &self.workers) {
                Err(error) => row = row.without_time(Status::Unsupported, error.to_string()),
                Ok(variant) => {
                    let budget = variant.budget(truth.max_abs_score());
                    let contender = Contender::Ours(variant);
                    let index = rows.len();
                    entrants.extend(admit(contender, &truth, shape, budget, index, &mut row));
                }
            }
            rows.push(row);
        }
        for (name, peer) in &mut self.peers {
            if !theirs.contains(name) {
                continue;
            }
            let program = self.programs.iter().find(|p| p.name == *name);
            let library = program.map_or("", |p| &p.library);
            let mut row = Row::new(spec, name, library);
            if program.is_some_and(|p| p.bound) && spec.threads > 1 {
                row.placement = "bound, one thread a core".into();
            }
            match peer {
                _ if program.is_some_and(|p| is_too_large(p, &cell)) => {
                    let gigabytes = cell.score_bytes() as f64 / 1e9;
                    let reason = format!("its scores would take {gigabytes:.1} GB and more");
                    row = row.without_time(Status::LeftOut, reason);
                }
                Err(error) => row = row.without_time(status(error), error.to_string()),
                Ok(peer) => {
                    row.version = Some(peer.version().to_owned());
                    match peer.load(&cell) {
                        Err(error) => row = row.without_time(status(&error), error.to_string()),
                        Ok(()) => {
                            let contender = Contender::Peer(peer, &cell);
                            let index = rows.len();
                            let budget = truth.budget();
                            entrants
                                .extend(admit(contender, &truth, shape, budget, index, &mut row));
                        }
                    }
                }
            }
            rows.push(row);
        }
        rounds::time(entrants, &mut rows, seconds, seed);
        self.tidy(&rows, &cell);
        record::compare(&mut rows, baseline, seed);
        Ok(rows)
    }

    /// Starts those who are asked for and could take part.
    fn start(&mut self, names: &[String], cell: &Cell) {
        for program in self.programs.iter().filter(|p| names.contains(&p.name)) {
            if !self.peers.contains_key(&program.name) && !is_too_large(program, cell) {
                let peer = Peer::start(program, self.threads, Timeouts::default());
                self.peers.insert(program.name.clone(), peer);
            }
        }
    }

    /// Ends those who fell out, so that they start afresh, and those who hold much memory.
    fn tidy(&mut self, rows: &[Row], cell: &Cell) {
        for row in rows {
            let program = self.programs.iter().find(|p| p.name == row.contender);
            let large = program.is_some_and(|p| materialises(p, cell)) && cell.score_bytes() > MUCH;
            if row.status == Status::Failed || large {
                self.peers.remove(&row.contender);
            }
        }
    }
}

/// The gate: an answer within the budget, then the time of one call.
fn admit<'a>(
    mut contender: Contender<'a>,
    truth: &Truth,
    shape: (usize, usize, usize, usize),
    budget: f64,
    index: usize,
    row: &mut Row,
) -> Option<Entrant<'a>> {
    let mut attempt = || -> Result<f64, Box<dyn Error>> {
        let (verdict, passed) = truth.judge(&contender.answer(shape)?, budget);
        row.note(verdict);
        passed?;
        let seconds = contender.run(1, 0)?[0];
        // One short call after a pause is mostly the waking of threads and the first touch of memory.
        match seconds {
            ..0.1 => Ok(measure::median(&contender.run(5, 0)?)),
            ..1.0 => Ok(seconds.min(contender.run(1, 0)?[0])),
            _ => Ok(seconds),
        }
    };
    match attempt() {
        Ok(seconds) => Some(Entrant {
            row: index,
            contender,
            seconds,
        }),
        Err(error) => {
            row.status = match error.downcast_ref() {
                Some(error) => status(error),
                None => match error.downcast_ref() {
                    Some(attention::Error::Unsupported { .. }) => Status::Unsupported,
                    _ => Status::Failed,
                },
            };
            // What follows the first line is a compiler's log, with the paths of this machine.
            let text = error.to_string();
            row.reason = text.lines().next().map(str::to_owned);
            None
        }
    }
}

/// The projection that the variant draws by itself, so that peers can use the same.
fn drawn(spec: &Spec) -> Result<Option<ArrayD<f32>>, Box<dyn Error>> {
    let Some(variant) = spec.variant()? else {
        return Ok(None);
    };
    let drawn = (variant.variant().name == attention_linear::FAVOR.name).then(|| {
        let parameters = variant.parameters();
        let (m, seed) = (parameters.integer("features"), parameters.integer("seed"));
        attention_linear::projection(m, spec.d, seed as u64).into_dyn()
    });
    Ok(drawn)
}

fn materialises(program: &Program, cell: &Cell) -> bool {
    match program.scores {
        Scores::Never => false,
        Scores::Causal => cell.is_causal(),
        Scores::Always => true,
    }
}

/// Whether it would materialise more scores than a quarter of the free memory.
fn is_too_large(program: &Program, cell: &Cell) -> bool {
    let free = measure::memory::available_bytes().unwrap_or(u64::MAX);
    materialises(program, cell) && cell.score_bytes() > free / 4
}

fn status(error: &peers::Error) -> Status {
    match error {
        peers::Error::Unavailable { .. } | peers::Error::Placement { .. } => Status::Unavailable,
        peers::Error::Unsupported { .. } => Status::Unsupported,
        _ => Status::Failed,
    }
}
