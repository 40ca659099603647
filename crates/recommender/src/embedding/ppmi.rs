//! Shifted positive pointwise mutual information.

use rayon::prelude::*;

use super::sparse::Csr;

/// max(0, ln(n_ij · Σ_c n_c^α / (n_i · n_j^α)) - ln k) of counts n_ij, with n_i the row sums, α the context smoothing and k
/// the shift (Levy, Goldberg & Dagan 2015, sections 3.1 and 3.2); entries that come out 0 are not stored.
///
/// O(nonzeros) on the current rayon pool.
pub(super) fn shifted_ppmi(counts: &Csr<u32>, context_smoothing: f64, shift: f64) -> Csr<f32> {
    let totals: Vec<u64> = (0..counts.rows())
        .map(|row| {
            counts
                .row(row)
                .1
                .iter()
                .map(|&count| u64::from(count))
                .sum()
        })
        .collect();
    let smoothed: Vec<f64> = totals
        .iter()
        .map(|&total| {
            if total == 0 {
                0.0
            } else {
                (total as f64).powf(context_smoothing)
            }
        })
        .collect();
    let all_contexts: f64 = smoothed.iter().sum();
    let rows = (0..counts.rows())
        .into_par_iter()
        .map(|row| {
            let (columns, row_counts) = counts.row(row);
            let of_row = all_contexts / (totals[row] as f64 * shift);
            columns
                .iter()
                .zip(row_counts)
                .map(|(&column, &count)| {
                    (
                        column,
                        (f64::from(count) * of_row / smoothed[column as usize]).ln() as f32,
                    )
                })
                .filter(|&(_, information)| information > 0.0)
                .collect()
        })
        .collect();
    Csr::from_rows(counts.columns, rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    fn counts() -> Csr<u32> {
        // Row sums 6, 4, 4, 0; 14 in all.
        Csr::from_rows(
            4,
            vec![
                vec![(1, 3), (2, 3)],
                vec![(0, 3), (2, 1)],
                vec![(0, 3), (1, 1)],
                vec![],
            ],
        )
    }

    #[test]
    fn without_smoothing_it_is_the_textbook_formula() {
        let ppmi = shifted_ppmi(&counts(), 1.0, 1.0);
        // ln(3·14/(6·4)) = ln 1.75; ln(1·14/(4·4)) is negative and dropped.
        assert_eq!(ppmi.indices, [1, 2, 0, 0]);
        ppmi.values
            .iter()
            .for_each(|&value| assert_relative_eq!(value, 1.75f32.ln(), epsilon = 1e-6));
        assert_eq!(ppmi.offsets, [0, 2, 3, 4, 4]);
    }

    #[test]
    fn smoothing_favours_rare_contexts_and_the_shift_is_taken_off() {
        let ppmi = shifted_ppmi(&counts(), 0.75, 1.0);
        let contexts = 6f64.powf(0.75) + 2.0 * 4f64.powf(0.75);
        let popular_context = (3.0 * contexts / (4.0 * 6f64.powf(0.75))).ln();
        let rare_context = (3.0 * contexts / (6.0 * 4f64.powf(0.75))).ln();
        assert_relative_eq!(f64::from(ppmi.row(1).1[0]), popular_context, epsilon = 1e-6);
        assert_relative_eq!(f64::from(ppmi.row(0).1[0]), rare_context, epsilon = 1e-6);
        let shifted = shifted_ppmi(&counts(), 0.75, 1.5);
        assert_relative_eq!(
            f64::from(shifted.row(1).1[0]),
            popular_context - 1.5f64.ln(),
            epsilon = 1e-6
        );
        assert!(shifted_ppmi(&counts(), 0.75, 3.0).indices.is_empty());
    }
}
