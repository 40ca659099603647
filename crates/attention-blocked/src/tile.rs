//! One step of the online softmax: a piece of up to 64 queries against up to 64 keys.
//!
//! Sᵀ, Pᵀ, Oᵀ and Qᵀ all have one row of [`QUERIES`] floats a key or column, so that maxima, sums,
//! rescaling and masks work lane by lane, without any reduction across a register.

use crate::simd::{QUERIES, Vector, accumulate_values, score_keys};
use attention::numeric::ln_lanes;
use attention::walk::{GROUP, KEYS};
use std::ops::Range;

/// How far, in powers of two, scores may exceed the maximum that weights are taken relative to.
///
/// A weight of 2^8 is as exact in f32 as one of 1, and most tiles then rescale nothing.
const HEADROOM: f32 = 8.0;

/// The degree of the polynomial that stands for 2^x.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Degree {
    Three,
    Four,
    Five,
}

impl Degree {
    /// Of 3, 4 and all that is more.
    pub(crate) fn of(degree: usize) -> Self {
        match degree {
            3 => Self::Three,
            4 => Self::Four,
            _ => Self::Five,
        }
    }

    /// The largest relative error of a weight.
    pub(crate) fn error(self) -> f64 {
        match self {
            Self::Three => 9e-5,
            Self::Four => 3e-6,
            Self::Five => 2e-7,
        }
    }
}

/// Working memory of one task, `[rows, QUERIES]` each.
pub(crate) struct Tiles<'a> {
    /// Qᵀ `[D, QUERIES]`, with scale·log2(e) folded in.
    pub(crate) qt: &'a mut [f32],
    /// Sᵀ, then Pᵀ `[KEYS, QUERIES]`, in units of log2.
    pub(crate) st: &'a mut [f32],
    /// Oᵀ `[Dv, QUERIES]`, not yet divided by the sum.
    pub(crate) ot: &'a mut [f32],
    /// What weights are relative to `[QUERIES]`: within [`HEADROOM`] of the running maximum.
    pub(crate) max: &'a mut [f32],
    /// Running sum of weights `[QUERIES]`.
    pub(crate) sum: &'a mut [f32],
}

/// Whole vectors of queries in a tile.
#[derive(Clone, Copy)]
pub(crate) struct Lanes {
    /// The first query, at the start of a vector.
    pub(crate) first: usize,
    /// How many vectors.
    pub(crate) vectors: usize,
}

/// A set of groups of [`GROUP`] queries of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Groups(u8);

impl Groups {
    /// None of them.
    pub(crate) const NONE: Self = Self(0);
    /// All that a block can have.
    pub(crate) const ALL: Self = Self(((1u32 << (QUERIES / GROUP)) - 1) as u8);

    /// Those that hold some of `lanes`, which start at a group.
    pub(crate) fn of(lanes: &Range<usize>) -> Self {
        let bits = |end: usize| (1u32 << end.div_ceil(GROUP)) - 1;
        Self((bits(lanes.end) & !bits(lanes.start)) as u8)
    }

    fn contains(self, group: usize) -> bool {
        self.0 >> group & 1 == 1
    }

