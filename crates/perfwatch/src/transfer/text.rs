//! Numbers and times in writing, without a detour over floats.

use jiff::Timestamp;

/// How much of a wrong text an error repeats, in characters before they are escaped.
const SHOWN_CHARS: usize = 60;

/// A number of so many decimals, without zeros at its end: 12300 of 3 is `12.3`.
pub(super) fn decimal(value: i64, decimals: u32) -> String {
    if decimals == 0 {
        return value.to_string();
    }
    let scale = 10_u64.pow(decimals);
    let (whole, rest) = (value.unsigned_abs() / scale, value.unsigned_abs() % scale);
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{rest:0width$}", width = decimals as usize);
    let digits = digits.trim_end_matches('0');
    let point = if digits.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{digits}")
}

/// What [`decimal`] wrote. None for anything else, such as more digits.
pub(super) fn parse_decimal(text: &str, decimals: u32) -> Option<i64> {
    let unsigned = text.strip_prefix('-');
    let (whole, rest) = match unsigned.unwrap_or(text).split_once('.') {
        Some((whole, rest)) if !rest.is_empty() => (whole, rest),
        Some(_) => return None,
        None => (unsigned.unwrap_or(text), ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let missing = (decimals as usize).checked_sub(rest.len())?;
    if whole.is_empty() || !is_digits(whole) || !is_digits(rest) {
        return None;
    }
    let sign = if unsigned.is_some() { "-" } else { "" };
    format!("{sign}{whole}{rest}{}", "0".repeat(missing)).parse().ok()
}

/// Nanoseconds since the epoch in ISO 8601, with milliseconds where that is exact.
pub(super) fn moment(ns: i64) -> String {
    // Every i64 of nanoseconds is a time.
    let time = Timestamp::from_nanosecond(ns.into()).unwrap_or_default();
    if ns % 1_000_000 == 0 { format!("{time:.3}") } else { format!("{time:.9}") }
}

/// What [`moment`] wrote.
pub(super) fn parse_moment(text: &str) -> Option<i64> {
    let time: Timestamp = text.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// A text from outside in an error: escaped and shortened.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    crate::terminal::printable(&shown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, decimals, text) in [
            (12_300, 3, "12.3"),
            (-5, 3, "-0.005"),
            (0, 3, "0"),
            (7000, 3, "7"),
            (-7, 0, "-7"),
            (i64::MIN, 3, "-9223372036854775.808"),
        ] {
            assert_eq!(decimal(value, decimals), text);
        }
    }

    #[test]
    fn what_is_no_such_number_is_refused() {
        for text in
            ["", "-", ".", "1.", ".5", "1.2345", "1e3", "+1", "1 ", "--1", "9223372036854775808"]
        {
            assert_eq!(parse_decimal(text, 3), None, "{text}");
        }
        assert_eq!(parse_decimal("1.0", 0), None);
    }

    proptest! {
        #[test]
        fn numbers_and_times_come_back(value: i64, decimals in 0_u32..5) {
            assert_eq!(parse_decimal(&decimal(value, decimals), decimals), Some(value));
            assert_eq!(parse_moment(&moment(value)), Some(value));
        }

        #[test]
        fn nonsense_is_refused(text: String) {
            let _ = (parse_decimal(&text, 3), parse_moment(&text), shown(&text));
        }
    }
}
