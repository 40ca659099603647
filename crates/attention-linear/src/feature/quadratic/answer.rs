//! A run of queries: what it reads from the state, and what it weighs key by key.

use super::blocks::Run;
use super::kernels::{Weigh, expand, peaks, weigh};
use super::walk::{Keys, Walk};
use crate::feature::kernels::{
    Ahead, LANES, add_dots, add_product, columns, rows, rows_mut, scale_rows, scale_rows_to,
    set_product,
};
use crate::feature::map::{CHUNK, Normaliser, Side};
use crate::feature::scan::load;
use crate::feature::sheet::Sheet;
use ::attention::Head;
use ::attention::numeric::LOG2_E;
use std::ops::Range;

impl Walk<'_> {
    /// Writes O of a run of queries that end in a block, when the state holds the keys before those
    /// near to them.
    pub(super) fn answer(&mut self, head: &Head<'_>, from: Keys<'_>, run: &Run, out: &Sheet<'_>) {
        let (isa, n) = (self.isa, run.count());
        let (value, feature) = (self.sizes.state.value(), self.sizes.state.feature());
        load(
            isa,
            head.q,
            run.queries.clone(),
            self.x_q,
            self.sizes.state.token(),
        );
        let far = self.held;
        let mut totals = [0.0; CHUNK];
        let totals = &mut totals[..n];
        if far > 0 || self.rule.window == 0 {
            self.tokens.project(Side::Query, n, self.x_q, self.y_q);
        }
        if far > 0 {
            expand(
                isa,
                self.rule.polynomial,
                self.layout(n),
                self.y_q,
                self.phi,
            );
            let phi = rows(self.phi, feature);
            let state = rows(self.state.values, value);
            let sizes = (n, self.sizes.state.width(), value);
            let to = rows_mut(self.sums, value);
            set_product(isa, phi.left(), state, sizes, to, Ahead::NONE);
            add_dots(isa, phi, rows(self.state.features, 0), feature, totals);
        } else {
            self.sums[..n * value].fill(0.0);
        }
        let near = far..run.end();
        let seen = run.seen(far, self.sizes.near);
        self.score(from, near.clone(), &seen[..n]);
        let mut units = [0.0; CHUNK];
        let how = if self.rule.window > 0 {
            let units = &mut units[..n];
            let least = if far > 0 { 0.0 } else { f32::NEG_INFINITY };
            peaks(isa, self.scores, self.sizes.near, &seen[..n], least, units);
            if far > 0 {
                let mut factors = [1.0; CHUNK];
                for (r, unit) in units.iter().enumerate() {
                    factors[r] = (-unit).exp2();
                    totals[r] *= factors[r];
                }
                scale_rows(isa, rows_mut(self.sums, value), &factors[..n], value);
            }
            Weigh::Exponential(units)
        } else {
            Weigh::By(self.rule.polynomial)
        };
        let rows_of = (&mut *self.scores, &mut [][..]);
        weigh(isa, how, rows_of, self.sizes.near, &seen[..n], totals);
        self.add_values(from, near, &seen[..n]);
        let mut factors = [0.0; CHUNK];
        for (factor, &total) in factors.iter_mut().zip(&*totals) {
            let (sum, guarded) = Normaliser::RowSum.guard(total);
            self.guarded += u64::from(guarded);
            *factor = 1.0 / sum;
        }
        let to = out.row(head.sequence, head.head, run.queries.start, n);
        let dv = self.sizes.state.dv;
        // SAFETY: the sheet has checked the rows, and this task alone writes them.
        #[allow(unsafe_code)]
        unsafe {
            scale_rows_to(isa, rows(self.sums, value), &factors[..n], dv, to);
        }
    }

    /// Scores of the loaded queries with near keys: s, or log2 of their weights.
    fn score(&mut self, from: Keys<'_>, near: Range<usize>, seen: &[usize]) {
        let isa = self.isa;
        if self.rule.window > 0 {
            let scale = [self.scale * LOG2_E; CHUNK];
            let stride = self.sizes.state.token();
            scale_rows(
                isa,
                rows_mut(self.x_q, stride),
                &scale[..seen.len()],
                stride,
            );
        }
        for at in near.clone().step_by(CHUNK) {
            let keys = at..near.end.min(at + CHUNK);
            self.turn_keys(from, &keys);
            let (q, steps) = if self.rule.window > 0 {
                (rows(self.x_q, self.sizes.state.token()), self.sizes.state.d)
            } else {
                (rows(self.y_q, self.sizes.row()), self.sizes.rank)
            };
            let column = at - near.start;
            for (group, seen) in seen.chunks(LANES).enumerate() {
                let first = group * LANES;
                let width = columns(seen).saturating_sub(column).min(CHUNK);
                let to = &mut self.scores[first * self.sizes.near + column..];
                let to = rows_mut(to, self.sizes.near);
                let sizes = (seen.len(), steps, width);
                let b = rows(self.across, CHUNK);
                set_product(isa, q.from(first).left(), b, sizes, to, Ahead::NONE);
            }
        }
    }

    /// Adds the values of near keys by their weights. Weights of hidden keys are zero, which hides a
    /// value unless it is not finite: then row by row.
    fn add_values(&mut self, from: Keys<'_>, near: Range<usize>, seen: &[usize]) {
        let value = self.sizes.state.value();
        for at in near.clone().step_by(CHUNK) {
            let keys = at..near.end.min(at + CHUNK);
            self.load_values(from, &keys);
            let together = if self.finite { LANES } else { 1 };
            let column = at - near.start;
            for (group, seen) in seen.chunks(together).enumerate() {
                let first = group * together;
                let most = seen.iter().copied().max().unwrap_or(0);
                let steps = most.saturating_sub(column).min(keys.len());
                let weights = &self.scores[first * self.sizes.near + column..];
                add_product(
                    self.isa,
                    rows(weights, self.sizes.near).left(),
                    rows(self.v, value),
                    (seen.len(), steps, value),
                    rows_mut(&mut self.sums[first * value..], value),
                    Ahead::NONE,
                );
            }
        }
    }
}
