//! Sizes, memory orders, jagged batches, threads.

use super::Verdict;
use super::agree::{answer, answer_on, check, claimed, held, row_of};
use super::inputs::{Tensors, normal, shape};
use super::supplied::SEED;
use crate::attention::Attention;
use crate::capabilities::Feature;
use crate::geometry::Geometry;
use crate::mask::{Alignment, Mask};
use crate::output::Output;
use crate::problem::Problem;
use crate::scratch::Scratch;
use crate::workers::Workers;
use ndarray::{Array4, ArrayD, Axis};

pub(super) fn odd_shapes(attention: &dyn Attention) -> Verdict {
    let sizes = [
        [1, 1, 1, 1, 1, 1, 1],
        [2, 3, 3, 17, 17, 5, 3],
        [1, 2, 2, 63, 65, 16, 16],
        [1, 1, 1, 64, 64, 64, 64],
        [1, 1, 1, 129, 200, 50, 33],
        [3, 2, 2, 33, 70, 32, 48],
        [1, 2, 2, 100, 100, 128, 128],
        [1, 1, 1, 5, 300, 17, 1],
        [1, 1, 1, 3, 3, 256, 256],
        [1, 1, 1, 3, 4, 0, 2],
    ];
    for (n, sizes) in sizes.into_iter().enumerate() {
        let tensors = Tensors::new(shape(sizes), n as u64);
        let problem = tensors.problem().map_err(|e| e.to_string())?;
        check(attention, &problem, "full mask")?;
        check(attention, &problem.with_scale(1.0 / 3.0), "scale 1/3")?;
    }
    held(true)
}

pub(super) fn empty(attention: &dyn Attention) -> Verdict {
    for sizes in [
        [0, 2, 2, 4, 4, 8, 8],
        [1, 1, 1, 0, 5, 8, 8],
        [2, 2, 2, 5, 0, 8, 4],
        [1, 1, 1, 2, 2, 8, 0],
    ] {
        let tensors = Tensors::new(shape(sizes), 0);
        let problem = tensors.problem().map_err(|e| e.to_string())?;
        let output = answer(attention, &problem)?;
        if output.o.iter().any(|&x| x != 0.0) {
            return Err(format!(
                "{}: O must be zero where there is no key",
                problem.shape()
            ));
        }
        if output
            .lse
            .is_some_and(|l| sizes[4] == 0 && l.iter().any(|&x| x != f32::NEG_INFINITY))
        {
            return Err(format!(
                "{}: L must be -inf where there is no key",
                problem.shape()
            ));
        }
    }
    held(true)
}

pub(super) fn strides(attention: &dyn Attention) -> Verdict {
    let sizes = [2, 2, 2, 40, 50, 16, 8];
    let plain = Tensors::new(shape(sizes), 800);
    let expected = answer(attention, &plain.problem().map_err(|e| e.to_string())?)?;
    // [B, N, H, D] in memory, as projections leave it; and the last axis outermost.
    for order in [[0, 2, 1, 3], [3, 0, 1, 2]] {
        let reorder = |t: &Array4<f32>| -> Array4<f32> {
            t.view()
                .permuted_axes(order)
                .as_standard_layout()
                .into_owned()
        };
        let mut back = [0; 4];
        order
            .iter()
            .enumerate()
            .for_each(|(to, &from)| back[from] = to);
        let (q, k, v) = (reorder(&plain.q), reorder(&plain.k), reorder(&plain.v));
        let problem = Problem::new(
            q.view().permuted_axes(back),
            k.view().permuted_axes(back),
            v.view().permuted_axes(back),
        )
        .map_err(|e| e.to_string())?;
        if answer(attention, &problem)? != expected {
            return Err(format!(
                "tensors stored in axis order {order:?} give another answer"
            ));
        }
    }
    held(true)
}

pub(super) fn grouped_heads(attention: &dyn Attention) -> Verdict {
    let tensors = Tensors::new(shape([2, 6, 2, 30, 40, 16, 8]), 900);
    let problem = tensors.problem().map_err(|e| e.to_string())?;
    if !claimed(attention, Feature::GroupedHeads, &problem)? {
        return held(false);
    }
    let grouped = check(attention, &problem, "six heads over two")?;
    let repeat = |t: &Array4<f32>| t.select(Axis(1), &[0, 0, 0, 1, 1, 1]);
    let (k, v) = (repeat(&tensors.k), repeat(&tensors.v));
    let mut expanded =
        Problem::new(tensors.q.view(), k.view(), v.view()).map_err(|e| e.to_string())?;
    let repeated = repeated(attention, problem.geometry(), expanded.geometry());
    for (name, tensor) in &repeated {
        expanded = expanded.with_tensor(name, tensor.view());
    }
    // Where a variant's definition tells key heads apart (decays by head), repeated ones differ.
    let forms = |problem: &Problem<'_>| {
        let heads = (0..6).map(|h| attention.form_f64(problem, 0, h, &[29]));
        let forms: crate::Result<Vec<_>> = heads.collect();
        forms.map_err(|e| e.to_string())
    };
    let alike = forms(&problem)? == forms(&expanded)?;
    if answer(attention, &expanded)?.o != grouped.o && alike {
        return Err("key heads repeated by hand give another answer".into());
    }
    held(true)
}

