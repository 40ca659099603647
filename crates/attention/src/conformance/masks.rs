//! Problem masks and biases, alone and together.

use super::agree::{check, claimed, held};
use super::inputs::{Tensors, normal, shape};
use super::{Held, Verdict};
use crate::attention::Attention;
use crate::bias::Bias;
use crate::capabilities::Feature;
use crate::mask::{Alignment, BlockMask, Mask, Part};
use crate::oracle;
use ndarray::{Array2, Axis};

/// Sizes on which every mask is tried: square, more keys, more queries, around the tiles' edges.
const SIZES: [[usize; 7]; 5] = [
    [2, 2, 2, 33, 33, 8, 8],
    [1, 2, 2, 20, 75, 16, 12],
    [1, 1, 1, 90, 41, 5, 7],
    [1, 1, 1, 64, 128, 32, 32],
    [1, 1, 1, 130, 130, 16, 16],
];

fn each(
    attention: &dyn Attention,
    feature: Feature,
    masks: impl Fn([usize; 7]) -> Vec<Mask>,
) -> Verdict {
    for (n, sizes) in SIZES.into_iter().enumerate() {
        let tensors = Tensors::new(shape(sizes), 100 + n as u64);
        for mask in masks(sizes) {
            let what = format!("{mask:?}");
            let what = what.get(..160).unwrap_or(&what);
            let problem = tensors
                .problem()
                .and_then(|p| p.with_mask(mask))
                .map_err(|e| e.to_string())?;
            if !claimed(attention, feature, &problem)? {
                return held(false);
            }
            if attention
                .capabilities()
                .admits_geometry(problem.geometry())
                .is_ok()
            {
                check(attention, &problem, what)?;
            }
        }
    }
    held(true)
}

pub(super) fn causal(attention: &dyn Attention) -> Verdict {
    let offsets = [
        Alignment::Offset(3),
        Alignment::Offset(-7),
        Alignment::Offset(1000),
    ];
    each(attention, Feature::Causal, |_| {
        [Alignment::TopLeft, Alignment::BottomRight]
            .into_iter()
            .chain(offsets)
            .map(Mask::causal)
            .collect()
    })
}

pub(super) fn window(attention: &dyn Attention) -> Verdict {
    each(attention, Feature::Window, |_| {
        let bottom = |width| {
            Part::Window {
                width,
                alignment: Alignment::BottomRight,
            }
            .into()
        };
        let around = |radius| {
            Part::SymmetricWindow {
                radius,
                alignment: Alignment::TopLeft,
            }
            .into()
        };
        vec![
            Mask::window(1),
            Mask::window(16),
            Mask::window(65),
            Mask::window(usize::MAX),
            bottom(9),
            around(0),
            around(20),
            Mask::window(30).and(&Mask::causal(Alignment::Offset(-2))),
        ]
    })
}

pub(super) fn key_lengths(attention: &dyn Attention) -> Verdict {
    each(attention, Feature::KeyLengths, |[b, _, _, _, nk, ..]| {
        let lengths = |short: usize| -> Vec<usize> {
            (0..b)
                .map(|s| if s == 0 { short } else { nk - 1 })
                .collect()
        };
        [0, 1, 7, nk]
            .into_iter()
            .flat_map(|n| {
                let padded = Mask::key_lengths(lengths(n));
                [
                    padded.clone(),
                    padded.and(&Mask::causal(Alignment::TopLeft)),
                ]
            })
            .collect()
    })
}

pub(super) fn dense(attention: &dyn Attention) -> Verdict {
    each(attention, Feature::DenseMask, |[_, _, _, nq, nk, ..]| {
        let random = normal((nq, nk), 7).mapv(|x: f32| x > 0.8);
        let mut striped = Array2::from_shape_fn((nq, nk), |(_, j)| j % 3 == 0);
        striped.row_mut(nq / 2).fill(false);
        let random = Mask::dense(random);
        vec![
            random.clone(),
            Mask::dense(striped),
            random
                .and(&Mask::causal(Alignment::BottomRight))
                .and(&Mask::window(25)),
        ]
    })
}

pub(super) fn blocks(attention: &dyn Attention) -> Verdict {
    each(attention, Feature::BlockMask, |[_, _, _, nq, nk, ..]| {
        [(1, 0.2), (16, 0.3), (64, 0.5), (100, 0.5)]
            .into_iter()
            .filter_map(|(side, density)| BlockMask::random(nq, nk, side, density, 3).ok())
            .map(Mask::blocks)
            .chain([
                Mask::blocks(BlockMask::random(nq, nk, 32, 0.4, 5).unwrap_or_else(|_| {
                    unreachable!("a block of 32 and a density of 0.4 are in range")
                }))
                .and(&Mask::causal(Alignment::TopLeft)),
            ])
            .collect()
    })
}

