//! The same gradients on every run, whatever the threads and what was in memory before.

use super::super::Verdict;
use super::super::agree::{answer, held};
use super::super::inputs::{Tensors, normal, shape};
use crate::attention::Attention;
use crate::capabilities::Feature;
use crate::gradients::Gradients;
use crate::mask::{Alignment, Mask};
use crate::scratch::Scratch;
use crate::workers::Workers;
use ndarray::Array4;

/// 1, 2 and 4 threads, in as much scratch as was foretold, NaN before the call.
pub(in super::super) fn same_bits(attention: &dyn Attention) -> Verdict {
    let has = |feature| attention.capabilities().has(feature);
    if !has(Feature::Backward) {
        return held(false);
    }
    let hkv = if has(Feature::GroupedHeads) { 1 } else { 2 };
    let inputs = Tensors::new(shape([2, 2, hkv, 150, 270, 16, 16]), 1500);
    let d_o: Array4<f32> = normal((2, 2, 150, 16), 1600);
    let mut masks = vec![Mask::full()];
    if has(Feature::Causal) {
        masks.push(Mask::causal(Alignment::BottomRight));
    }
    for mask in masks {
        let problem = inputs.problem().and_then(|p| p.with_mask(mask));
        let problem = problem.map_err(|e| e.to_string())?;
        let saved = answer(attention, &problem)?;
        let mut first: Option<Gradients> = None;
        for threads in [1, 1, 2, 4] {
            let workers = Workers::new(threads).map_err(|e| e.to_string())?;
            let foretold = attention.backward_scratch_bytes(problem.geometry(), threads);
            let mut scratch = Scratch::new();
            scratch.reserve(foretold);
            let floats = (foretold / 4).saturating_sub(16) as usize;
            scratch.part(floats).fill(f32::NAN);
            let mut out = Gradients::zeros(&problem);
            out.fill(f32::NAN);
            attention
                .backward(
                    &problem,
                    &saved,
                    d_o.view(),
                    &mut out,
                    &workers,
                    &mut scratch,
                )
                .map_err(|e| e.to_string())?;
            if scratch.bytes() > foretold {
                return Err(format!(
                    "backward on {threads} threads took {} bytes of scratch, but {foretold} were \
                     foretold",
                    scratch.bytes()
                ));
            }
            // NaN is never equal, so that one left over shows too.
            if first.get_or_insert_with(|| out.clone()) != &out {
                return Err(format!(
                    "{threads} threads give other gradients than the first run, or NaN"
                ));
            }
        }
    }
    held(true)
}