/// A variant's tensors for six key heads, made of those for two.
fn repeated(
    attention: &dyn Attention,
    two: &Geometry,
    six: &Geometry,
) -> Vec<(&'static str, ArrayD<f32>)> {
    let pairs = attention.tensors(two).into_iter();
    pairs
        .zip(attention.tensors(six))
        .map(|(two, six)| {
            let sizes = two.shape.iter().zip(&six.shape);
            let heads = sizes.into_iter().position(|(two, six)| two != six);
            let tensor = two.make(SEED);
            let repeated = heads.map(|axis| tensor.select(Axis(axis), &[0, 0, 0, 1, 1, 1]));
            // Selecting leaves the selected axis outermost in memory.
            let repeated = repeated.map(|t| t.as_standard_layout().into_owned());
            (two.name, repeated.unwrap_or(tensor))
        })
        .collect()
}

pub(super) fn jagged(attention: &dyn Attention) -> Verdict {
    let lengths = [65, 0, 1, 130, 20];
    let offsets: Vec<usize> = std::iter::once(0)
        .chain(lengths.iter().scan(0, |end, n| {
            *end += n;
            Some(*end)
        }))
        .collect();
    let total = offsets[lengths.len()];
    let (q, k, v) = (
        normal((1, 2, total, 16), 1),
        normal((1, 2, total, 16), 2),
        normal((1, 2, total, 8), 3),
    );
    let whole = Problem::jagged(
        q.view(),
        k.view(),
        v.view(),
        offsets.clone(),
        offsets.clone(),
    )
    .map_err(|e| e.to_string())?;
    if !claimed(attention, Feature::Jagged, &whole)? {
        return held(false);
    }
    let mut masks = vec![Mask::full()];
    if attention.capabilities().has(Feature::Causal) {
        masks.push(Mask::causal(Alignment::TopLeft));
    }
    for mask in masks {
        let whole = whole.patterned(&mask).map_err(|e| e.to_string())?;
        let together = check(attention, &whole, "histories end to end")?;
        for (s, &n) in lengths.iter().enumerate().filter(|(_, n)| **n > 0) {
            let cut = |t: &Array4<f32>| {
                t.slice_axis(Axis(2), (offsets[s]..offsets[s] + n).into())
                    .to_owned()
            };
            let (q, k, v) = (cut(&q), cut(&k), cut(&v));
            let alone = Problem::new(q.view(), k.view(), v.view())
                .and_then(|p| p.with_mask(mask.clone()))
                .map_err(|e| e.to_string())?;
            if attention
                .pattern(alone.geometry())
                .map_err(|e| e.to_string())?
                .is_none()
            {
                let output = answer(attention, &alone)?;
                same_rows(&whole, &together, &alone, &output, s, n)?;
            }
        }
    }
    held(true)
}

fn same_rows(
    whole: &Problem<'_>,
    together: &Output,
    alone: &Problem<'_>,
    output: &Output,
    s: usize,
    n: usize,
) -> Result<(), String> {
    for h in 0..2 {
        for i in 0..n {
            let (a, b) = (
                row_of(whole, together, s, h, i),
                row_of(alone, output, 0, h, i),
            );
            let error = (&a - &b).mapv(f64::abs).sum();
            if error.is_nan() || error > 1e-5 * b.mapv(f64::abs).sum().max(1e-3) {
                return Err(format!(
                    "history {s}, head {h}, query {i} differs by {error:.1e} from the history alone"
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn determinism(attention: &dyn Attention) -> Verdict {
    let tensors = Tensors::new(shape([2, 3, 3, 300, 300, 16, 16]), 1000);
    let mut problems = vec![tensors.problem().map_err(|e| e.to_string())?];
    if attention.capabilities().has(Feature::Causal) {
        let causal = tensors
            .problem()
            .and_then(|p| p.with_mask(Mask::causal(Alignment::TopLeft)));
        problems.push(causal.map_err(|e| e.to_string())?);
    }
    for problem in &problems {
        let first = answer(attention, problem)?;
        for threads in [1, 2, 4] {
            let workers = Workers::new(threads).map_err(|e| e.to_string())?;
            let again = answer_on(attention, problem, &workers)?;
            if bits(&again) != bits(&first) {
                return Err(format!(
                    "{threads} threads give other bits than the first run"
                ));
            }
        }
    }
    held(true)
}

pub(super) fn bits(output: &Output) -> Vec<u32> {
    let lse = output.lse.iter().flat_map(|l| l.iter());
    output.o.iter().chain(lse).map(|x| x.to_bits()).collect()
}

pub(super) fn scratch(attention: &dyn Attention) -> Verdict {
    let tensors = Tensors::new(shape([2, 2, 2, 150, 150, 16, 16]), 1100);
    let problem = tensors.problem().map_err(|e| e.to_string())?;
    for threads in [1, 2] {
        let workers = Workers::new(threads).map_err(|e| e.to_string())?;
        let foretold = attention.scratch_bytes(problem.geometry(), threads);
        let mut scratch = Scratch::new();
        // Stale content must not show in the answer.
        scratch.reserve(foretold);
        scratch
            .parts(1, (foretold / 4).saturating_sub(16) as usize)
            .for_each(|p| p.fill(f32::NAN));
        let mut output = Output::poisoned(problem.geometry(), false);
        attention
            .forward(&problem, output.view_mut(), &workers, &mut scratch)
            .map_err(|e| e.to_string())?;
        if scratch.bytes() > foretold {
            return Err(format!(
                "{threads} threads took {} bytes of scratch, but {foretold} were foretold",
                scratch.bytes()
            ));
        }
        if output.o != answer(attention, &problem)?.o {
            return Err("an answer depends on what was in the scratch before".into());
        }
    }
    held(true)
}
