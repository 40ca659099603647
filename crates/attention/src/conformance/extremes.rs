//! NaN, infinity and logits far from zero.

use super::agree::{answer, check, compare, held};
use super::inputs::{Tensors, shape};
use super::{Held, Verdict};
use crate::attention::Attention;
use crate::capabilities::Feature;
use crate::mask::{Alignment, Mask};
use ndarray::{Array2, Axis};

const BAD: [f32; 3] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// Keys 50 and on, and key 11, are hidden; what stands there must not matter.
pub(super) fn hidden(attention: &dyn Attention) -> Verdict {
    let clean = Tensors::new(shape([1, 2, 2, 70, 90, 8, 8]), 500);
    let no_eleven = Mask::dense(Array2::from_shape_fn((70, 90), |(_, j)| j != 11));
    let masks = [
        (Feature::KeyLengths, Mask::key_lengths([50]), 50..90),
        (Feature::DenseMask, no_eleven, 11..12),
        (Feature::Causal, Mask::causal(Alignment::TopLeft), 70..90),
    ];
    let mut any = false;
    for (feature, mask, slots) in masks {
        if !attention.capabilities().has(feature) {
            continue;
        }
        any = true;
        for bad in BAD {
            let mut dirty = clean.clone();
            for j in slots.clone() {
                dirty.k.index_axis_mut(Axis(2), j).fill(bad);
                dirty.v.index_axis_mut(Axis(2), j).fill(bad);
            }
            let problem = |t: &Tensors| -> Result<_, String> {
                let p = t.problem().and_then(|p| p.with_mask(mask.clone()));
                let output = answer(attention, p.as_ref().map_err(ToString::to_string)?)?;
                Ok(output)
            };
            let output = problem(&dirty)?;
            let reference = clean
                .problem()
                .and_then(|p| p.with_mask(mask.clone()))
                .map_err(|e| e.to_string())?;
            let what = format!("{bad} in slots hidden by {}", feature.name());
            compare(attention, &reference, &output, &what)?;
        }
    }
    Ok(if any { Held::Passed } else { Held::Refused })
}

/// A bad entry in one visible key, value or query: the kernel is not finite exactly where its f64
/// form is not.
pub(super) fn visible(attention: &dyn Attention) -> Verdict {
    let clean = Tensors::new(shape([1, 1, 1, 70, 70, 8, 8]), 600);
    let causal = attention.capabilities().has(Feature::Causal);
    let masks = if causal {
        vec![Mask::full(), Mask::causal(Alignment::TopLeft)]
    } else {
        vec![Mask::full()]
    };
    let reads_queries = reads_queries(attention, &clean)?;
    for mask in masks {
        for place in ["query", "key", "value"] {
            let mut dirty = clean.clone();
            let tensor = match place {
                "query" => &mut dirty.q,
                "key" => &mut dirty.k,
                _ => &mut dirty.v,
            };
            tensor[[0, 0, 40, 3]] = f32::NAN;
            let problem = dirty
                .problem()
                .and_then(|p| p.with_mask(mask.clone()))
                .map_err(|e| e.to_string())?;
            let output = check(attention, &problem, &format!("NaN in {place} 40"))?;
            let last_is_nan = output.o.index_axis(Axis(2), 69).iter().any(|x| x.is_nan());
            if place == "key" && attention.capabilities().exact && !last_is_nan && {
                let pattern = attention
                    .pattern(problem.geometry())
                    .map_err(|e| e.to_string())?;
                pattern.is_none()
            } {
                return Err("NaN in key 40 does not reach query 69, which sees it".into());
            }
            if output
                .o
                .index_axis(Axis(2), 40)
                .iter()
                .all(|x| x.is_finite())
                && place == "query"
                && reads_queries
            {
                return Err("NaN in query 40 does not reach its own output".into());
            }
        }
    }
    // Infinity in a value is infinite or NaN in every output that weighs it.
    let mut dirty = clean;
    dirty.v[[0, 0, 40, 3]] = f32::INFINITY;
    let problem = dirty.problem().map_err(|e| e.to_string())?;
    check(attention, &problem, "infinity in value 40")?;
    held(true)
}

/// Whether another query has another answer: one that pools a history has not.
fn reads_queries(attention: &dyn Attention, clean: &Tensors) -> Result<bool, String> {
    let mut other = clean.clone();
    other.q[[0, 0, 40, 3]] += 1.0;
    let [clean, other] = [clean, &other].map(|tensors| {
        let problem = tensors.problem()?;
        attention.form_f64(&problem, 0, 0, &[40])
    });
    Ok(clean.map_err(|e| e.to_string())? != other.map_err(|e| e.to_string())?)
}

/// Logits of ±1e4: finite from all, and from exact variants right to 8·ε·max|S|.
pub(super) fn logits(attention: &dyn Attention) -> Verdict {
    for (size, seed) in [(3.0f32, 700), (30.0, 710), (120.0, 720)] {
        let mut tensors = Tensors::new(shape([1, 1, 1, 80, 80, 16, 8]), seed);
        tensors.q *= size;
        tensors.k *= size;
        let mut problems = vec![tensors.problem().map_err(|e| e.to_string())?];
        if attention.capabilities().has(Feature::Causal) {
            let causal = tensors
                .problem()
                .and_then(|p| p.with_mask(Mask::causal(Alignment::TopLeft)));
            problems.push(causal.map_err(|e| e.to_string())?);
        }
        for problem in problems {
            let what = format!("entries of size {size}");
            let output = if attention.capabilities().exact {
                check(attention, &problem, &what)?
            } else {
                answer(attention, &problem)?
            };
            if output.o.iter().any(|x| !x.is_finite()) {
                return Err(format!("{what}: some outputs are not finite"));
            }
        }
    }
    held(true)
}
