//! The theory of FAVOR+ on what the kernel answers: no bias, and an error that falls as 1/m.

mod common;

use attention::Problem;
use attention_linear::{FAVOR, projection};
use common::{build, run};
use ndarray::Array4;

const D: usize = 4;
const QUERY: [f32; D] = [0.5, -0.1, 0.4, 0.3];
const KEY: [f32; D] = [0.2, 0.5, -0.3, 0.4];
const SCALE: f32 = 0.8;

fn dot(a: [f32; D], b: [f32; D]) -> f64 {
    let products = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y));
    f64::from(SCALE) * products.sum::<f64>()
}

/// A of FAVOR++ by a search for the least second moment of a feature, instead of its formula.
fn best_a() -> f64 {
    let (d, s) = (D as f64, 2.0 * (D as f64).sqrt());
    let moment = |a: f64| {
        d * (1.0 - 4.0 * a).ln() - 0.5 * d * (1.0 - 8.0 * a).ln()
            + 2.0 * (1.0 - 4.0 * a) * s / (1.0 - 8.0 * a)
    };
    let grid = (1..200_000).map(|n| -f64::from(n) * 1e-5);
    grid.min_by(|a, b| moment(*a).total_cmp(&moment(*b)))
        .unwrap()
}

/// (1/m)·Σ φ(q)_f·φ(k)_f, from the weights that a query gives to k and to -q, whose own estimate
/// follows from the lengths of the drawn directions.
fn estimate(kind: &str, m: usize, seed: u64, a: f64) -> f64 {
    let q = Array4::from_shape_fn((1, 1, 1, D), |(_, _, _, i)| QUERY[i]);
    let k = Array4::from_shape_fn((1, 1, 2, D), |(_, _, j, i)| [KEY[i], -QUERY[i]][j]);
    let v = Array4::from_shape_fn((1, 1, 2, 2), |(_, _, j, c)| f32::from(u8::from(j == c)));
    let problem = Problem::new(q.view(), k.view(), v.view()).unwrap();
    let problem = problem.with_scale(SCALE);
    let (m_text, seed_text) = (m.to_string(), seed.to_string());
    let given = [
        ("features", &*m_text),
        ("seed", &*seed_text),
        ("kind", kind),
    ];
    let o = run(&*build(&FAVOR, &given), &problem, 1).o;
    let mut known = (-dot(QUERY, QUERY)).exp();
    if kind == "plus-plus" {
        let rows = projection(m, D, seed);
        let lengths = rows.outer_iter().map(|w| f64::from(w.dot(&w)));
        let mean = lengths.map(|w| (2.0 * a * w).exp()).sum::<f64>() / m as f64;
        known *= (1.0 - 4.0 * a).powf(D as f64 / 2.0) * mean;
    }
    known * f64::from(o[[0, 0, 0, 0]]) / f64::from(o[[0, 0, 0, 1]])
}

/// Slope of the least-squares line.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let above: f64 = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum();
    above / points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>()
}

/// Blocks of D = 4 directions are whole for every m, and independent: the error is 1/m exactly. The
/// interval is a jackknife's over groups of seeds.
#[test]
fn every_kind_is_unbiased_and_its_squared_error_falls_as_one_over_m() {
    const GROUPS: usize = 20;
    const SEEDS: usize = 30;
    let truth = dot(QUERY, KEY).exp();
    let a = best_a();
    for kind in ["positive", "hyperbolic", "plus-plus"] {
        let sizes: Vec<usize> = (4..=10).map(|power| 1 << power).collect();
        // Squared errors by m, summed over each group.
        let mut errors = Vec::new();
        for &m in &sizes {
            let all: Vec<f64> = (0..GROUPS * SEEDS)
                .map(|seed| estimate(kind, m, (seed + 10_000 * m) as u64, a))
                .collect();
            let n = all.len() as f64;
            let mean = all.iter().sum::<f64>() / n;
            let variance = all.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / (n - 1.0);
            let off = (mean - truth) / (variance / n).sqrt();
            assert!(off.abs() < 4.0, "{kind}, m = {m}: {mean}, truth {truth}");
            let group = |part: &[f64]| part.iter().map(|e| (e - truth).powi(2)).sum::<f64>();
            errors.push(all.chunks(SEEDS).map(group).collect::<Vec<_>>());
        }
        let fit = |without: usize| {
            let point = |(&m, groups): (&usize, &Vec<f64>)| {
                let kept = groups.iter().enumerate().filter(|(g, _)| *g != without);
                let kept: Vec<f64> = kept.map(|(_, e)| *e).collect();
                let mean = kept.iter().sum::<f64>() / kept.len() as f64;
                ((m as f64).ln(), mean.ln())
            };
            let points: Vec<_> = sizes.iter().zip(&errors).map(point).collect();
            slope(&points)
        };
        let exponent = fit(usize::MAX);
        let n = GROUPS as f64;
        let folds: Vec<f64> = (0..GROUPS).map(fit).collect();
        let mean = folds.iter().sum::<f64>() / n;
        let spread: f64 = folds.iter().map(|s| (s - mean).powi(2)).sum();
        // Student's t of 19 degrees of freedom at 99 %.
        let half = 2.861 * (spread * (n - 1.0) / n).sqrt();
        println!("{kind}: exponent {exponent:.3} ± {half:.3}");
        assert!(
            (exponent + 1.0).abs() < half && half < 0.12,
            "{kind}: exponent {exponent} ± {half}"
        );
    }
}
