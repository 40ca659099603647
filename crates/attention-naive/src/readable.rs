//! The definition of attention in loops.

use crate::heads::{by_head, rows_of};
use crate::scores;
use attention::variant::Parameters;
use attention::{
    Attention, Capabilities, Family, Feature, Geometry, Gradients, Head, Output, OutputMut,
    Problem, Result, RowBlock, Scratch, Variant, Workers,
};
use ndarray::{Array2, ArrayView2, ArrayView4, Axis};

/// Attention by its definition: loops, no tricks.
pub static NAIVE: Variant = Variant {
    name: "naive",
    family: Family::Naive,
    summary: "softmax attention by its definition, in loops; materialises S",
    time: "O(N²·D)",
    state: "N·(D + Dv)",
    source: "Vaswani et al. 2017, Attention Is All You Need, eq. 1",
    parameters: &[],
    build: |_: &Parameters| Ok(Box::new(Naive)),
};

struct Naive;

/// Query rows a task: enough to be worth a task, small enough to share out one history.
const ROWS: usize = 64;

impl Attention for Naive {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all(NAIVE.name, true).without(
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
        let tasks = scores::row_blocks(problem.geometry(), out, ROWS, scratch);
        workers.run(tasks, &mut Scratch::new(), 0, |(block, s), _| {
            attend(&problem.head(block.sequence, block.head), block, s);
        });
        Ok(())
    }

    fn scratch_bytes(&self, geometry: &Geometry, _threads: usize) -> u64 {
        Scratch::bytes_for(1, scores::floats(geometry))
    }

    fn backward(
        &self,
        problem: &Problem<'_>,
        saved: &Output,
        d_o: ArrayView4<'_, f32>,
        out: &mut Gradients,
        workers: &Workers,
        _scratch: &mut Scratch,
    ) -> Result<()> {
        self.capabilities()
            .admit_backward(problem, saved, &d_o, out)?;
        let heads: Vec<Head<'_>> = problem.heads().collect();
        let parts = workers.map(heads.clone(), |head| {
            differentiate(&head, rows_of(d_o, problem.geometry(), &head))
        });
        gather(problem, &heads, parts, out);
        Ok(())
    }
}

fn attend(head: &Head<'_>, mut block: RowBlock<'_>, s: &mut [f32]) {
    let keys = head.k.nrows();
    for (r, i) in block.rows.clone().enumerate() {
        let s = &mut s[r * keys..(r + 1) * keys];
        let sees = |j: &usize| head.mask.regular(i, *j);
        let visible = head.mask.span(i);

        // 1. S = scale·QKᵀ + bias, for the keys that the query may see.
        for j in visible.clone().filter(sees) {
            let bias = head.bias.map_or(0.0, |bias| bias.at(i, j));
            s[j] = head.q.row(i).dot(&head.k.row(j)) * head.scale + bias;
        }

        // 2. The row maximum, subtracted so that no exponential overflows.
        let max = visible
            .clone()
            .filter(sees)
            .map(|j| s[j])
            .fold(f32::NEG_INFINITY, f32::max);

        // 3. P = exp(S - max), not yet divided by its sum.
        let mut sum = 0.0;
        for j in visible.clone().filter(sees) {
            s[j] = (s[j] - max).exp();
            sum += s[j];
        }

        // 4. Dropout leaves the sum as it is, and so L.
        if let Some(drop) = head.dropout {
            let row = drop.row(i);
            for j in visible.clone().filter(sees) {
                s[j] *= drop.multiplier(row, j);
            }
        }

        // 5. O = PV / Σ P; a query that sees nothing gets zero.
        let mut o = block.o.row_mut(r);
        o.fill(0.0);
        for j in visible.clone().filter(sees) {
            o.scaled_add(s[j], &head.v.row(j));
        }
        let sees_nothing = visible.clone().find(sees).is_none();
        if !sees_nothing {
            o /= sum;
        }

        // 6. L = logsumexp(S).
        if let Some(lse) = &mut block.lse {
            lse[r] = if sees_nothing {
                f32::NEG_INFINITY
            } else {
                max + sum.ln()
            };
        }
    }
}

