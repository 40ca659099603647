//! dV = (P∘M)ᵀ·dO, dP = M∘(dO·Vᵀ), dS = P∘(dP - dO·O), dQ = scale·dS·K, dK = scale·dSᵀ·Q, with
//! M = keep/(1 - rate), or 1 without dropout.
//!
//! A task is a key head with its query heads, so that it owns what it adds to; it goes over blocks of
//! query rows and the keys that they may see.

use super::forward::{score, weigh};
use super::product::product;
use super::softmax::Differentiate;
use crate::heads::{by_head, rows_of};
use crate::readable::{HeadGradients, differentiate};
use crate::scores::height;
use attention::mask::Tile;
use attention::numeric::all_finite;
use attention::{Geometry, Gradients, Head, Output, Problem, Scratch, Workers};
use ndarray::{ArrayView2, ArrayView4, ArrayViewMut2, Axis, s};
use std::ops::Range;

/// One key head of one history.
struct Task<'a> {
    sequence: usize,
    /// Which of the query heads are its own.
    heads: Range<usize>,
    /// Of each of its query heads.
    dq: Vec<ArrayViewMut2<'a, f32>>,
    dk: ArrayViewMut2<'a, f32>,
    dv: ArrayViewMut2<'a, f32>,
    /// P of each of its query heads `[Nq, Nk]`; dS in the end, where a bias wants it.
    scores: &'a mut [f32],
    /// dP of a block `[rows, Nk]`, then a sum a row.
    block: &'a mut [f32],
}

/// Floats of a task's scores and of its block.
fn sizes(geometry: &Geometry, sequence: usize) -> (usize, usize) {
    let s = geometry.shape();
    let (nq, nk) = (
        geometry.query_range(sequence).len(),
        geometry.key_range(sequence).len(),
    );
    let group = s.h.checked_div(s.hkv).unwrap_or(0);
    (group * nq * nk, height(geometry).min(nq) * (nk + 1))
}

pub(super) fn floats(geometry: &Geometry) -> usize {
    let a_task = |s| {
        let (scores, block) = sizes(geometry, s);
        scores + block
    };
    geometry.shape().hkv * (0..geometry.shape().b).map(a_task).sum::<usize>()
}

pub(super) fn backward(
    problem: &Problem<'_>,
    saved: &Output,
    d_o: ArrayView4<'_, f32>,
    out: &mut Gradients,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let geometry = problem.geometry();
    out.fill(0.0);
    let mut dq = by_head(out.dq.view_mut(), geometry, Geometry::query_range).into_iter();
    let dk = by_head(out.dk.view_mut(), geometry, Geometry::key_range).into_iter();
    let dv = by_head(out.dv.view_mut(), geometry, Geometry::key_range).into_iter();
    let mut free = scratch.part(floats(geometry));
    let hkv = geometry.shape().hkv;
    let tasks = dk.zip(dv).enumerate().map(|(n, (dk, dv))| {
        let group = geometry.shape().h / hkv;
        let (scores, block) = sizes(geometry, n / hkv);
        let (scores, rest) = std::mem::take(&mut free).split_at_mut(scores);
        let (block, rest) = rest.split_at_mut(block);
        free = rest;
        Task {
            sequence: n / hkv,
            heads: n % hkv * group..(n % hkv + 1) * group,
            dq: dq.by_ref().take(group).collect(),
            dk,
            dv,
            scores,
            block,
        }
    });
    let arch = pulp::Arch::new();
    let done = workers.map(tasks.collect(), |mut task| {
        for n in task.heads.clone() {
            let head = problem.head(task.sequence, n);
            let [o, d_o] = [saved.o.view(), d_o].map(|t| rows_of(t, geometry, &head));
            task.differentiate(arch, &head, o, d_o);
        }
        (task.sequence, task.heads, task.scores)
    });
    let (Some(bias), Some(dbias)) = (problem.bias(), &mut out.dbias) else {
        return;
    };
    // One after another: heads and histories add to the same table.
    for (sequence, heads, scores) in done {
        let size = scores.len() / heads.len();
        for (n, ds) in heads.zip(scores.chunks_exact(size.max(1))) {
            let (head, own) = (problem.head(sequence, n), bias.head(n));
            let mut table = dbias.index_axis_mut(Axis(0), bias.table(n));
            let Some(table) = table.as_slice_mut() else {
                return;
            };
            for (i, ds) in ds.chunks_exact(head.k.nrows()).enumerate() {
                let seen = head.mask.span(i).filter(|&j| head.mask.regular(i, j));
                seen.for_each(|j| table[own.slot(i, j)] += ds[j]);
            }
        }
    }
}

