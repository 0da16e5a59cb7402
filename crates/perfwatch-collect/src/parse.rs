//! Pieces of the kernel's text formats. Total on any bytes: no panic, no allocation.

use crate::error::Malformed;

/// The lines without their line feeds, numbered from 0. The last one may lack its line feed.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or_default();
        rest = rest.get(end.saturating_add(1)..).unwrap_or_default();
        Some(line)
    })
    .enumerate()
}

/// The words between blanks and tabs.
pub(crate) fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty())
}

/// A decimal number. None for anything else, and for what does not fit in 64 bits.
pub(crate) fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A decimal number at the end of `name value` or `name: value kB`: the second word of the line.
pub(crate) fn second_number(line: &[u8]) -> Option<u64> {
    number(words(line).nth(1)?)
}

/// A file that holds one number.
pub(crate) fn single_number(text: &[u8]) -> Result<u64, Malformed> {
    let word = text.trim_ascii();
    number(word).ok_or_else(|| Malformed::at(0, format!("not a number: {}", shown(word))))
}

/// A finite decimal fraction, such as `2596.098`.
pub(crate) fn fraction(word: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(word.trim_ascii()).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Fills `into` with the first numbers of `words`. The error says how many there were.
pub(crate) fn fill<'a>(
    into: &mut [u64],
    words: impl Iterator<Item = &'a [u8]>,
    line: usize,
) -> Result<(), Malformed> {
    let expected = into.len();
    let mut words = words;
    for (found, slot) in into.iter_mut().enumerate() {
        let word = words.next().ok_or_else(|| {
            Malformed::at(line, format!("expected {expected} counters, found {found}"))
        })?;
        *slot = number(word)
            .ok_or_else(|| Malformed::at(line, format!("not a number: {}", shown(word))))?;
    }
    Ok(())
}

/// A piece of a kernel's text for an error message: short, and harmless to a terminal.
pub(crate) fn shown(word: &[u8]) -> String {
    const MAX_SHOWN_BYTES: usize = 40;
    word.get(..MAX_SHOWN_BYTES).unwrap_or(word).escape_ascii().to_string()
}

/// Writes a name into `into`, replacing what it held: UTF-8 as it is, every other byte as `\xNN`, so that two
/// different names never become the same text.
pub(crate) fn set_text(into: &mut String, name: &[u8]) {
    if into.as_bytes() != name {
        into.clear();
        push_text(into, name);
    }
}

/// Appends a name, written as [`set_text`] does.
pub(crate) fn push_text(into: &mut String, name: &[u8]) {
    use std::fmt::Write;
    for chunk in name.utf8_chunks() {
        into.push_str(chunk.valid());
        for byte in chunk.invalid() {
            // Writing to a String cannot fail.
            let _ = write!(into, "\\x{byte:02x}");
        }
    }
}

/// Undoes the `\ooo` of the kernel's mount tables (`seq_escape`): `\040` is a blank.
pub(crate) fn unescape_octal(escaped: &[u8], into: &mut Vec<u8>) {
    into.clear();
    let mut rest = escaped;
    while let Some((&first, tail)) = rest.split_first() {
        let code = match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                Some(((a & 3) << 6) | ((b & 7) << 3) | (c & 7))
            }
            _ => None,
        };
        into.push(code.unwrap_or(first));
        rest = if code.is_some() { tail.get(3..).unwrap_or_default() } else { tail };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_whole_and_fit() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for bad in [&b""[..], b"18446744073709551616", b"-1", b"+1", b"1.5", b"0x1", b"1a"] {
            assert_eq!(number(bad), None, "{}", shown(bad));
        }
    }

    #[test]
    fn fractions_are_finite() {
        assert_eq!(fraction(b" 2596.098"), Some(2596.098));
        for bad in [&b"inf"[..], b"NaN", b"1e999", b"", b"\xff"] {
            assert_eq!(fraction(bad), None);
        }
    }

    #[test]
    fn octal_escapes_are_undone() {
        let mut out = Vec::new();
        for (escaped, plain) in [
            (r"/mnt/a\040b\011c", "/mnt/a b\tc"),
            (r"/mnt/\134040", r"/mnt/\040"),
            (r"/mnt/\04", r"/mnt/\04"),
            (r"/mnt/\999", r"/mnt/\999"),
            ("\\", "\\"),
        ] {
            unescape_octal(escaped.as_bytes(), &mut out);
            assert_eq!(out, plain.as_bytes());
        }
    }

    #[test]
    fn different_names_stay_different() {
        let mut text = String::new();
        set_text(&mut text, b"/mnt/\xff\xe4x");
        assert_eq!(text, r"/mnt/\xff\xe4x");
        set_text(&mut text, "/mnt/ä".as_bytes());
        assert_eq!(text, "/mnt/ä");
    }

    #[test]
    fn the_last_line_may_lack_its_line_feed() {
        let found: Vec<_> = lines(b"a\n\nb").collect();
        assert_eq!(found, [(0, &b"a"[..]), (1, b""), (2, b"b")]);
    }
}
