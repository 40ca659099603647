//! Axes: where a value lies between the ends, and which values are worth a tick.

use crate::numbers::{significant, superscript};

/// Error below which an axis of errors is compressed: 0.1 %.
const KNEE: f64 = 1e-3;

/// A labelled place on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

/// A stretch of values and its ticks.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    /// A logarithmic axis may give the values below the first number only the second's share of its room.
    knee: Option<(f64, f64)>,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) label: String,
}

impl Axis {
    /// A logarithmic axis over `values`, with a little room at both ends; `None` without a positive value.
    pub(crate) fn log(
        values: &[f64],
        label: &str,
        ticks: fn(f64, f64) -> Vec<Tick>,
    ) -> Option<Self> {
        let (low, high) = range(values.iter().copied().filter(|v| *v > 0.0))?;
        // A single value still gets an axis to sit in the middle of.
        let room = (high / low).powf(0.06).max(1.25);
        let (low, high) = (low / room, high * room);
        Some(Axis {
            low,
            high,
            log: true,
            knee: None,
            ticks: ticks(low, high),
            label: label.into(),
        })
    }

    /// A logarithmic axis of relative errors.
    ///
    /// Where exact variants and approximations share it, the empty decades between them would take most
    /// of the room: below [`KNEE`] a decade is drawn shorter. The second answer says whether it is.
    pub(crate) fn error(values: &[f64], label: &str) -> Option<(Self, bool)> {
        let (low, high) = range(values.iter().copied())?;
        if low > KNEE / 100.0 || high < KNEE * 10.0 {
            return Some((Axis::log(values, label, error_ticks)?, false));
        }
        let (low, high) = (low / 12.0, (high * 1.3).max(1.3));
        let mut ticks = error_ticks(low, KNEE * 0.5);
        // Every second decade where decades are short.
        ticks
            .retain(|t| t.value > low * 4.0 && (t.value.log10().round() as i32).rem_euclid(2) == 1);
        ticks.extend(error_ticks(KNEE, high));
        let axis = Axis {
            low,
            high,
            log: true,
            knee: Some((KNEE, 0.27)),
            ticks,
            label: label.into(),
        };
        Some((axis, true))
    }

    /// A linear axis from `low` to `high` with a tick each `step`.
    pub(crate) fn linear(low: f64, high: f64, step: f64, label: &str) -> Self {
        let first = (low / step).ceil() as i64;
        let last = (high / step + 1e-9).floor() as i64;
        let ticks = (first..=last)
            .map(|i| {
                let value = i as f64 * step;
                let text = format!("{value:.1}");
                Tick {
                    value,
                    label: if i == 0 { "0".into() } else { text },
                }
            })
            .collect();
        Axis {
            low,
            high,
            log: false,
            knee: None,
            ticks,
            label: label.into(),
        }
    }

    /// A linear axis of shares from 0 to `high`, or to 1 where that is more, in percent.
    pub(crate) fn share(high: f64, label: &str) -> Self {
        let high = high.max(1.0);
        let step = [0.25, 0.5, 1.0, 2.0]
            .into_iter()
            .find(|step| high / step < 5.0)
            .unwrap_or(5.0);
        let ticks = (0..=(high / step + 1e-9) as usize)
            .map(|i| i as f64 * step)
            .map(|value| Tick {
                value,
                label: format!("{:.0} %", 100.0 * value),
            })
            .collect();
        Axis {
            ticks,
            ..Axis::linear(0.0, high, step, label)
        }
    }

    /// Turned around, so that larger values come first.
    pub(crate) fn reversed(self) -> Self {
        Axis {
            low: self.high,
            high: self.low,
            ..self
        }
    }

    /// Where `value` lies: 0 at the low end, 1 at the high end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let within = |low: f64, high: f64| (value / low).ln() / (high / low).ln();
        match self.knee {
            Some((knee, share)) if value < knee => share * within(self.low, knee),
            Some((knee, share)) => share + (1.0 - share) * within(knee, self.high),
            None if self.log => within(self.low, self.high),
            None => (value - self.low) / (self.high - self.low),
        }
    }

    /// `value`, or the end of the axis that it lies beyond.
    pub(crate) fn clamp(&self, value: f64) -> f64 {
        value.clamp(self.low.min(self.high), self.low.max(self.high))
    }

    /// The values at the two ends.
    pub(crate) fn ends(&self) -> (f64, f64) {
        (self.low, self.high)
    }
}

