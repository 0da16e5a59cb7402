//! Numbers, durations and names in words.

/// Most characters of a name in a sentence.
const MAX_NAME_CHARS: usize = 48;

/// Most characters of a reason in a sentence.
const MAX_REASON_CHARS: usize = 160;

/// The name of an object, made harmless.
pub(crate) fn name(text: &str) -> String {
    shown(text, MAX_NAME_CHARS)
}

/// Why something is so, in others' words, made harmless.
pub(crate) fn reason(text: &str) -> String {
    shown(text, MAX_REASON_CHARS)
}

/// Text from outside: short, on one line, and without anything that a terminal or the direction of writing obeys.
fn shown(text: &str, most: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(most)
        .flat_map(|character| {
            let escaped = is_hostile(character).then(|| character.escape_unicode());
            let plain = (!is_hostile(character)).then_some(character);
            escaped.into_iter().flatten().chain(plain)
        })
        .collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Control characters, and those that are invisible or turn the direction of writing.
fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A value with as many digits as matter, and its unit where that is not said by the words around it.
pub(crate) fn value(value: f64, unit: &str) -> String {
    match unit {
        "%" => format!("{} %", number(value)),
        "bytes" => bytes(value),
        "bytes/s" => format!("{}/s", bytes(value)),
        "ms" => format!("{} ms", number(value)),
        _ => number(value),
    }
}

/// Whole from 10 on, with commas between thousands; below with one digit after the point, which is left out when it is 0.
fn number(value: f64) -> String {
    if value.abs() < 9.95 {
        let rounded = (value * 10.0).round() / 10.0;
        return if value != 0.0 && rounded == 0.0 {
            "< 0.1".to_owned()
        } else {
            format!("{rounded}")
        };
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn bytes(value: f64) -> String {
    let mut scaled = value;
    let mut units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    while scaled.abs() >= 1000.0 {
        let Some(next) = units.next() else { break };
        (scaled, unit) = (scaled / 1024.0, next);
    }
    format!("{} {unit}", number(scaled))
}

/// A time in its largest fitting unit, rounded: `40 seconds`, `5 minutes`, `9 days`.
pub(crate) fn duration(milliseconds: i64) -> String {
    let seconds = milliseconds.max(0) as f64 / 1000.0;
    let (count, unit) = match seconds {
        under if under < 90.0 => (under, "second"),
        under if under < 90.0 * 60.0 => (under / 60.0, "minute"),
        under if under < 36.0 * 3600.0 => (under / 3600.0, "hour"),
        _ => (seconds / 86_400.0, "day"),
    };
    let count = count.round();
    format!("{count} {unit}{}", if count == 1.0 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        for (number, unit, text) in [
            (97.23, "%", "97 %"),
            (9.96, "%", "10 %"),
            (3.25, "%", "3.3 %"),
            (4.0, "count", "4"),
            (0.02, "ms", "< 0.1 ms"),
            (0.0, "ms", "0 ms"),
            (1_234_567.0, "events/s", "1,234,567"),
            (1023.0, "bytes", "1 KiB"),
            (20.0 * 1024.0 * 1024.0, "bytes/s", "20 MiB/s"),
            (2.1 * 1024.0 * 1024.0 * 1024.0, "bytes", "2.1 GiB"),
            (f64::MAX, "bytes", &value(f64::MAX, "bytes")),
        ] {
            assert_eq!(value(number, unit), text);
        }
    }

    #[test]
    fn durations_are_rounded_in_one_unit() {
        for (seconds, text) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (89, "89 seconds"),
            (90, "2 minutes"),
            (1_800, "30 minutes"),
            (7_200, "2 hours"),
            (777_600, "9 days"),
        ] {
            assert_eq!(duration(seconds * 1000), text);
        }
    }

    #[test]
    fn hostile_names_are_harmless_and_short() {
        assert_eq!(name("eth\x1b[2J\n"), r"eth\u{1b}[2J\u{a}");
        assert_eq!(name("a\u{202e}b\u{200b}"), r"a\u{202e}b\u{200b}");
        assert_eq!(name("/srv/ä b"), "/srv/ä b");
        assert_eq!(name(&"ö".repeat(200)), format!("{}…", "ö".repeat(48)));
    }
}