pub(super) fn bias(attention: &dyn Attention) -> Verdict {
    let sizes = [2, 2, 1, 40, 70, 8, 8];
    let sizes = if attention.capabilities().has(Feature::GroupedHeads) {
        sizes
    } else {
        [2, 2, 2, 40, 70, 8, 8]
    };
    let tensors = Tensors::new(shape(sizes), 200);
    let (shared, own) = (normal((1, 40, 70), 1), normal((2, 40, 70), 2));
    let (short, long) = (normal((1, 7), 3), normal((2, 139), 4));
    let biases = [
        Bias::Dense(shared.view()),
        Bias::Dense(own.view()),
        Bias::Relative(short.view()),
        Bias::Relative(long.view()),
    ];
    for bias in biases {
        let what = format!(
            "{} bias",
            if matches!(bias, Bias::Dense(_)) {
                "dense"
            } else {
                "relative"
            }
        );
        let mut problem = tensors
            .problem()
            .and_then(|p| p.with_bias(bias))
            .map_err(|e| e.to_string())?;
        if !claimed(attention, Feature::Bias, &problem)? {
            return held(false);
        }
        check(attention, &problem, &what)?;
        if attention.capabilities().has(Feature::Causal) {
            problem = problem
                .with_mask(Mask::causal(Alignment::BottomRight))
                .map_err(|e| e.to_string())?;
            check(attention, &problem, &format!("{what}, causal"))?;
        }
    }
    held(true)
}

pub(super) fn log_sum_exp(attention: &dyn Attention) -> Verdict {
    let tensors = Tensors::new(shape([2, 2, 2, 70, 70, 16, 8]), 300);
    let problem = tensors.problem().map_err(|e| e.to_string())?;
    if !claimed(attention, Feature::LogSumExp, &problem)? {
        return held(false);
    }
    let output = check(attention, &problem, "with L")?;
    if !attention.capabilities().exact {
        return held(true);
    }
    let pattern = attention
        .pattern(problem.geometry())
        .map_err(|e| e.to_string())?;
    let patterned = problem
        .patterned(&pattern.unwrap_or_default())
        .map_err(|e| e.to_string())?;
    let lse = output.lse.ok_or("no L was written")?;
    for head in patterned.heads() {
        let rows: Vec<usize> = (0..head.q.nrows()).collect();
        let exact = oracle::rows(&head, &rows).lse;
        let got = lse.index_axis(Axis(0), head.sequence);
        for (i, (got, exact)) in got.row(head.head).iter().zip(&exact).enumerate() {
            let error = (f64::from(*got) - exact).abs();
            if error.is_nan() || error > 2e-6 * exact.abs().max(1.0) {
                return Err(format!("L of query {i} is {got}, expected {exact}"));
            }
        }
    }
    held(true)
}

pub(super) fn blind_rows(attention: &dyn Attention) -> Verdict {
    let tensors = Tensors::new(shape([2, 1, 1, 70, 20, 8, 8]), 400);
    let masks = [
        (Feature::KeyLengths, Mask::key_lengths([0, 20])),
        (Feature::Causal, Mask::causal(Alignment::BottomRight)),
        (
            Feature::DenseMask,
            Mask::dense(Array2::from_shape_fn((70, 20), |(i, _)| i % 2 == 0)),
        ),
    ];
    let mut any = false;
    for (feature, mask) in masks {
        let problem = tensors
            .problem()
            .and_then(|p| p.with_mask(mask))
            .map_err(|e| e.to_string())?;
        if !attention.capabilities().has(feature) {
            continue;
        }
        any = true;
        let output = check(attention, &problem, "rows that see nothing")?;
        for head in problem.heads() {
            for i in (0..70).filter(|&i| head.mask.count(i) == 0) {
                let o = output.o.index_axis(Axis(0), head.sequence);
                let zero = o
                    .index_axis(Axis(0), head.head)
                    .row(i)
                    .iter()
                    .all(|&x| x == 0.0);
                let lse = output
                    .lse
                    .as_ref()
                    .map(|l| l[[head.sequence, head.head, i]]);
                if !zero || lse.is_some_and(|l| l != f32::NEG_INFINITY) {
                    return Err(format!(
                        "query {i} sees nothing: expected O = 0 and L = -inf, found L = {lse:?} \
                         and O {}",
                        if zero { "zero" } else { "not zero" }
                    ));
                }
            }
        }
    }
    Ok(if any { Held::Passed } else { Held::Refused })
}
