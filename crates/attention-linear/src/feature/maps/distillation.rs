//! How hedgehog's maps are learned: its weights distilled from softmax attention.

use super::hedgehog::{MAPS, VARIANT};
use crate::feature::map::CHUNK;
use crate::support;
use attention::tensors::expect_tensors;
use attention::variant::Parameters;
use attention::{Feature, Head, Problem, Result, Workers};
use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, Array3, ArrayView2, Axis, Ix3, Zip, s};

/// Least product φ(q)·φ(k) of which a logarithm is taken; the loss does not change below.
const LEAST: f32 = 1e-30;

/// The distillation loss of hedgehog, and its gradients by the maps.
#[derive(Debug, Clone, PartialEq)]
pub struct Distillation {
    /// Cross-entropy in nats, averaged over all query rows of all heads that see a key; 0 without any.
    pub loss: f64,
    /// Its gradient by `query_map` `[Hkv, D, D]`.
    pub query_map: Array3<f32>,
    /// Its gradient by `key_map` `[Hkv, D, D]`.
    pub key_map: Array3<f32>,
}

/// The cross-entropy -Σ_j P_ij·ln P̂_ij between softmax attention P = softmax(scale·QKᵀ) under the
/// problem's mask and hedgehog's own weights P̂_ij = φ(q_i)·φ(k_j) / Σ_n φ(q_i)·φ(k_n), averaged over
/// rows, with its gradients by the tensors `query_map` and `key_map` of the problem. V has no part in
/// it. Heads are shared out to `workers`; the bits are the same for any number.
///
/// Source: Zhang et al., The Hedgehog and the Porcupine, ICLR 2024, equation 4 (attention weight
/// distillation). Cost: O(Nq·Nk·D) time, O(64·Nk + Nk·D) memory a head.
///
/// # Errors
/// [`attention::Error::Unsupported`] for masks that hedgehog refuses, a bias and dropout;
/// [`attention::Error::Tensor`] where a map is missing or does not fit.
///
/// ```
/// use attention::{Problem, Tensors, Workers, variant::Parameters};
/// use attention_linear::{HEDGEHOG, hedgehog_distillation};
/// use ndarray::Array4;
/// let x = Array4::from_shape_fn((1, 1, 20, 4), |(_, _, i, d)| ((3 * i + 5 * d) % 7) as f32 - 3.0);
/// let problem = Problem::new(x.view(), x.view(), x.view())?;
/// let hedgehog = (HEDGEHOG.build)(&Parameters::defaults(HEDGEHOG.parameters))?;
/// let mut maps = Tensors::of(&*hedgehog, problem.geometry(), 0);
/// let workers = Workers::serial();
/// let before = hedgehog_distillation(&problem.supplied(&maps), &workers)?;
/// for (name, gradient) in [("query_map", &before.query_map), ("key_map", &before.key_map)] {
///     if let Some(map) = maps.get_mut(name) {
///         map.scaled_add(-0.1, &gradient.view().into_dyn());
///     }
/// }
/// let after = hedgehog_distillation(&problem.supplied(&maps), &workers)?;
/// assert!(after.loss < before.loss);
/// # Ok::<(), attention::Error>(())
/// ```
pub fn hedgehog_distillation(problem: &Problem<'_>, workers: &Workers) -> Result<Distillation> {
    let capabilities = support::linear(VARIANT.name);
    capabilities.admits_geometry(problem.geometry())?;
    if problem.bias().is_some() {
        capabilities.require(Feature::Bias)?;
    }
    if problem.dropout().is_some() {
        capabilities.require(Feature::Dropout)?;
    }
    let attention = (VARIANT.build)(&Parameters::defaults(VARIANT.parameters))?;
    expect_tensors(attention.as_ref(), problem)?;

    let shape = problem.shape();
    let heads: Vec<_> = problem.heads().collect();
    let parts = workers.map(heads, |head| {
        let key_head = problem.geometry().key_head(head.head);
        (key_head, of_head(problem, &head, key_head))
    });
    let (mut loss, mut rows) = (0.0, 0);
    let zeros = || Array3::<f64>::zeros((shape.hkv, shape.d, shape.d));
    let mut maps = [zeros(), zeros()];
    for (key_head, part) in &parts {
        loss += part.loss;
        rows += part.rows;
        for (map, part) in maps.iter_mut().zip(&part.maps) {
            let mut map = map.index_axis_mut(Axis(0), *key_head);
            map.zip_mut_with(part, |x, y| *x += f64::from(*y));
        }
    }
    let share = 1.0 / rows.max(1) as f64;
    let [query_map, key_map] = maps.map(|map| map.mapv(|x| (share * x) as f32));
    Ok(Distillation {
        loss: share * loss,
        query_map,
        key_map,
    })
}

/// Sums over the rows of a head.
struct Part {
    loss: f64,
    rows: usize,
    /// Gradients by the map of queries and that of keys `[D, D]`.
    maps: [Array2<f32>; 2],
}

