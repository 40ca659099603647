//! What models keep of a user, so that an event costs that event alone.

use super::mixer::Mixer;
use super::{ModelError, Pass, Positions, SequenceModel, Tokens};
use attention::mask::Alignment;
use attention::{Layout, Mask};
use attention_candle::{Absorbed, Attend};
use candle_core::Tensor;

/// What a model keeps of one history: keys and values of each attention, absorbed, or states of its units.
pub trait Cache: Send + Sync {
    /// States `[n, D]` behind `events`, the next ones of the history, as rows of `items` `[U, D]`. The first
    /// call may bring many, the others bring one each.
    ///
    /// # Errors
    /// [`ModelError`] where an op or the attention refuses; the cache is then of no use any more.
    fn observe(
        &mut self,
        items: &Tensor,
        events: &[u32],
        pass: Pass<'_>,
    ) -> Result<Tensor, ModelError>;

    /// Bytes held.
    fn bytes(&self) -> u64;
}

/// What one attention layer keeps of a history: nothing before the first event.
#[derive(Default)]
pub(super) struct LayerCache(Option<Absorbed>);

impl LayerCache {
    /// O `[n, H·Dv]` of the next n events.
    pub(super) fn next(
        &mut self,
        attend: &Attend,
        heads: usize,
        qkv: [&Tensor; 3],
        extras: &[(&'static str, &Tensor)],
    ) -> Result<Tensor, ModelError> {
        if let Some(absorbed) = &mut self.0 {
            return Ok(absorbed.next(qkv, extras)?);
        }
        let ([q, k, v], heads) = (qkv.map(Tensor::detach), (heads, heads));
        // Detached, since nobody goes back from here: variants without gradients can answer as well.
        let detached = extras.iter().map(|(name, tensor)| (*name, tensor.detach()));
        let detached: Vec<_> = detached.collect();
        let extras: Vec<_> = detached.iter().map(|(name, t)| (*name, t)).collect();
        let o = attend.forward_tokens(heads, &q, &k, &v, &extras)?;
        self.0 = Some(attend.absorb_tokens(heads, [&q, &k, &v], &extras)?);
        Ok(o)
    }
}

/// Which keys the queries of a call see, and where these are kept.
pub(super) struct At<'a> {
    pub(super) layout: Layout,
    pub(super) mask: Mask,
    pub(super) cache: Option<&'a mut LayerCache>,
}

impl<'a> At<'a> {
    /// Each event sees those of its history up to itself; with a cache, `tokens` are the next of its history.
    pub(super) fn events(tokens: &Tokens, cache: Option<&'a mut LayerCache>) -> Self {
        Self {
            layout: tokens.layout(),
            mask: Mask::causal(Alignment::TopLeft),
            cache,
        }
    }

    /// Each query sees all of its own history.
    pub(super) fn whole(layout: Layout) -> Self {
        Self {
            layout,
            mask: Mask::full(),
            cache: None,
        }
    }
}

/// A model of attention layers, one above the other.
pub(super) trait Stack: SequenceModel + Sized {
    /// How its positions are counted.
    fn positions(&self) -> Positions;

    /// Its attention layers, from below.
    fn mixers(&self) -> impl Iterator<Item = &Mixer>;

    /// States `[T, D]` of tokens whose places are rows of its table of positions; of the next events of one
    /// history where there are `caches`, one a layer.
    fn run(
        &self,
        items: &Tensor,
        tokens: &Tokens,
        caches: &mut [LayerCache],
        pass: Pass<'_>,
    ) -> Result<Tensor, ModelError>;
}

/// The cache of a stack.
pub(super) fn stack_cache<M: Stack>(model: &M) -> Result<Box<dyn Cache + '_>, ModelError> {
    model.positions().expect_fixed()?;
    let layers = model.mixers().map(Mixer::cache);
    Ok(Box::new(StackCache {
        model,
        layers: layers.collect::<Result<_, _>>()?,
        events: 0,
    }))
}

struct StackCache<'m, M> {
    model: &'m M,
    layers: Vec<LayerCache>,
    events: usize,
}

impl<M: Stack> Cache for StackCache<'_, M> {
    fn observe(
        &mut self,
        items: &Tensor,
        events: &[u32],
        pass: Pass<'_>,
    ) -> Result<Tensor, ModelError> {
        let places = self.events..self.events + events.len();
        let tokens = Tokens {
            ids: events.into(),
            places: places.map(|place| place as u32).collect(),
            offsets: [0, events.len()].into(),
        };
        let states = self.model.run(items, &tokens, &mut self.layers, pass)?;
        self.events += events.len();
        Ok(states)
    }

    fn bytes(&self) -> u64 {
        let absorbed = self.layers.iter().filter_map(|layer| layer.0.as_ref());
        absorbed.map(Absorbed::bytes).sum()
    }
}
