//! The one place where item vectors are made of what is learned.

use super::adam::Adam;
use super::error::TrainError;
use super::gradients::Gradients;
use super::trainer::Trainer;
use crate::model::{FeatureKind, Parameters, SideFeatures};
use attention::{Scratch, Workers};
use attention_candle::floats;
use candle_core::{Device, Var};

/// Item vectors `[I, D]` as models see them: a learned vector an item, plus the mean of the learned vectors of its
/// features.
///
/// A step learns from the gradients of these vectors, which are those of the items' own;
/// [`Gradients::share`](super::gradients::Gradients::share) takes them on to the features, once a step.
pub(super) struct ItemTable {
    own: Var,
    side: Option<Side>,
}

struct Side {
    features: SideFeatures,
    /// `[F, D]`.
    learned: Var,
    /// The sums, as they were when they were last [`refresh`](ItemTable::refresh)ed.
    vectors: Var,
}

/// Rows that a worker makes at once.
const ROWS: usize = 256;

impl ItemTable {
    /// The items' own vectors alone.
    pub(super) fn new(own: Var) -> Self {
        Self { own, side: None }
    }

    /// With the vectors `[F, D]` of features.
    pub(super) fn with_features(self, features: SideFeatures, learned: Var) -> Self {
        let side = Some(Side {
            features,
            learned,
            vectors: self.own.clone(),
        });
        Self { side, ..self }
    }

    /// Refuses to learn without the features that a configuration names.
    pub(super) fn expect(&self, kinds: &[FeatureKind]) -> Result<(), TrainError> {
        if kinds.is_empty() || self.side.is_some() {
            return Ok(());
        }
        Err(TrainError::Setting {
            setting: "features",
            value: format!("{kinds:?}"),
            expected: "features of the items (Trainer::with_features), or none of them in the configuration",
        })
    }

    pub(super) fn features(&self) -> Option<&SideFeatures> {
        self.side.as_ref().map(|side| &side.features)
    }

    /// How many items there are.
    pub(super) fn count(&self) -> usize {
        self.own.dims()[0]
    }

    /// All vectors, as new as the last [`refresh`](Self::refresh).
    pub(super) fn vectors(&self) -> &Var {
        self.side.as_ref().map_or(&self.own, |side| &side.vectors)
    }

    /// Brings [`vectors`](Self::vectors) up to what has been learned.
    pub(super) fn refresh(&mut self, workers: &Workers) -> candle_core::Result<()> {
        if let Some(side) = &self.side {
            let all: Vec<u32> = (0..self.count() as u32).collect();
            let vectors = self.rows(&all, side, workers)?;
            if let Some(side) = &mut self.side {
                side.vectors = vectors;
            }
        }
        Ok(())
    }

    /// The vectors of some items, as a leaf of a tape.
    pub(super) fn leaf(&self, items: &[u32], workers: &Workers) -> candle_core::Result<Var> {
        if let Some(side) = &self.side {
            return self.rows(items, side, workers);
        }
        let (width, own) = (self.own.dim(1)?, floats(&self.own)?);
        let mut rows = Vec::with_capacity(items.len() * width);
        for &item in items {
            rows.extend_from_slice(&own[item as usize * width..][..width]);
        }
        Var::from_vec(rows, (items.len(), width), &Device::Cpu)
    }

    fn rows(&self, items: &[u32], side: &Side, workers: &Workers) -> candle_core::Result<Var> {
        let width = self.own.dim(1)?;
        let (own, learned) = (floats(&self.own)?, floats(&side.learned)?);
        let (own, learned) = (&own[..], &learned[..]);
        let mut rows = vec![0.0; items.len() * width];
        let blocks = items
            .chunks(ROWS)
            .zip(rows.chunks_mut((ROWS * width).max(1)));
        workers.run(blocks, &mut Scratch::new(), 0, |(items, rows), _| {
            for (&item, row) in items.iter().zip(rows.chunks_exact_mut(width)) {
                let features = side.features.of(item);
                for &feature in features {
                    add(1.0, &learned[feature as usize * width..][..width], row);
                }
                let share = 1.0 / features.len().max(1) as f32;
                row.iter_mut().for_each(|x| *x *= share);
                add(1.0, &own[item as usize * width..][..width], row);
            }
        });
        Var::from_vec(rows, (items.len(), width), &Device::Cpu)
    }
}

