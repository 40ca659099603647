/// The `p`-quantile of samples sorted in ascending order, by linear interpolation between order statistics.
///
/// This is type 7 of Hyndman & Fan, "Sample Quantiles in Statistical Packages", The American Statistician
/// 50 (1996), the default of NumPy and R. `p` outside 0..=1 is taken as the nearer end. NaN when there
/// are no samples.
///
/// ```
/// assert_eq!(measure::quantile(&[10.0, 20.0, 30.0, 40.0], 0.5), 25.0);
/// ```
pub fn quantile(sorted: &[f64], p: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let position = p.clamp(0.0, 1.0) * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    let weight = position - below as f64;
    // At weight 0 the upper neighbour must not matter, even if it is infinite.
    if weight == 0.0 {
        sorted[below]
    } else {
        sorted[below] + weight * (sorted[above] - sorted[below])
    }
}

/// The median of samples in any order; NaN when there are none. O(n) time and one copy of the samples.
///
/// ```
/// assert_eq!(measure::median(&[3.0, 1.0, 2.0]), 2.0);
/// ```
pub fn median(samples: &[f64]) -> f64 {
    median_in_place(&mut samples.to_vec())
}

/// The median, leaving the samples partly sorted.
pub(crate) fn median_in_place(samples: &mut [f64]) -> f64 {
    if samples.is_empty() {
        return f64::NAN;
    }
    let middle = samples.len() / 2;
    let odd = samples.len() % 2 == 1;
    let (below, upper, _) = samples.select_nth_unstable_by(middle, f64::total_cmp);
    if odd {
        return *upper;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp);
    lower.map_or(*upper, |lower| f64::midpoint(lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_interpolate_as_numpy_does() {
        // numpy.quantile([1, 2, 4, 8, 16], [0, .1, .25, .5, .9, 1])
        let x = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (p, expected) in [
            (0.0, 1.0),
            (0.1, 1.4),
            (0.25, 2.0),
            (0.5, 4.0),
            (0.9, 12.8),
            (1.0, 16.0),
        ] {
            approx::assert_relative_eq!(quantile(&x, p), expected, max_relative = 1e-14);
        }
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert!(quantile(&[], 0.5).is_nan());
        assert!(median(&[]).is_nan());
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn an_infinite_neighbour_does_not_leak() {
        assert_eq!(quantile(&[1.0, 2.0, f64::INFINITY], 0.5), 2.0);
    }

    proptest! {
        #[test]
        fn median_is_the_half_quantile(mut x in prop::collection::vec(-1e6f64..1e6, 1..60)) {
            let selected = median(&x);
            x.sort_by(f64::total_cmp);
            prop_assert!((selected - quantile(&x, 0.5)).abs() <= 1e-9);
        }
    }
}
