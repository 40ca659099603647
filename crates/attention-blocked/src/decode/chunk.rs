//! A chunk of keys for all queries that read them.

use super::source::{Asked, History, Source};
use crate::simd::row_wise::{Ahead, Element, Rows, add_values, score_rows};
use crate::simd::{Kernel, Vector};
use attention::HeadBias;
use attention::mask::Tile;
use attention::numeric::LOG2_E;
use ndarray::{ArrayView2, Axis};
use std::ops::Range;

/// Keys that are scored before their values are summed: K and V of a tile take 32 KiB at D = 64, so
/// that several queries read them from the L1 cache, and a score a query is written and read there.
const TILE: usize = 64;

/// Floats to which every row of working memory is filled up: the widest vector.
const PAD: usize = 16;

/// What a chunk of keys gives for `rows` queries: enough to merge it with others.
pub(super) struct Partial<T> {
    /// The largest score, in units of log2. `[rows]`.
    pub(super) max: T,
    /// The sum of 2^(score - max). `[rows]`.
    pub(super) sum: T,
    /// `[rows, Dv]`, rows [`stride`](Self::stride) apart, not yet divided by the sum.
    pub(super) o: T,
}

impl Partial<()> {
    pub(super) fn floats(rows: usize, dv: usize) -> usize {
        rows * (Self::stride(dv) + 2)
    }

    /// Floats from one row of `o` to the next.
    pub(super) fn stride(dv: usize) -> usize {
        dv.next_multiple_of(PAD)
    }

    /// Reads what a chunk left.
    pub(super) fn of(memory: &[f32], rows: usize) -> Partial<&[f32]> {
        let (max, rest) = memory.split_at(rows);
        let (sum, o) = rest.split_at(rows);
        Partial { max, sum, o }
    }

    /// Nothing seen, nothing summed.
    fn start(memory: &mut [f32], rows: usize) -> Partial<&mut [f32]> {
        let (max, rest) = memory.split_at_mut(rows);
        let (sum, o) = rest.split_at_mut(rows);
        max.fill(f32::NEG_INFINITY);
        o.fill(0.0);
        Partial { max, sum, o }
    }
}

/// One task: the queries of a key head's query heads, and the keys `keys` of their history.
pub(super) struct Chunk<'s, 'm, E> {
    /// Behind a pointer, so that problems and caches of f32 share one compiled kernel.
    pub(super) source: &'s dyn Source<Element = E>,
    pub(super) sequence: usize,
    pub(super) key_head: usize,
    pub(super) keys: Range<usize>,
    /// Where the partial result goes.
    pub(super) partial: &'m mut [f32],
    pub(super) memory: &'m mut [f32],
}

/// Floats of working memory for `rows` queries.
pub(super) fn working_floats(rows: usize, d: usize) -> usize {
    rows * (d.next_multiple_of(PAD) + TILE + PAD)
}

impl<E: Element> Kernel for Chunk<'_, '_, E> {
    #[inline(always)]
    fn run<V: Vector>(self) {
        let Self { source, .. } = self;
        let group = source.group();
        let heads = self.key_head * group..(self.key_head + 1) * group;
        let history = source.history(self.sequence, self.key_head);
        let asked = source.asked(self.sequence, heads.start);
        let (queries, d) = asked.q.dim();
        let (rows, dv) = (queries * group, history.v.ncols());
        let (dp, o_stride) = (d.next_multiple_of(PAD), Partial::stride(dv));
        let (qp, rest) = self.memory.split_at_mut(rows * dp);
        let (s, rest) = rest.split_at_mut(rows * TILE);
        let lanes = &mut rest[..rows * PAD];
        let Partial { max, sum, o } = Partial::start(self.partial, rows);

        for (qp, head) in qp
            .chunks_exact_mut((queries * dp).max(1))
            .zip(heads.clone())
        {
            pack(&source.asked(self.sequence, head), dp, qp);
        }
        lanes.fill(0.0);

        let hull = asked.mask.span_of(0..queries);
        let mut start = self.keys.start;
        while start < self.keys.end {
            let end = (start + TILE).min(self.keys.end);
            let keys = start.max(hull.start)..end.min(hull.end);
            start = end;
            let visible = asked.mask.tile(0..queries, keys.clone());
            if visible == Tile::Empty {
                continue;
            }
            let padded = keys.len().next_multiple_of(PAD);
            let (k, v) = (rows_of(history.k, &keys), rows_of(history.v, &keys));
            let q = Rows {
                start: qp.as_ptr(),
                stride: dp,
                rows,
            };
            // SAFETY: V's instructions are enabled where this runs; q is packed with rows of dp, s has
            // `rows` rows of TILE; k has columns of the history's width.
            unsafe { score_rows::<V, _>(q, k, d, s.as_mut_ptr(), TILE, Ahead::of(k, v)) };
            let each = heads
                .clone()
                .flat_map(|head| (0..queries).map(move |i| (head, i)));
            for ((m, s), (head, i)) in s.chunks_exact_mut(TILE).enumerate().zip(each) {
                scale(&history, &keys, s, |(k_scales, _)| k_scales);
                if asked.bias.is_some() {
                    add_bias(&source.asked(self.sequence, head), i, &keys, s);
                }
                if visible == Tile::Partial {
                    hide(&asked, i, &keys, s);
                }
                s[keys.len()..padded].fill(f32::NEG_INFINITY);
                // SAFETY: V's instructions are enabled; the slices have whole vectors.
                unsafe {
                    exponentiate::<V>(
                        &mut s[..padded],
                        &mut max[m],
                        &mut lanes[m * PAD..(m + 1) * PAD],
                        &mut o[m * o_stride..(m + 1) * o_stride],
                    );
                }
                scale(&history, &keys, s, |(_, v_scales)| v_scales);
            }
            let p = Rows {
                start: s.as_ptr(),
                stride: TILE,
                rows,
            };
            let next = Rows {
                start: k.start.wrapping_add(TILE * k.stride),
                ..k
            };
            // 0·NaN is NaN: a value that is not finite must not meet a hidden key's weight.
            if visible == Tile::Full || finite(&history, &keys) {
                // SAFETY: as above; o has `rows` rows of Dv floats filled up to whole vectors.
                unsafe {
                    add_values::<V, _>(p, v, dv, o.as_mut_ptr(), o_stride, Ahead::of(v, next))
                };
                continue;
            }
            for m in 0..rows {
                let seen = |j: &usize| asked.mask.visible(m % queries, *j);
                for j in keys.clone().filter(seen) {
                    let one = Rows {
                        start: s[m * TILE + j - keys.start..].as_ptr(),
                        stride: TILE,
                        rows: 1,
                    };
                    let value = rows_of(history.v, &(j..j + 1));
                    let o = &mut o[m * o_stride..];
                    // SAFETY: as above, for one query and one key.
                    unsafe {
                        add_values::<V, _>(
                            one,
                            value,
                            dv,
                            o.as_mut_ptr(),
                            o_stride,
                            Ahead::of(value, value),
                        )
                    };
                }
            }
        }
        for (sum, lanes) in sum.iter_mut().zip(lanes.chunks_exact(PAD)) {
            *sum = lanes.iter().sum();
        }
    }
}

