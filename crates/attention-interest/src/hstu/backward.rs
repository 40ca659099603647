//! Gradients by recomputation, tile by tile: with σ = σ(S), dA = dO·Vᵀ/n and dS = dA∘σ∘(1 + S∘(1 - σ)),
//! dQ = scale·dS·K, dK = scale·dSᵀ·Q, dV = Aᵀ·dO/n; the bias' gradient is the sum of dS over a distance.
//!
//! A task has the keys of one history and key head to itself, or a chunk of them where there are few heads:
//! dK and dV are summed in place. dQ of chunks behind the first lies in scratch until all are done.

use super::dropped::Drop;
use super::forward::{at, at_mut};
use super::{Hstu, positions};
use crate::memory;
use crate::rows::{copy_rows, corner, tokens};
use crate::tasks::{Chunks, Part, behind_the_first, parts};
use crate::visible::{hide, queries_of};
use attention::numeric::all_finite;
use attention::simd::QUERIES;
use attention::simd::activation::silu_back_rows;
use attention::simd::matrix::{Rows, RowsMut, Sum, multiply, pack_rows, padded, unpack_rows};
use attention::walk::{Cover, KEYS, Piece, Walk};
use attention::{Geometry, Gradients, Head, Problem, Scratch, Shape, Workers};
use ndarray::{ArrayView2, ArrayView4, Axis};
use std::ops::Range;

fn sizes(shape: &Shape) -> [usize; 8] {
    let Shape { d, dv, .. } = *shape;
    [
        d * QUERIES,
        dv * QUERIES,
        d * QUERIES,
        padded(d) * QUERIES,
        padded(dv) * QUERIES,
        KEYS * QUERIES,
        KEYS * QUERIES,
        positions::WINDOW,
    ]
}

/// How scratch is shared out: workers, dQ of the chunks behind the first, tables of all tasks.
fn layout(hstu: &Hstu, geometry: &Geometry, threads: usize) -> [usize; 3] {
    let shape = geometry.shape();
    let chunks = Chunks::of(geometry).count;
    let lead = if geometry.is_jagged() { 1 } else { shape.b };
    let own = memory::floats(sizes(shape));
    let d_q = lead * shape.h * shape.nq * shape.d;
    let tables = shape.b * shape.hkv * chunks * table_floats(hstu);
    [threads * own, (chunks - 1) * d_q, tables]
}

/// Floats of a task's bias gradient; one at the least.
fn table_floats(hstu: &Hstu) -> usize {
    2 * hstu.positions.max(1) - 1
}

/// Floats of a call on so many workers.
pub(super) fn floats(hstu: &Hstu, geometry: &Geometry, threads: usize) -> usize {
    memory::floats(layout(hstu, geometry, threads))
}

/// Writes dQ, dK, dV and the bias' gradient.
pub(super) fn backward(
    hstu: &Hstu,
    problem: &Problem<'_>,
    d_o: ArrayView4<'_, f32>,
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let (geometry, shape) = (problem.geometry(), problem.shape());
    let layout = layout(hstu, geometry, workers.threads());
    let [own, d_queries, tables] = memory::cut(scratch.part(memory::floats(layout)), layout);
    tables.fill(0.0);
    let chunks = Chunks::of(geometry);
    let mut partial = behind_the_first(d_queries, out.dq.raw_dim(), chunks);
    let others = partial.iter_mut().map(|part| part.view_mut());
    let d_q = std::iter::once(out.dq.view_mut()).chain(others);
    let (d_k, d_v) = (out.dk.view_mut(), out.dv.view_mut());
    let parts = parts(geometry, chunks, d_q, d_k, d_v);
    let own_tables = tables.chunks_exact_mut(table_floats(hstu));
    let tasks = parts
        .into_iter()
        .zip(own_tables)
        .map(|(part, table)| Task { part, table });
    let floats = memory::floats(sizes(shape));
    workers.run_on(tasks, own.chunks_exact_mut(floats), |task, memory| {
        task.run(hstu, problem, d_o, memory);
    });
    for part in &partial {
        out.dq += part;
    }
    if let Some(gradient) = out.tensors.get_mut(super::BIAS) {
        let width = gradient.len();
        for (n, sum) in gradient.iter_mut().enumerate() {
            let entries = tables.iter().skip(n).step_by(width);
            *sum = entries.map(|x| f64::from(*x)).sum::<f64>() as f32;
        }
    }
}

