//! One task: a run of queries of the heads that share a key head, scanned in chunks.
//!
//! The state holds the keys that came before a chunk; what queries see of the keys inside it is
//! added from φ(Q)φ(K)ᵀ, row by row up to the last visible key and never beyond, so that no hidden
//! key, not even a NaN, is multiplied into an answer.

use super::Engine;
use super::map::{CHUNK, FeatureMap, LEAST_NORM, LEAST_SUM, Normaliser};
use super::state::{self, State};
use crate::exp::exp;
use crate::matmul::{LANES, ROWS, Rows, add_product};
use crate::reduce::{dot, largest, sum};
use crate::wide::wide;
use attention::{Head, RowBlock};
use ndarray::ArrayView2;
use std::ops::Range;

/// How far ln φ of a key may lie above the state's units. Features up to e^60 times as large leave
/// room for sums of 10⁹ of them in f32, and for features e^-20 as small as the largest below.
const HEADROOM: f32 = 60.0;

/// Sizes that every buffer follows.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) d: usize,
    pub(super) dv: usize,
    /// m.
    pub(super) width: usize,
}

impl Sizes {
    /// Floats between value rows.
    pub(super) fn value_stride(self) -> usize {
        self.dv.next_multiple_of(LANES)
    }

    /// Floats between rows of query features.
    fn feature_stride(self) -> usize {
        self.width.next_multiple_of(LANES)
    }

    /// Floats of a state.
    pub(super) fn state(self) -> usize {
        state::floats(self.width, self.value_stride())
    }

    fn parts(self) -> [usize; 9] {
        [
            self.state(),
            self.d * CHUNK,
            self.width * CHUNK,
            self.value_stride() * CHUNK,
            self.width,
            self.d * CHUNK,
            self.feature_stride() * CHUNK,
            CHUNK * CHUNK,
            self.value_stride() * CHUNK,
        ]
    }

    /// Floats that a worker needs.
    pub(super) fn worker(self) -> usize {
        self.parts().iter().sum()
    }
}

/// A worker's memory.
pub(super) struct Scan<'s, 'e, M> {
    engine: &'e Engine<'e, M>,
    sizes: Sizes,
    state: State<'s>,
    /// Kᵀ `[D, C]`.
    transposed: &'s mut [f32],
    /// φ(K)ᵀ `[m, C]`.
    phi_k: &'s mut [f32],
    /// V `[C, Dv]`.
    v: &'s mut [f32],
    /// Largest ln φ of the chunk's keys `[m]`.
    peaks: &'s mut [f32],
    /// Q `[C, D]`.
    q: &'s mut [f32],
    /// φ(Q) `[C, m]`.
    phi_q: &'s mut [f32],
    /// φ(Q)φ(K)ᵀ `[C, C]`.
    products: &'s mut [f32],
    /// O before it is divided `[C, Dv]`.
    sums: &'s mut [f32],
}

impl<'s, 'e, M: FeatureMap> Scan<'s, 'e, M> {
    /// Lays a worker's memory out in `buffer`, with the state of no keys.
    pub(super) fn new(engine: &'e Engine<'e, M>, sizes: Sizes, buffer: &'s mut [f32]) -> Self {
        let mut rest = buffer;
        let mut parts = sizes
            .parts()
            .map(|n| {
                let (part, after) = std::mem::take(&mut rest).split_at_mut(n);
                rest = after;
                part
            })
            .into_iter();
        let mut next = || parts.next().unwrap_or_default();
        let mut state = State::over(next(), sizes.width, sizes.value_stride());
        state.clear();
        Self {
            engine,
            sizes,
            state,
            transposed: next(),
            phi_k: next(),
            v: next(),
            peaks: next(),
            q: next(),
            phi_q: next(),
            products: next(),
            sums: next(),
        }
    }

