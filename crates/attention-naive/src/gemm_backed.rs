//! Scores and output by a tuned matrix product, S still materialised.

use crate::product::product;
use crate::scores;
use attention::numeric::{LOG2_E, all_finite, exp2_nonpositive};
use attention::variant::Parameters;
use attention::{
    Attention, Capabilities, Family, Feature, Geometry, Head, OutputMut, Problem, Result, RowBlock,
    Scratch, Variant, Workers,
};
use ndarray::{Array2, ArrayViewMut2, Axis};
use std::ops::Range;

/// Attention as two matrix products with a softmax between: the honest baseline.
pub static NAIVE_GEMM: Variant = Variant {
    name: "naive-gemm",
    family: Family::Naive,
    summary: "softmax attention by two tuned matrix products; materialises S",
    time: "O(N²·D)",
    source: "Vaswani et al. 2017, Attention Is All You Need, eq. 1",
    parameters: &[],
    build: |_: &Parameters| Ok(Box::new(NaiveGemm)),
};

struct NaiveGemm;

/// Query rows a task: a product of this height runs at full speed, and one head gives several.
const ROWS: usize = 256;

impl Attention for NaiveGemm {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all(NAIVE_GEMM.name, true)
            .without(
                Feature::Backward,
                "the readable `naive` has one, and times forward alike",
            )
            .without(
                Feature::Prepare,
                "it has nothing to gain from seeing the keys in advance",
            )
    }

    fn forward(
        &self,
        problem: &Problem<'_>,
        out: OutputMut<'_>,
        workers: &Workers,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities().admit(problem, &out)?;
        let arch = pulp::Arch::new();
        let tasks = scores::row_blocks(problem.geometry(), out, ROWS, scratch);
        workers.run(tasks, &mut Scratch::new(), 0, |(block, s), _| {
            attend(arch, &problem.head(block.sequence, block.head), block, s);
        });
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, _threads: usize) -> u64 {
        Scratch::bytes_for(1, scores::floats(geometry))
    }
}

fn attend(arch: pulp::Arch, head: &Head<'_>, mut block: RowBlock<'_>, s: &mut [f32]) {
    let keys = head.k.nrows();
    block.o.fill(0.0);
    if let Some(lse) = &mut block.lse {
        lse.fill(f32::NEG_INFINITY);
    }
    let Ok(mut s) = ArrayViewMut2::from_shape((block.rows.len(), keys), s) else {
        return;
    };
    if keys == 0 {
        return;
    }
    let queries = head.q.slice_axis(Axis(0), block.rows.clone().into());
    if head.q.ncols() == 0 {
        s.fill(0.0);
    }
    let pieces = queries
        .axis_chunks_iter(Axis(1), CHAIN)
        .zip(head.k.axis_chunks_iter(Axis(1), CHAIN));
    for (n, (q, k)) in pieces.enumerate() {
        product(head.scale, n > 0, q, k.t(), s.view_mut());
    }

    let mut sums = vec![0.0; block.rows.len()];
    for (r, i) in block.rows.clone().enumerate() {
        let row = s.row_mut(r).into_slice().unwrap_or_default();
        let visible = head.mask.span(i);
        if let Some(bias) = head.bias {
            visible.clone().for_each(|j| row[j] += bias.at(i, j));
        }
        if !head.mask.is_interval() {
            visible
                .clone()
                .filter(|&j| !head.mask.regular(i, j))
                .for_each(|j| {
                    row[j] = f32::NEG_INFINITY;
                });
        }
        let (max, sum) = arch.dispatch(Exponentiate {
            row: &mut *row,
            visible,
        });
        sums[r] = sum;
        if let Some(drop) = head.dropout {
            let key = drop.row(i);
            let span = head.mask.span(i);
            span.for_each(|j| row[j] *= drop.multiplier(key, j));
        }
        if head.mask.count(i) == 0 {
            continue;
        }
        if let Some(lse) = &mut block.lse {
            lse[r] = max + sum.ln();
        }
    }

    // 0·NaN is NaN: where a value is not finite, masked keys must stay out of the product.
    if all_finite(head.v) {
        product(1.0, false, s.view(), head.v, block.o.view_mut());
    } else {
        let visible =
            Array2::from_shape_fn(s.dim(), |(r, j)| head.mask.visible(block.rows.start + r, j));
        for ((r, j), &p) in s.indexed_iter().filter(|((r, j), _)| visible[[*r, *j]]) {
            block.o.row_mut(r).scaled_add(p, &head.v.row(j));
        }
    }
    for (r, i) in block.rows.clone().enumerate() {
        if head.mask.count(i) == 0 {
            block.o.row_mut(r).fill(0.0);
        } else {
            block.o.row_mut(r).mapv_inplace(|o| o / sums[r]);
        }
    }
}

/// Dimensions summed in one product: the rounding error of a score grows with the length of its
/// chain of multiply-adds, so that longer ones are added up in pieces.
const CHAIN: usize = 64;

/// Turns the visible part of a row of S into exp(S - max), the rest into zero; gives max and sum.
///
/// A type of its own: the shim that a borrowing closure is called through would be compiled without
/// the instructions that the dispatch has found.
struct Exponentiate<'a> {
    row: &'a mut [f32],
    visible: Range<usize>,
}

impl pulp::WithSimd for Exponentiate<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _simd: S) -> (f32, f32) {
        let Self { row, visible } = self;
        row[..visible.start].fill(0.0);
        row[visible.end..].fill(0.0);
        let row = &mut row[visible];
        let max = lanes(
            row,
            f32::NEG_INFINITY,
            |m, s| if s > m { s } else { m },
            f32::max,
        );
        if max == f32::NEG_INFINITY && row.iter().all(|s| !s.is_nan()) {
            // Nothing to see; the caller knows whether by mask or by infinite scores.
            row.fill(0.0);
            return (max, f32::NAN);
        }
        for s in row.iter_mut() {
            *s = exp2_nonpositive((*s - max) * LOG2_E);
        }
        (max, lanes(row, 0.0, |sum, p| sum + p, |a, b| a + b))
    }
}

/// Folds a row in sixteen lanes, so that the order of additions is fixed and the loop vectorises.
#[inline(always)]
fn lanes(
    row: &[f32],
    start: f32,
    step: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut lanes = [start; 16];
    let chunks = row.chunks_exact(16);
    let tail = chunks
        .remainder()
        .iter()
        .fold(start, |so_far, x| step(so_far, *x));
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = step(*lane, *x);
        }
    }
    lanes.iter().fold(tail, |so_far, lane| join(so_far, *lane))
}
