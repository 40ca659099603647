//! Errors of outputs.

use ndarray::ArrayView1;

/// What one row contributes to every error metric.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorSums {
    /// ||Ô - O||² of the row.
    pub squared_error: f64,
    /// ||O||² of the row.
    pub squared_norm: f64,
    /// ||Ō - O||² of the row, Ō being the mean of the visible values.
    pub squared_mean_error: f64,
    cosine: f64,
    absolute: Vec<f64>,
}

impl ErrorSums {
    /// Compares a row with the truth; `mean` is Ō. Shapes `[Dv]`.
    #[must_use]
    pub fn of(
        answer: ArrayView1<'_, f64>,
        truth: ArrayView1<'_, f64>,
        mean: ArrayView1<'_, f64>,
    ) -> Self {
        let square = |x: f64| x * x;
        let absolute: Vec<f64> = answer
            .iter()
            .zip(truth)
            .map(|(a, t)| (a - t).abs())
            .collect();
        let (norm_a, norm_t) = (answer.dot(&answer).sqrt(), truth.dot(&truth).sqrt());
        let cosine = match (norm_a > 0.0, norm_t > 0.0) {
            (true, true) => answer.dot(&truth) / (norm_a * norm_t),
            (false, false) => 1.0,
            _ if norm_a.is_nan() || norm_t.is_nan() => f64::NAN,
            _ => 0.0,
        };
        Self {
            squared_error: absolute.iter().copied().map(square).sum(),
            squared_norm: square(norm_t),
            squared_mean_error: mean.iter().zip(truth).map(|(m, t)| square(m - t)).sum(),
            cosine,
            absolute,
        }
    }
}

/// Errors over all sampled rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Errors {
    /// ||Ô - O||_F / ||O||_F.
    pub relative_frobenius: f64,
    /// Largest |Ô - O|.
    pub max_abs: f64,
    /// 99.9th percentile of |Ô - O|.
    pub p999_abs: f64,
    /// Mean over rows of the cosine between Ô and O.
    pub mean_cosine: f64,
    /// 1 - ||Ô - O||² / ||Ō - O||²: 0 is no better than averaging the visible values, 1 exact.
    pub skill: f64,
}

impl Errors {
    /// Aggregates rows. Without rows nothing is wrong: errors 0, cosine and skill 1.
    #[must_use]
    pub fn from_rows<'a>(rows: impl Iterator<Item = &'a ErrorSums>) -> Self {
        let (mut error, mut norm, mut mean_error, mut cosine) = (0.0, 0.0, 0.0, 0.0);
        let mut absolute = Vec::new();
        let mut count = 0.0;
        for row in rows {
            error += row.squared_error;
            norm += row.squared_norm;
            mean_error += row.squared_mean_error;
            cosine += row.cosine;
            count += 1.0;
            absolute.extend_from_slice(&row.absolute);
        }
        absolute.sort_by(f64::total_cmp);
        let rank = (absolute.len() as f64 * 0.999).ceil() as usize;
        Self {
            relative_frobenius: relative(error, norm).sqrt(),
            max_abs: absolute.last().copied().unwrap_or(0.0),
            p999_abs: rank.checked_sub(1).map_or(0.0, |r| absolute[r]),
            mean_cosine: if count > 0.0 { cosine / count } else { 1.0 },
            skill: 1.0 - relative(error, mean_error),
        }
    }
}

/// error / size, where nothing over nothing is nothing.
fn relative(error: f64, size: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error / size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn rows(answer: [[f64; 2]; 2]) -> Vec<ErrorSums> {
        let truth = [array![3.0, 0.0], array![0.0, 4.0]];
        let mean = array![1.5, 2.0];
        (0..2)
            .map(|r| {
                ErrorSums::of(
                    array![answer[r][0], answer[r][1]].view(),
                    truth[r].view(),
                    mean.view(),
                )
            })
            .collect()
    }

    #[test]
    fn an_exact_answer_has_no_error_and_full_skill() {
        let errors = Errors::from_rows(rows([[3.0, 0.0], [0.0, 4.0]]).iter());
        assert_eq!(errors.relative_frobenius, 0.0);
        assert_eq!(errors.skill, 1.0);
        assert_eq!(errors.mean_cosine, 1.0);
    }

    #[test]
    fn the_mean_of_the_values_has_no_skill() {
        let errors = Errors::from_rows(rows([[1.5, 2.0], [1.5, 2.0]]).iter());
        assert_eq!(errors.skill, 0.0);
        // Both rows miss by (1.5, 2): squared 6.25 each; the truth has squared norm 25.
        approx::assert_relative_eq!(errors.relative_frobenius, (12.5f64 / 25.0).sqrt());
        assert_eq!(errors.max_abs, 2.0);
    }

    #[test]
    fn a_wrong_direction_shows_in_the_cosine_alone() {
        let errors = Errors::from_rows(rows([[0.0, 3.0], [4.0, 0.0]]).iter());
        assert_eq!(errors.mean_cosine, 0.0);
    }

    #[test]
    fn nan_reaches_every_metric() {
        let errors = Errors::from_rows(rows([[f64::NAN, 0.0], [0.0, 4.0]]).iter());
        assert!(errors.relative_frobenius.is_nan() && errors.max_abs.is_nan());
        assert!(errors.mean_cosine.is_nan() && errors.skill.is_nan());
    }
}
