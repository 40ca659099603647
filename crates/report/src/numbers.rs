//! Numbers as people read them: three significant digits and a unit.

/// `value` to `digits` significant digits, without exponent for 1e-4 to 1e7.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "not finite".into();
    }
    if value == 0.0 {
        return "0".into();
    }
    let exponent = exponent_after_rounding(value, digits);
    if !(-4..7).contains(&exponent) {
        return scientific(value, digits);
    }
    let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
    format!("{value:.decimals$}")
}

/// Rounding may carry into the next decade (9.996 is 10.0, not 10.00).
fn exponent_after_rounding(value: f64, digits: usize) -> i32 {
    let text = format!("{:.*e}", digits - 1, value.abs());
    text.rsplit_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok())
        .unwrap_or(0)
}

fn scientific(value: f64, digits: usize) -> String {
    let text = format!("{:.*e}", digits - 1, value);
    match text.rsplit_once('e') {
        Some((mantissa, exponent)) => format!("{mantissa}·10{}", superscript(exponent)),
        None => text,
    }
}

/// Digits and minus sign as superscripts: `-7` is `⁻⁷`.
pub(crate) fn superscript(text: &str) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    text.chars()
        .map(|c| match c {
            '-' => '⁻',
            c => c.to_digit(10).map_or(c, |digit| DIGITS[digit as usize]),
        })
        .collect()
}

/// A time given in milliseconds: `12.3 ms`, `850 µs`, `1.20 s`.
pub(crate) fn duration(ms: f64) -> String {
    let (value, unit) = duration_unit(ms);
    format!("{} {unit}", significant(value, 3))
}

/// A time with its interval in one unit: `12.3 ms (12.1 to 12.6)`.
pub(crate) fn duration_with_interval(ms: f64, interval: (f64, f64)) -> String {
    let (value, unit) = duration_unit(ms);
    let scale = if ms > 0.0 { value / ms } else { 1.0 };
    format!(
        "{} {unit} ({} to {})",
        significant(value, 3),
        significant(interval.0 * scale, 3),
        significant(interval.1 * scale, 3)
    )
}

fn duration_unit(ms: f64) -> (f64, &'static str) {
    if ms >= 1000.0 {
        (ms / 1000.0, "s")
    } else if ms >= 1.0 || ms <= 0.0 {
        (ms, "ms")
    } else if ms >= 1e-3 {
        (ms * 1e3, "µs")
    } else {
        (ms * 1e6, "ns")
    }
}

/// A relative error: in percent from 0.001 % on, as a power of ten below.
pub(crate) fn error(value: f64) -> String {
    if value.is_finite() && value != 0.0 && value.abs() < 1e-5 {
        significant(value, 2)
    } else {
        percent(value)
    }
}

/// A share as percent: `2.31 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0, 3))
}

/// Bytes in binary units: `1.50 MiB`.
pub(crate) fn bytes(count: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count;
    let mut unit = 0;
    while value.abs() >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{value:.0} B")
    } else {
        format!("{} {}", significant(value, 3), units[unit])
    }
}

/// A speed-up with its interval: `3.21× (3.10 to 3.30)`.
pub(crate) fn speedup(median: f64, interval: (f64, f64)) -> String {
    format!(
        "{}× ({} to {})",
        significant(median, 3),
        significant(interval.0, 3),
        significant(interval.1, 3)
    )
}

/// A list in prose: `a`, `a and b`, `a, b and c`.
pub(crate) fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [start @ .., last] => format!("{} and {last}", start.join(", ")),
    }
}

/// A skill: two decimals, of those far below nothing none.
pub(crate) fn skill(value: f64) -> String {
    if !value.is_finite() {
        return significant(value, 2);
    }
    let decimals = if value > -10.0 { 2 } else { 0 };
    format!("{value:.decimals$}")
}

/// A fitted exponent: two decimals, and no negative zero.
pub(crate) fn exponent(value: f64) -> String {
    let text = format!("{value:.2}");
    text.strip_prefix('-')
        .filter(|rest| rest.chars().all(|c| matches!(c, '0' | '.')))
        .map_or(text.clone(), String::from)
}

/// `1 cell`, `2 cells`.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponent_of_nothing_has_no_sign() {
        assert_eq!(exponent(-3e-31), "0.00");
        assert_eq!(exponent(-0.25), "-0.25");
    }

    #[test]
    fn three_digits_and_a_unit() {
        assert_eq!(significant(9.996, 3), "10.0");
        assert_eq!(significant(0.012345, 3), "0.0123");
        assert_eq!(significant(3.2e-7, 2), "3.2·10⁻⁷");
        assert_eq!(duration(0.85), "850 µs");
        assert_eq!(duration(1200.0), "1.20 s");
        assert_eq!(bytes(1.5 * 1024.0 * 1024.0), "1.50 MiB");
        assert_eq!(error(0.0231), "2.31 %");
        assert_eq!(error(3.1e-7), "3.1·10⁻⁷");
        assert_eq!(
            duration_with_interval(0.5, (0.45, 0.6)),
            "500 µs (450 to 600)"
        );
    }

    #[test]
    fn skills_have_as_many_digits_as_they_are_worth() {
        assert_eq!(
            [0.00521, -3.62, -244.31].map(skill),
            ["0.01", "-3.62", "-244"]
        );
    }

    #[test]
    fn lists_in_prose() {
        let items: Vec<String> = ["a", "b", "c"].map(String::from).into();
        assert_eq!(list(&items), "a, b and c");
        assert_eq!(list(&items[..2]), "a and b");
        assert_eq!(count(1, "cell"), "1 cell");
    }
}
