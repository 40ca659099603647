//! How the weight of exact attention is spread over the keys: what makes a problem hard or easy.

/// Means over query rows that see at least one key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mass {
    /// η = exp(H(P)) / |Ω|: the share of the visible keys that the weight is as good as spread
    /// over; 1 is uniform, 1/|Ω| a single key.
    pub entropy: f64,
    /// κ for p = 0.9: the smallest share of the visible keys that holds 90 % of the weight.
    pub kappa_90: f64,
    /// κ for p = 0.99.
    pub kappa_99: f64,
    /// Weight of the heaviest key.
    pub top1: f64,
}

impl Mass {
    /// From rows of weights, each with the number of keys it sees.
    #[must_use]
    pub fn of(rows: impl Iterator<Item = (Vec<f64>, usize)>) -> Self {
        let mut sums = Self {
            entropy: 0.0,
            kappa_90: 0.0,
            kappa_99: 0.0,
            top1: 0.0,
        };
        let mut count = 0.0;
        for (mut weights, visible) in rows {
            if visible == 0 {
                continue;
            }
            let visible = visible as f64;
            count += 1.0;
            sums.entropy += effective_keys(&weights) / visible;
            weights.sort_by(|a, b| b.total_cmp(a));
            sums.top1 += weights[0];
            sums.kappa_90 += keys_holding(&weights, 0.9) as f64 / visible;
            sums.kappa_99 += keys_holding(&weights, 0.99) as f64 / visible;
        }
        let share = 1.0 / f64::max(count, 1.0);
        Self {
            entropy: sums.entropy * share,
            kappa_90: sums.kappa_90 * share,
            kappa_99: sums.kappa_99 * share,
            top1: sums.top1 * share,
        }
    }
}

/// exp(H(P)): the number of keys a uniform row of the same entropy would have.
#[must_use]
pub fn effective_keys(weights: &[f64]) -> f64 {
    let entropy: f64 = weights
        .iter()
        .filter(|&&w| w > 0.0)
        .map(|w| -w * w.ln())
        .sum();
    entropy.exp()
}

fn keys_holding(descending: &[f64], share: f64) -> usize {
    let mut held = 0.0;
    // Rounding may leave the sum of all weights a hair below the share of a uniform row.
    let wanted = share * (1.0 - 1e-12);
    descending
        .iter()
        .take_while(|&&w| {
            let more = held < wanted;
            held += w;
            more
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uniform_row_spreads_over_all_it_sees() {
        let mass = Mass::of([(vec![0.1; 10], 10)].into_iter());
        approx::assert_relative_eq!(mass.entropy, 1.0, epsilon = 1e-9);
        approx::assert_relative_eq!(mass.kappa_90, 0.9, epsilon = 1e-9);
        approx::assert_relative_eq!(mass.top1, 0.1);
    }

    #[test]
    fn a_peaked_row_holds_on_one_key() {
        let mut row = vec![0.0; 50];
        row[7] = 1.0;
        let mass = Mass::of([(row, 50)].into_iter());
        approx::assert_relative_eq!(mass.entropy, 0.02);
        approx::assert_relative_eq!(mass.kappa_99, 0.02);
        assert_eq!(mass.top1, 1.0);
    }

    #[test]
    fn rows_that_see_nothing_do_not_count() {
        let mass = Mass::of([(vec![0.0; 4], 0), (vec![0.25; 4], 4)].into_iter());
        approx::assert_relative_eq!(mass.entropy, 1.0, epsilon = 1e-9);
    }
}
