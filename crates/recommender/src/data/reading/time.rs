//! Times as exact integers: a time that went through a float is accepted only where nothing was lost.

/// Why a text is no exact time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTime {
    /// A number with a fraction.
    Fraction,
    /// A number beyond 64 bits.
    Range,
    /// Neither a number nor a date.
    Unknown,
}

/// `881250949`, `881250949.0`, `8.81250949E8`, `2011-12-09`, `2011-12-09 12:50`, `2011-12-09T12:50:00Z`.
pub(super) fn parse_time(text: &str) -> Result<i64, NoTime> {
    let text = text.trim();
    match text.parse() {
        Ok(time) => Ok(time),
        Err(_) => match decimal(text) {
            Err(NoTime::Unknown) => date(text).ok_or(NoTime::Unknown),
            known => known,
        },
    }
}

/// A decimal number with point or exponent, by its digits alone.
fn decimal(text: &str) -> Result<i64, NoTime> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i32 = exponent.parse().map_err(|_| NoTime::Unknown)?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(NoTime::Unknown);
    }
    // Digits before the point once the exponent is applied.
    let point = whole.len() as i64 + i64::from(exponent);
    let significant = digits
        .iter()
        .rposition(|&digit| digit != b'0')
        .map_or(0, |last| last + 1);
    if significant as i64 > point {
        return Err(NoTime::Fraction);
    }
    let mut value: i128 = 0;
    if significant > 0 {
        let leading = digits.iter().take_while(|&&digit| digit == b'0').count() as i64;
        if point - leading > 19 {
            return Err(NoTime::Range);
        }
        for place in 0..point.max(0) as usize {
            value = value * 10 + i128::from(digits.get(place).map_or(0, |digit| digit - b'0'));
        }
    }
    i64::try_from(if negative { -value } else { value }).map_err(|_| NoTime::Range)
}

/// A date of ISO 8601, as unix seconds (UTC).
fn date(text: &str) -> Option<i64> {
    let text = text
        .strip_suffix('Z')
        .or_else(|| text.strip_suffix(" UTC"))
        .unwrap_or(text);
    let (day, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let [year, month, day] = numbers(day, '-', &[4, 2, 2])?.try_into().ok()?;
    let clock = numbers(clock, ':', &[2, 2]).or_else(|| numbers(clock, ':', &[2, 2, 2]))?;
    let seconds = clock.get(2).copied().unwrap_or(0);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=longest).contains(&day) || clock[0] > 23 || clock[1] > 59 || seconds > 59 {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + clock[0] * 3_600 + clock[1] * 60 + seconds)
}

/// `month/day/year hour:minute:second AM` as MIND writes it, as unix seconds.
pub(super) fn us_date(text: &str) -> Option<i64> {
    let [day, clock, half] = text
        .split_whitespace()
        .collect::<Vec<_>>()
        .try_into()
        .ok()?;
    let [month, day, year] = day.split('/').collect::<Vec<_>>().try_into().ok()?;
    let [hour, minute, second] = clock.split(':').collect::<Vec<_>>().try_into().ok()?;
    let hour: u32 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let hour = hour % 12 + if half == "PM" { 12 } else { 0 };
    matches!(half, "AM" | "PM").then(|| {
        date(&format!(
            "{year}-{month:0>2}-{day:0>2} {hour:02}:{minute:0>2}:{second:0>2}"
        ))
    })?
}

/// Numbers of exactly these widths between separators.
fn numbers(text: &str, separator: char, widths: &[usize]) -> Option<Vec<i64>> {
    let parts: Vec<&str> = text.split(separator).collect();
    let fit = parts.len() == widths.len()
        && parts
            .iter()
            .zip(widths)
            .all(|(part, &width)| part.len() == width && part.bytes().all(|b| b.is_ascii_digit()));
    fit.then(|| parts.iter().map_while(|part| part.parse().ok()).collect())
}

/// Days from 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that the leap day is last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let months_from_march = (month + 9) % 12;
    let day_of_year = (153 * months_from_march + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_in_any_notation_are_exact() {
        for text in [
            "881250949",
            "881250949.0",
            "8.81250949E8",
            "8.81250949e+8",
            "881250949.",
            "88125094900e-2",
            "+881250949",
        ] {
            assert_eq!(parse_time(text), Ok(881_250_949), "{text}");
        }
        assert_eq!(
            parse_time("9007199254740993.0"),
            Ok(9_007_199_254_740_993),
            "one past what an f64 holds"
        );
        assert_eq!(parse_time("-9223372036854775808"), Ok(i64::MIN));
        assert_eq!(parse_time("-1.5e1"), Ok(-15));
        assert_eq!(parse_time("0.000"), Ok(0));
        assert_eq!(parse_time("0.0e99999"), Ok(0));
        assert_eq!(parse_time("0.00012e5"), Ok(12));
    }

    #[test]
    fn fractions_overflow_and_text_are_refused() {
        assert_eq!(parse_time("881250949.5"), Err(NoTime::Fraction));
        assert_eq!(parse_time("1e-3"), Err(NoTime::Fraction));
        assert_eq!(parse_time("9223372036854775808"), Err(NoTime::Range));
        assert_eq!(parse_time("1e300"), Err(NoTime::Range));
        for text in [
            "",
            ".",
            "e5",
            "nan",
            "inf",
            "12:30",
            "1_000",
            "0x10",
            "2011-13-01",
            "2011-02-29",
            "2011-12-09 24:00",
        ] {
            assert_eq!(parse_time(text), Err(NoTime::Unknown), "{text}");
        }
    }

    #[test]
    fn dates_are_unix_seconds() {
        assert_eq!(parse_time("1970-01-01"), Ok(0));
        assert_eq!(parse_time("2000-02-29 00:00:01"), Ok(951_782_401));
        assert_eq!(parse_time("2011-12-09T12:50:00Z"), Ok(1_323_435_000));
        assert_eq!(parse_time("1969-12-31 23:59"), Ok(-60));
    }

    #[test]
    fn twelve_hour_times_are_unix_seconds() {
        assert_eq!(us_date("12/9/2011 12:50:00 PM"), Some(1_323_435_000));
        assert_eq!(
            us_date("12/9/2011 12:50:00 AM"),
            Some(1_323_435_000 - 43_200)
        );
        assert_eq!(us_date("12/09/2011 1:05:07 PM"), Some(1_323_435_907));
        for text in [
            "12/9/2011 13:50:00 PM",
            "13/9/2011 1:50:00 PM",
            "12/9/2011 1:50:00",
            "12/9/2011 1:50:00 pm",
            "881250949",
        ] {
            assert_eq!(us_date(text), None, "{text}");
        }
    }
}
