//! Attention whose products take narrow operands: what bf16 and int8 have in common.
//!
//! The form is that of the f32 kernel (lanes are queries, the same walk over the masks), but keys and
//! values have to be converted first. A task is therefore a block of up to [`ROWS`] queries: a chunk of
//! keys and values is converted once and used by all of them while it is in cache.
//!
//! * `forward.rs`: a block of queries from Q to O and L
//! * `ahead.rs`: prefetches
//! * `tile.rs`: one step of the online softmax
//! * `product.rs`: dot products of pairs and quads of narrow numbers (AVX-512)
//! * `wide.rs`: the same on rounded numbers in f32, for every other machine
//! * `variant.rs`: a format as a variant of attention

mod ahead;
mod forward;
#[cfg(target_arch = "x86_64")]
pub(crate) mod product;
mod tile;
mod variant;
pub(crate) mod wide;

pub(crate) use forward::{Offset, Task, forward, scratch_floats};
pub(crate) use variant::{Format, Narrow, exact_on};

use crate::simd::{Block, Isa, QUERIES, Vector};
use attention::{Error, Result};

/// Queries in a block: so many times is a converted key used.
pub(crate) const ROWS: usize = 8 * QUERIES;

/// Keys in a chunk. At D = 64 its weights and values take 16 KiB each, so that they share an L1 cache.
pub(crate) const CHUNK: usize = 128;

/// How queries and keys are held, and multiplied into scores.
///
/// # Safety
/// Every method may only run where the instruction set that it is written for is enabled.
pub(crate) trait Keys {
    /// Floats that [`QUERIES`] packed queries take.
    fn query_floats(d: usize) -> usize;
    /// Floats that a packed key takes.
    fn key_floats(d: usize) -> usize;

    /// Packs at most [`QUERIES`] queries, and writes for each what its scores are to be multiplied with
    /// beside the problem's scale. Lanes behind the last query are zero up to a whole vector.
    ///
    /// `spare` has room for the packed queries a second time.
    unsafe fn pack_queries(q: Block<*const f32>, to: *mut f32, factors: *mut f32, spare: *mut f32);

    /// Packs keys less `offset` `[D]`, one after the other.
    unsafe fn pack_keys(k: Block<*const f32>, offset: &[f32], to: *mut f32);

    /// Sᵀ of `keys` packed keys and `vectors` vectors of queries, without scale, and the largest score
    /// of each query.
    unsafe fn score(
        k: *const f32,
        keys: usize,
        d: usize,
        qt: *const f32,
        st: *mut f32,
        largest: *mut f32,
        vectors: usize,
    );
}

/// How values and weights are held, and multiplied; both in pairs of keys.
///
/// # Safety
/// As for [`Keys`].
pub(crate) trait Values {
    /// Lanes of the softmax.
    type V: Vector;

    /// Floats that a pair of values takes.
    fn pair_floats(dv: usize) -> usize;

    /// Packs values, in pairs from the first on; the missing partner of a last one is zero.
    unsafe fn pack_values(v: Block<*const f32>, to: *mut f32);

    /// 2^x for x <= 126; 0 far below -126, and NaN stays NaN.
    #[inline(always)]
    unsafe fn exp2(x: Self::V) -> Self::V {
        // SAFETY: the caller's.
        unsafe { x.exp2_by::<3>() }
    }

    /// Writes the weights of pair `pair` into the tile of scores, from which they come: no row behind
    /// those of the pair is touched.
    unsafe fn store_weights(st: *mut f32, pair: usize, even: Self::V, odd: Self::V);

    /// Oᵀ += Vᵀ·Pᵀ over packed values and stored weights.
    unsafe fn accumulate(
        v: *const f32,
        pairs: usize,
        dv: usize,
        st: *const f32,
        ot: *mut f32,
        vectors: usize,
    );

    /// The stored weight of key `key` and the query at `st`.
    unsafe fn weight(st: *const f32, key: usize) -> f32;

    /// A value as it is packed.
    fn rounded(x: f32) -> f32;
}

/// The code path of a name, out of those of a format, best first; `auto` is the best that this machine
/// runs.
///
/// # Errors
/// [`Error::Parameter`] for a name that does not exist or a path that this machine lacks.
pub(crate) fn path_named<P: Copy>(
    name: &'static str,
    dots: &[(&'static str, bool, P)],
    wide: fn(Isa) -> P,
) -> Result<P> {
    let wides = Isa::ALL.map(|isa| (isa.name(), isa.is_available(), wide(isa)));
    let available = || {
        dots.iter()
            .chain(&wides)
            .filter(|(_, available, _)| *available)
    };
    available()
        .find(|(path, ..)| name == "auto" || *path == name)
        .map(|(.., path)| *path)
        .ok_or_else(|| Error::Parameter {
            parameter: "isa",
            value: name.into(),
            expected: format!(
                "this machine runs {}",
                available()
                    .map(|(path, ..)| *path)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        })
}
