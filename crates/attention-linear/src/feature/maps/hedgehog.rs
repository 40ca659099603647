//! Hedgehog: a learned map by softmax over both signs, of Zhang et al. 2024.

use crate::feature::kernels::{Ahead, LANES, add_product, rows, rows_mut, set_product, transpose};
use crate::feature::map::{CHUNK, Extent, FeatureMap, Gradient, LEAST_SUM, Side, Tokens};
use crate::feature::units;
use crate::feature::variant::{Definition, ISA, Linear};
use crate::form;
use attention::numeric::LOG2_E;
use attention::simd::Isa;
use attention::variant::{Family, Variant};
use attention::{Geometry, Head, Init, Problem, TensorSpec};
use ndarray::{Array2, ArrayView2, Axis, Ix3};

/// Attention with φ(x) = softmax([Wx, -Wx]) over 2·D features, weights φ(q)·φ(k) over their sum.
///
/// W is learned, one of queries and one of keys for each key head: `query_map` and `key_map`
/// `[Hkv, D, D]`, identities to begin with. x is taken as it is, and the problem's `scale` has no
/// effect. A row's sum below 1e-10 counts as 1e-10.
///
/// Source: Zhang et al., The Hedgehog and the Porcupine, ICLR 2024, equations 3 and 6 and section 4.2.
/// Cost: O(N·2D·(D + Dv)) time, state 2D·(Dv + 1).
pub static VARIANT: Variant = Variant {
    name: "hedgehog",
    family: Family::Linear,
    summary: "learned map, softmax of [Wx, -Wx] for each token; ignores the scale",
    time: "O(N·D²)",
    state: "2D·(Dv + 1)",
    source: "Zhang et al., The Hedgehog and the Porcupine, ICLR 2024, eq. 3 and 6",
    parameters: &[ISA],
    build: |parameters| Linear::build(parameters, Hedgehog),
};

pub(super) const MAPS: [&str; 2] = ["query_map", "key_map"];

struct Hedgehog;

/// The map of one problem.
pub(super) struct Features<'a> {
    d: usize,
    /// `[Hkv, D, D]` of queries and of keys.
    maps: [&'a [f32]; 2],
}

impl Features<'_> {
    fn matrix(&self, tokens: &Tokens<'_>) -> &[f32] {
        let map = self.maps[usize::from(tokens.side == Side::Key)];
        let each = self.d * self.d;
        map.get(tokens.key_head * each..(tokens.key_head + 1) * each)
            .unwrap_or_default()
    }

    fn strides(&self) -> (usize, usize) {
        let lanes = |n: usize| n.next_multiple_of(LANES);
        (lanes(self.d), lanes(2 * self.d))
    }
}

impl FeatureMap for Features<'_> {
    fn features(&self, isa: Isa, tokens: &Tokens<'_>, work: &mut [f32], phi: &mut [f32]) {
        let (d, n, (token, whole)) = (self.d, tokens.count(), self.strides());
        if d == 0 {
            return;
        }
        let (across, rest) = work.split_at_mut(d * token);
        let (y, zeros) = rest.split_at_mut(CHUNK * token);
        let map = rows(self.matrix(tokens), d);
        transpose(isa, map, (d, d), rows_mut(across, token));
        let x = rows(tokens.x, token).left();
        let sizes = (n, d, token);
        set_product(
            isa,
            x,
            rows(across, token),
            sizes,
            rows_mut(y, token),
            Ahead::NONE,
        );
        for (phi, y) in phi
            .chunks_exact_mut(whole)
            .zip(y.chunks_exact(token))
            .take(n)
        {
            let (plus, minus) = phi.split_at_mut(d);
            for ((plus, minus), y) in plus.iter_mut().zip(minus).zip(y) {
                (*plus, *minus) = (y * LOG2_E, -y * LOG2_E);
            }
        }
        zeros.fill(0.0);
        units::bring_queries(isa, phi, n, 2 * d, zeros);
        for phi in phi.chunks_exact_mut(whole).take(n) {
            let factor = 1.0 / phi.iter().sum::<f32>();
            phi.iter_mut().for_each(|x| *x *= factor);
        }
    }

    /// Through the softmax, dz = φ∘(dφ - φ·dφ), then dy = dz₊ - dz₋, dW = dyᵀX, dX = dy·W.
    fn pull_back(
        &self,
        isa: Isa,
        tokens: &Tokens<'_>,
        work: &mut [f32],
        gradient: Gradient<'_>,
        learned: &mut [f32],
    ) {
        let (d, n, (token, whole)) = (self.d, tokens.count(), self.strides());
        if d == 0 {
            return;
        }
        let Gradient { phi, d_phi, dx } = gradient;
        let (map, rest) = work.split_at_mut(d * token);
        let dy = &mut rest[..CHUNK * token];
        let lines = phi.chunks_exact(whole).zip(d_phi.chunks_exact(whole));
        for (dy, (phi, d_phi)) in dy.chunks_exact_mut(token).zip(lines).take(n) {
            let dot: f32 = phi.iter().zip(d_phi).map(|(x, y)| x * y).sum();
            let dz = |f: usize| phi[f] * (d_phi[f] - dot);
            dy[d..].fill(0.0);
            for (f, dy) in dy[..d].iter_mut().enumerate() {
                *dy = dz(f) - dz(d + f);
            }
        }
        let dy = rows(dy, token);
        let side = usize::from(tokens.side == Side::Key);
        // The gradient of the map, padded, then without.
        let sizes = (d, n, token);
        let x = rows(tokens.x, token);
        set_product(
            isa,
            dy.transposed(),
            x,
            sizes,
            rows_mut(map, token),
            Ahead::NONE,
        );
        let own = &mut learned[side * d * d..(side + 1) * d * d];
        for (to, from) in own.chunks_exact_mut(d).zip(map.chunks_exact(token)) {
            to.iter_mut().zip(from).for_each(|(to, x)| *to += x);
        }
        for (to, from) in map
            .chunks_exact_mut(token)
            .zip(self.matrix(tokens).chunks_exact(d))
        {
            to[..d].copy_from_slice(from);
            to[d..].fill(0.0);
        }
        dx[..n * token].fill(0.0);
        let to = rows_mut(dx, token);
        add_product(
            isa,
            dy.left(),
            rows(map, token),
            (n, d, token),
            to,
            Ahead::NONE,
        );
    }
}