impl Trainer {
    /// With features of the items, whose vectors begin by the seed: for a training that has not begun.
    ///
    /// An item's vector is then its own plus the mean of those of its features, wherever a model sees it: as an event,
    /// as a target, as a negative and as a candidate.
    ///
    /// ```
    /// use attention::Workers;
    /// use attention_candle::Engine;
    /// use recommender::model::{SasRec, SasRecConfig, SideFeatures};
    /// use recommender::train::{TrainConfig, Trainer};
    ///
    /// let model = SasRec::new(&SasRecConfig { width: 16, ..SasRecConfig::default() }, 1)?;
    /// let engine = Engine::new(Workers::serial());
    /// let trainer = Trainer::new(Box::new(model), 3, TrainConfig::default(), engine)?;
    /// // Items 0 and 2 are of one genre; nothing is known about item 1.
    /// let features = SideFeatures::from_lists(&[vec![0], vec![], vec![0]]);
    /// let mut trainer = trainer.with_features(features)?;
    /// trainer.epoch(&[&[0u32, 1, 2][..]])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TrainError::Setting`] for features of another catalogue.
    pub fn with_features(mut self, features: SideFeatures) -> Result<Self, TrainError> {
        if features.items() != self.items.count() {
            return Err(TrainError::Setting {
                setting: "features",
                value: format!("those of {} items", features.items()),
                expected: "those of every item of the catalogue",
            });
        }
        let width = self.model.width();
        let vectors =
            Parameters::new(self.config.seed).table("features", features.count(), width)?;
        self.names.push("features".into());
        self.learned.push(vectors.clone());
        self.adam = Adam::new(&self.learned);
        self.gradients = Gradients::new(&self.learned, width);
        self.items = self.items.with_features(features, vectors);
        self.items.refresh(self.engine.workers())?;
        Ok(self)
    }
}

/// y += a·x.
pub(super) fn add(a: f32, x: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += a * x);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::step::PartGradient;

    #[test]
    fn features_get_the_slope_of_what_is_asked_of_item_vectors() {
        let (items, width) = (5, 3);
        let features =
            SideFeatures::from_lists(&[vec![0, 1], vec![], vec![1], vec![2, 0], vec![1]]);
        let table = |name: &str, rows| Parameters::new(4).table(name, rows, width).unwrap();
        let (own, learned) = (table("items", items), table("features", 3));
        let mut vectors =
            ItemTable::new(own.clone()).with_features(features.clone(), learned.clone());
        // A loss of items 0, 2 and 3: their vectors' products with these rows.
        let (rows, asked) = (vec![0, 2, 3], table("asked", 3));
        let mut loss = || {
            vectors.refresh(&Workers::serial()).unwrap();
            let seen = vectors.vectors().to_vec2::<f32>().unwrap();
            let asked = asked.to_vec2::<f32>().unwrap();
            let pairs = rows.iter().zip(&asked);
            pairs
                .flat_map(|(&row, asked)| seen[row as usize].iter().zip(asked))
                .map(|(x, y)| f64::from(x * y))
                .sum::<f64>()
        };
        let mut gradients = Gradients::new(&[own, learned.clone()], width);
        let part = PartGradient {
            loss: 0.0,
            parameters: Vec::new(),
            items: asked.as_tensor().clone(),
            rows: rows.clone(),
        };
        gradients.add(&part).unwrap();
        gradients.share(&features, &Workers::new(2).unwrap());
        let before = learned.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (n, gradient) in gradients.of(1).iter().enumerate() {
            let mut moved = |by: f32| {
                let mut values = before.clone();
                values[n] += by;
                super::super::checkpoint::set(&learned, &values).unwrap();
                loss()
            };
            let slope = (moved(0.5) - moved(-0.5)) as f32;
            assert!(
                (slope - gradient).abs() < 1e-5,
                "{n}: {slope} and {gradient}"
            );
        }
    }
}