    /// Begins with a state that was made ahead.
    pub(super) fn resume(&mut self, state: &[f32]) {
        let (values, rest) = state.split_at(self.state.values.len());
        let (features, tops) = rest.split_at(self.state.features.len());
        self.state.values.copy_from_slice(values);
        self.state.features.copy_from_slice(features);
        self.state.tops.copy_from_slice(tops);
    }

    /// Copies the state out.
    pub(super) fn save(&self, out: &mut [f32]) {
        let (values, rest) = out.split_at_mut(self.state.values.len());
        let (features, tops) = rest.split_at_mut(self.state.features.len());
        values.copy_from_slice(self.state.values);
        features.copy_from_slice(self.state.features);
        tops.copy_from_slice(self.state.tops);
    }

    /// Adds the keys of a range to the state.
    pub(super) fn absorb(&mut self, head: &Head<'_>, keys: Range<usize>) {
        let mut at = keys.start;
        while at < keys.end {
            let n = CHUNK.min(keys.end - at);
            self.load(head, at..at + n);
            if M::LOGARITHMIC {
                self.find_peaks(n);
                self.state.raise(self.peaks, self.sizes.value_stride());
                self.exponentiate(n);
            }
            self.absorb_loaded(n);
            at += n;
        }
    }

    /// Answers `blocks`, the same queries in all heads of a group, when the first `known` keys are
    /// in the state.
    pub(super) fn answer(&mut self, heads: &[Head<'_>], blocks: &mut [RowBlock<'_>], known: usize) {
        let (Some(head), Some(block)) = (heads.first(), blocks.first()) else {
            return;
        };
        let (mask, rows) = (head.mask, block.rows.clone());
        let mut known = known;
        let mut at = rows.start;
        while at < rows.end && mask.span(at).end == 0 {
            for block in blocks.iter_mut() {
                block.o.row_mut(at - rows.start).fill(0.0);
            }
            at += 1;
        }
        while at < rows.end {
            let mut end = rows.end.min(at + CHUNK);
            let first = mask.span(at).end;
            let mut last = mask.span(end - 1).end;
            if last == first || last - known > CHUNK {
                self.absorb(head, known..first);
                known = first;
            }
            if known < last {
                self.load(head, known..last);
                if M::LOGARITHMIC {
                    if let Some(above) = self.first_above_headroom(last - known) {
                        if first > known + above {
                            self.absorb(head, known..first);
                            known = first;
                            continue;
                        }
                        while mask.span(end - 1).end > known + above {
                            end -= 1;
                        }
                        last = mask.span(end - 1).end;
                    }
                    self.find_peaks(last - known);
                    self.exponentiate(last - known);
                }
            }
            let visible = |i: usize| mask.span(i).end;
            for (head, block) in heads.iter().zip(blocks.iter_mut()) {
                self.answer_chunk(head, block, at..end, known..last, visible);
            }
            if known < last {
                self.absorb_loaded(last - known);
                if M::LOGARITHMIC {
                    self.state.raise(self.peaks, self.sizes.value_stride());
                }
            }
            known = last;
            at = end;
        }
    }

    /// Loads keys and values of one chunk, and the features of its keys.
    fn load(&mut self, head: &Head<'_>, keys: Range<usize>) {
        transpose(head.k, keys.clone(), self.transposed);
        copy_rows(head.v, keys.clone(), self.v, self.sizes.value_stride());
        let map = self.engine.map;
        wide(
            #[inline(always)]
            || map.keys(self.transposed, keys.len(), self.phi_k),
        );
    }

    fn absorb_loaded(&mut self, n: usize) {
        let v = Rows {
            data: self.v,
            stride: self.sizes.value_stride(),
        };
        self.state.absorb(self.phi_k, v, n, self.engine.normaliser);
    }

    /// The largest ln φ of each feature among the loaded keys; NaN is passed over.
    fn find_peaks(&mut self, n: usize) {
        wide(
            #[inline(always)]
            || {
                let rows = self.phi_k.chunks_exact(CHUNK);
                for (peak, row) in self.peaks.iter_mut().zip(rows) {
                    *peak = largest(&row[..n]);
                }
            },
        );
    }

