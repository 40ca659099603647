//! Dropout of activations: a row and a column give the draw, and nothing is stored.

use crate::engine::Engine;
use crate::error::Result;
use crate::numeric::ROWS;
use crate::tape::Node;
use crate::tensor::{floats, input, like, output, rows};
use attention::dropout::{Dropout, HeadDropout};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};

/// Which activations a layer drops: those of row r and column c by a counter-based draw of
/// (seed, site, r, c). Without a rate, none.
///
/// The generator is that of the dropout of attention weights ([`attention::dropout`]).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Drop(Option<HeadDropout>);

impl Drop {
    /// No dropout.
    pub const NONE: Self = Self(None);

    /// Dropout at one place of a model; places of the same seed draw independently.
    #[must_use]
    pub fn new(dropout: Dropout, site: usize) -> Self {
        Self((dropout.rate() > 0.0).then(|| dropout.head(site, 0)))
    }

    /// Multiplies row `row` by 0 or 1/(1 - rate).
    #[inline(always)]
    pub(crate) fn thin(self, row: usize, values: &mut [f32]) {
        let Some(drop) = self.0 else { return };
        let key = drop.row(row);
        let (threshold, factor) = (drop.threshold(), drop.factor());
        for (column, value) in values.iter_mut().enumerate() {
            *value *= if key.draw(column) >= threshold {
                factor
            } else {
                0.0
            };
        }
    }

    pub(crate) fn is_none(self) -> bool {
        self.0.is_none()
    }
}

/// x `[..., D]` with each entry multiplied by 0 or 1/(1 - rate); the leading axes count rows.
///
/// # Errors
/// [`Error::Candle`](crate::Error::Candle) for tensors that are not f32.
pub fn dropout(engine: &Engine, x: &Tensor, drop: Drop) -> Result<Tensor> {
    if drop.is_none() {
        return Ok(x.clone());
    }
    let (x, _, width) = rows("dropout", x)?;
    let op = Thinned {
        engine: engine.clone(),
        drop,
        width,
    };
    Ok(engine.apply(Node::One([x], Box::new(op)))?)
}

struct Thinned {
    engine: Engine,
    drop: Drop,
    width: usize,
}

impl Thinned {
    fn thin(&self, x: &[f32]) -> Vec<f32> {
        let mut y = x.to_vec();
        let floats = ROWS * self.width.max(1);
        self.engine.run(y.chunks_mut(floats).enumerate(), |(n, y)| {
            pulp::Arch::new().dispatch(Thin {
                drop: self.drop,
                first: n * ROWS,
                width: self.width,
                y,
            });
        });
        y
    }
}

impl CustomOp1 for Thinned {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        Ok(output(self.thin(input(x, layout)?), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        like(self.thin(&floats(&dy)?), x).map(Some)
    }
}

/// Rows of `width` from row `first` on.
pub(crate) struct Thin<'a> {
    pub(crate) drop: Drop,
    pub(crate) first: usize,
    pub(crate) width: usize,
    pub(crate) y: &'a mut [f32],
}

impl pulp::WithSimd for Thin<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) {
        for (n, row) in self.y.chunks_exact_mut(self.width.max(1)).enumerate() {
            self.drop.thin(self.first + n, row);
        }
    }
}
