//! The definition of attention in loops.

use crate::scores;
use attention::variant::Parameters;
use attention::{
    Attention, Capabilities, Family, Feature, Geometry, Gradients, Head, Output, OutputMut,
    Problem, Result, RowBlock, Scratch, Variant, Workers,
};
use ndarray::{Array2, Array4, ArrayView4, ArrayViewMut2, Axis};

/// Attention by its definition: loops, no tricks.
pub static NAIVE: Variant = Variant {
    name: "naive",
    family: Family::Naive,
    summary: "softmax attention by its definition, in loops; materialises S",
    time: "O(N²·D)",
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
        let parts = workers.map(heads.clone(), |head| differentiate(problem, &head, d_o));
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
struct HeadGradients {
    dq: Array2<f32>,
    dk: Array2<f32>,
    dv: Array2<f32>,
    /// dS of the visible pairs, where a bias wants it.
    ds: Vec<(usize, usize, f32)>,
}

/// dV = (P∘M)ᵀ·dO, dP = M∘(dO·Vᵀ), dS = P∘(dP - Σ P∘dP), dQ = scale·dS·K, dK = scale·dSᵀ·Q, with
/// M = keep/(1 - rate), or 1 without dropout.
fn differentiate(
    problem: &Problem<'_>,
    head: &Head<'_>,
    d_o: ArrayView4<'_, f32>,
) -> HeadGradients {
    let mut gradients = HeadGradients {
        dq: Array2::zeros(head.q.dim()),
        dk: Array2::zeros(head.k.dim()),
        dv: Array2::zeros(head.v.dim()),
        ds: Vec::new(),
    };
    let batch = if problem.geometry().is_jagged() {
        0
    } else {
        head.sequence
    };
    let start = problem.geometry().query_range(head.sequence).start;
    let d_o = d_o
        .index_axis_move(Axis(0), batch)
        .index_axis_move(Axis(0), head.head);
    for i in 0..head.q.nrows() {
        let d_o = d_o.row(start + i);
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
    out.fill(0.0);
    for (head, part) in heads.iter().zip(parts) {
        let batch = if geometry.is_jagged() {
            0
        } else {
            head.sequence
        };
        let key_head = geometry.key_head(head.head);
        let (queries, keys) = (
            geometry.query_range(head.sequence),
            geometry.key_range(head.sequence),
        );
        let slot = |tensor: &'_ mut Array4<f32>,
                    h: usize,
                    tokens: std::ops::Range<usize>,
                    add: &Array2<f32>| {
            let mut slot: ArrayViewMut2<'_, f32> = tensor
                .index_axis_mut(Axis(0), batch)
                .index_axis_move(Axis(0), h)
                .slice_axis_move(Axis(0), tokens.into());
            slot += add;
        };
        slot(&mut out.dq, head.head, queries, &part.dq);
        slot(&mut out.dk, key_head, keys.clone(), &part.dk);
        slot(&mut out.dv, key_head, keys, &part.dv);
        if let (Some(dbias), Some(bias)) = (&mut out.dbias, problem.bias()) {
            for (i, j, ds) in part.ds {
                dbias[bias.index(head.head, i, j).as_slice()] += ds;
            }
        }
    }
}