fn of_head(problem: &Problem<'_>, head: &Head<'_>, key_head: usize) -> Part {
    let d = head.q.ncols();
    let map = |name| -> Array2<f32> {
        let tensor = problem.tensor(name).map(|t| t.view());
        let tensor = tensor.and_then(|t| t.into_dimensionality::<Ix3>().ok());
        let own = tensor.map(|t| t.index_axis(Axis(0), key_head).to_owned());
        own.unwrap_or_else(|| Array2::eye(d))
    };
    let [query_map, key_map] = MAPS.map(map);
    let nq = head.q.nrows();
    let end = |i: usize| head.mask.span(i).end;
    let keys = head.k.slice(s![..nq.checked_sub(1).map_or(0, end), ..]);
    let phi_k = softmax_of_signs(keys.dot(&key_map.t()));
    let mut d_phi_k = Array2::zeros(phi_k.dim());
    let mut part = Part {
        loss: 0.0,
        rows: 0,
        maps: [Array2::zeros((d, d)), Array2::zeros((d, d))],
    };
    for first in (0..nq).step_by(CHUNK) {
        let rows = first..nq.min(first + CHUNK);
        let ends: Vec<_> = rows.clone().map(end).collect();
        let last = ends.last().copied().unwrap_or(0);
        let seen = s![..last, ..];
        let queries = head.q.slice(s![rows, ..]);
        let mut scores = queries.dot(&keys.slice(seen).t());
        scores *= head.scale;
        let phi_q = softmax_of_signs(queries.dot(&query_map.t()));
        let mut products = phi_q.dot(&phi_k.slice(seen).t());
        let lines = scores.outer_iter_mut().zip(products.outer_iter_mut());
        for ((mut scores, mut products), &end) in lines.zip(&ends) {
            products.slice_mut(s![end..]).fill(0.0);
            if end > 0 {
                let (scores, products) = (scores.as_slice_mut(), products.as_slice_mut());
                if let (Some(scores), Some(products)) = (scores, products) {
                    part.loss += row(&mut scores[..end], &mut products[..end]);
                    part.rows += 1;
                }
            }
        }
        let d_products = products;
        let d_phi_q = d_products.dot(&phi_k.slice(seen));
        let mut to = d_phi_k.slice_mut(seen);
        general_mat_mul(1.0, &d_products.t(), &phi_q, 1.0, &mut to);
        let dy = through_softmax(phi_q.view(), d_phi_q.view());
        general_mat_mul(1.0, &dy.t(), &queries, 1.0, &mut part.maps[0]);
    }
    let dy = through_softmax(phi_k.view(), d_phi_k.view());
    general_mat_mul(1.0, &dy.t(), &keys, 1.0, &mut part.maps[1]);
    part
}

/// The cross-entropy of a row from its scores and products φ(q)·φ(k) =: a, which become its gradients:
/// with z = Σ a that is 1/z - P/a, since -Σ P·ln(a/z) = ln z - Σ P·ln a.
fn row(scores: &mut [f32], products: &mut [f32]) -> f64 {
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    scores.iter_mut().for_each(|s| *s = (*s - top).exp());
    let sum: f64 = scores.iter().map(|s| f64::from(*s)).sum();
    let z: f64 = products.iter().map(|a| f64::from(a.max(LEAST))).sum();
    let (share, inverse) = ((1.0 / sum) as f32, (1.0 / z) as f32);
    let mut logarithms = 0.0;
    for (s, a) in scores.iter().zip(products) {
        let p = share * s;
        let floored = *a <= LEAST;
        logarithms += f64::from(p) * f64::from(a.max(LEAST).ln());
        *a = if floored { 0.0 } else { inverse - p / *a };
    }
    z.ln() - logarithms
}

/// softmax([y, -y]) of each row `[n, 2D]`.
fn softmax_of_signs(y: Array2<f32>) -> Array2<f32> {
    let d = y.ncols();
    let mut phi = Array2::zeros((y.nrows(), 2 * d));
    for (mut phi, y) in phi.outer_iter_mut().zip(y.outer_iter()) {
        let top = y.iter().fold(0.0_f32, |top, y| top.max(y.abs()));
        let mut sum = 0.0;
        for (f, &y) in y.iter().enumerate() {
            (phi[f], phi[d + f]) = ((y - top).exp(), (-y - top).exp());
            sum += phi[f] + phi[d + f];
        }
        phi.mapv_inplace(|x| x / sum);
    }
    phi
}

/// dy `[n, D]` from φ = softmax([y, -y]) and its gradient: dz = φ∘(dφ - φ·dφ), dy = dz₊ - dz₋.
fn through_softmax(phi: ArrayView2<'_, f32>, d_phi: ArrayView2<'_, f32>) -> Array2<f32> {
    let d = phi.ncols() / 2;
    let mut dy = Array2::zeros((phi.nrows(), d));
    let lines = Zip::from(dy.rows_mut()).and(phi.rows()).and(d_phi.rows());
    lines.for_each(|mut dy, phi, d_phi| {
        let dot = phi.dot(&d_phi);
        for (f, dy) in dy.iter_mut().enumerate() {
            *dy = phi[f] * (d_phi[f] - dot) - phi[d + f] * (d_phi[d + f] - dot);
        }
    });
    dy
}