impl Task<'_> {
    fn differentiate(
        &mut self,
        arch: pulp::Arch,
        head: &Head<'_>,
        o: ArrayView2<'_, f32>,
        d_o: ArrayView2<'_, f32>,
    ) {
        let (nq, nk) = (head.q.nrows(), head.k.nrows());
        let n = head.head - self.heads.start;
        let scores = &mut self.scores[n * nq * nk..][..nq * nk];
        let Ok(mut scores) = ArrayViewMut2::from_shape((nq, nk), scores) else {
            return;
        };
        let masked = head.mask.tile(0..nq, 0..nk) != Tile::Full;
        if masked && ![head.q, head.k, head.v, d_o].into_iter().all(all_finite) {
            // 0·NaN is NaN: what is hidden must stay out of the products.
            let HeadGradients { dq, dk, dv, ds } = differentiate(head, d_o);
            self.dq[n].assign(&dq);
            self.dk += &dk;
            self.dv += &dv;
            ds.into_iter().for_each(|(i, j, ds)| scores[[i, j]] = ds);
            return;
        }
        let height = self.block.len() / (nk + 1);
        let (block, sums) = self.block.split_at_mut(height * nk);
        for start in (0..nq).step_by(height.max(1)) {
            let rows = start..nq.min(start + height);
            let keys = head.mask.span_of(rows.clone());
            let size = (rows.len(), keys.len());
            let ds = ArrayViewMut2::from_shape(size, &mut block[..size.0 * size.1]);
            let (Ok(mut ds), false) = (ds, keys.is_empty()) else {
                continue;
            };
            let mut p = scores.slice_mut(s![rows.clone(), keys.clone()]);
            let [q, o, d_o] = [head.q, o, d_o].map(|t| t.slice_move(s![rows.clone(), ..]));
            let [k, v] = [head.k, head.v].map(|t| t.slice_move(s![keys.clone(), ..]));
            score(head, rows.clone(), keys.clone(), p.view_mut());
            weigh(
                arch,
                head,
                rows.clone(),
                keys.clone(),
                p.view_mut(),
                sums,
                None,
            );
            product(1.0, false, d_o, v.t(), ds.view_mut());
            for (r, i) in rows.clone().enumerate() {
                let rows = (p.row_mut(r).into_slice(), ds.row_mut(r).into_slice());
                let (Some(p), Some(ds)) = rows else { return };
                arch.dispatch(Differentiate {
                    p,
                    ds,
                    share: 1.0 / sums[r],
                    mean: d_o.row(r).dot(&o.row(r)),
                    drop: head.dropout.map(|drop| (drop, drop.row(i))),
                    first: keys.start,
                });
            }
            let [mut dk, mut dv] =
                [&mut self.dk, &mut self.dv].map(|t| t.slice_mut(s![keys.clone(), ..]));
            product(1.0, true, p.t(), d_o, dv.view_mut());
            product(head.scale, true, ds.t(), q, dk.view_mut());
            let dq = self.dq[n].slice_mut(s![rows.clone(), ..]);
            product(head.scale, false, ds.view(), k, dq);
            if head.bias.is_some() {
                p.assign(&ds);
            }
        }
    }
}
