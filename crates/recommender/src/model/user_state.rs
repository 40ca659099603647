//! A user between requests.

use super::{Cache, ModelError, Scorer};
use attention_candle::floats;
use candle_core::{Device, Tensor};
use ndarray::{ArrayViewMut1, Axis};

/// A user whose history is absorbed: a new event costs that event alone, where [`Scorer::score`] encodes the
/// whole history anew.
///
/// Scores are those of [`Scorer::score`] for [`events`](Self::events), to the rounding of f32 (of the kept keys,
/// where an attention rounds these), and the same bits for any number of workers. A model looks at no more than its
/// [`longest`](super::SequenceModel::longest) latest events, and what is kept cannot forget the first of them: where
/// they are full, the next event begins anew behind the later half. So a full history is encoded once in longest/2
/// events, and the answer then rests on half as many events as that of a request.
///
/// ```
/// use attention::Workers;
/// use attention_candle::Engine;
/// use ndarray::{Array1, Array2};
/// use recommender::model::{Parameters, Positions, SasRec, SasRecConfig, Scorer, UserState};
///
/// let positions = Positions::FromFirst;
/// let model = SasRec::new(&SasRecConfig { width: 16, positions, ..SasRecConfig::default() }, 1)?;
/// let items = Parameters::new(1).table("items", 20, 16)?;
/// let engine = Engine::new(Workers::serial());
/// let scorer = Scorer { model: &model, items: &items, engine: &engine };
///
/// let mut user = UserState::new(scorer, &[3, 1, 4])?;
/// user.observe(1)?;
/// let mut scores = Array1::zeros(20);
/// user.score(scores.view_mut())?;
///
/// let mut anew = Array2::zeros((1, 20));
/// scorer.score(&[&[3, 1, 4, 1]], anew.view_mut())?;
/// assert!((&scores - &anew.row(0)).iter().all(|apart| apart.abs() < 1e-5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct UserState<'m> {
    scorer: Scorer<'m>,
    events: Vec<u32>,
    /// None behind an event that failed: the next one begins anew.
    cache: Option<Box<dyn Cache + 'm>>,
    /// `[D]`, of the latest event; zeros before the first.
    state: Vec<f32>,
}

impl<'m> UserState<'m> {
    /// Absorbs the events of a history that the model looks at; there may be none.
    ///
    /// Cost: an encoding, and what the attention's `prepare` takes.
    ///
    /// # Errors
    /// [`ModelError`] of a model or an attention that keeps nothing between events, with the reason, and where an
    /// item is not in the catalogue.
    pub fn new(scorer: Scorer<'m>, history: &[u32]) -> Result<Self, ModelError> {
        let first = history.len().saturating_sub(scorer.model.longest());
        let mut user = Self {
            scorer,
            events: Vec::new(),
            cache: None,
            state: vec![0.0; scorer.model.width()],
        };
        user.absorb(&history[first..])?;
        Ok(user)
    }

    /// Takes in the next event.
    ///
    /// Cost: of each layer one token's share of its products, and of its attention one query.
    ///
    /// # Errors
    /// As for [`new`](Self::new); the event is then not among [`events`](Self::events).
    pub fn observe(&mut self, item: u32) -> Result<(), ModelError> {
        let longest = self.scorer.model.longest();
        let is_full = self.events.len() >= longest;
        if let Some(cache) = self.cache.take().filter(|_| !is_full) {
            self.advance(cache, &[item])?;
            self.events.push(item);
            return Ok(());
        }
        let kept = if is_full {
            longest / 2
        } else {
            self.events.len()
        };
        let mut events = self.events[self.events.len() - kept..].to_vec();
        events.push(item);
        self.absorb(&events)
    }

    /// Writes the logit of every item behind the latest event, `[I]`; zeros before the first.
    ///
    /// Cost: 2·I·D flops.
    ///
    /// # Errors
    /// [`ModelError::Op`] where there are other than I scores.
    pub fn score(&self, scores: ArrayViewMut1<'_, f32>) -> Result<(), ModelError> {
        let state = Tensor::from_slice(&self.state, (1, self.state.len()), &Device::Cpu)?;
        self.scorer.compare(&state, scores.insert_axis(Axis(0)))
    }

    /// The state behind the latest event, `[D]`; zeros before the first.
    #[must_use]
    pub fn state(&self) -> &[f32] {
        &self.state
    }

    /// The events that the state knows, the oldest first.
    #[must_use]
    pub fn events(&self) -> &[u32] {
        &self.events
    }

    /// Bytes that the model keeps, beside the events themselves.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, |cache| cache.bytes())
    }

    fn absorb(&mut self, events: &[u32]) -> Result<(), ModelError> {
        let cache = self.scorer.model.cache()?;
        if events.is_empty() {
            self.cache = Some(cache);
        } else {
            self.advance(cache, events)?;
        }
        self.events = events.to_vec();
        Ok(())
    }

    fn advance(
        &mut self,
        mut cache: Box<dyn Cache + 'm>,
        events: &[u32],
    ) -> Result<(), ModelError> {
        // A detached table keeps the tape out.
        let items = self.scorer.items.detach();
        let states = cache.observe(&items, events, self.scorer.pass())?;
        let states = floats(&states)?;
        if let Some(latest) = states.rchunks_exact(self.state.len()).next() {
            self.state.copy_from_slice(latest);
        }
        self.cache = Some(cache);
        Ok(())
    }
}