impl Definition for Hedgehog {
    type Map<'a> = Features<'a>;

    fn name(&self) -> &'static str {
        VARIANT.name
    }

    fn extent(&self, d: usize) -> Extent {
        let (token, whole) = (d.next_multiple_of(LANES), (2 * d).next_multiple_of(LANES));
        Extent {
            work: d * token + CHUNK * token + whole,
            learned: 2 * d * d,
            ..Extent::plain(2 * d, (2 * d * d + 12 * d) as u64)
        }
    }

    fn map<'a>(&'a self, problem: &'a Problem<'_>) -> Features<'a> {
        let of = |name| problem.tensor(name).and_then(|t| t.as_slice());
        Features {
            d: problem.shape().d,
            maps: MAPS.map(|name| of(name).unwrap_or_default()),
        }
    }

    fn tensors(&self, geometry: &Geometry) -> Vec<TensorSpec> {
        let s = geometry.shape();
        let specs = MAPS.map(|name| TensorSpec {
            name,
            learned: true,
            shape: vec![s.hkv, s.d, s.d],
            init: Init::Identity,
            summary: "W of φ(x) = softmax([Wx, -Wx])",
        });
        specs.to_vec()
    }

    fn weights(&self, problem: &Problem<'_>, head: &Head<'_>, rows: &[usize]) -> Array2<f64> {
        let key_head = problem.geometry().key_head(head.head);
        let map = |name: &str| -> Array2<f64> {
            let tensor = problem.tensor(name).map(|t| t.view());
            let tensor = tensor.and_then(|t| t.into_dimensionality::<Ix3>().ok());
            tensor.map_or_else(
                || Array2::eye(head.q.ncols()),
                |t| t.index_axis(Axis(0), key_head).mapv(f64::from),
            )
        };
        let phi_q = softmax_of_signs(form::queries(head, rows).dot(&map(MAPS[0]).t()).view());
        let keys = head.k.mapv(f64::from);
        let phi_k = softmax_of_signs(keys.dot(&map(MAPS[1]).t()).view());
        let mut weights = form::products(head, rows, phi_q.view(), phi_k.view());
        form::normalise_rows(&mut weights, f64::from(LEAST_SUM));
        weights
    }

    /// Exponents of the size of Wx are rounded, which grows with the scores: 8·ε·max|S|, and no less
    /// than 100·ε.
    fn error_budget(&self, max_abs_score: f64) -> f64 {
        f64::from(f32::EPSILON) * (8.0 * max_abs_score).max(100.0)
    }
}

/// softmax([y, -y]) of each row.
fn softmax_of_signs(y: ArrayView2<'_, f64>) -> Array2<f64> {
    let d = y.ncols();
    let mut z = Array2::from_shape_fn((y.nrows(), 2 * d), |(r, f)| {
        if f < d { y[[r, f]] } else { -y[[r, f - d]] }
    });
    for mut row in z.outer_iter_mut() {
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        row.mapv_inplace(|x| (x - top).exp());
        let sum = row.sum();
        row.mapv_inplace(|x| x / sum);
    }
    z
}