/// Gradients of one head.
pub(crate) struct HeadGradients {
    pub(crate) dq: Array2<f32>,
    pub(crate) dk: Array2<f32>,
    pub(crate) dv: Array2<f32>,
    /// dS of the visible pairs, where a bias wants it.
    pub(crate) ds: Vec<(usize, usize, f32)>,
}

/// dV = (P∘M)ᵀ·dO, dP = M∘(dO·Vᵀ), dS = P∘(dP - Σ P∘dP), dQ = scale·dS·K, dK = scale·dSᵀ·Q, with
/// M = keep/(1 - rate), or 1 without dropout.
pub(crate) fn differentiate(head: &Head<'_>, d_o: ArrayView2<'_, f32>) -> HeadGradients {
    let mut gradients = HeadGradients {
        dq: Array2::zeros(head.q.dim()),
        dk: Array2::zeros(head.k.dim()),
        dv: Array2::zeros(head.v.dim()),
        ds: Vec::new(),
    };
    for i in 0..head.q.nrows() {
        let d_o = d_o.row(i);
        let visible: Vec<usize> = head
            .mask
            .span(i)
            .filter(|&j| head.mask.regular(i, j))
            .collect();
        let bias = |j| head.bias.map_or(0.0, |bias| bias.at(i, j));
        let s: Vec<f32> = visible
            .iter()
            .map(|&j| head.q.row(i).dot(&head.k.row(j)) * head.scale + bias(j))
            .collect();
        let max = s.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let e: Vec<f32> = s.iter().map(|s| (s - max).exp()).collect();
        let sum: f32 = e.iter().sum();
        let p: Vec<f32> = e.iter().map(|e| e / sum).collect();
        let drawn = head.dropout.map(|drop| (drop, drop.row(i)));
        let m = |j| drawn.map_or(1.0, |(drop, row)| drop.multiplier(row, j));
        let dp: Vec<f32> = visible
            .iter()
            .map(|&j| d_o.dot(&head.v.row(j)) * m(j))
            .collect();
        let mean: f32 = p.iter().zip(&dp).map(|(p, dp)| p * dp).sum();
        for ((&j, p), dp) in visible.iter().zip(&p).zip(&dp) {
            let ds = p * (dp - mean);
            gradients.dv.row_mut(j).scaled_add(p * m(j), &d_o);
            gradients
                .dq
                .row_mut(i)
                .scaled_add(head.scale * ds, &head.k.row(j));
            gradients
                .dk
                .row_mut(j)
                .scaled_add(head.scale * ds, &head.q.row(i));
            if head.bias.is_some() {
                gradients.ds.push((i, j, ds));
            }
        }
    }
    gradients
}

/// Adds the heads' gradients in their order: key heads that are shared sum over their query heads.
fn gather(
    problem: &Problem<'_>,
    heads: &[Head<'_>],
    parts: Vec<HeadGradients>,
    out: &mut Gradients,
) {
    let geometry = problem.geometry();
    let shape = geometry.shape();
    out.fill(0.0);
    let mut dq = by_head(out.dq.view_mut(), geometry, Geometry::query_range);
    let mut dk = by_head(out.dk.view_mut(), geometry, Geometry::key_range);
    let mut dv = by_head(out.dv.view_mut(), geometry, Geometry::key_range);
    for (head, part) in heads.iter().zip(parts) {
        let of_keys = head.sequence * shape.hkv + geometry.key_head(head.head);
        dq[head.sequence * shape.h + head.head].assign(&part.dq);
        dk[of_keys] += &part.dk;
        dv[of_keys] += &part.dv;
        if let (Some(dbias), Some(bias)) = (&mut out.dbias, problem.bias()) {
            let mut table = dbias.index_axis_mut(Axis(0), bias.table(head.head));
            let own = bias.head(head.head);
            if let Some(table) = table.as_slice_mut() {
                for (i, j, ds) in part.ds {
                    table[own.slot(i, j)] += ds;
                }
            }
        }
    }
}