/// Q with scale·log2(e) folded in, rows filled up with zeros.
#[inline(always)]
fn pack(asked: &Asked<'_>, dp: usize, qp: &mut [f32]) {
    let factor = asked.scale * LOG2_E;
    for (packed, q) in qp.chunks_exact_mut(dp.max(1)).zip(asked.q.outer_iter()) {
        packed.fill(0.0);
        for (packed, x) in packed.iter_mut().zip(q) {
            *packed = x * factor;
        }
    }
}

fn rows_of<T>(matrix: ArrayView2<'_, T>, keys: &Range<usize>) -> Rows<T> {
    Rows {
        start: matrix.row(keys.start).as_ptr(),
        // Rows run forwards wherever there is more than one of them to step between.
        stride: matrix.strides()[0].unsigned_abs(),
        rows: keys.len(),
    }
}

/// Multiplies by the factors of keys or values, where there are any.
#[inline(always)]
fn scale<'a, E>(
    history: &History<'a, E>,
    keys: &Range<usize>,
    s: &mut [f32],
    which: impl Fn((&'a [f32], &'a [f32])) -> &'a [f32],
) {
    if let Some(scales) = history.scales {
        for (s, factor) in s.iter_mut().zip(&which(scales)[keys.clone()]) {
            *s *= factor;
        }
    }
}

fn finite<E: Element>(history: &History<'_, E>, keys: &Range<usize>) -> bool {
    let rows = history.v.slice_axis(Axis(0), keys.clone().into());
    let factors = history.scales.map_or(&[][..], |(_, v)| &v[keys.clone()]);
    E::finite(rows) && factors.iter().all(|x| x.is_finite())
}

fn add_bias(asked: &Asked<'_>, i: usize, keys: &Range<usize>, s: &mut [f32]) {
    match &asked.bias {
        Some(HeadBias::Dense(table)) => {
            let row = table.row(i);
            for (s, j) in s.iter_mut().zip(keys.clone()) {
                *s += row[j] * LOG2_E;
            }
        }
        Some(bias) => {
            for (s, j) in s.iter_mut().zip(keys.clone()) {
                *s += bias.at(i, j) * LOG2_E;
            }
        }
        None => {}
    }
}

/// Scores of hidden keys become -inf, whatever they were.
fn hide(asked: &Asked<'_>, i: usize, keys: &Range<usize>, s: &mut [f32]) {
    let span = asked.mask.span(i);
    let interval = asked.mask.is_interval();
    for (s, j) in s.iter_mut().zip(keys.clone()) {
        if !span.contains(&j) || !interval && !asked.mask.regular(i, j) {
            *s = f32::NEG_INFINITY;
        }
    }
}

/// S becomes P = 2^(S - max) for one query; what was summed before is rescaled where the maximum
/// grew.
///
/// # Safety
/// V's instructions are enabled; `s`, `sum` and `o` have whole vectors.
#[inline(always)]
unsafe fn exponentiate<V: Vector>(s: &mut [f32], max: &mut f32, sum: &mut [f32], o: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe {
        let mut tile_max = V::splat(*max);
        for s in s.chunks_exact(V::LANES) {
            tile_max = tile_max.max(V::load(s.as_ptr()));
        }
        let grown = tile_max.any_greater(V::splat(*max));
        let before = *max;
        if grown {
            *max = tile_max.largest();
        }
        // Where nothing was visible so far, -inf - -inf must not become NaN.
        let shift = V::splat(*max);
        let shift = shift.zero_where_negative_infinite(shift);
        if grown {
            let factor = V::splat(before).sub(shift).exp2();
            for x in sum
                .chunks_exact_mut(V::LANES)
                .chain(o.chunks_exact_mut(V::LANES))
            {
                V::load(x.as_ptr()).mul(factor).store(x.as_mut_ptr());
            }
        }
        let mut tile_sum = V::splat(0.0);
        for s in s.chunks_exact_mut(V::LANES) {
            let p = V::load(s.as_ptr()).sub(shift).exp2();
            p.store(s.as_mut_ptr());
            tile_sum = tile_sum.add(p);
        }
        V::load(sum.as_ptr()).add(tile_sum).store(sum.as_mut_ptr());
    }
}
