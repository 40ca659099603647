//! Errors of weights, where a variant has them.
//!
//! The Kullback-Leibler divergence of a truncated kernel is infinite and therefore not here.

use ndarray::{Array2, ArrayView1};

/// Means over query rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightErrors {
    /// ½·Σ|P̂ - P|.
    pub total_variation: f64,
    /// Weight of P on keys where P̂ is zero.
    pub missed_mass: f64,
    /// Share of the ten heaviest keys of P that are among the ten heaviest of P̂.
    pub top10_overlap: f64,
    /// Σ|P̂| over negative entries; 0 for variants whose weights cannot be negative.
    pub negative_mass: f64,
    rows: usize,
}

const TOP: usize = 10;

impl WeightErrors {
    /// Compares P̂ with P, both `[rows, Nk]`; `visible` counts the keys each row sees.
    #[must_use]
    pub fn of(exact: &Array2<f64>, approximate: &Array2<f64>, visible: &[usize]) -> Self {
        let mut sums = Self::nothing();
        for ((p, p_hat), &n) in exact
            .outer_iter()
            .zip(approximate.outer_iter())
            .zip(visible)
        {
            if n == 0 {
                continue;
            }
            sums.rows += 1;
            for (&w, &w_hat) in p.iter().zip(p_hat) {
                sums.total_variation += 0.5 * (w_hat - w).abs();
                if w_hat == 0.0 {
                    sums.missed_mass += w;
                }
                sums.negative_mass += (-w_hat).max(0.0);
            }
            let k = TOP.min(n);
            let (top, top_hat) = (heaviest(p, k), heaviest(p_hat, k));
            let shared = top.iter().filter(|j| top_hat.contains(j)).count();
            sums.top10_overlap += shared as f64 / k as f64;
        }
        sums.scaled(1.0 / sums.rows.max(1) as f64)
    }

    /// The mean over parts, weighted by their rows; `None` where any part has no weights.
    #[must_use]
    pub fn mean<'a>(parts: impl Iterator<Item = Option<&'a Self>>) -> Option<Self> {
        let mut sums = Self::nothing();
        for part in parts {
            let part = part?;
            let weighted = part.scaled(part.rows as f64);
            sums.total_variation += weighted.total_variation;
            sums.missed_mass += weighted.missed_mass;
            sums.top10_overlap += weighted.top10_overlap;
            sums.negative_mass += weighted.negative_mass;
            sums.rows += part.rows;
        }
        Some(sums.scaled(1.0 / sums.rows.max(1) as f64))
    }

    fn nothing() -> Self {
        Self {
            total_variation: 0.0,
            missed_mass: 0.0,
            top10_overlap: 0.0,
            negative_mass: 0.0,
            rows: 0,
        }
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            total_variation: self.total_variation * factor,
            missed_mass: self.missed_mass * factor,
            top10_overlap: self.top10_overlap * factor,
            negative_mass: self.negative_mass * factor,
            rows: self.rows,
        }
    }
}

/// The k heaviest keys; of equal ones, the earlier.
fn heaviest(weights: ArrayView1<'_, f64>, k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..weights.len()).collect();
    let heavier = |a: &usize, b: &usize| weights[*b].total_cmp(&weights[*a]).then(a.cmp(b));
    if k < order.len() {
        order.select_nth_unstable_by(k, heavier);
        order.truncate(k);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn dropping_a_key_is_missed_mass_and_as_much_variation() {
        let exact = array![[0.5, 0.3, 0.2]];
        let without_last = array![[0.625, 0.375, 0.0]];
        let errors = WeightErrors::of(&exact, &without_last, &[3]);
        approx::assert_relative_eq!(errors.missed_mass, 0.2);
        approx::assert_relative_eq!(errors.total_variation, 0.2, epsilon = 1e-12);
        assert_eq!(errors.top10_overlap, 1.0);
        assert_eq!(errors.negative_mass, 0.0);
    }

    #[test]
    fn overlap_counts_the_ten_heaviest() {
        let exact = Array2::from_shape_fn((1, 40), |(_, j)| 1.0 / (j + 1) as f64);
        let reversed = Array2::from_shape_fn((1, 40), |(_, j)| 1.0 / (40 - j) as f64);
        assert_eq!(
            WeightErrors::of(&exact, &reversed, &[40]).top10_overlap,
            0.0
        );
        assert_eq!(WeightErrors::of(&exact, &exact, &[40]).top10_overlap, 1.0);
    }

    #[test]
    fn a_part_without_weights_leaves_none() {
        let exact = array![[1.0]];
        let some = WeightErrors::of(&exact, &exact, &[1]);
        assert!(WeightErrors::mean([Some(&some), None].into_iter()).is_none());
        assert!(WeightErrors::mean([Some(&some), Some(&some)].into_iter()).is_some());
    }
}
