//! Numbers for people.

/// `34.4 GB`, in powers of ten with three digits.
pub(crate) fn bytes(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{} {}", three_digits(value), units[unit])
}

/// `2.5 s`, `130 ms`, `4.2 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{} ms", three_digits(s * 1e3)),
        s if s < 120.0 => format!("{} s", three_digits(s)),
        s if s < 7200.0 => format!("{} min", three_digits(s / 60.0)),
        s => format!("{} h", three_digits(s / 3600.0)),
    }
}

fn three_digits(value: f64) -> String {
    let text = if value >= 99.95 {
        format!("{value:.0}")
    } else if value >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    };
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn sizes_and_times_read_naturally() {
        assert_eq!(super::bytes(34_359_738_368), "34.4 GB");
        assert_eq!(super::bytes(999), "999 B");
        assert_eq!(super::bytes(999_999), "1 MB");
        assert_eq!(super::seconds(0.0031), "3.1 ms");
        assert_eq!(super::seconds(90.0), "90 s");
        assert_eq!(super::seconds(5400.0), "90 min");
    }
}
