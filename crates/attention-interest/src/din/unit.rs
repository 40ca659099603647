//! The network: hidden units by rows, keys in the lanes.

use crate::lanes::{
    add, add_row_sums, add_scaled_rows, dot_lanes, row_products, shifted, sigmoid_back, spread,
    weighted_sum,
};
use crate::learned::weights;
use crate::memory;
use crate::rows::{add_turned, outer_add, turn};
use crate::unit::{KEYS, Lanes, Unit};
use attention::Problem;
use attention::simd::Isa;
use attention::simd::activation::sigmoid_rows;
use attention::simd::matrix::{Rows, RowsMut, Sum, multiply, pack_rows, padded};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, concatenate};

#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) isa: Isa,
    pub(super) d: usize,
    pub(super) hidden: [usize; 2],
    pub(super) softmax: bool,
}

impl Sizes {
    /// Floats of w1, b1, w2, b2, w3, b3.
    fn learned(&self) -> [usize; 6] {
        let [h1, h2] = self.hidden;
        [4 * self.d * h1, h1, h1 * h2, h2, h2, 1]
    }

    /// The gradient by W_d from those by W_q + W_d and W_k - W_d, which stand in the places of W_q and W_k.
    pub(super) fn divide(&self, learned: &mut [f64]) {
        let part = self.d * self.hidden[0];
        for n in 0..part {
            learned[2 * part + n] = learned[n] - learned[part + n];
        }
    }

    /// Kᵀ, the query's matrix and sums, both layers' units; then the gradient by Kᵀ, by both layers' sums,
    /// by the query's matrix and sums, and rows of one layer.
    fn memory(&self) -> [usize; 11] {
        let (d, [h1, h2]) = (self.d, self.hidden);
        [
            d * KEYS,
            d * h1,
            h1,
            h1 * KEYS,
            h2 * KEYS,
            d * KEYS,
            h1 * KEYS,
            h2 * KEYS,
            d * h1,
            h1,
            KEYS * padded(h1.max(h2)),
        ]
    }

    fn forward_memory(&self) -> [usize; 5] {
        let [a, b, c, d, e, ..] = self.memory();
        [a, b, c, d, e]
    }
}

pub(super) struct Din<'p> {
    sizes: Sizes,
    scale: f32,
    /// W_q + W_d, W_k - W_d, `[D, h1]` each.
    of_query: Vec<f32>,
    of_key: Vec<f32>,
    /// W_p `[D, h1]`.
    of_product: &'p [f32],
    w1: &'p [f32],
    b1: &'p [f32],
    w2: &'p [f32],
    b2: &'p [f32],
    w3: &'p [f32],
    b3: f32,
}

impl<'p> Din<'p> {
    pub(super) fn new(sizes: Sizes, problem: &'p Problem<'_>) -> Self {
        let w1 = weights(problem, "w1");
        let part = sizes.d * sizes.hidden[0];
        let [of_q, of_k, of_d, of_product] = [0, 1, 2, 3].map(|n| &w1[n * part..(n + 1) * part]);
        Self {
            scale: problem.scale(),
            of_query: of_q.iter().zip(of_d).map(|(q, d)| q + d).collect(),
            of_key: of_k.iter().zip(of_d).map(|(k, d)| k - d).collect(),
            of_product,
            w1,
            b1: weights(problem, "b1"),
            w2: weights(problem, "w2"),
            b2: weights(problem, "b2"),
            w3: weights(problem, "w3"),
            b3: weights(problem, "b3").first().copied().unwrap_or(0.0),
            ..Self::outline(sizes)
        }
    }

    /// Without weights, for what depends on sizes alone.
    pub(super) fn outline(sizes: Sizes) -> Self {
        Self {
            sizes,
            scale: 1.0,
            of_query: Vec::new(),
            of_key: Vec::new(),
            of_product: &[],
            w1: &[],
            b1: &[],
            w2: &[],
            b2: &[],
            w3: &[],
            b3: 0.0,
        }
    }

    fn second(&self) -> ArrayView2<'_, f32> {
        let [h1, h2] = self.sizes.hidden;
        matrix(self.w2, h1, h2)
    }
}

fn matrix(data: &[f32], rows: usize, columns: usize) -> ArrayView2<'_, f32> {
    ArrayView2::from_shape((rows, columns), data).expect("its shape was checked")
}

fn lanes(data: &[f32]) -> Rows<'_> {
    Rows { data, stride: KEYS }
}

fn lanes_mut(data: &mut [f32]) -> RowsMut<'_> {
    RowsMut { data, stride: KEYS }
}

