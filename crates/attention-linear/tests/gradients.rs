//! Gradients of histories that are cut into segments.

mod common;

use attention::mask::{Alignment, Mask};
use attention::{
    Attention, Gradients, Output, Problem, Scratch, Shape, Tensors as Own, Variant, Workers,
};
use attention_linear::{BASED, COSFORMER, ELU, FAVOR, HEDGEHOG, LINREC, REBASED, RELU, RFA};
use common::{Tensors, build, run};
use ndarray::Array4;
use std::ops::Range;

type Settings<'s> = &'s [(&'static str, &'static str)];

const ALL: [(&Variant, Settings<'_>); 12] = [
    (&ELU, &[]),
    (&RELU, &[]),
    (&FAVOR, &[("features", "20")]),
    (&FAVOR, &[("features", "20"), ("kind", "hyperbolic")]),
    (&FAVOR, &[("features", "20"), ("kind", "plus-plus")]),
    (&RFA, &[("features", "20")]),
    (&COSFORMER, &[]),
    (&LINREC, &[]),
    (&HEDGEHOG, &[]),
    (&REBASED, &[]),
    (&BASED, &[("dim", "4")]),
    (&BASED, &[("dim", "0"), ("window", "128")]),
];

/// Longer than two segments of 512, and a chunk that is not whole.
const KEYS: usize = 1100;

/// Causal, and few queries that see the same many keys.
fn cases() -> [(Tensors, Mask); 2] {
    let shape = Shape {
        hkv: 1,
        dv: 3,
        ..Shape::square(1, 2, KEYS, 5)
    };
    let full = Shape { nq: 70, ..shape };
    [
        (shape, Mask::causal(Alignment::TopLeft)),
        (full, Mask::full()),
    ]
    .map(|(shape, mask)| {
        let mut tensors = Tensors::gaussian(shape, 1.0, 4);
        // Off the kinks, where there is no derivative.
        for x in tensors.q.iter_mut().chain(tensors.k.iter_mut()) {
            *x = x.signum() * x.abs().max(0.02);
        }
        (tensors, mask)
    })
}

fn backward(attention: &dyn Attention, problem: &Problem<'_>, threads: usize) -> Gradients {
    let saved: Output = run(attention, problem, 1);
    let mut gradients = Gradients::zeros(problem);
    gradients.fill(f32::NAN);
    let workers = Workers::new(threads).unwrap();
    let d_o = d_o(saved.o.dim());
    attention
        .backward(
            problem,
            &saved,
            d_o.view(),
            &mut gradients,
            &workers,
            &mut Scratch::new(),
        )
        .unwrap();
    gradients
}

fn d_o(dim: (usize, usize, usize, usize)) -> Array4<f32> {
    Array4::from_shape_fn(dim, |(b, h, i, c)| sign(b + 3 * h + 7 * i + 31 * c))
}

/// -1 or 1, without a pattern.
fn sign(n: usize) -> f32 {
    let mixed = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    if (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 63 == 0 {
        1.0
    } else {
        -1.0
    }
}

#[test]
fn gradients_have_the_same_bits_on_any_number_of_threads() {
    for (variant, settings) in ALL {
        for (tensors, mask) in cases() {
            let attention = build(variant, settings);
            let problem = tensors.problem().with_mask(mask).unwrap();
            let own = Own::of(&*attention, problem.geometry(), 3);
            let problem = problem.supplied(&own);
            let one = backward(&*attention, &problem, 1);
            for threads in [2, 3] {
                let same = one == backward(&*attention, &problem, threads);
                assert!(same, "{} {settings:?} on {threads} threads", variant.name);
            }
        }
    }
}

/// Along random directions: all of a tensor, and what lies about a cut alone.
#[test]
fn gradients_across_cuts_are_differences_of_the_form() {
    const STEP: f32 = 1.0 / 256.0;
    for (variant, settings) in ALL {
        let attention = build(variant, settings);
        for (tensors, mask) in cases() {
            let problem = tensors.problem().with_mask(mask.clone()).unwrap();
            let mut own = Own::of(&*attention, problem.geometry(), 3);
            // ReBased's weights have a double zero, about which no difference is small enough.
            own.get_mut("beta")
                .into_iter()
                .for_each(|beta| beta.fill(1.0));
            let d_o = d_o((1, 2, tensors.q.dim().2, 3));
            let gradients = backward(&*attention, &problem.supplied(&own), 2);
            let loss = |parts: [&Array4<f32>; 3]| -> f64 {
                let [q, k, v] = parts.map(|x| x.view());
                let problem = Problem::new(q, k, v).unwrap();
                let problem = problem.with_mask(mask.clone()).unwrap();
                let problem = problem.supplied(&own);
                let rows: Vec<usize> = (0..parts[0].dim().2).collect();
                let head = |h: usize| -> f64 {
                    let form = attention.form_f64(&problem, 0, h, &rows).unwrap();
                    let d_o = d_o.slice(ndarray::s![0, h, .., ..]);
                    let pairs = form.output.iter().zip(d_o);
                    pairs.map(|(o, g)| o * f64::from(*g)).sum()
                };
                head(0) + head(1)
            };
            let parts = [&tensors.q, &tensors.k, &tensors.v];
            let answers = [&gradients.dq, &gradients.dk, &gradients.dv];
            for (which, name) in ["dq", "dk", "dv"].into_iter().enumerate() {
                let n = parts[which].dim().2;
                for about in [0..n, n.min(1024).saturating_sub(15)..n.min(1040)] {
                    let along = |at: (usize, usize, usize, usize)| toward(at, &about);
                    let moved = |step: f32| {
                        let mut x = parts[which].clone();
                        x.indexed_iter_mut()
                            .for_each(|(at, x)| *x += step * along(at));
                        let mut parts = parts;
                        parts[which] = &x;
                        loss(parts)
                    };
                    let expected = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                    let (mut got, mut squares) = (0.0, 0.0);
                    for (at, g) in answers[which].indexed_iter() {
                        let part = f64::from(g * along(at));
                        got += part;
                        squares += part * part;
                    }
                    let apart = (got - expected).abs();
                    assert!(
                        apart <= 2e-3 * squares.sqrt(),
                        "{} {settings:?} {name} {about:?}: {got}, differences {expected}",
                        variant.name
                    );
                }
            }
        }
    }
}

/// A random direction on the tokens of a range.
fn toward((b, h, i, c): (usize, usize, usize, usize), about: &Range<usize>) -> f32 {
    if about.contains(&i) {
        sign(b + 1009 * h + 97 * i + c)
    } else {
        0.0
    }
}