    /// Those of self that `other` has not.
    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl<'a> Tiles<'a> {
    /// Floats of working memory.
    pub(crate) fn floats(d: usize, dv: usize) -> usize {
        (d + KEYS + dv + 2) * QUERIES
    }

    /// Cuts working memory up.
    pub(crate) fn new(memory: &'a mut [f32], d: usize, dv: usize) -> Self {
        let (qt, rest) = memory.split_at_mut(d * QUERIES);
        let (st, rest) = rest.split_at_mut(KEYS * QUERIES);
        let (ot, rest) = rest.split_at_mut(dv * QUERIES);
        let (max, rest) = rest.split_at_mut(QUERIES);
        let sum = &mut rest[..QUERIES];
        Self {
            qt,
            st,
            ot,
            max,
            sum,
        }
    }

    /// Nothing seen, nothing summed by the queries of some groups.
    #[inline(always)]
    pub(crate) fn clear(&mut self, groups: Groups) {
        for group in 0..QUERIES / GROUP {
            if groups.contains(group) {
                let lanes = group * GROUP..(group + 1) * GROUP;
                for column in self.ot.chunks_exact_mut(QUERIES) {
                    column[lanes.clone()].fill(0.0);
                }
                self.max[lanes.clone()].fill(f32::NEG_INFINITY);
                self.sum[lanes].fill(0.0);
            }
        }
    }

    /// Sᵀ of `keys` keys that stand `stride` floats apart.
    ///
    /// # Safety
    /// V's instructions are enabled and `k` has `keys` rows of D floats; `keys` is at most [`KEYS`].
    #[inline(always)]
    pub(crate) unsafe fn score<V: Vector>(
        &mut self,
        k: *const f32,
        stride: usize,
        keys: usize,
        lanes: Lanes,
    ) {
        let d = self.qt.len() / QUERIES;
        // SAFETY: the slices hold D and KEYS rows of QUERIES floats; k is the caller's.
        unsafe {
            let qt = self.qt.as_ptr().add(lanes.first);
            let st = self.st.as_mut_ptr().add(lanes.first);
            score_keys::<V>(k, stride, keys, d, qt, st, lanes.vectors);
        }
    }

    /// Sᵀ becomes Pᵀ = 2^(Sᵀ - max); what was summed before is rescaled where the maximum grew, and
    /// overwritten in the `first` piece of these queries.
    ///
    /// # Safety
    /// V's instructions are enabled; `keys` is at most [`KEYS`].
    #[inline(always)]
    pub(crate) unsafe fn exponentiate<V: Vector>(
        &mut self,
        keys: usize,
        lanes: Lanes,
        first: bool,
        degree: Degree,
    ) {
        let mut v = 0;
        while v < lanes.vectors {
            let columns = (lanes.vectors - v).min(V::COLUMNS);
            let lane = lanes.first + v * V::LANES;
            // SAFETY: as the caller's, for the lanes from `lane` on.
            unsafe {
                match columns {
                    4 => self.exponentiate_columns::<V, 4>(keys, lane, first, degree),
                    3 => self.exponentiate_columns::<V, 3>(keys, lane, first, degree),
                    2 => self.exponentiate_columns::<V, 2>(keys, lane, first, degree),
                    _ => self.exponentiate_columns::<V, 1>(keys, lane, first, degree),
                }
            }
            v += columns;
        }
    }

    #[inline(always)]
    unsafe fn exponentiate_columns<V: Vector, const C: usize>(
        &mut self,
        keys: usize,
        lane: usize,
        first: bool,
        degree: Degree,
    ) {
        // SAFETY: every row of the tiles has QUERIES floats, a multiple of the vector's width.
        unsafe {
            let st = self.st.as_mut_ptr().add(lane);
            let mut max = [V::splat(f32::NEG_INFINITY); C];
            for j in 0..keys {
                for (c, max) in max.iter_mut().enumerate() {
                    *max = max.max(V::load(st.add(j * QUERIES + c * V::LANES)));
                }
            }
            let mut shift = [V::splat(0.0); C];
            for c in 0..C {
                let at = self.max.as_mut_ptr().add(lane + c * V::LANES);
                let mut reference = max[c];
                if first {
                    reference.store(at);
                } else {
                    let before = V::load(at);
                    let bound = before.add(V::splat(HEADROOM));
                    reference = before;
                    // Lane by lane, so that no query's rounding depends on another's scores.
                    if max[c].any_greater(bound) {
                        reference = max[c].select_greater(bound, max[c], before);
                        self.rescale::<V>(before.sub(reference).exp2(), lane + c * V::LANES);
                        reference.store(at);
                    }
                }
                // Where nothing was visible so far, -inf - -inf must not become NaN.
                shift[c] = reference.zero_where_negative_infinite(reference);
            }
            let sum = match degree {
                Degree::Three => raise::<V, C, 3>(st, keys, shift),
                Degree::Four => raise::<V, C, 4>(st, keys, shift),
                Degree::Five => raise::<V, C, 5>(st, keys, shift),
            };
            for (c, sum) in sum.into_iter().enumerate() {
                let at = self.sum.as_mut_ptr().add(lane + c * V::LANES);
                let before = if first { V::splat(0.0) } else { V::load(at) };
                before.add(sum).store(at);
            }
        }
    }

    /// Multiplies what one vector of queries has summed so far.
    #[inline(always)]
    unsafe fn rescale<V: Vector>(&mut self, factor: V, lane: usize) {
        // SAFETY: as for the tiles.
        unsafe {
            // A query that had seen nothing: -inf - finite gives 0, -inf - -inf gives NaN.
            let factor = factor.zero_where_negative_infinite(V::load(self.max.as_ptr().add(lane)));
            let sum = self.sum.as_mut_ptr().add(lane);
            V::load(sum).mul(factor).store(sum);
            for c in 0..self.ot.len() / QUERIES {
                let at = self.ot.as_mut_ptr().add(c * QUERIES + lane);
                V::load(at).mul(factor).store(at);
            }
        }
    }

    /// Oᵀ += Vᵀ·Pᵀ for `keys` values that stand `stride` floats apart; Oᵀ = in the `first` piece.
    ///
    /// # Safety
    /// V's instructions are enabled and `v` has `keys` rows of Dv floats.
    #[inline(always)]
    pub(crate) unsafe fn accumulate<V: Vector>(
        &mut self,
        v: *const f32,
        stride: usize,
        keys: usize,
        lanes: Lanes,
        first: bool,
    ) {
        let dv = self.ot.len() / QUERIES;
        // SAFETY: the slices hold KEYS and Dv rows of QUERIES floats; v is the caller's.
        unsafe {
            let pt = self.st.as_ptr().add(lanes.first);
            let ot = self.ot.as_mut_ptr().add(lanes.first);
            if first {
                accumulate_values::<V, false>(v, stride, keys, dv, pt, ot, lanes.vectors);
            } else {
                accumulate_values::<V, true>(v, stride, keys, dv, pt, ot, lanes.vectors);
            }
        }
    }

    /// Whether what the first `queries` queries summed is all finite.
    #[inline(always)]
    pub(crate) fn are_finite(&self, queries: usize) -> bool {
        // A sum of products with zero is NaN exactly if a term is not finite, and vectorises.
        let mut lanes = [0.0f32; QUERIES];
        for row in self.ot.chunks_exact(QUERIES).chain([&*self.sum]) {
            for (lane, x) in lanes.iter_mut().zip(row) {
                *lane += x * 0.0;
            }
        }
        lanes[..queries].iter().all(|&x| x == 0.0)
    }
}

/// 2^(x - shift) in place of x, row by row; gives the sums of the columns.
#[inline(always)]
unsafe fn raise<V: Vector, const C: usize, const DEGREE: usize>(
    st: *mut f32,
    keys: usize,
    shift: [V; C],
) -> [V; C] {
    // SAFETY: the caller's rows of QUERIES floats, and its vector.
    unsafe {
        let mut sum = [V::splat(0.0); C];
        for j in 0..keys {
            for c in 0..C {
                let at = st.add(j * QUERIES + c * V::LANES);
                let p = V::load(at).sub(shift[c]).exp2_by::<DEGREE>();
                p.store(at);
                sum[c] = sum[c].add(p);
            }
        }
        sum
    }
}

/// Scores outside `low <= key < high` become -inf, whatever they were.
///
/// `low` and `high` are those of lane 0 and grow by one from lane to lane; no key from `end` on is
/// visible to any.
///
/// # Safety
/// V's instructions are enabled; `st` has `keys` rows of [`QUERIES`] floats.
#[inline(always)]
pub(crate) unsafe fn hide_outside_band<V: Vector>(
    st: *mut f32,
    (low, high, end): (isize, isize, usize),
    keys: usize,
    lanes: Lanes,
) {
    let last = lanes.first + lanes.vectors * V::LANES - 1;
    // Far outside the tile all bounds are alike, and small integers are exact in f32.
    let bound = |at: isize, lane: usize| (at + lane as isize).clamp(0, keys as isize);
    let (mut lows, mut highs) = ([0.0; QUERIES], [0.0; QUERIES]);
    for lane in lanes.first..=last {
        lows[lane] = bound(low, lane) as f32;
        highs[lane] = bound(high, lane).min(end as isize) as f32;
    }
    let safe_from = lows[last] as usize;
    let safe_to = highs[lanes.first] as usize;
    for j in (0..keys).filter(|j| !(safe_from..safe_to).contains(j)) {
        for v in 0..lanes.vectors {
            let lane = lanes.first + v * V::LANES;
            // SAFETY: every row of the tiles has QUERIES floats, a multiple of the vector's width.
            unsafe {
                let at = st.add(j * QUERIES + lane);
                let low = V::load(lows.as_ptr().add(lane));
                let high = V::load(highs.as_ptr().add(lane));
                V::load(at)
                    .hide_outside(V::splat(j as f32), low, high)
                    .store(at);
            }
        }
    }
}

/// Turns maxima into L = logsumexp of the scores, and sums into the factors of O: 1/sum, or 0 for
/// queries that `is_empty` says see nothing.
#[inline(always)]
pub(crate) fn finish(
    max: &mut [f32],
    sum: &mut [f32],
    queries: usize,
    is_empty: impl Fn(usize) -> bool,
) {
    let mut logs = [0.0f32; QUERIES];
    ln_lanes(sum, &mut logs);
    for (max, log) in max.iter_mut().zip(&logs) {
        *max = *max * std::f32::consts::LN_2 + log;
    }
    if sum[..queries].contains(&0.0) {
        // A sum of zero over visible keys comes of scores that are all -inf: undefined, not empty.
        for (lane, sum) in sum[..queries].iter_mut().enumerate() {
            if *sum == 0.0 && is_empty(lane) {
                *sum = f32::INFINITY;
            }
        }
    }
    for sum in sum.iter_mut() {
        *sum = 1.0 / *sum;
    }
}
