//! Gradients by recomputation, tile by tile: with dA = dO·V, dS = dA where weights are scores, and
//! dS = P∘(dA - dO·O) where they are a softmax of them; the unit carries dS on.
//!
//! A task has the keys of one history and key head to itself, or a chunk of them where there are few heads.
//! Gradients of what is learned are summed by task, [`ROUND`] tasks at a time, in their order.

use super::forward::{drop_weights, hide};
use super::{KEYS, Lanes, Unit, query, tiles};
use crate::memory;
use crate::rows::{corner, outer_add, rows_of, tokens};
use crate::tasks::{Chunks, Part, behind_the_first, parts};
use attention::mask::Tile;
use attention::numeric::{LOG2_E, all_finite, exp2_nonpositive};
use attention::simd::Isa;
use attention::simd::matrix::{Rows, RowsMut, Sum, multiply, pack_rows};
use attention::{Geometry, Gradients, Head, Output, Problem, Scratch, Shape, Workers};
use ndarray::{ArrayView1, ArrayView2, ArrayView4, Axis};
use std::ops::Range;

/// Tasks whose learned gradients are held at once: what many workers share, in bounded memory.
const ROUND: usize = 32;

fn sizes(unit: &impl Unit, shape: &Shape) -> [usize; 4] {
    [
        unit.floats()[1],
        shape.dv * KEYS,
        KEYS * shape.d,
        2 * KEYS * shape.d,
    ]
}

/// How scratch is shared out: workers, dQ of the chunks behind the first, learned gradients.
fn layout(unit: &impl Unit, geometry: &Geometry, threads: usize) -> [usize; 3] {
    let shape = geometry.shape();
    let lead = if geometry.is_jagged() { 1 } else { shape.b };
    let d_q = lead * shape.h * shape.nq * shape.d;
    [
        threads * memory::floats(sizes(unit, shape)),
        (Chunks::of(geometry).count - 1) * d_q,
        ROUND * unit.learned_floats(),
    ]
}

/// Floats of a call on so many workers.
pub(crate) fn backward_floats(unit: &impl Unit, geometry: &Geometry, threads: usize) -> usize {
    memory::floats(layout(unit, geometry, threads))
}

