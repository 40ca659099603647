//! Statistics of raw samples: medians with bootstrap intervals, paired ratios, growth exponents, outliers.
//!
//! Times are skewed to the right and have outliers, so the summaries here are of order statistics, and
//! the intervals assume no distribution.

mod bootstrap;
mod outliers;
mod quantile;
mod ratio;
mod slope;
mod summary;

pub use bootstrap::{RESAMPLES, bootstrap_interval, median_interval};
pub use outliers::{OUTLIER_THRESHOLD, modified_z_scores, outliers};
pub use quantile::{median, quantile};
pub use ratio::{RatioSummary, ratio_within_rounds};
pub use slope::{Slope, log_log_slope};
pub use summary::Summary;
