//! The network: hidden units by rows, keys in the lanes.

use crate::lanes::{add, add_row_sums, dot_lanes, row_products, tanh_back, weighted_sum};
use crate::learned::weights;
use crate::memory;
use crate::rows::{add_turned, outer_add, turn};
use crate::unit::{KEYS, Lanes, Unit};
use attention::Problem;
use attention::simd::Isa;
use attention::simd::activation::tanh_rows;
use attention::simd::matrix::{Rows, RowsMut, Sum, multiply, pack_rows, padded};
use ndarray::{Array1, ArrayView1, ArrayView2};

pub(super) struct Additive<'p> {
    isa: Isa,
    d: usize,
    hidden: usize,
    pooling: bool,
    /// `[D, A]`.
    key_map: &'p [f32],
    /// `[D, A]`.
    query_map: &'p [f32],
    /// `[A]`.
    bias: &'p [f32],
    /// `[A]`.
    vector: &'p [f32],
}

impl<'p> Additive<'p> {
    pub(super) fn new(isa: Isa, hidden: usize, pooling: bool, problem: &'p Problem<'_>) -> Self {
        Self {
            key_map: weights(problem, "key_map"),
            query_map: weights(problem, "query_map"),
            bias: weights(problem, "bias"),
            vector: weights(problem, "vector"),
            ..Self::outline(isa, hidden, pooling, problem.shape().d)
        }
    }

    pub(super) fn outline(isa: Isa, hidden: usize, pooling: bool, d: usize) -> Self {
        Self {
            isa,
            d,
            hidden,
            pooling,
            key_map: &[],
            query_map: &[],
            bias: &[],
            vector: &[],
        }
    }

    /// Kᵀ, W_k·k, the hidden units, W_q·q + b; then the gradient by W_k·k, rows of it, and one of a query.
    fn sizes(&self) -> [usize; 7] {
        let a = self.hidden;
        [
            self.d * KEYS,
            a * KEYS,
            a * KEYS,
            a,
            a * KEYS,
            KEYS * padded(a),
            a,
        ]
    }

    fn map<'w>(&self, weights: &'w [f32]) -> ArrayView2<'w, f32> {
        ArrayView2::from_shape((self.d, self.hidden), weights).expect("its shape was checked")
    }
}

impl Unit for Additive<'_> {
    fn floats(&self) -> [usize; 2] {
        let sizes = self.sizes();
        let [k, mapped, hidden, query, ..] = sizes;
        [
            memory::floats([k, mapped, hidden, query]),
            memory::floats(sizes),
        ]
    }

    fn learned_floats(&self) -> usize {
        let maps = if self.pooling { 1 } else { 2 };
        (maps * self.d + 2) * self.hidden
    }

    fn softmax(&self) -> bool {
        true
    }

    fn open(&self, k: ArrayView2<'_, f32>, memory: &mut [f32]) {
        let [kt, mapped, ..] = self.sizes();
        let [kt, mapped] = memory::cut(memory, [kt, mapped]);
        // Lanes behind the last key take part in sums, with a gradient of zero.
        kt.fill(0.0);
        pack_rows(self.isa, k, 1.0, kt);
        let right = Rows {
            data: kt,
            stride: KEYS,
        };
        let to = RowsMut {
            data: mapped,
            stride: KEYS,
        };
        let left = self.map(self.key_map).reversed_axes();
        multiply(self.isa, left, right, to, KEYS, Sum::Write);
        let [_, _, _, _, d_mapped, ..] = self.sizes();
        let rest = memory::floats(first_four(self.sizes()));
        if let Some(d_mapped) = memory.get_mut(rest..rest + d_mapped) {
            d_mapped.fill(0.0);
        }
    }

    fn score(&self, q: &[f32], memory: &mut [f32], scores: &mut Lanes) {
        let [_, mapped, hidden, query] = memory::cut(memory, first_four(self.sizes()));
        query.copy_from_slice(self.bias);
        if !self.pooling {
            weighted_sum(self.isa, q, self.query_map, query);
        }
        tanh_rows(self.isa, mapped, query, hidden);
        scores.fill(0.0);
        dot_lanes(self.isa, self.vector, hidden, scores);
    }

    fn differentiate(
        &self,
        (q, _): (&[f32], ArrayView2<'_, f32>),
        d_scores: &Lanes,
        memory: &mut [f32],
        d_q: &mut [f32],
        learned: &mut [f32],
    ) {
        let [_, _, hidden, _, d_mapped, _, d_query] = memory::cut(memory, self.sizes());
        let (map, rest) = learned.split_at_mut(self.learned_floats() - 2 * self.hidden);
        let (d_bias, d_vector) = rest.split_at_mut(self.hidden);
        add_row_sums(self.isa, hidden, Some(d_scores), d_vector);
        // The hidden units become the gradient by their sums.
        tanh_back(self.isa, self.vector, d_scores, hidden);
        add(self.isa, hidden, d_mapped);
        d_query.fill(0.0);
        add_row_sums(self.isa, hidden, None, d_query);
        add(self.isa, d_query, d_bias);
        if !self.pooling {
            let d_map = &mut map[self.d * self.hidden..];
            outer_add(self.isa, q, d_query, d_map);
            row_products(self.isa, self.query_map, d_query, d_q);
        }
    }

    fn close(
        &self,
        k: ArrayView2<'_, f32>,
        memory: &mut [f32],
        d_k: &mut [f32],
        learned: &mut [f32],
    ) {
        let (d, a) = (self.d, self.hidden);
        let [kt, _, _, _, d_mapped, rows, _] = memory::cut(memory, self.sizes());
        // dKᵀ = W_k·d(W_k·k), for which Kᵀ makes room.
        let right = Rows {
            data: d_mapped,
            stride: KEYS,
        };
        let to = RowsMut {
            data: kt,
            stride: KEYS,
        };
        multiply(
            self.isa,
            self.map(self.key_map),
            right,
            to,
            KEYS,
            Sum::Write,
        );
        add_turned(kt, d_k, d);
        turn(self.isa, d_mapped, rows, a);
        let right = Rows {
            data: rows,
            stride: padded(a),
        };
        let to = RowsMut {
            data: &mut learned[..d * a],
            stride: a,
        };
        multiply(self.isa, k.reversed_axes(), right, to, a, Sum::Add);
    }

    fn scores_f64(&self, q: ArrayView1<'_, f64>, k: ArrayView2<'_, f64>) -> Array1<f64> {
        let wide = |weights| self.map(weights).mapv(f64::from);
        let narrow = |weights| ArrayView1::from(weights).mapv(f64::from);
        let mut sums = k.dot(&wide(self.key_map)) + narrow(self.bias);
        if !self.pooling {
            sums += &q.dot(&wide(self.query_map));
        }
        sums.mapv(f64::tanh).dot(&narrow(self.vector))
    }
}

fn first_four([a, b, c, d, ..]: [usize; 7]) -> [usize; 4] {
    [a, b, c, d]
}
