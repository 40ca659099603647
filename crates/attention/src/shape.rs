//! The sizes of one attention problem, in the letters used everywhere.

/// Sizes of Q `[B, H, Nq, D]`, K `[B, Hkv, Nk, D]`, V `[B, Hkv, Nk, Dv]`, O `[B, H, Nq, Dv]`.
///
/// For a jagged batch the tensors have a leading axis of one and Nq, Nk count the tokens of all
/// histories together; `b` is then the number of histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Batch: number of histories.
    pub b: usize,
    /// Query heads.
    pub h: usize,
    /// Key/value heads; H is a multiple of it (grouped-query attention).
    pub hkv: usize,
    /// Queries.
    pub nq: usize,
    /// Keys.
    pub nk: usize,
    /// Head dimension of Q and K.
    pub d: usize,
    /// Head dimension of V and O.
    pub dv: usize,
}

impl Shape {
    /// A shape with as many queries as keys, as many key heads as query heads and Dv = D.
    #[must_use]
    pub fn square(b: usize, h: usize, n: usize, d: usize) -> Self {
        Self {
            b,
            h,
            hkv: h,
            nq: n,
            nk: n,
            d,
            dv: d,
        }
    }

    /// Bytes of Q, K, V and O in f32.
    #[must_use]
    pub fn tensor_bytes(&self) -> u64 {
        let q = self.b * self.h * self.nq * (self.d + self.dv);
        let kv = self.b * self.hkv * self.nk * (self.d + self.dv);
        4 * (q + kv) as u64
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            b,
            h,
            hkv,
            nq,
            nk,
            d,
            dv,
        } = self;
        write!(f, "B={b} H={h} Hkv={hkv} Nq={nq} Nk={nk} D={d} Dv={dv}")
    }
}
