//! Dropout: the choice is the one of the definition, wherever a weight is computed.

use super::Verdict;
use super::agree::{answer, answer_on, check, claimed, held, row_of};
use super::inputs::{Tensors, normal, shape};
use super::layouts::bits;
use crate::attention::Attention;
use crate::capabilities::Feature;
use crate::dropout::Dropout;
use crate::mask::{Alignment, Mask};
use crate::problem::Problem;
use crate::workers::Workers;
use ndarray::{Array4, Axis, s};

pub(super) fn choices(attention: &dyn Attention) -> Verdict {
    let has = |feature| attention.capabilities().has(feature);
    let hkv = if has(Feature::GroupedHeads) { 1 } else { 2 };
    let sizes = [
        [2, 2, hkv, 33, 33, 8, 8],
        [1, 2, hkv, 70, 150, 16, 12],
        [1, 2, hkv, 130, 129, 5, 33],
    ];
    let mut masks = vec![Mask::full()];
    if has(Feature::Causal) {
        masks.push(Mask::causal(Alignment::BottomRight));
    }
    for (n, sizes) in sizes.into_iter().enumerate() {
        let tensors = Tensors::new(shape(sizes), 1400 + n as u64);
        for (mask, rate) in masks.iter().zip([0.1, 0.5]) {
            let whole = tensors
                .problem()
                .and_then(|p| p.with_mask(mask.clone()))
                .map_err(|e| e.to_string())?;
            let dropout = Dropout::new(rate, 11).map_err(|e| e.to_string())?;
            let dropped = whole.clone().with_dropout(dropout);
            if !claimed(attention, Feature::Dropout, &dropped)? {
                return held(false);
            }
            let first = check(attention, &dropped, &format!("dropout of {rate}"))?;
            if first.lse != answer(attention, &whole)?.lse {
                return Err("dropout changes L".into());
            }
            let workers = Workers::new(3).map_err(|e| e.to_string())?;
            if bits(&answer_on(attention, &dropped, &workers)?) != bits(&first) {
                return Err("with dropout, 3 threads give other bits than 1".into());
            }
        }
    }
    if has(Feature::Jagged) && has(Feature::KeyLengths) {
        layouts_agree(attention)?;
    }
    held(true)
}

/// Histories end to end have the same weights dropped as the same histories padded.
fn layouts_agree(attention: &dyn Attention) -> Result<(), String> {
    let lengths = [40, 0, 75, 1];
    let padded: Vec<Array4<f32>> = [16, 16, 8]
        .into_iter()
        .enumerate()
        .map(|(n, d)| normal((4, 2, 75, d), 1500 + n as u64))
        .collect();
    let end_to_end = |t: &Array4<f32>| -> Result<Array4<f32>, String> {
        let histories: Vec<_> = lengths
            .iter()
            .enumerate()
            .map(|(b, &n)| t.slice(s![b..b + 1, .., ..n, ..]))
            .collect();
        ndarray::concatenate(Axis(2), &histories).map_err(|e| e.to_string())
    };
    let jagged = padded
        .iter()
        .map(end_to_end)
        .collect::<Result<Vec<_>, _>>()?;
    let offsets = [0, 40, 40, 115, 116];
    let dropout = Dropout::new(0.3, 5).map_err(|e| e.to_string())?;
    let padded = Problem::new(padded[0].view(), padded[1].view(), padded[2].view())
        .and_then(|p| p.with_mask(Mask::key_lengths(lengths)))
        .map_err(|e| e.to_string())?
        .with_dropout(dropout);
    let jagged = Problem::jagged(
        jagged[0].view(),
        jagged[1].view(),
        jagged[2].view(),
        offsets,
        offsets,
    )
    .map_err(|e| e.to_string())?
    .with_dropout(dropout);
    let (apart, together) = (answer(attention, &padded)?, answer(attention, &jagged)?);
    for (b, &n) in lengths.iter().enumerate() {
        for (h, i) in (0..2).flat_map(|h| (0..n).map(move |i| (h, i))) {
            let (x, y) = (
                row_of(&padded, &apart, b, h, i),
                row_of(&jagged, &together, b, h, i),
            );
            let error = (&x - &y).mapv(f64::abs).sum();
            if error.is_nan() || error > 1e-5 * x.mapv(f64::abs).sum().max(1e-3) {
                return Err(format!(
                    "history {b}, head {h}, query {i} has other weights dropped padded than jagged"
                ));
            }
        }
    }
    Ok(())
}