impl Unit for Din<'_> {
    fn floats(&self) -> [usize; 2] {
        [
            memory::floats(self.sizes.forward_memory()),
            memory::floats(self.sizes.memory()),
        ]
    }

    fn learned_floats(&self) -> usize {
        self.sizes.learned().into_iter().sum()
    }

    fn softmax(&self) -> bool {
        self.sizes.softmax
    }

    fn open(&self, k: ArrayView2<'_, f32>, memory: &mut [f32]) {
        let before = memory::floats(self.sizes.forward_memory());
        if let Some(d_kt) = memory.get_mut(before..before + self.sizes.d * KEYS) {
            d_kt.fill(0.0);
        }
        let [kt, ..] = memory::cut(memory, self.sizes.forward_memory());
        // Lanes behind the last key take part in sums, with a gradient of zero.
        kt.fill(0.0);
        pack_rows(self.sizes.isa, k, 1.0, kt);
    }

    fn score(&self, q: &[f32], memory: &mut [f32], scores: &mut Lanes) {
        let Sizes { isa, d, hidden, .. } = self.sizes;
        let [kt, own, sums, first, second] = memory::cut(memory, self.sizes.forward_memory());
        shifted(isa, &self.of_key, q, self.of_product, own);
        sums.copy_from_slice(self.b1);
        weighted_sum(isa, q, &self.of_query, sums);
        let own = matrix(own, d, hidden[0]).reversed_axes();
        multiply(isa, own, lanes(kt), lanes_mut(first), KEYS, Sum::Write);
        sigmoid_rows(isa, first, sums);
        let (w2, to) = (self.second().reversed_axes(), lanes_mut(second));
        multiply(isa, w2, lanes(first), to, KEYS, Sum::Write);
        sigmoid_rows(isa, second, self.b2);
        scores.fill(self.b3);
        dot_lanes(isa, self.w3, second, scores);
        scores.iter_mut().for_each(|score| *score *= self.scale);
    }

    fn differentiate(
        &self,
        (q, _): (&[f32], ArrayView2<'_, f32>),
        d_scores: &Lanes,
        memory: &mut [f32],
        d_q: &mut [f32],
        learned: &mut [f32],
    ) {
        let Sizes {
            isa,
            d,
            hidden: [h1, h2],
            ..
        } = self.sizes;
        let [
            kt,
            own,
            _,
            first,
            second,
            d_kt,
            d_first,
            d_second,
            d_own,
            d_sums,
            rows,
        ] = memory::cut(memory, self.sizes.memory());
        let d_scores = d_scores.map(|x| x * self.scale);
        let mut rest = learned;
        let [d_w1, d_b1, d_w2, d_b2, d_w3, d_b3] = self.sizes.learned().map(|size| {
            let (part, behind) = std::mem::take(&mut rest).split_at_mut(size);
            rest = behind;
            part
        });
        // What all scores have in common does not change their softmax.
        if !self.sizes.softmax {
            add_row_sums(isa, &d_scores, None, d_b3);
        }
        add_row_sums(isa, second, Some(&d_scores), d_w3);
        spread(isa, self.w3, &d_scores, d_second);
        sigmoid_back(isa, second, d_second);
        add_row_sums(isa, d_second, None, d_b2);
        turn(isa, d_second, rows, h2);
        let right = Rows {
            data: rows,
            stride: padded(h2),
        };
        let to = RowsMut {
            data: d_w2,
            stride: h2,
        };
        multiply(isa, matrix(first, h1, KEYS), right, to, h2, Sum::Add);

        let to = lanes_mut(d_first);
        multiply(isa, self.second(), lanes(d_second), to, KEYS, Sum::Write);
        sigmoid_back(isa, first, d_first);
        d_sums.fill(0.0);
        add_row_sums(isa, d_first, None, d_sums);
        add(isa, d_sums, d_b1);
        let (d_of_query, d_w1) = d_w1.split_at_mut(d * h1);
        let (d_of_key, d_w1) = d_w1.split_at_mut(d * h1);
        let d_of_product = &mut d_w1[d * h1..];
        outer_add(isa, q, d_sums, d_of_query);
        row_products(isa, &self.of_query, d_sums, d_q);
        turn(isa, d_first, rows, h1);
        let right = Rows {
            data: rows,
            stride: padded(h1),
        };
        let to = RowsMut {
            data: d_own,
            stride: h1,
        };
        multiply(isa, matrix(kt, d, KEYS), right, to, h1, Sum::Write);
        add(isa, d_own, d_of_key);
        add_scaled_rows(isa, q, d_own, d_of_product);
        for (sum, (x, w)) in d_q
            .iter_mut()
            .zip(d_own.chunks_exact(h1).zip(self.of_product.chunks_exact(h1)))
        {
            let mut product = [0.0];
            row_products(isa, x, w, &mut product);
            *sum += product[0];
        }
        let to = lanes_mut(d_kt);
        multiply(isa, matrix(own, d, h1), lanes(d_first), to, KEYS, Sum::Add);
    }

    fn close(&self, _: ArrayView2<'_, f32>, memory: &mut [f32], d_k: &mut [f32], _: &mut [f32]) {
        let [_, _, _, _, _, d_kt, ..] = memory::cut(memory, self.sizes.memory());
        add_turned(d_kt, d_k, self.sizes.d);
    }

    fn scores_f64(&self, q: ArrayView1<'_, f64>, k: ArrayView2<'_, f64>) -> Array1<f64> {
        let [h1, h2] = self.sizes.hidden;
        let d = self.sizes.d;
        let q = q.broadcast(k.dim()).expect("as wide as a key");
        let (difference, product) = (&q - &k, &q * &k);
        let inputs = concatenate(Axis(1), &[q, k, difference.view(), product.view()])
            .expect("as many rows each");
        let layer = |x: &Array2<f64>, weights: ArrayView2<'_, f32>, bias: &[f32]| {
            let bias = ArrayView1::from(bias).mapv(f64::from);
            (x.dot(&weights.mapv(f64::from)) + bias).mapv(|x| 1.0 / (1.0 + (-x).exp()))
        };
        let first = layer(&inputs, matrix(self.w1, 4 * d, h1), self.b1);
        let second = layer(&first, matrix(self.w2, h1, h2), self.b2);
        let sums = second.dot(&ArrayView1::from(self.w3).mapv(f64::from));
        (sums + f64::from(self.b3)) * f64::from(self.scale)
    }
}
