//! Hedgehog's distillation: its loss and gradients against f64, and what they are for.

mod common;

use attention::mask::{Alignment, Mask};
use attention::{Error, Problem, Shape, Tensors as Own, Workers};
use attention_linear::{HEDGEHOG, hedgehog_distillation};
use common::{Tensors, build, measure, run};
use ndarray::{Array3, ArrayD};

const MAPS: [&str; 2] = ["query_map", "key_map"];

/// Maps that are no identities.
fn maps(problem: &Problem<'_>) -> Own {
    let mut own = Own::of(&*build(&HEDGEHOG, &[]), problem.geometry(), 1);
    for (name, sign) in MAPS.into_iter().zip([1.0, -1.0]) {
        for (at, x) in own.get_mut(name).unwrap().iter_mut().enumerate() {
            *x += sign * ((at * 5 % 7) as f32 - 3.0) / 10.0;
        }
    }
    own
}

/// The loss in f64, row by row from its definition.
fn plain(problem: &Problem<'_>, maps: [&ArrayD<f64>; 2]) -> f64 {
    let (mut sum, mut rows) = (0.0, 0);
    let d = problem.shape().d;
    let f64s = |x: ndarray::ArrayView1<'_, f32>| x.mapv(f64::from);
    for head in problem.heads() {
        let key_head = problem.geometry().key_head(head.head);
        let phi = |map: &ArrayD<f64>, x: ndarray::Array1<f64>| -> Vec<f64> {
            let y = |a: usize| (0..d).map(|b| map[[key_head, a, b]] * x[b]).sum::<f64>();
            let signs = (0..2 * d).map(|f| if f < d { y(f).exp() } else { (-y(f - d)).exp() });
            let signs: Vec<f64> = signs.collect();
            let total: f64 = signs.iter().sum();
            signs.iter().map(|x| x / total).collect()
        };
        for i in 0..head.q.nrows() {
            let keys = head.mask.span(i);
            if keys.is_empty() {
                continue;
            }
            let q = f64s(head.q.row(i));
            let score = |j: usize| f64::from(head.scale) * q.dot(&f64s(head.k.row(j)));
            let softmax: Vec<f64> = keys.clone().map(|j| score(j).exp()).collect();
            let phi_q = phi(maps[0], q.clone());
            let own = keys.map(|j| {
                let phi_k = phi(maps[1], f64s(head.k.row(j)));
                phi_q.iter().zip(&phi_k).map(|(x, y)| x * y).sum::<f64>()
            });
            let own: Vec<f64> = own.collect();
            let (total, own_total) = (softmax.iter().sum::<f64>(), own.iter().sum::<f64>());
            let pairs = softmax.iter().zip(&own);
            sum -= pairs
                .map(|(p, a)| p / total * (a / own_total).ln())
                .sum::<f64>();
            rows += 1;
        }
    }
    sum / f64::from(rows)
}

#[test]
fn loss_and_gradients_are_those_of_the_definition() {
    let shape = Shape {
        hkv: 2,
        ..Shape::square(2, 4, 70, 5)
    };
    let tensors = Tensors::gaussian(shape, 1.5, 3);
    let causal = Mask::causal(Alignment::BottomRight);
    for mask in [Mask::full(), causal, Mask::key_lengths([40, 0])] {
        let problem = tensors.problem().with_mask(mask).unwrap();
        let own = maps(&problem);
        let given = problem.supplied(&own);
        let found = hedgehog_distillation(&given, &Workers::serial()).unwrap();
        let two = hedgehog_distillation(&given, &Workers::new(2).unwrap()).unwrap();
        assert_eq!(found, two, "the same bits on two threads");
        let exact: Vec<ArrayD<f64>> = MAPS
            .iter()
            .map(|name| given.tensor(name).unwrap().mapv(f64::from))
            .collect();
        let loss = plain(&given, [&exact[0], &exact[1]]);
        assert!(
            (found.loss - loss).abs() < 1e-6 * loss,
            "{} {loss}",
            found.loss
        );
        for (which, gradient) in [&found.query_map, &found.key_map].into_iter().enumerate() {
            for (at, got) in gradient.indexed_iter().step_by(3) {
                let moved = |step: f64| {
                    let mut maps = [exact[0].clone(), exact[1].clone()];
                    maps[which][[at.0, at.1, at.2]] += step;
                    plain(&given, [&maps[0], &maps[1]])
                };
                let expected = (moved(1e-4) - moved(-1e-4)) / 2e-4;
                let apart = (f64::from(*got) - expected).abs();
                assert!(
                    apart < 1e-6 + 1e-5 * expected.abs(),
                    "{} {at:?}: {got}, differences {expected}",
                    MAPS[which]
                );
            }
        }
    }
}

/// What distillation is for: maps that begin as identities come nearer to softmax attention.
#[test]
fn a_few_dozen_steps_bring_hedgehog_nearer_to_softmax() {
    let tensors = Tensors::gaussian(Shape::square(1, 2, 96, 8), 2.5, 11);
    let causal = Mask::causal(Alignment::TopLeft);
    let problem = tensors.problem().with_mask(causal).unwrap();
    let hedgehog = build(&HEDGEHOG, &[]);
    let mut own = Own::of(&*hedgehog, problem.geometry(), 0);
    let error = |own: &Own| {
        let problem = problem.supplied(own);
        let out = run(&*hedgehog, &problem, 1);
        let accuracy = measure(&*hedgehog, &problem, &out);
        accuracy.approximation.relative_frobenius
    };
    let loss = |own: &Own| {
        let problem = problem.supplied(own);
        hedgehog_distillation(&problem, &Workers::serial()).unwrap()
    };
    let (first_error, first_loss) = (error(&own), loss(&own).loss);
    // Adam (Kingma and Ba 2015).
    let zeros = || Array3::<f32>::zeros((2, 8, 8));
    let mut moments = [(zeros(), zeros()), (zeros(), zeros())];
    for step in 1..=60 {
        let found = loss(&own);
        let gradients = [found.query_map, found.key_map];
        for ((name, gradient), (mean, square)) in MAPS.into_iter().zip(gradients).zip(&mut moments)
        {
            let map = own.get_mut(name).unwrap().iter_mut();
            let state = mean.iter_mut().zip(square.iter_mut());
            for ((x, g), (mean, square)) in map.zip(&gradient).zip(state) {
                *mean = 0.9 * *mean + 0.1 * g;
                *square = 0.99 * *square + 0.01 * g * g;
                let mean = *mean / (1.0 - 0.9_f32.powi(step));
                let square = *square / (1.0 - 0.99_f32.powi(step));
                *x -= 0.05 * mean / (square.sqrt() + 1e-8);
            }
        }
    }
    let (last_error, last_loss) = (error(&own), loss(&own).loss);
    println!("loss {first_loss:.3} -> {last_loss:.3}, error {first_error:.3} -> {last_error:.3}");
    assert!(last_loss < first_loss - 0.3, "{first_loss} -> {last_loss}");
    assert!(
        last_error < 0.8 * first_error,
        "{first_error} -> {last_error}"
    );
}

#[test]
fn what_hedgehog_refuses_is_refused() {
    let tensors = Tensors::gaussian(Shape::square(1, 1, 10, 4), 1.0, 2);
    let window = tensors.problem().with_mask(Mask::window(3)).unwrap();
    let own = maps(&window);
    let refused = hedgehog_distillation(&window.supplied(&own), &Workers::serial());
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
    let without = hedgehog_distillation(&tensors.problem(), &Workers::serial());
    assert!(matches!(without, Err(Error::Tensor { .. })));
}
