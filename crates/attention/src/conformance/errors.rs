//! Wrong requests.

use super::Verdict;
use super::agree::held;
use super::inputs::{self, shape};
use crate::attention::Attention;
use crate::capabilities::Feature;
use crate::error::Error;
use crate::gradients::Gradients;
use crate::output::{Output, OutputMut};
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::tensors::Tensors;
use crate::workers::Workers;
use ndarray::{Array3, Array4, ArrayD};

pub(super) fn typed(attention: &dyn Attention) -> Verdict {
    let tensors = inputs::Tensors::new(shape([2, 2, 2, 6, 7, 4, 3]), 1);
    let problem = tensors.problem().map_err(|e| e.to_string())?;
    let call = |out: OutputMut<'_>| {
        attention.forward(&problem, out, &Workers::serial(), &mut Scratch::new())
    };

    for wrong in [(2, 2, 6, 4), (2, 2, 7, 3), (1, 2, 6, 3), (2, 1, 6, 3)] {
        let mut o = Array4::zeros(wrong);
        match call(OutputMut {
            o: o.view_mut(),
            lse: None,
        }) {
            Err(Error::Shape { tensor: "O", .. }) => {}
            other => {
                return Err(format!(
                    "O of shape {wrong:?} gave {other:?}, not a shape error"
                ));
            }
        }
    }

    let mut reversed = Array4::zeros((3, 2, 6, 2));
    let strided = reversed
        .view_mut()
        .reversed_axes()
        .permuted_axes([0, 2, 1, 3]);
    match call(OutputMut {
        o: strided,
        lse: None,
    }) {
        Err(Error::Stride { tensor: "O", .. }) => {}
        other => return Err(format!("O whose last axis is strided gave {other:?}")),
    }

    if attention.capabilities().has(Feature::LogSumExp) {
        let mut output = Output::poisoned(problem.geometry(), false);
        let mut lse = Array3::zeros((2, 2, 7));
        match call(OutputMut {
            o: output.o.view_mut(),
            lse: Some(lse.view_mut()),
        }) {
            Err(Error::Shape { tensor: "L", .. }) => {}
            other => return Err(format!("L of a wrong shape gave {other:?}")),
        }
    }

    if attention.capabilities().has(Feature::Backward) {
        backward(attention, &problem)?;
    }
    misfits(attention, &problem)?;

    let (q, k) = (&tensors.q, &tensors.k);
    let wide = Array4::zeros((2, 2, 7, 5));
    let long = Array4::zeros((2, 2, 8, 3));
    let three = Array4::zeros((2, 3, 7, 4));
    let pairs = [
        ("K", Problem::new(q.view(), wide.view(), tensors.v.view())),
        ("V", Problem::new(q.view(), k.view(), long.view())),
        ("K", Problem::new(q.view(), three.view(), three.view())),
    ];
    for (letter, result) in pairs {
        match result {
            Err(Error::Shape { tensor, .. }) if tensor == letter => {}
            other => {
                return Err(format!(
                    "a wrong {letter} gave {:?}",
                    other.map(|_| "a problem")
                ));
            }
        }
    }
    held(true)
}

fn backward(attention: &dyn Attention, problem: &Problem<'_>) -> Result<(), String> {
    let call = |saved: &Output, d_o: &Array4<f32>, out: &mut Gradients| {
        let (workers, mut scratch) = (Workers::serial(), Scratch::new());
        attention.backward(problem, saved, d_o.view(), out, &workers, &mut scratch)
    };
    let saved = Output::poisoned(problem.geometry(), true);
    let mut short = Gradients::zeros(problem);
    short.dk = Array4::zeros((2, 2, 6, 4));
    let mut cases = vec![
        ("dK", call(&saved, &saved.o, &mut short)),
        (
            "dO",
            call(&saved, &short.dk, &mut Gradients::zeros(problem)),
        ),
    ];
    if attention.capabilities().has(Feature::LogSumExp) {
        let without = Output::poisoned(problem.geometry(), false);
        let result = call(&without, &saved.o, &mut Gradients::zeros(problem));
        cases.push(("L", result));
    }
    for (letter, result) in cases {
        match result {
            Err(Error::Shape { tensor, .. }) if tensor == letter => {}
            other => return Err(format!("backward with a wrong {letter} gave {other:?}")),
        }
    }
    Ok(())
}

/// A tensor of a wrong shape, in forward and backward.
fn misfits(attention: &dyn Attention, problem: &Problem<'_>) -> Result<(), String> {
    for spec in attention.tensors(problem.geometry()) {
        let mut shape = spec.shape.clone();
        shape.push(1);
        let (misfit, others) = (ArrayD::zeros(shape), Tensors::default());
        let problem = problem.supplied(&others);
        let problem = problem.with_tensor(spec.name, misfit.view());
        let (workers, mut scratch) = (Workers::serial(), Scratch::new());
        let mut saved = Output::poisoned(problem.geometry(), false);
        let forward = attention.forward(&problem, saved.view_mut(), &workers, &mut scratch);
        let mut results = vec![("forward", forward)];
        if attention.capabilities().has(Feature::Backward) {
            let saved = Output::poisoned(
                problem.geometry(),
                attention.capabilities().has(Feature::LogSumExp),
            );
            let (d_o, mut out) = (saved.o.view(), Gradients::zeros(&problem));
            let backward =
                attention.backward(&problem, &saved, d_o, &mut out, &workers, &mut scratch);
            results.push(("backward", backward));
        }
        for (call, result) in results {
            match result {
                Err(Error::Tensor { name, .. }) if name == spec.name => {}
                other => {
                    let name = spec.name;
                    return Err(format!(
                        "{call} with a `{name}` of wrong shape gave {other:?}"
                    ));
                }
            }
        }
    }
    Ok(())
}
