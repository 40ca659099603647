//! The order of labels: digits compare as numbers, so that `k=64` comes before `k=256`.

use std::cmp::Ordering;

/// Compares two labels, runs of digits by value.
pub(crate) fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        match (left.chars().next(), right.chars().next()) {
            (None, None) => return a.cmp(b),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (m, rest_left) = number(left);
                let (n, rest_right) = number(right);
                match m.cmp(&n) {
                    Ordering::Equal => (left, right) = (rest_left, rest_right),
                    unequal => return unequal,
                }
            }
            (Some(x), Some(y)) if x == y => {
                left = &left[x.len_utf8()..];
                right = &right[y.len_utf8()..];
            }
            (Some(x), Some(y)) => return x.cmp(&y),
        }
    }
}

/// The run of digits at the start (too long for u128: the largest), and the rest.
fn number(text: &str) -> (u128, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (text[..end].parse().unwrap_or(u128::MAX), &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_compare_as_numbers() {
        let mut labels = ["top-k k=256", "top-k k=64", "blocked", "top-k"];
        labels.sort_by(|a, b| natural(a, b));
        assert_eq!(labels, ["blocked", "top-k", "top-k k=64", "top-k k=256"]);
        assert_eq!(natural("a01", "a1"), Ordering::Less);
    }
}
