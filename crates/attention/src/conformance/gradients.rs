//! Backward against differences of the f64 form.

use super::Verdict;
use super::agree::held;
use super::inputs::{Tensors, normal, shape};
use crate::attention::Attention;
use crate::bias::Bias;
use crate::capabilities::Feature;
use crate::dropout::Dropout;
use crate::error::Error;
use crate::gradients::Gradients;
use crate::mask::{Alignment, Mask};
use crate::output::Output;
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::workers::Workers;
use ndarray::{Array2, Array4, Axis};

/// Step of the central differences; their error is of the order of its square.
const STEP: f32 = 1.0 / 128.0;

/// One of the three tensors.
type Entry = fn(&mut Tensors) -> &mut Array4<f32>;

pub(super) fn finite_differences(attention: &dyn Attention) -> Verdict {
    let claimed = attention.capabilities().has(Feature::Backward);
    let hkv = if attention.capabilities().has(Feature::GroupedHeads) {
        1
    } else {
        2
    };
    let mut tensors = Tensors::new(shape([1, 2, hkv, 9, 11, 4, 3]), 1200);
    tensors.q *= 0.5;
    tensors.k *= 0.5;
    let table: Array2<f32> = normal((2, 7), 5);
    let with_bias = attention.capabilities().has(Feature::Bias);
    let masks = if attention.capabilities().has(Feature::Causal) {
        vec![Mask::full(), Mask::causal(Alignment::BottomRight)]
    } else {
        vec![Mask::full()]
    };
    let d_o: Array4<f32> = normal((1, 2, 9, 3), 1300);
    let mut dropouts = vec![None];
    if attention.capabilities().has(Feature::Dropout) {
        dropouts.push(Some(Dropout::new(0.3, 3).map_err(|e| e.to_string())?));
    }
    let settings = masks
        .iter()
        .flat_map(|mask| dropouts.iter().map(move |dropout| (mask, *dropout)));
    for (mask, dropout) in settings {
        let problem = |t: &Tensors,
                       bias: &Array2<f32>,
                       f: &mut dyn FnMut(&Problem<'_>)|
         -> crate::Result<()> {
            let mut p = t.problem()?.with_mask(mask.clone())?;
            if with_bias {
                p = p.with_bias(Bias::Relative(bias.view()))?;
            }
            if let Some(dropout) = dropout {
                p = p.with_dropout(dropout);
            }
            f(&p);
            Ok(())
        };
        let mut result = None;
        let call = &mut |p: &Problem<'_>| {
            let mut saved = Output::poisoned(
                p.geometry(),
                attention.capabilities().has(Feature::LogSumExp),
            );
            let workers = Workers::serial();
            let forward = attention.forward(p, saved.view_mut(), &workers, &mut Scratch::new());
            result = Some(forward.and_then(|()| {
                let mut out = Gradients::zeros(p);
                out.fill(f32::NAN);
                attention
                    .backward(
                        p,
                        &saved,
                        d_o.view(),
                        &mut out,
                        &workers,
                        &mut Scratch::new(),
                    )
                    .map(|()| out)
            }));
        };
        problem(&tensors, &table, call).map_err(|e| e.to_string())?;
        let gradients = match (claimed, result) {
            (false, Some(Err(Error::Unsupported { .. }))) => return held(false),
            (false, other) => return Err(format!("backward is not claimed, but gave {other:?}")),
            (true, Some(result)) => result.map_err(|e| e.to_string())?,
            (true, None) => return Err("backward was not called".into()),
        };
        let loss = |t: &Tensors, bias: &Array2<f32>| -> Result<f64, String> {
            let mut sum = Ok(0.0);
            problem(t, bias, &mut |p| sum = weighted_sum(attention, p, &d_o))
                .map_err(|e| e.to_string())?;
            sum
        };
        let tensors_and_gradients: [(&str, &Array4<f32>, Entry); 3] = [
            ("dQ", &gradients.dq, |t| &mut t.q),
            ("dK", &gradients.dk, |t| &mut t.k),
            ("dV", &gradients.dv, |t| &mut t.v),
        ];
        for (name, gradient, entry) in tensors_and_gradients {
            for (index, &got) in gradient.indexed_iter() {
                let mut moved = tensors.clone();
                entry(&mut moved)[index] += STEP;
                let up = loss(&moved, &table)?;
                entry(&mut moved)[index] -= 2.0 * STEP;
                close(name, &format!("{index:?}"), got, up - loss(&moved, &table)?)?;
            }
        }
        let Some(dbias) = gradients.dbias.filter(|_| with_bias) else {
            continue;
        };
        for index in 0..table.len() {
            let at = [index / 7, index % 7];
            let mut moved = table.clone();
            moved[at] += STEP;
            let up = loss(&tensors, &moved)?;
            moved[at] -= 2.0 * STEP;
            close(
                "dbias",
                &format!("{at:?}"),
                dbias[at.as_slice()],
                up - loss(&tensors, &moved)?,
            )?;
        }
    }
    held(true)
}

/// Σ dO∘O by the f64 form.
fn weighted_sum(
    attention: &dyn Attention,
    problem: &Problem<'_>,
    d_o: &Array4<f32>,
) -> Result<f64, String> {
    let mut sum = 0.0;
    for head in problem.heads() {
        let rows: Vec<usize> = (0..head.q.nrows()).collect();
        let form = attention
            .form_f64(problem, head.sequence, head.head, &rows)
            .map_err(|e| e.to_string())?;
        let d_o = d_o
            .index_axis(Axis(0), head.sequence)
            .index_axis_move(Axis(0), head.head);
        sum += form
            .output
            .iter()
            .zip(d_o.iter())
            .map(|(o, d)| o * f64::from(*d))
            .sum::<f64>();
    }
    Ok(sum)
}

fn close(name: &str, place: &str, got: f32, difference: f64) -> Result<(), String> {
    let expected = difference / f64::from(2.0 * STEP);
    let error = (f64::from(got) - expected).abs();
    if error.is_nan() || error > 1e-3 * expected.abs().max(1.0) {
        return Err(format!(
            "{name}{place} is {got}, differences give {expected:.6}"
        ));
    }
    Ok(())
}
