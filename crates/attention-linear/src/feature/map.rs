//! What a variant tells the engine: its features, and what their sums are divided by.

use attention::simd::Isa;

/// C: keys and queries of a chunk. 64 keep every operand of a chunk's products (16 KiB at 64
/// features or values) in the first two levels of cache, and the work inside chunks at the size of
/// that between them.
pub(crate) const CHUNK: usize = 64;

/// Least denominator of a row: below it a row's weights fade out instead of being blown up.
pub(crate) const LEAST_SUM: f32 = 1e-10;

/// Least norm of a token or column that is scaled to unit length.
pub(crate) const LEAST_NORM: f32 = 1e-12;

/// Whose features are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// φ(Q).
    Query,
    /// φ(K).
    Key,
}

/// Some rows of Q or K: at most a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'a> {
    pub(crate) side: Side,
    /// The key head that they read or belong to: learned tensors are its own.
    pub(crate) key_head: usize,
    /// `[n, D]`, padded with zeros to whole lanes.
    pub(crate) x: &'a [f32],
    /// Where each stands: a key at its index, a query at the last key that it sees.
    pub(crate) positions: &'a [usize],
    /// Keys of the history, padding left out.
    pub(crate) keys: usize,
}

impl Tokens<'_> {
    /// n.
    pub(crate) fn count(&self) -> usize {
        self.positions.len()
    }
}

/// What the engine must know of a map before there is a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// m: features of a token.
    pub(crate) width: usize,
    /// Floats that the map needs to work on a chunk; a multiple of 16.
    pub(crate) work: usize,
    /// Floats of the gradients of one key head's learned tensors.
    pub(crate) learned: usize,
    /// Operations that the features of one token cost.
    pub(crate) flops: u64,
    /// Whether log2 φ is written instead of φ, for a φ > 0 that would leave the range of f32. The
    /// engine then keeps one scale a feature, and a constant added to all features of one query
    /// changes nothing.
    pub(crate) logarithmic: bool,
    /// What weights are divided by.
    pub(crate) normaliser: Normaliser,
}

impl Extent {
    /// A map of m features without memory or learned tensors, whose weights are divided by their sum.
    pub(crate) fn plain(width: usize, flops: u64) -> Self {
        Self {
            width,
            work: 0,
            learned: 0,
            flops,
            logarithmic: false,
            normaliser: Normaliser::RowSum,
        }
    }
}

/// φ, for a head dimension D.
pub(crate) trait FeatureMap: Sync {
    /// Writes φ(X) `[n, m]`, rows padded with zeros to whole lanes.
    fn features(&self, isa: Isa, tokens: &Tokens<'_>, work: &mut [f32], phi: &mut [f32]);

    /// Writes dX `[n, D]` from the gradient by φ `[n, m]` (by ln φ where the map is logarithmic),
    /// which it may overwrite, and adds to the gradients of the key head's learned tensors.
    fn pull_back(
        &self,
        isa: Isa,
        tokens: &Tokens<'_>,
        work: &mut [f32],
        gradient: Gradient<'_>,
        learned: &mut [f32],
    );
}

/// What [`FeatureMap::pull_back`] reads and writes; rows are padded to whole lanes.
pub(crate) struct Gradient<'a> {
    /// φ(X) `[n, m]` as the map wrote it; in other units where the map is logarithmic.
    pub(crate) phi: &'a [f32],
    /// `[n, m]`, zero in the padding.
    pub(crate) d_phi: &'a mut [f32],
    /// `[n, D]`; the padding is not read.
    pub(crate) dx: &'a mut [f32],
}

/// What the weights φ(q_i)·φ(k_j) are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normaliser {
    /// Their sum over the visible keys, or [`LEAST_SUM`] where that is larger.
    RowSum,
    /// The same for weights of either sign: the sum keeps its sign and at least [`LEAST_SUM`].
    SignedSum,
    /// √n times the norm of each feature over the n visible keys: only where all queries see the
    /// same keys.
    KeyColumns,
    /// Nothing.
    None,
}

impl Normaliser {
    /// Whether a row is divided by its own sum.
    pub(crate) fn divides_rows(self) -> bool {
        matches!(self, Self::RowSum | Self::SignedSum)
    }

    /// What a row's sum counts as, and whether that is the guard.
    pub(crate) fn guard(self, sum: f32) -> (f32, bool) {
        match self {
            Self::RowSum if sum < LEAST_SUM => (LEAST_SUM, true),
            Self::SignedSum if sum.abs() < LEAST_SUM => (LEAST_SUM.copysign(sum), true),
            _ => (sum, false),
        }
    }
}
