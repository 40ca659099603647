//! What a variant can do, stated before it is asked.

use crate::error::{Error, Result, expect_shape};
use crate::geometry::Geometry;
use crate::gradients::Gradients;
use crate::mask::Part;
use crate::output::{Output, OutputMut};
use crate::problem::Problem;
use ndarray::ArrayView4;

/// Something a request may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feature {
    /// A causal problem mask, of any alignment.
    Causal,
    /// A sliding window as problem mask.
    Window,
    /// Key lengths: padded histories.
    KeyLengths,
    /// A dense boolean problem mask.
    DenseMask,
    /// A block map as problem mask.
    BlockMask,
    /// A bias on the scores.
    Bias,
    /// Histories end to end.
    Jagged,
    /// Fewer key heads than query heads.
    GroupedHeads,
    /// L, the log-sum-exp of each row.
    LogSumExp,
    /// Gradients of Q, K and V.
    Backward,
    /// Absorbing keys once, then answering and appending.
    Prepare,
    /// Dropout on the weights.
    Dropout,
}

impl Feature {
    /// All of them, in the order in which tables list them.
    pub const ALL: [Self; 12] = [
        Self::Causal,
        Self::Window,
        Self::KeyLengths,
        Self::DenseMask,
        Self::BlockMask,
        Self::Bias,
        Self::Jagged,
        Self::GroupedHeads,
        Self::LogSumExp,
        Self::Backward,
        Self::Prepare,
        Self::Dropout,
    ];

    /// The feature in words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Causal => "causal mask",
            Self::Window => "window mask",
            Self::KeyLengths => "key lengths",
            Self::DenseMask => "dense mask",
            Self::BlockMask => "block mask",
            Self::Bias => "bias",
            Self::Jagged => "jagged batch",
            Self::GroupedHeads => "grouped heads",
            Self::LogSumExp => "log-sum-exp",
            Self::Backward => "backward",
            Self::Prepare => "prepare",
            Self::Dropout => "dropout",
        }
    }

    fn needed_by(geometry: &Geometry) -> impl Iterator<Item = Self> {
        let shape = geometry.shape();
        let parts = geometry.mask().parts().iter().map(|part| match part {
            Part::Causal(_) => Self::Causal,
            Part::Window { .. } | Part::SymmetricWindow { .. } => Self::Window,
            Part::KeyLengths(_) => Self::KeyLengths,
            Part::Dense(_) => Self::DenseMask,
            Part::Blocks(_) => Self::BlockMask,
        });
        parts
            .chain(geometry.is_jagged().then_some(Self::Jagged))
            .chain((shape.hkv != shape.h).then_some(Self::GroupedHeads))
    }
}

/// What one variant supports, with the reason for each thing that it does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The variant's registered name.
    pub variant: &'static str,
    /// Whether it computes softmax attention over the keys of mask and pattern without
    /// approximation.
    pub exact: bool,
    missing: [Option<&'static str>; Feature::ALL.len()],
}

impl Capabilities {
    /// Supports everything.
    #[must_use]
    pub fn all(variant: &'static str, exact: bool) -> Self {
        Self {
            variant,
            exact,
            missing: [None; Feature::ALL.len()],
        }
    }

    /// Takes a feature out, with the reason that users are told.
    #[must_use]
    pub fn without(mut self, feature: Feature, reason: &'static str) -> Self {
        self.missing[feature as usize] = Some(reason);
        self
    }

    /// The reason why a feature is missing, or `None` where it is supported.
    #[must_use]
    pub fn missing(&self, feature: Feature) -> Option<&'static str> {
        self.missing[feature as usize]
    }

    /// Whether a feature is supported.
    #[must_use]
    pub fn has(&self, feature: Feature) -> bool {
        self.missing(feature).is_none()
    }

    /// Asks for one feature.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the reason where it is missing.
    pub fn require(&self, feature: Feature) -> Result<()> {
        match self.missing(feature) {
            None => Ok(()),
            Some(reason) => Err(Error::Unsupported {
                variant: self.variant,
                what: feature.name().into(),
                reason,
            }),
        }
    }

    /// Whether a problem of this geometry can be answered.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for the first feature that is needed and missing.
    pub fn admits_geometry(&self, geometry: &Geometry) -> Result<()> {
        Feature::needed_by(geometry).try_for_each(|f| self.require(f))
    }

    /// The check that every forward begins with: features, output shapes and strides.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Shape`] or [`Error::Stride`].
    pub fn admit(&self, problem: &Problem<'_>, out: &OutputMut<'_>) -> Result<()> {
        self.admits(problem)?;
        if out.lse.is_some() {
            self.require(Feature::LogSumExp)?;
        }
        out.check(problem.geometry())
    }

    /// The check that every backward begins with: features, then the shapes of what forward saved
    /// (O and L), of dO and of the gradients.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Shape`] or [`Error::Stride`].
    pub fn admit_backward(
        &self,
        problem: &Problem<'_>,
        saved: &Output,
        d_o: &ArrayView4<'_, f32>,
        out: &Gradients,
    ) -> Result<()> {
        self.require(Feature::Backward)?;
        self.admits(problem)?;
        let s = problem.shape();
        let lead = if problem.geometry().is_jagged() {
            1
        } else {
            s.b
        };
        let rows = [lead, s.h, s.nq, s.dv];
        expect_shape("O", "[B, H, Nq, Dv]", saved.o.shape(), &rows)?;
        expect_shape("dO", "[B, H, Nq, Dv]", d_o.shape(), &rows)?;
        if self.has(Feature::LogSumExp) {
            let lse = saved.lse.as_ref().map_or(&[][..], |lse| lse.shape());
            expect_shape("L", "[B, H, Nq]", lse, &rows[..3])?;
        }
        out.check(problem)
    }

    fn admits(&self, problem: &Problem<'_>) -> Result<()> {
        self.admits_geometry(problem.geometry())?;
        if problem.bias().is_some() {
            self.require(Feature::Bias)?;
        }
        if problem.dropout().is_some() {
            self.require(Feature::Dropout)?;
        }
        Ok(())
    }

    /// The check that every prepare begins with.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a feature that is needed and missing, and for dropout: what is
    /// prepared answers queries that are not known yet, so that there is no forward to differentiate.
    pub fn admit_prepare(&self, problem: &Problem<'_>) -> Result<()> {
        self.require(Feature::Prepare)?;
        self.admits(problem)?;
        match problem.dropout() {
            None => Ok(()),
            Some(_) => Err(Error::Unsupported {
                variant: self.variant,
                what: "dropout in prepare".into(),
                reason: "prepared keys answer a trained model's queries; dropout is for training",
            }),
        }
    }
}