/// Some keys of one history and key head.
struct Task<'g> {
    part: Part<'g>,
    table: &'g mut [f32],
}

impl Task<'_> {
    fn run(
        mut self,
        hstu: &Hstu,
        problem: &Problem<'_>,
        d_o: ArrayView4<'_, f32>,
        memory: &mut [f32],
    ) {
        let geometry = problem.geometry();
        let part = &mut self.part;
        let batch = if geometry.is_jagged() {
            0
        } else {
            part.sequence
        };
        let queries = geometry.query_range(part.sequence);
        let first = part.key_head * part.d_q.len_of(Axis(0));
        part.d_k.fill(0.0);
        part.d_v.fill(0.0);
        for (h, mut d_q) in part.d_q.outer_iter_mut().enumerate() {
            let head = problem.head(part.sequence, first + h);
            let d_o = d_o
                .index_axis(Axis(0), batch)
                .index_axis_move(Axis(0), first + h)
                .slice_axis_move(Axis(0), queries.clone().into());
            let finite = all_finite(tokens(head.k, part.keys.clone()))
                && all_finite(tokens(head.v, part.keys.clone()));
            for start in (0..queries.len()).step_by(QUERIES) {
                let rows = start..(start + QUERIES).min(queries.len());
                let block = Block {
                    hstu,
                    bias: hstu.bias(problem),
                    drop: head.dropout.map(|drop| Drop::new(drop, &rows)),
                    head,
                    rows: rows.clone(),
                    keys: part.keys.clone(),
                    finite,
                    d_k: part.d_k.as_slice_mut().unwrap_or_default(),
                    d_v: part.d_v.as_slice_mut().unwrap_or_default(),
                    table: self.table,
                    memory: Memory::new(memory, problem.shape()),
                };
                block.run(
                    tokens(d_o, rows.clone()),
                    d_q.slice_axis_mut(Axis(0), rows.into()),
                );
            }
        }
    }
}

struct Memory<'m> {
    /// scale·Qᵀ `[D, QUERIES]`.
    qt: &'m mut [f32],
    /// dOᵀ/n `[Dv, QUERIES]`.
    d_ot: &'m mut [f32],
    /// dQᵀ `[D, QUERIES]`, not yet multiplied by the scale.
    d_qt: &'m mut [f32],
    /// scale·Q `[QUERIES, D]` and dO/n `[QUERIES, Dv]`, rows filled up.
    q: &'m mut [f32],
    d_o: &'m mut [f32],
    /// Sᵀ, then Aᵀ; dAᵀ, then dSᵀ: `[KEYS, QUERIES]`.
    a: &'m mut [f32],
    ds: &'m mut [f32],
    window: &'m mut [f32],
}

impl<'m> Memory<'m> {
    fn new(memory: &'m mut [f32], shape: &Shape) -> Self {
        let [qt, d_ot, d_qt, q, d_o, a, ds, window] = memory::cut(memory, sizes(shape));
        Self {
            qt,
            d_ot,
            d_qt,
            q,
            d_o,
            a,
            ds,
            window,
        }
    }
}

/// A block of queries against the keys of a task.
struct Block<'a, 'm> {
    hstu: &'a Hstu,
    bias: Option<&'a [f32]>,
    drop: Option<Drop>,
    head: Head<'a>,
    rows: Range<usize>,
    keys: Range<usize>,
    /// Whether all keys and values are.
    finite: bool,
    d_k: &'m mut [f32],
    d_v: &'m mut [f32],
    table: &'m mut [f32],
    memory: Memory<'m>,
}