    /// The first loaded key with a feature that does not fit the state's units.
    fn first_above_headroom(&self, n: usize) -> Option<usize> {
        let mut excess = [f32::NEG_INFINITY; CHUNK];
        wide(
            #[inline(always)]
            || {
                let rows = self.phi_k.chunks_exact(CHUNK);
                for (row, &top) in rows.zip(self.state.tops.iter()) {
                    for (most, &x) in excess.iter_mut().zip(row) {
                        let above = x - top;
                        *most = if above > *most { above } else { *most };
                    }
                }
            },
        );
        excess[..n].iter().position(|&above| above > HEADROOM)
    }

    /// From ln φ to φ in the state's units.
    fn exponentiate(&mut self, n: usize) {
        let n = n.next_multiple_of(LANES);
        wide(
            #[inline(always)]
            || {
                let rows = self.phi_k.chunks_exact_mut(CHUNK);
                for (row, &top) in rows.zip(self.state.tops.iter()) {
                    for x in &mut row[..n] {
                        *x = exp(*x - top);
                    }
                }
            },
        );
    }

    fn answer_chunk(
        &mut self,
        head: &Head<'_>,
        block: &mut RowBlock<'_>,
        rows: Range<usize>,
        keys: Range<usize>,
        visible: impl Fn(usize) -> usize,
    ) {
        let Sizes { d, width, .. } = self.sizes;
        let (stride, features) = (self.sizes.value_stride(), self.sizes.feature_stride());
        let n = rows.len();
        copy_rows(head.q, rows.clone(), self.q, d);
        let (map, keys_seen) = (self.engine.map, visible(rows.start));
        wide(
            #[inline(always)]
            || {
                map.queries(self.q, n, self.phi_q, features);
                self.scale_queries(n, keys_seen);
            },
        );

        let phi_q = Rows {
            data: self.phi_q,
            stride: features,
        };
        let state = Rows {
            data: self.state.values,
            stride,
        };
        self.sums[..n * stride].fill(0.0);
        add_product(phi_q, state, (self.sums, stride), (n, width, stride));
        if !keys.is_empty() {
            let columns = keys.len().next_multiple_of(LANES);
            self.products[..n * CHUNK].fill(0.0);
            let phi_k = Rows {
                data: self.phi_k,
                stride: CHUNK,
            };
            add_product(phi_q, phi_k, (self.products, CHUNK), (n, width, columns));
            self.add_inside(n, |r| visible(rows.start + r) - keys.start);
        }

        let first = rows.start - block.rows.start;
        let inside = |r: usize| visible(rows.start + r) - keys.start;
        wide(
            #[inline(always)]
            || self.divide(n, block, first, inside),
        );
    }

    /// Writes the sums, normalised, to the rows of O from `first` on.
    #[inline(always)]
    fn divide(
        &self,
        n: usize,
        block: &mut RowBlock<'_>,
        first: usize,
        inside: impl Fn(usize) -> usize,
    ) {
        let Sizes { dv, width, .. } = self.sizes;
        let (stride, features) = (self.sizes.value_stride(), self.sizes.feature_stride());
        for r in 0..n {
            let factor = match self.engine.normaliser {
                Normaliser::RowSum => {
                    let query = &self.phi_q[r * features..r * features + width];
                    let before = dot(query, self.state.features);
                    let products = &self.products[r * CHUNK..r * CHUNK + inside(r)];
                    let sum = before + sum(products);
                    let sum = if sum < LEAST_SUM { LEAST_SUM } else { sum };
                    self.engine.factor / sum
                }
                Normaliser::KeyColumns | Normaliser::None => self.engine.factor,
            };
            let sums = &self.sums[r * stride..r * stride + dv];
            let mut row = block.o.row_mut(first + r);
            match row.as_slice_mut() {
                Some(row) => {
                    let pairs = row.iter_mut().zip(sums);
                    pairs.for_each(|(o, sum)| *o = sum * factor);
                }
                None => {
                    let pairs = row.iter_mut().zip(sums);
                    pairs.for_each(|(o, sum)| *o = sum * factor);
                }
            }
        }
    }