/// Writes dQ, dK and dV; gives the gradients of what the unit learns, end to end.
pub(crate) fn backward(
    isa: Isa,
    unit: &impl Unit,
    problem: &Problem<'_>,
    (saved, d_o): (&Output, ArrayView4<'_, f32>),
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) -> Vec<f64> {
    let (geometry, shape) = (problem.geometry(), problem.shape());
    let layout = layout(unit, geometry, workers.threads());
    let [own, d_queries, learned] = memory::cut(scratch.part(memory::floats(layout)), layout);
    let chunks = Chunks::of(geometry);
    let mut partial = behind_the_first(d_queries, out.dq.raw_dim(), chunks);
    let others = partial.iter_mut().map(|part| part.view_mut());
    let d_q = std::iter::once(out.dq.view_mut()).chain(others);
    let (d_k, d_v) = (out.dk.view_mut(), out.dv.view_mut());
    let mut parts = parts(geometry, chunks, d_q, d_k, d_v).into_iter();
    let mut total = vec![0.0; unit.learned_floats()];
    let floats = memory::floats(sizes(unit, shape));
    let d_o = d_o.as_standard_layout();
    let call = Call {
        d_o: d_o.view(),
        isa,
        unit,
        problem,
        saved,
    };
    while parts.len() > 0 {
        let round = parts.len().min(ROUND);
        learned.fill(0.0);
        let own_learned = learned.chunks_exact_mut(total.len().max(1));
        let tasks = parts.by_ref().take(round).zip(own_learned);
        workers.run_on(
            tasks,
            own.chunks_exact_mut(floats),
            |(part, learned), memory| {
                call.differentiate(part, learned, memory);
            },
        );
        for learned in learned.chunks_exact(total.len().max(1)) {
            for (sum, x) in total.iter_mut().zip(learned) {
                *sum += f64::from(*x);
            }
        }
    }
    for part in &partial {
        out.dq += part;
    }
    total
}

struct Call<'a, 'p, U> {
    isa: Isa,
    unit: &'a U,
    problem: &'a Problem<'p>,
    saved: &'a Output,
    d_o: ArrayView4<'a, f32>,
}

impl<'a, U: Unit> Call<'a, '_, U> {
    fn differentiate(&self, mut part: Part<'_>, learned: &mut [f32], memory: &mut [f32]) {
        let (geometry, shape) = (self.problem.geometry(), self.problem.shape());
        let batch = if geometry.is_jagged() {
            0
        } else {
            part.sequence
        };
        let queries = geometry.query_range(part.sequence);
        let first = part.key_head * part.d_q.len_of(Axis(0));
        for gradient in [&mut part.d_q, &mut part.d_k, &mut part.d_v] {
            gradient.fill(0.0);
        }
        let d_k = part.d_k.as_slice_mut().unwrap_or_default();
        let d_v = part.d_v.as_slice_mut().unwrap_or_default();
        for (h, mut d_q) in part.d_q.outer_iter_mut().enumerate() {
            let rows = |x: ArrayView4<'a, f32>| rows_of(x, batch, first + h, queries.clone());
            let lse = self.saved.lse.as_ref().map(|lse| {
                let lse = lse.index_axis(Axis(0), batch);
                let lse = lse.index_axis_move(Axis(0), first + h);
                lse.slice_axis_move(Axis(0), queries.clone().into())
            });
            let [own, vt, visible, d_visible] = memory::cut(memory, sizes(self.unit, shape));
            let mut head = HeadPass {
                unit: self.unit,
                given: Given {
                    isa: self.isa,
                    head: self.problem.head(part.sequence, first + h),
                    o: rows(self.saved.o.view()),
                    d_o: rows(self.d_o),
                    lse: lse.filter(|_| self.unit.softmax()),
                },
                d_q: d_q.as_slice_mut().unwrap_or_default(),
                own,
                vt,
                visible,
                d_visible,
            };
            for keys in tiles(part.keys.clone()) {
                let at = keys.start - part.keys.start;
                let d_k = &mut d_k[at * shape.d..][..keys.len() * shape.d];
                let d_v = &mut d_v[at * shape.dv..][..keys.len() * shape.dv];
                head.tile(keys, d_k, d_v, learned);
            }
        }
    }
}

/// One query head over some keys.
struct HeadPass<'a, 'm, U> {
    unit: &'a U,
    given: Given<'a>,
    /// `[Nq, D]`.
    d_q: &'m mut [f32],
    /// The unit's.
    own: &'m mut [f32],
    /// Vᵀ of a tile, `[Dv, KEYS]`.
    vt: &'m mut [f32],
    /// The keys of a tile that one query sees, and room for their gradient.
    visible: &'m mut [f32],
    d_visible: &'m mut [f32],
}

impl<U: Unit> HeadPass<'_, '_, U> {
    /// Adds what a tile of keys gives to all gradients.
    fn tile(&mut self, keys: Range<usize>, d_k: &mut [f32], d_v: &mut [f32], learned: &mut [f32]) {
        let (head, unit) = (self.given.head, self.unit);
        let queries = 0..head.q.nrows();
        if head.mask.tile(queries.clone(), keys.clone()) == Tile::Empty {
            return;
        }
        let k = tokens(head.k, keys.clone());
        pack_rows(self.given.isa, tokens(head.v, keys.clone()), 1.0, self.vt);
        let finite = all_finite(k);
        if finite {
            unit.open(k, self.own);
        }
        for i in queries {
            if head.mask.tile(i..i + 1, keys.clone()) == Tile::Empty {
                continue;
            }
            let (q, d) = (query(&head, i), head.q.ncols());
            if !finite {
                self.with_care(i, keys.clone(), (d_k, d_v), learned);
                continue;
            }
            if !q.iter().all(|x| x.is_finite()) {
                unit.close(k, self.own, d_k, learned);
                self.with_care(i, keys.clone(), (d_k, d_v), learned);
                unit.open(k, self.own);
                continue;
            }
            let mut lanes = [0.0; KEYS];
            unit.score(q, self.own, &mut lanes);
            let d_scores = self.given.slopes(i, keys.clone(), self.vt, &mut lanes);
            let d_q = &mut self.d_q[i * d..(i + 1) * d];
            unit.differentiate((q, k), &d_scores, self.own, d_q, learned);
            self.given.add_values(i, &lanes, d_v);
        }
        if finite {
            unit.close(k, self.own, d_k, learned);
        }
    }

