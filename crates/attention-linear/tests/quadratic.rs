//! What Based and ReBased are for, and where their features alone would be wrong.

mod common;

use attention::mask::{Alignment, Mask};
use attention::variant::{Parameters, Value};
use attention::{Shape, Tensors as Own};
use attention_linear::{BASED, REBASED};
use common::{Tensors, build, measure, run};

#[test]
fn histories_within_the_window_are_softmax_attention() {
    let tensors = Tensors::gaussian(Shape::square(1, 2, 128, 8), 2.0, 5);
    let causal = Mask::causal(Alignment::TopLeft);
    let problem = tensors.problem().with_mask(causal).unwrap();
    let based = build(&BASED, &[("window", "128")]);
    let own = Own::of(&*based, problem.geometry(), 1);
    let problem = problem.supplied(&own);
    let accuracy = measure(&*based, &problem, &run(&*based, &problem, 1));
    assert!(accuracy.approximation.relative_frobenius < 1e-12);
    let narrow = build(&BASED, &[]);
    let accuracy = measure(&*narrow, &problem, &run(&*narrow, &problem, 1));
    let error = accuracy.approximation.relative_frobenius;
    assert!(
        error > 1e-3,
        "the Taylor polynomial is no exponential: {error}"
    );
}

/// Features of second degree sum a square up from terms of either sign, which fails row by row where a
/// query is nearly orthogonal to the few keys that it sees.
#[test]
fn rows_of_few_keys_keep_their_accuracy() {
    let tensors = Tensors::gaussian(Shape::square(4, 8, 70, 4), 1.0, 9);
    let causal = Mask::causal(Alignment::TopLeft);
    let problem = tensors.problem().with_mask(causal).unwrap();
    let rebased = build(&REBASED, &[("dim", "0")]);
    let own = Own::of(&*rebased, problem.geometry(), 1);
    let problem = problem.supplied(&own);
    let out = run(&*rebased, &problem, 1);
    let rows: Vec<usize> = (0..70).collect();
    let mut worst = 0.0_f64;
    for head in problem.heads() {
        let form = rebased
            .form_f64(&problem, head.sequence, head.head, &rows)
            .unwrap();
        for (i, expected) in form.output.outer_iter().enumerate() {
            let got = out.o.slice(ndarray::s![head.sequence, head.head, i, ..]);
            let apart: f64 = got
                .iter()
                .zip(expected)
                .map(|(x, y)| (f64::from(*x) - y).powi(2))
                .sum();
            worst = worst.max((apart / expected.dot(&expected)).sqrt());
        }
    }
    assert!(worst < 5e-5, "{worst:e}");
}

#[test]
fn windows_that_are_no_whole_blocks_are_refused() {
    let mut parameters = Parameters::defaults(BASED.parameters);
    parameters.set("window", Value::Integer(100));
    assert!((BASED.build)(&parameters).is_err());
}