    /// Adds the values of the chunk's keys, for each row those it sees.
    fn add_inside(&mut self, n: usize, visible: impl Fn(usize) -> usize) {
        let stride = self.sizes.value_stride();
        let v = Rows {
            data: self.v,
            stride,
        };
        for first in (0..n).step_by(ROWS) {
            let rows = ROWS.min(n - first);
            let shared = visible(first);
            let products = Rows {
                data: &self.products[first * CHUNK..],
                stride: CHUNK,
            };
            let sums = &mut self.sums[first * stride..];
            add_product(products, v, (sums, stride), (rows, shared, stride));
            for r in first..first + rows {
                for j in shared..visible(r) {
                    let weight = self.products[r * CHUNK + j];
                    let value = &self.v[j * stride..(j + 1) * stride];
                    let sums = &mut self.sums[r * stride..(r + 1) * stride];
                    for (sum, x) in sums.iter_mut().zip(value) {
                        *sum += weight * x;
                    }
                }
            }
        }
    }

    /// Brings query features to the state's units, or divides them by the norms of key columns.
    #[inline(always)]
    fn scale_queries(&mut self, n: usize, keys: usize) {
        let width = self.sizes.width;
        let rows = self
            .phi_q
            .chunks_exact_mut(self.sizes.feature_stride().max(1))
            .take(n);
        if M::LOGARITHMIC {
            for row in rows {
                let row = &mut row[..width];
                for (x, &top) in row.iter_mut().zip(self.state.tops.iter()) {
                    *x += top;
                }
                let top = largest(row);
                row.iter_mut().for_each(|x| *x = exp(*x - top));
            }
        } else if self.engine.normaliser == Normaliser::KeyColumns {
            let root = (keys as f32).sqrt();
            for row in rows {
                for (x, squares) in row.iter_mut().zip(self.state.features.iter()) {
                    let norm = squares.sqrt();
                    let norm = if norm < LEAST_NORM { LEAST_NORM } else { norm };
                    *x /= root * norm;
                }
            }
        }
    }
}

/// Writes rows of a matrix as columns of `[D, C]`. Columns beyond them hold anything.
fn transpose(from: ArrayView2<'_, f32>, rows: Range<usize>, out: &mut [f32]) {
    // So many rows at a time, for writes that lie together.
    const GROUP: usize = 8;
    for (group, first) in rows.clone().step_by(GROUP).enumerate() {
        let column = group * GROUP;
        let lines = out.chunks_exact_mut(CHUNK);
        let views: [_; GROUP] = std::array::from_fn(|r| from.row((first + r).min(rows.end - 1)));
        let slices = views.map(|view| view.to_slice());
        if slices.iter().all(Option::is_some) {
            let slices = slices.map(|slice| &slice.unwrap_or_default()[..from.ncols()]);
            for (i, line) in lines.enumerate() {
                let line = &mut line[column..column + GROUP];
                for r in 0..GROUP {
                    line[r] = slices[r][i];
                }
            }
        } else {
            for (i, line) in lines.enumerate() {
                let line = &mut line[column..column + GROUP];
                for (slot, view) in line.iter_mut().zip(&views) {
                    *slot = view[i];
                }
            }
        }
    }
}

/// Copies rows of a matrix to the start of `out`, `stride` floats apart, padded with zeros.
fn copy_rows(from: ArrayView2<'_, f32>, rows: Range<usize>, out: &mut [f32], stride: usize) {
    if stride == 0 {
        return;
    }
    for (slots, row) in out.chunks_exact_mut(stride).zip(rows) {
        let row = from.row(row);
        let (slots, padding) = slots.split_at_mut(row.len());
        match row.as_slice() {
            Some(row) => slots.copy_from_slice(row),
            None => slots.iter_mut().zip(row).for_each(|(slot, &x)| *slot = x),
        }
        padding.fill(0.0);
    }
}
