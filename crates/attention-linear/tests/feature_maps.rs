//! What each feature map is supposed to be, against sources outside this crate.

mod common;

use attention::mask::{Alignment, Mask};
use attention::variant::{Parameters, Value};
use attention::{Problem, Shape};
use attention_linear::{ELU, FAVOR, LINREC, RFA};
use common::{Tensors, build, measure, run};
use ndarray::{Array4, ArrayView1};

/// With V the identity, O holds the weights of two keys. Of the key -q the weight is known for any
/// draw, as φ(q)_f·φ(-q)_f = exp(-scale·‖q‖²) for every f; so the ratio of the weights tells what
/// (1/m)·Σ_f φ(q)_f·φ(k)_f was, which over many draws must average exp(scale·q·k).
#[test]
fn favor_estimates_the_softmax_kernel_without_bias() {
    let unit = [0.5_f32, -0.1, 0.4, 0.6, -0.3, 0.36];
    let scale = 0.7;
    for (length, sign) in [(0.5_f32, 1.0_f32), (1.0, 1.0), (1.2, 1.0), (1.2, -1.0)] {
        let query = unit.map(|x| length * x);
        let key = [0, 1, 2, 3, 5, 4].map(|i| sign * length * unit[i]);
        let q = Array4::from_shape_fn((1, 1, 1, 6), |(_, _, _, i)| query[i]);
        let k = Array4::from_shape_fn((1, 1, 2, 6), |(_, _, j, i)| [key[i], -query[i]][j]);
        let v = Array4::from_shape_fn((1, 1, 2, 2), |(_, _, j, c)| f32::from(u8::from(j == c)));
        let problem = Problem::new(q.view(), k.view(), v.view())
            .unwrap()
            .with_scale(scale);
        let dot = |a: [f32; 6], b: [f32; 6]| -> f64 {
            let products = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y));
            f64::from(scale) * products.sum::<f64>()
        };
        let known = (-dot(query, query)).exp();
        let estimates: Vec<f64> = (0..600)
            .map(|seed| {
                let given = [("features", "32"), ("seed", &*seed.to_string())];
                let o = run(&*build(&FAVOR, &given), &problem, 1).o;
                known * f64::from(o[[0, 0, 0, 0]]) / f64::from(o[[0, 0, 0, 1]])
            })
            .collect();
        let n = estimates.len() as f64;
        let mean = estimates.iter().sum::<f64>() / n;
        let variance = estimates.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let (error, truth) = ((variance / n).sqrt(), dot(query, key).exp());
        assert!(
            (mean - truth).abs() < 4.0 * error,
            "{mean} ± {error}, expected {truth}"
        );
        // Independent features have variance exp(2·q·k)·(exp(‖q + k‖²) - 1) / m (the scale in q and
        // k); orthogonal ones have no more.
        let squares = dot(query, query) + 2.0 * dot(query, key) + dot(key, key);
        let independent = truth * truth * (squares.exp() - 1.0) / 32.0;
        assert!(variance < 1.3 * independent, "{variance} of {independent}");
    }
}

#[test]
fn random_fourier_features_that_are_too_few_for_their_width_are_refused() {
    for (features, sigma, held) in [
        (8, 1.0, true),
        (6, 1.0, false),
        (4096, 0.5, true),
        (2980, 0.5, false),
    ] {
        let given = [
            ("features", Value::Integer(features)),
            ("sigma", Value::Float(sigma)),
        ];
        let mut parameters = Parameters::defaults(RFA.parameters);
        for (name, value) in given {
            parameters.set(name, value);
        }
        assert_eq!(
            (RFA.build)(&parameters).is_ok(),
            held,
            "{features} at {sigma}"
        );
    }
}

#[test]
fn more_features_approximate_softmax_better() {
    let tensors = Tensors::gaussian(Shape::square(1, 2, 120, 16), 0.5, 3);
    let problem = tensors.problem().with_scale(0.05);
    let errors: Vec<f64> = ["16", "128", "1024", "4096"]
        .iter()
        .map(|m| {
            let error = |seed: &str| {
                let variant = build(&FAVOR, &[("features", m), ("seed", seed)]);
                let out = run(&*variant, &problem, 1);
                let accuracy = measure(&*variant, &problem, &out);
                accuracy.approximation.relative_frobenius
            };
            ["1", "2", "3", "4", "5", "6"]
                .map(error)
                .iter()
                .sum::<f64>()
                / 6.0
        })
        .collect();
    assert!(errors.windows(2).all(|w| w[1] < 0.7 * w[0]), "{errors:?}");
    assert!(errors[3] < 0.1, "{errors:?}");
}

#[test]
fn seeds_draw_different_features_and_the_same_seed_the_same() {
    let tensors = Tensors::gaussian(Shape::square(1, 1, 20, 8), 1.0, 4);
    let answer = |seed| run(&*build(&FAVOR, &[("seed", seed)]), &tensors.problem(), 1);
    assert_eq!(answer("5"), answer("5"));
    assert_ne!(answer("5"), answer("6"));
}

