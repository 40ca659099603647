//! What a variant tells the engine: its features, and what their sums are divided by.

/// C: keys and queries of a chunk. 64 keep φ(Q)φ(K)ᵀ of a chunk (16 KiB) and a state of 64 x 64
/// (16 KiB) in a first-level cache, and the work inside chunks at the size of that between them.
pub(crate) const CHUNK: usize = 64;

/// Least denominator of a row: below it a row's weights fade out instead of being blown up.
pub(crate) const LEAST_SUM: f32 = 1e-10;

/// Least norm of a token or column that is scaled to unit length.
pub(crate) const LEAST_NORM: f32 = 1e-12;

/// φ, for a head dimension D and a number of features m.
pub(crate) trait FeatureMap: Sync {
    /// Whether `keys` and `queries` write ln φ instead of φ, for a φ > 0 that would leave the range
    /// of f32. The engine then keeps one scale a feature, and a constant added to all features of
    /// one query changes nothing.
    const LOGARITHMIC: bool;

    /// m.
    fn width(&self) -> usize;

    /// Operations that the features of one token cost.
    fn flops(&self) -> u64;

    /// From Kᵀ `[D, C]` to φ(K)ᵀ `[m, C]`, of which the first `n` columns count.
    fn keys(&self, transposed: &[f32], n: usize, out: &mut [f32]);

    /// From Q `[n, D]` to φ(Q) `[n, m]`, with rows of `out` that are `stride` floats apart.
    fn queries(&self, q: &[f32], n: usize, out: &mut [f32], stride: usize);
}

/// What the weights φ(q_i)·φ(k_j) are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normaliser {
    /// Their sum over the visible keys.
    RowSum,
    /// √n times the norm of each feature over the n visible keys: only where all queries see the
    /// same keys.
    KeyColumns,
    /// Nothing.
    None,
}