impl Block<'_, '_> {
    fn run(mut self, d_o: ArrayView2<'_, f32>, d_q: ndarray::ArrayViewMut2<'_, f32>) {
        let (isa, head, scale) = (self.hstu.isa, self.head, self.head.scale);
        let m = &mut self.memory;
        m.d_qt.fill(0.0);
        let (mut shares, mut scales) = ([0.0; QUERIES], [0.0; QUERIES]);
        for (lane, i) in self.rows.clone().enumerate() {
            shares[lane] = self.hstu.share(&head.mask, i) as f32;
            scales[lane] = scale;
        }
        let q = tokens(head.q, self.rows.clone());
        self.finite &= copy_rows(isa, q, &scales, m.q);
        self.finite &= copy_rows(isa, d_o, &shares, m.d_o);
        pack_rows(isa, q, scale, m.qt);
        let d_o = corner(m.d_o, padded(d_o.ncols()), 0..d_o.nrows(), 0..d_o.ncols());
        pack_rows(isa, d_o, 1.0, m.d_ot);
        let keys = self.keys.clone();
        // Pieces lie on a grid of which the chunks are multiples.
        for piece in
            Walk::new(head.mask, self.rows.clone()).filter(|p| keys.contains(&p.keys.start))
        {
            self.weigh(&piece);
            if self.finite || piece.cover == Cover::All {
                self.add(&piece);
            } else {
                self.add_visible(&piece);
            }
            if self.bias.is_some() {
                let Memory { ds, window, .. } = &mut self.memory;
                positions::add_gradient(self.table, ds, &piece, &self.rows, window);
            }
        }
        unpack_rows(isa, self.memory.d_qt, &scales, d_q);
    }

    /// A and dS of a piece.
    fn weigh(&mut self, piece: &Piece) {
        let (isa, lanes, keys) = (self.hstu.isa, piece.lanes.clone(), piece.keys.clone());
        let m = &mut self.memory;
        let k = tokens(self.head.k, keys.clone());
        let v = tokens(self.head.v, keys.clone());
        multiply(
            isa,
            k,
            at(m.qt, lanes.start),
            at_mut(m.a, lanes.start),
            lanes.len(),
            Sum::Write,
        );
        multiply(
            isa,
            v,
            at(m.d_ot, lanes.start),
            at_mut(m.ds, lanes.start),
            lanes.len(),
            Sum::Write,
        );
        if let Some(table) = self.bias {
            positions::add(table, m.a, piece, &self.rows, m.window);
        }
        let floats = keys.len() * QUERIES;
        silu_back_rows(isa, &mut m.a[..floats], &mut m.ds[..floats], lanes.clone());
        for tile in [&mut *m.a, &mut *m.ds] {
            hide(tile, piece, &self.head.mask, &self.rows);
            if let Some(drop) = &self.drop {
                drop.apply(isa, tile, keys.clone(), lanes.clone());
            }
        }
    }

    /// The three products of a piece.
    fn add(&mut self, piece: &Piece) {
        let (isa, first) = (self.hstu.isa, piece.keys.start - self.keys.start);
        let lanes = piece.lanes.start..piece.lanes.end.min(self.rows.len());
        let (d, dv) = (self.head.q.ncols(), self.head.v.ncols());
        let m = &mut self.memory;
        let k = tokens(self.head.k, piece.keys.clone());
        let (ds, d_qt) = (at(m.ds, lanes.start), at_mut(m.d_qt, lanes.start));
        multiply(isa, k.t(), ds, d_qt, piece.lanes.len(), Sum::Add);
        for (tile, rows, target, width) in [
            (&*m.ds, &*m.q, &mut *self.d_k, d),
            (&*m.a, &*m.d_o, &mut *self.d_v, dv),
        ] {
            let left = corner(tile, QUERIES, 0..piece.keys.len(), lanes.clone());
            let right = Rows {
                data: &rows[lanes.start * padded(width)..],
                stride: padded(width),
            };
            let to = RowsMut {
                data: &mut target[first * width..],
                stride: width,
            };
            multiply(isa, left, right, to, width, Sum::Add);
        }
    }

    /// The same without what a query may not see.
    fn add_visible(&mut self, piece: &Piece) {
        let (d, dv) = (self.head.q.ncols(), self.head.v.ncols());
        let m = &mut self.memory;
        for (lane, i) in queries_of(piece, &self.rows) {
            for (key, j) in piece.keys.clone().enumerate() {
                if !self.head.mask.visible(i, j) {
                    continue;
                }
                let (a, ds) = (m.a[key * QUERIES + lane], m.ds[key * QUERIES + lane]);
                let row = j - self.keys.start;
                for c in 0..d {
                    m.d_qt[c * QUERIES + lane] += ds * self.head.k[[j, c]];
                    self.d_k[row * d + c] += ds * m.q[lane * padded(d) + c];
                }
                for c in 0..dv {
                    self.d_v[row * dv + c] += a * m.d_o[lane * padded(dv) + c];
                }
            }
        }
    }
}
