//! Our trainer and our evaluator on a cell.

use crate::Failure;
use crate::cell::{Cell, Work};
use crate::contender::Turn;
use attention::Workers;
use attention_candle::Engine;
use ndarray::Array2;
use recommender::model::{AttentionConfig, SasRec, SasRecConfig, Scorer};
use recommender::train::{TrainConfig, Trainer};
use recommender::{EvaluateConfig, Holdout, Part, Seen, Split, Targets, evaluate};
use std::path::Path;
use std::time::Instant;

/// Dropout of activations and attention weights.
pub(crate) const DROPOUT: f32 = 0.2;

/// A model in training, with the authors' sizes: D = 50, two blocks, one head.
pub(crate) struct Ours<'c> {
    cell: &'c Cell,
    variant: String,
    threads: usize,
    trainer: Trainer,
    turns: usize,
    pub(crate) ranks: Vec<u32>,
}

impl<'c> Ours<'c> {
    pub(crate) fn new(cell: &'c Cell, variant: &str, threads: usize) -> Result<Self, Failure> {
        Ok(Self {
            cell,
            variant: variant.into(),
            threads,
            trainer: trainer(cell, variant, threads)?,
            turns: 0,
            ranks: Vec::new(),
        })
    }

    /// Writes the parameters where a peer can read them.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), Failure> {
        Ok(self.trainer.save(folder)?)
    }

    pub(crate) fn run(&mut self, calls: usize, warm: usize) -> Result<Turn, Failure> {
        let mut turn = Turn {
            seconds: Vec::new(),
            losses: Vec::new(),
        };
        for call in 0..warm + calls {
            let (seconds, loss) = self.once()?;
            if call >= warm {
                turn.seconds.push(seconds);
                turn.losses.push(loss);
            }
        }
        self.turns += 1;
        Ok(turn)
    }

    /// Seconds, and the loss of a step.
    fn once(&mut self) -> Result<(f64, f64), Failure> {
        match &self.cell.work {
            Work::Step(batches) => {
                let batch = views(&batches[self.turns % batches.len()]);
                let start = Instant::now();
                let loss = self.trainer.step_on(&batch)?;
                Ok((start.elapsed().as_secs_f64(), loss))
            }
            Work::Evaluation(log) => {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(self.threads)
                    .build()?;
                let split = Split::new(log, Holdout::LeaveOneOut)?;
                let cases = split.cases(Part::Test, Targets::First);
                let config = EvaluateConfig::full_ranking(Seen::Kept, &[10]);
                // Batches run side by side: each on one thread.
                let engine = Engine::new(Workers::serial());
                let model = Scorer {
                    engine: &engine,
                    ..self.trainer.scorer()
                };
                let start = Instant::now();
                let evaluation = evaluate(&model, &cases, &config, &pool)?;
                let seconds = start.elapsed().as_secs_f64();
                let ranks = (0..cases.list.len()).flat_map(|at| evaluation.ranks(at));
                self.ranks = ranks.copied().collect();
                Ok((seconds, 0.0))
            }
        }
    }

    pub(crate) fn logits(&self, histories: &[Vec<u32>]) -> Result<Vec<f32>, Failure> {
        let mut logits = Array2::zeros((histories.len(), self.cell.items));
        let scorer = self.trainer.scorer();
        scorer.score(&views(histories), logits.view_mut())?;
        Ok(logits.into_raw_vec_and_offset().0)
    }

    /// Of a trainer that is made anew, so that all that it holds is counted.
    pub(crate) fn memory(&self) -> Result<f64, Failure> {
        let Work::Step(batches) = &self.cell.work else {
            return Err("the memory of a step is asked of a step".into());
        };
        let batch = views(&batches[0]);
        let (done, taken) = measure::peak_during(|| -> Result<f64, Failure> {
            let mut trainer = trainer(self.cell, &self.variant, self.threads)?;
            trainer.step_on(&batch)?;
            Ok(trainer.step_on(&batch)?)
        });
        done?;
        Ok(taken.peak_bytes_above_start as f64)
    }
}

fn trainer(cell: &Cell, variant: &str, threads: usize) -> Result<Trainer, Failure> {
    let config = SasRecConfig {
        longest: cell.longest,
        dropout: DROPOUT,
        attention: AttentionConfig {
            variant: variant.into(),
            ..AttentionConfig::default()
        },
        ..SasRecConfig::default()
    };
    let model = Box::new(SasRec::new(&config, 0)?);
    let engine = Engine::new(Workers::new(threads)?);
    Ok(Trainer::new(
        model,
        cell.items,
        TrainConfig::default(),
        engine,
    )?)
}

fn views(histories: &[Vec<u32>]) -> Vec<&[u32]> {
    histories.iter().map(Vec::as_slice).collect()
}