    /// As a tile does for one query, of the keys alone that it sees: 0·NaN is NaN.
    fn with_care(
        &mut self,
        i: usize,
        keys: Range<usize>,
        (d_k, d_v): (&mut [f32], &mut [f32]),
        learned: &mut [f32],
    ) {
        let (head, unit) = (self.given.head, self.unit);
        let (q, d) = (query(&head, i), head.q.ncols());
        let seen: Vec<usize> = (0..keys.len())
            .filter(|lane| head.mask.visible(i, keys.start + lane))
            .collect();
        for (row, lane) in self.visible.chunks_exact_mut(d.max(1)).zip(&seen) {
            for (to, x) in row.iter_mut().zip(head.k.row(keys.start + lane)) {
                *to = *x;
            }
        }
        let k = corner(self.visible, d, 0..seen.len(), 0..d);
        unit.open(k, self.own);
        let (mut scores, mut lanes) = ([0.0; KEYS], [0.0; KEYS]);
        unit.score(q, self.own, &mut scores);
        for (score, lane) in scores.iter().zip(&seen) {
            lanes[*lane] = *score;
        }
        let mut d_scores = [0.0; KEYS];
        let slopes = self.given.slopes(i, keys, self.vt, &mut lanes);
        for (d_score, lane) in d_scores.iter_mut().zip(&seen) {
            *d_score = slopes[*lane];
        }
        let d_q = &mut self.d_q[i * d..(i + 1) * d];
        unit.differentiate((q, k), &d_scores, self.own, d_q, learned);
        let d_visible = &mut self.d_visible[..seen.len() * d];
        d_visible.fill(0.0);
        unit.close(k, self.own, d_visible, learned);
        for (row, lane) in d_visible.chunks_exact(d.max(1)).zip(&seen) {
            for (sum, x) in d_k[lane * d..].iter_mut().zip(row) {
                *sum += x;
            }
        }
        self.given.add_values(i, &lanes, d_v);
    }
}

/// What is known of one query head.
#[derive(Clone, Copy)]
struct Given<'a> {
    isa: Isa,
    head: Head<'a>,
    /// `[Nq, Dv]`.
    o: ArrayView2<'a, f32>,
    d_o: ArrayView2<'a, f32>,
    /// L `[Nq]`, where weights are a softmax.
    lse: Option<ArrayView1<'a, f32>>,
}

impl Given<'_> {
    /// Scores of a query become its weights after dropout; gives the gradient by the scores. Both are zero
    /// where the query sees nothing.
    fn slopes(&self, i: usize, keys: Range<usize>, vt: &[f32], lanes: &mut Lanes) -> Lanes {
        let (head, mut slopes) = (&self.head, [0.0; KEYS]);
        let values = Rows {
            data: vt,
            stride: KEYS,
        };
        let to = RowsMut {
            data: &mut slopes,
            stride: KEYS,
        };
        let d_o = tokens(self.d_o, i..i + 1);
        multiply(self.isa, d_o, values, to, KEYS, Sum::Write);
        drop_weights(head, i, keys.clone(), &mut slopes);
        if let Some(lse) = self.lse {
            let products = self.o.row(i).into_iter().zip(self.d_o.row(i));
            let delta: f32 = products.map(|(o, d)| o * d).sum();
            for (weight, slope) in lanes.iter_mut().zip(&mut slopes) {
                // A score above L by rounding alone must not be out of the exponential's range.
                *weight = exp2_nonpositive(((*weight - lse[i]) * LOG2_E).min(0.0));
                *slope = *weight * (*slope - delta);
            }
        }
        hide(head, i, keys.clone(), &mut slopes, 0.0);
        hide(head, i, keys.clone(), lanes, 0.0);
        drop_weights(head, i, keys, lanes);
        slopes
    }

    /// Adds a query's weights times its dO to dV `[keys, Dv]`.
    fn add_values(&self, i: usize, weights: &Lanes, d_v: &mut [f32]) {
        let d_o = tokens(self.d_o, i..i + 1);
        outer_add(self.isa, weights, d_o.as_slice().unwrap_or_default(), d_v);
    }
}