/// Smallest and largest finite value.
pub(crate) fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .filter(|v| v.is_finite())
        .fold(None, |ends, v| match ends {
            None => Some((v, v)),
            Some((low, high)) => Some((f64::min(low, v), f64::max(high, v))),
        })
}

/// 1, 2, 5 within each decade for less than `short` decades; each decade, or each other, for a long one.
fn decade_values(low: f64, high: f64, short: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let digits: &[f64] = if decades < short {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let each = if decades > 6.5 { 2 } else { 1 };
    (first..=last)
        .filter(|e| e.rem_euclid(each) == 0)
        .flat_map(|e| digits.iter().map(move |d| d * 10f64.powi(e)))
        .filter(|v| *v >= low * 0.999 && *v <= high * 1.001)
        .collect()
}

fn ticks_by(values: Vec<f64>, label: impl Fn(f64) -> String) -> Vec<Tick> {
    values
        .into_iter()
        .map(|value| Tick {
            label: label(value),
            value,
        })
        .collect()
}

fn plain(value: f64) -> String {
    // Ticks are at most three digits and zeros: none is lost.
    let text = significant(value, 3);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// Ticks of a time in milliseconds.
pub(crate) fn time_ticks(low: f64, high: f64) -> Vec<Tick> {
    // On a short stretch the round values of a decade are too few to read anything off.
    let values = if high < 5.0 * low {
        even_values(low, high)
    } else {
        decade_values(low, high, 1.6)
    };
    ticks_by(values, |ms| {
        if ms >= 999.0 {
            format!("{} s", plain(ms / 1000.0))
        } else if ms >= 0.0999 {
            format!("{} ms", plain(ms))
        } else {
            format!("{} µs", plain(ms * 1000.0))
        }
    })
}

/// Round values at even steps, four to nine of them.
fn even_values(low: f64, high: f64) -> Vec<f64> {
    let least = (high - low) / 9.0;
    let decade = 10f64.powf(least.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    let step = steps.into_iter().find(|step| *step >= least);
    let step = step.unwrap_or(least);
    let (first, last) = ((low / step).ceil() as i64, (high / step).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Ticks of a relative error.
pub(crate) fn error_ticks(low: f64, high: f64) -> Vec<Tick> {
    ticks_by(decade_values(low, high, 2.2), |error| {
        if error >= 0.999e-4 {
            format!("{} %", plain(error * 100.0))
        } else {
            let exponent = error.log10().round() as i32;
            format!("10{}", superscript(&exponent.to_string()))
        }
    })
}

/// Ticks of a share, in percent.
pub(crate) fn share_ticks(low: f64, high: f64) -> Vec<Tick> {
    ticks_by(decade_values(low, high, 2.2), |share| {
        format!("{} %", plain(share * 100.0))
    })
}

/// Ticks of the share of pairs computed, named by the sparsity that is left.
pub(crate) fn sparsity_ticks(low: f64, high: f64) -> Vec<Tick> {
    let computed = [1.0, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];
    let (low, high) = (low.min(high), low.max(high));
    let values = computed
        .into_iter()
        .filter(|v| *v >= low && *v <= high)
        .collect();
    ticks_by(values, |computed: f64| {
        let text = format!("{:.1}", 100.0 * (1.0 - computed));
        format!("{} %", text.trim_end_matches(".0"))
    })
}

/// Ticks of a ratio: powers of 2, or of 4 on a long axis.
pub(crate) fn ratio_ticks(low: f64, high: f64) -> Vec<Tick> {
    let step = if (high / low).log2() > 9.0 { 2 } else { 1 };
    let values = (-20..=20)
        .filter(|e| e % step == 0)
        .map(|e| 2f64.powi(e))
        .filter(|v| *v >= low && *v <= high)
        .collect();
    ticks_by(values, |ratio| {
        if ratio < 1.0 {
            format!("1/{:.0}", 1.0 / ratio)
        } else {
            format!("{ratio:.0}")
        }
    })
}

/// Ticks of a memory size: powers of 4 or 16 KiB.
pub(crate) fn byte_ticks(low: f64, high: f64) -> Vec<Tick> {
    let octaves = (high / low).log2();
    let step = if octaves > 14.0 { 4 } else { 2 };
    let values = (0..=50)
        .step_by(step)
        .map(|e| 2f64.powi(e))
        .filter(|v| *v >= low && *v <= high)
        .collect();
    ticks_by(values, |bytes| {
        let units = ["B", "KiB", "MiB", "GiB", "TiB"];
        let unit = ((bytes.log2() / 10.0).floor() as usize).min(units.len() - 1);
        format!("{:.0} {}", bytes / 1024f64.powi(unit as i32), units[unit])
    })
}

/// Ticks at given lengths: `256`, `1k`, `16k`; thinned to at most `most`.
pub(crate) fn length_ticks(lengths: &[usize], most: usize) -> Vec<Tick> {
    let each = lengths.len().div_ceil(most.max(1)).max(1);
    // Counted from the end: the longest matters most.
    let skip = (lengths.len().max(1) - 1) % each;
    let kept = lengths.iter().skip(skip).step_by(each);
    kept.map(|&n| Tick {
        value: n as f64,
        label: length(n),
    })
    .collect()
}

/// A length as a tick: multiples of 1024 as `4k`.
pub(crate) fn length(n: usize) -> String {
    if n >= 1024 && n.is_multiple_of(1024) {
        format!("{}k", n / 1024)
    } else {
        n.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|t| t.label.as_str()).collect()
    }

    #[test]
    fn ticks_read_like_speech() {
        assert_eq!(
            labels(&time_ticks(0.02, 3000.0)),
            ["0.1 ms", "1 ms", "10 ms", "100 ms", "1 s"]
        );
        assert_eq!(labels(&time_ticks(0.9, 6.0)), ["1 ms", "2 ms", "5 ms"]);
        assert_eq!(
            labels(&error_ticks(1e-7, 1.0)),
            ["10⁻⁶", "0.01 %", "1 %", "100 %"]
        );
        assert_eq!(
            labels(&sparsity_ticks(1.1, 0.04)),
            ["0 %", "50 %", "75 %", "90 %", "95 %"]
        );
        assert_eq!(labels(&ratio_ticks(0.2, 2.5)), ["1/4", "1/2", "1", "2"]);
        assert_eq!(
            labels(&ratio_ticks(0.01, 9.0)),
            ["1/64", "1/16", "1/4", "1", "4"]
        );
        assert_eq!(
            labels(&byte_ticks(1e5, 1e9)),
            ["256 KiB", "1 MiB", "4 MiB", "16 MiB", "64 MiB", "256 MiB"]
        );
        assert_eq!(
            labels(&length_ticks(&[200, 1024, 16384], 5)),
            ["200", "1k", "16k"]
        );
        assert_eq!(labels(&length_ticks(&[1024, 2048, 4096], 2)), ["1k", "4k"]);
    }

    #[test]
    fn places_run_from_end_to_end() {
        let axis = Axis::log(&[1.0, 100.0], "", time_ticks).unwrap();
        assert!((axis.place(10.0) - 0.5).abs() < 1e-12);
        assert!((axis.clone().reversed().place(10.0) - 0.5).abs() < 1e-12);
        assert!(axis.place(1.0) > 0.0 && axis.place(100.0) < 1.0);
        assert!(Axis::log(&[0.0, f64::NAN], "", time_ticks).is_none());
        let (errors, bent) = Axis::error(&[1e-7, 0.02, 0.5], "").unwrap();
        assert!(bent && !Axis::error(&[0.02, 0.5], "").unwrap().1);
        let places: Vec<f64> = [1e-7, 1e-4, 0.999e-3, 1e-3, 0.5]
            .map(|e| errors.place(e))
            .into();
        assert!(places.windows(2).all(|p| p[0] < p[1]), "{places:?}");
        assert!(places[3] - places[2] < 1e-3, "continuous at the knee");
        let one = Axis::log(&[5.0], "", time_ticks).unwrap();
        assert!((one.place(5.0) - 0.5).abs() < 1e-12);
    }
}