/// Equations 16 to 20 of Katharopoulos et al.: a recurrence with state (S, z), one token at a time.
#[test]
fn elu_in_chunks_is_the_recurrence_of_the_paper() {
    let (n, d, dv) = (150, 5, 3);
    let shape = Shape {
        dv,
        ..Shape::square(1, 1, n, d)
    };
    let tensors = Tensors::gaussian(shape, 1.0, 9);
    let causal = Mask::causal(Alignment::TopLeft);
    let problem = tensors.problem().with_mask(causal).unwrap();
    let out = run(&*build(&ELU, &[]), &problem, 1).o;
    let head = problem.head(0, 0);
    let phi = |x: ArrayView1<'_, f32>| -> Vec<f64> {
        let feature = |x: f64| x.max(0.0) + x.min(0.0).exp();
        x.iter().map(|&x| feature(f64::from(x))).collect()
    };
    let (mut s, mut z) = (vec![0.0; d * dv], vec![0.0; d]);
    for i in 0..n {
        let (phi_q, phi_k) = (phi(head.q.row(i)), phi(head.k.row(i)));
        for f in 0..d {
            z[f] += phi_k[f];
            for c in 0..dv {
                s[f * dv + c] += phi_k[f] * f64::from(head.v[[i, c]]);
            }
        }
        let sum: f64 = (0..d).map(|f| phi_q[f] * z[f]).sum();
        for c in 0..dv {
            let expected = (0..d).map(|f| phi_q[f] * s[f * dv + c]).sum::<f64>() / sum;
            assert!(
                (f64::from(out[[0, 0, i, c]]) - expected).abs() < 2e-6,
                "token {i}"
            );
        }
    }
}

#[test]
fn elu_has_no_temperature() {
    let tensors = Tensors::gaussian(Shape::square(1, 1, 30, 4), 1.0, 9);
    let elu = build(&ELU, &[]);
    let (one, other) = (tensors.problem(), tensors.problem().with_scale(9.0));
    assert_eq!(run(&*elu, &one, 1), run(&*elu, &other, 1));
}

/// Golden values of both normalisations, from numpy:
///
/// ```text
/// elu = lambda x: np.where(x > 0, x, np.expm1(x))
/// Q = np.array([[.5, -1, 2], [-.25, .75, -2]]); K = np.array([[1, -.5, .25], [-1.5, .5, 1], [.2, .1, -.3]])
/// V = np.array([[1, 2], [3, -1], [-2, .5]])
/// q = elu(Q) / np.linalg.norm(elu(Q), axis=1, keepdims=True)
/// by_token = elu(K) / np.linalg.norm(elu(K), axis=1, keepdims=True)
/// by_column = elu(K) / (np.sqrt(3) * np.linalg.norm(elu(K), axis=0, keepdims=True))
/// q @ (by_token.T @ V) / np.sqrt(3); q @ (by_column.T @ V) / np.sqrt(3)
/// np.tril(q @ by_token.T) @ V / np.sqrt(3)
/// ```
#[test]
fn linrec_has_the_values_of_its_sources() {
    let q = [[0.5, -1.0, 2.0], [-0.25, 0.75, -2.0]];
    let k = [[1.0, -0.5, 0.25], [-1.5, 0.5, 1.0], [0.2, 0.1, -0.3]];
    let v = [[1.0, 2.0], [3.0, -1.0], [-2.0, 0.5]];
    let q = Array4::from_shape_fn((1, 1, 2, 3), |(_, _, i, d)| q[i][d]);
    let k = Array4::from_shape_fn((1, 1, 3, 3), |(_, _, j, d)| k[j][d]);
    let v = Array4::from_shape_fn((1, 1, 3, 2), |(_, _, j, c)| v[j][c]);
    let plain = || Problem::new(q.view(), k.view(), v.view()).unwrap();
    let causal = plain().with_mask(Mask::causal(Alignment::TopLeft)).unwrap();
    let token = build(&LINREC, &[]);
    let paper = build(&LINREC, &[("normalisation", "paper")]);
    let cases = [
        (&token, plain(), GOLDEN[0]),
        (&paper, plain(), GOLDEN[1]),
        (&token, causal, GOLDEN[2]),
    ];
    for (variant, problem, golden) in cases {
        let out = run(&**variant, &problem, 1).o;
        for (o, expected) in out.iter().zip(golden.as_flattened()) {
            assert!(
                (f64::from(*o) - expected).abs() < 5e-7,
                "{o}, expected {expected}"
            );
        }
    }
}

const GOLDEN: [[[f64; 2]; 2]; 3] = [
    [
        [1.820760995358, 0.162947085141],
        [-1.413078488159, -0.357580161269],
    ],
    [
        [0.854290957524, 0.177978084387],
        [-0.489342703749, -0.407329162711],
    ],
    [
        [0.303037045455, 0.606074090909],
        [-0.675614203073, -0.541946232540],
    ],
];
