//! Ratings in units of their own spread.

use super::error::TrainError;
use super::trainer::Trainer;
use crate::prepare::History;

/// The mean and the deviation of the ratings that a model learned from: what it predicts is in these units.
///
/// ```
/// use recommender::History;
/// use recommender::train::RatingScale;
///
/// let rated = History { ratings: Some(&[1.0, 5.0]), ..History::of(&[7, 8]) };
/// let scale = RatingScale::of(&[rated])?;
/// assert_eq!((scale.mean, scale.rating(-1.0)), (3.0, 1.0));
/// # Ok::<(), recommender::train::TrainError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RatingScale {
    /// The mean.
    pub mean: f64,
    /// The root of the mean square from it; 1 where all ratings are alike.
    pub deviation: f64,
}

impl RatingScale {
    /// That of some histories.
    ///
    /// # Errors
    /// [`TrainError::NoRatings`] for a history without ratings.
    pub fn of(histories: &[History<'_>]) -> Result<Self, TrainError> {
        let (mut count, mut sum) = (0, 0.0);
        for (history, rated) in histories.iter().enumerate() {
            let ratings = of_all(rated).ok_or(TrainError::NoRatings { history })?;
            count += ratings.len();
            sum += ratings.iter().copied().map(f64::from).sum::<f64>();
        }
        let mean = sum / count.max(1) as f64;
        let all = histories.iter().filter_map(of_all).flatten();
        let squares: f64 = all.map(|x| (f64::from(*x) - mean).powi(2)).sum();
        let deviation = (squares / count.max(1) as f64).sqrt();
        let deviation = if deviation > 0.0 { deviation } else { 1.0 };
        Ok(Self { mean, deviation })
    }

    /// The rating that a logit stands for.
    #[must_use]
    pub fn rating(&self, logit: f64) -> f64 {
        self.mean + self.deviation * logit
    }

    /// A history's ratings in these units.
    pub(super) fn units(&self, history: &History<'_>) -> Option<Vec<f32>> {
        let unit = |x: &f32| ((f64::from(*x) - self.mean) / self.deviation) as f32;
        of_all(history).map(|ratings| ratings.iter().map(unit).collect())
    }
}

impl Trainer {
    /// The unit of what a model of ratings predicts, once it has learned.
    #[must_use]
    pub fn rating_scale(&self) -> Option<RatingScale> {
        self.progress.ratings
    }

    /// Ratings in the unit of those learned from (their own, before that); none where the loss is not of ratings.
    pub(super) fn units(&self, histories: &[History<'_>]) -> Result<Vec<Vec<f32>>, TrainError> {
        if !self.config.loss.is_of_ratings() {
            return Ok(Vec::new());
        }
        let scale = match self.progress.ratings {
            Some(scale) => scale,
            None => RatingScale::of(histories)?,
        };
        let units = histories
            .iter()
            .enumerate()
            .map(|(history, rated)| scale.units(rated).ok_or(TrainError::NoRatings { history }));
        units.collect()
    }
}

/// Histories with ratings as [`Trainer::units`] gives them.
pub(super) fn in_units<'u>(histories: &[History<'u>], units: &'u [Vec<f32>]) -> Vec<History<'u>> {
    let units = units
        .iter()
        .map(|units| Some(&units[..]))
        .chain(std::iter::repeat(None));
    let rated = histories.iter().zip(units);
    rated
        .map(|(history, ratings)| History {
            ratings,
            ..*history
        })
        .collect()
}

/// The ratings, where every event has one.
fn of_all<'h>(history: &History<'h>) -> Option<&'h [f32]> {
    history
        .ratings
        .filter(|ratings| ratings.len() == history.len())
}
