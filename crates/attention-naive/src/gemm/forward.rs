//! S = QKᵀ, P = softmax(S), O = PV, by blocks of query rows and the keys that they may see.

use super::product::product;
use super::softmax::{Exponentiate, Thin};
use crate::scores::{self, height};
use attention::mask::Tile;
use attention::numeric::{LOG2_E, all_finite};
use attention::{Head, OutputMut, Problem, RowBlock, Scratch, Workers};
use ndarray::{ArrayViewMut1, ArrayViewMut2, Axis};
use std::ops::Range;

pub(super) fn forward(
    problem: &Problem<'_>,
    out: OutputMut<'_>,
    workers: &Workers,
    scratch: &mut Scratch,
) {
    let arch = pulp::Arch::new();
    let geometry = problem.geometry();
    let tasks = scores::row_blocks(geometry, out, height(geometry), scratch);
    workers.run(tasks, &mut Scratch::new(), 0, |(block, s), _| {
        attend(arch, &problem.head(block.sequence, block.head), block, s);
    });
}

fn attend(arch: pulp::Arch, head: &Head<'_>, mut block: RowBlock<'_>, s: &mut [f32]) {
    let rows = block.rows.clone();
    let keys = head.mask.span_of(rows.clone());
    let (s, sums) = s.split_at_mut(rows.len() * head.k.nrows());
    let s = &mut s[..rows.len() * keys.len()];
    if let Some(lse) = &mut block.lse {
        lse.fill(f32::NEG_INFINITY);
    }
    let Ok(mut s) = ArrayViewMut2::from_shape((rows.len(), keys.len()), s) else {
        return;
    };
    if keys.is_empty() {
        block.o.fill(0.0);
        return;
    }
    score(head, rows.clone(), keys.clone(), s.view_mut());
    let lse = block.lse.as_mut().map(|lse| lse.view_mut());
    weigh(
        arch,
        head,
        rows.clone(),
        keys.clone(),
        s.view_mut(),
        sums,
        lse,
    );
    if let Some(drop) = head.dropout {
        for (row, i) in s.outer_iter_mut().zip(rows.clone()) {
            let (Some(row), key) = (row.into_slice(), drop.row(i)) else {
                return;
            };
            arch.dispatch(Thin {
                row,
                drop,
                key,
                first: keys.start,
            });
        }
    }

    let values = head.v.slice_axis(Axis(0), keys.clone().into());
    let whole = head.mask.tile(rows.clone(), keys.clone()) == Tile::Full;
    // 0·NaN is NaN: where a value is not finite, masked keys must stay out of the product.
    if whole || all_finite(values) {
        product(1.0, false, s.view(), values, block.o.view_mut());
    } else {
        block.o.fill(0.0);
        for ((r, j), &p) in s.indexed_iter() {
            if head.mask.visible(rows.start + r, keys.start + j) {
                block.o.row_mut(r).scaled_add(p, &values.row(j));
            }
        }
    }
    for (mut o, sum) in block.o.outer_iter_mut().zip(sums) {
        let factor = 1.0 / *sum;
        o.mapv_inplace(|o| o * factor);
    }
}

/// Dimensions summed in one product: the rounding error of a score grows with the length of its
/// chain of multiply-adds, so that longer ones are added up in pieces.
const CHAIN: usize = 64;

/// (scale·QKᵀ + bias)·log2(e), `[rows, keys]`.
pub(super) fn score(
    head: &Head<'_>,
    rows: Range<usize>,
    keys: Range<usize>,
    mut s: ArrayViewMut2<'_, f32>,
) {
    let q = head.q.slice_axis(Axis(0), rows.clone().into());
    let k = head.k.slice_axis(Axis(0), keys.clone().into());
    if q.ncols() == 0 {
        s.fill(0.0);
    }
    let pieces = q
        .axis_chunks_iter(Axis(1), CHAIN)
        .zip(k.axis_chunks_iter(Axis(1), CHAIN));
    for (n, (q, k)) in pieces.enumerate() {
        product(head.scale * LOG2_E, n > 0, q, k.t(), s.view_mut());
    }
    if let Some(bias) = head.bias {
        for (mut s, i) in s.outer_iter_mut().zip(rows) {
            for (s, j) in s.iter_mut().zip(keys.clone()) {
                *s += bias.at(i, j) * LOG2_E;
            }
        }
    }
}

/// S·log2(e) to exp(S - max), zero where hidden; gives the sum of each row, and L. The sum of a row
/// that sees nothing is infinite, so that what is divided by it is zero.
pub(super) fn weigh(
    arch: pulp::Arch,
    head: &Head<'_>,
    rows: Range<usize>,
    keys: Range<usize>,
    mut s: ArrayViewMut2<'_, f32>,
    sums: &mut [f32],
    mut lse: Option<ArrayViewMut1<'_, f32>>,
) {
    for (r, (row, i)) in s.outer_iter_mut().zip(rows).enumerate() {
        let Some(row) = row.into_slice() else { return };
        let span = head.mask.span(i);
        let place = |j: usize| j.clamp(keys.start, keys.end) - keys.start;
        let visible = place(span.start)..place(span.end);
        if !head.mask.is_interval() {
            for j in span.filter(|&j| !head.mask.regular(i, j)) {
                row[j - keys.start] = f32::NEG_INFINITY;
            }
        }
        let (max, sum) = arch.dispatch(Exponentiate { row, visible });
        let nothing = sum.is_nan() && head.mask.count(i) == 0;
        sums[r] = if nothing { f32::INFINITY } else { sum };
        if let Some(lse) = &mut lse {
            lse[r] = if nothing {
                f32::NEG_INFINITY
            } else {
                (max + sum.log2()) * std::f32::consts::LN_2
            };
        }
    }
}
