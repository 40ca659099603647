//! What the tests of this crate share.
#![allow(dead_code)] // each test file uses its part

use attention::mask::{Alignment, BlockMask, Mask};
use attention::variant::{Parameters, Value};
use attention::{Attention, Output, Problem, Scratch, Workers, oracle};
use attention_blocked::{BLOCKED, Isa};
use ndarray::{Array2, Array4, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Standard normal entries.
pub(crate) fn normal(shape: (usize, usize, usize, usize), seed: u64) -> Array4<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array4::from_shape_simple_fn(shape, || StandardNormal.sample(&mut rng))
}

/// `blocked` on an instruction set.
pub(crate) fn blocked(isa: Isa) -> Box<dyn Attention> {
    let mut parameters = Parameters::defaults(BLOCKED.parameters);
    parameters.set("isa", Value::Word(isa.name()));
    (BLOCKED.build)(&parameters).expect("a set that is available")
}

/// The instruction sets of this machine.
pub(crate) fn isas() -> Vec<Isa> {
    Isa::ALL
        .into_iter()
        .filter(|isa| isa.is_available())
        .collect()
}

/// O and L on the calling thread.
pub(crate) fn answer(attention: &dyn Attention, problem: &Problem<'_>) -> Output {
    let mut output = Output::poisoned(problem.geometry(), true);
    let (workers, mut scratch) = (Workers::serial(), Scratch::new());
    attention
        .forward(problem, output.view_mut(), &workers, &mut scratch)
        .expect("an answer");
    output
}

/// Largest relative error of a row against the oracle, O and L.
pub(crate) fn worst(problem: &Problem<'_>, output: &Output) -> f64 {
    let lse = output.lse.as_ref().expect("L was asked for");
    let mut worst = 0.0f64;
    for head in problem.heads() {
        let rows: Vec<usize> = (0..head.q.nrows()).collect();
        let exact = oracle::rows(&head, &rows);
        let (batch, start) = if problem.geometry().is_jagged() {
            (0, problem.geometry().query_range(head.sequence).start)
        } else {
            (head.sequence, 0)
        };
        for i in rows {
            let o = output.o.index_axis(Axis(0), batch);
            let got = o
                .index_axis(Axis(0), head.head)
                .row(start + i)
                .mapv(f64::from);
            let error = (&got - &exact.output.row(i)).mapv(|x| x * x).sum().sqrt();
            let norm = exact
                .weights
                .row(i)
                .iter()
                .zip(head.v.outer_iter())
                .fold(0.0, |n, (w, v)| {
                    n + w * v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
                });
            worst = worst.max(if norm == 0.0 { error } else { error / norm });
            let (got, exact) = (f64::from(lse[[batch, head.head, start + i]]), exact.lse[i]);
            let off = if got == exact {
                0.0
            } else {
                (got - exact).abs() / exact.abs().max(1.0)
            };
            worst = if off.is_nan() {
                f64::INFINITY
            } else {
                worst.max(off)
            };
        }
    }
    worst
}

/// One of seven kinds of mask.
pub(crate) fn mask(kind: u8, b: usize, nq: usize, nk: usize, seed: u64) -> Mask {
    let pick = |n: usize| (seed >> 7) as usize % n;
    match kind {
        0 => Mask::full(),
        1 => Mask::causal(Alignment::TopLeft),
        2 => Mask::causal(Alignment::BottomRight),
        3 => Mask::window(1 + pick(nk + 3)),
        4 => Mask::key_lengths(
            (0..b)
                .map(|s| (pick(nk + 1) + 31 * s) % (nk + 1))
                .collect::<Vec<_>>(),
        ),
        5 => Mask::dense(Array2::from_shape_fn((nq, nk), |(i, j)| {
            (seed ^ (i * 2_654_435_761 + j * 40_503) as u64).is_multiple_of(3)
        })),
        _ => Mask::blocks(BlockMask::random(nq, nk, 1 + pick(90), 0.3, seed).expect("in range")),
    }
}
