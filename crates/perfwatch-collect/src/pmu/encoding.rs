//! How sysfs writes an event, and what the kernel wants to hear: `event=0x04,umask=0x03` becomes `config` by the PMU's own
//! `format/` files, such as `config:0-7` and `config:8-15`. A field may be in pieces, as AMD's `config:0-7,32-35`: the low bits
//! of its value go to the first piece. Numbers are decimal or, after `0x`, hexadecimal (Documentation/ABI/testing/
//! sysfs-bus-event_source-devices-format and -events).

use std::collections::BTreeMap;

use crate::parse::{number, shown};

/// Most fields in one event. Intel's uncore has up to 30 formats.
const MAX_TERMS: usize = 64;

/// Where the bits of a field go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// 0 for `config`, 1 for `config1`, 2 for `config2`.
    word: usize,
    /// First and last bit of each piece, in the order in which they are filled.
    pieces: Vec<(u32, u32)>,
}

/// Reads a file of `format/`: `config:0-7,32-35`, `config1:18`. The error says what is wrong.
pub fn parse_format(text: &[u8]) -> Result<Format, String> {
    let wrong = || format!("not a format: {}", shown(text));
    let text = text.trim_ascii();
    let colon = memchr::memchr(b':', text).ok_or_else(wrong)?;
    let word = match text.get(..colon).unwrap_or_default() {
        b"config" => 0,
        b"config1" => 1,
        b"config2" => 2,
        _ => return Err(wrong()),
    };
    let mut pieces = Vec::new();
    for piece in text.get(colon.saturating_add(1)..).unwrap_or_default().split(|byte| *byte == b',')
    {
        let bit = |digits: &[u8]| {
            number(digits).filter(|bit| *bit < 64).and_then(|bit| u32::try_from(bit).ok())
        };
        let (first, last) = match memchr::memchr(b'-', piece) {
            Some(dash) => (
                piece.get(..dash).unwrap_or_default(),
                piece.get(dash.saturating_add(1)..).unwrap_or_default(),
            ),
            None => (piece, piece),
        };
        match (bit(first), bit(last)) {
            (Some(first), Some(last)) if first <= last && pieces.len() < MAX_TERMS => {
                pieces.push((first, last));
            }
            _ => return Err(wrong()),
        }
    }
    Ok(Format { word, pieces })
}

impl Format {
    /// The value's bits at their places. None when there is no room for all of them.
    pub fn place(&self, value: u64) -> Option<u64> {
        let (mut rest, mut placed) = (value, 0);
        for (first, last) in &self.pieces {
            let width = last.saturating_sub(*first).saturating_add(1);
            let mask = u64::MAX.checked_shr(64_u32.saturating_sub(width)).unwrap_or(0);
            placed |= (rest & mask).checked_shl(*first).unwrap_or(0);
            rest = rest.checked_shr(width).unwrap_or(0);
        }
        (rest == 0).then_some(placed)
    }
}

/// `config`, `config1` and `config2` of an event as sysfs writes it. A field without a value is 1. The error says what
/// is wrong.
pub fn encode(event: &[u8], formats: &BTreeMap<String, Format>) -> Result<[u64; 3], String> {
    let mut config = [0_u64; 3];
    for (count, term) in event.trim_ascii().split(|byte| *byte == b',').enumerate() {
        let equals = memchr::memchr(b'=', term);
        let name = term.get(..equals.unwrap_or(term.len())).unwrap_or_default();
        let value = equals.map(|at| term.get(at.saturating_add(1)..).unwrap_or_default());
        let value = value.map_or(Some(1), any_number);
        let value = value.ok_or_else(|| format!("no number: {}", shown(term)))?;
        let (word, bits) = match name {
            b"config" => (0, Some(value)),
            b"config1" => (1, Some(value)),
            b"config2" => (2, Some(value)),
            _ => {
                let format = std::str::from_utf8(name).ok().and_then(|name| formats.get(name));
                let format = format.ok_or_else(|| format!("no such format: {}", shown(name)))?;
                (format.word, format.place(value))
            }
        };
        let bits = bits.ok_or_else(|| format!("more than fits: {}", shown(term)))?;
        if let Some(slot) = config.get_mut(word) {
            *slot |= bits;
        }
        if count >= MAX_TERMS {
            return Err(format!("more than {MAX_TERMS} fields"));
        }
    }
    Ok(config)
}

/// A decimal number, or after `0x` a hexadecimal one.
fn any_number(word: &[u8]) -> Option<u64> {
    let Some(digits) = word.strip_prefix(b"0x").or_else(|| word.strip_prefix(b"0X")) else {
        return number(word);
    };
    let digits = std::str::from_utf8(digits).ok()?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn formats(list: &[(&str, &str)]) -> BTreeMap<String, Format> {
        let format = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), parse_format(text.as_bytes()).unwrap())
        };
        list.iter().map(format).collect()
    }

    #[track_caller]
    fn check(event: &str, list: &[(&str, &str)], config: [u64; 3]) {
        assert_eq!(encode(event.as_bytes(), &formats(list)), Ok(config), "{event}");
    }

    #[test]
    fn every_vendor_s_way_of_writing() {
        check("event=0x02\n", &[("event", "config:0-7\n")], [2, 0, 0]);
        let intel = [("event", "config:0-7"), ("umask", "config:8-15"), ("edge", "config:18")];
        check("event=0x04,umask=0x03", &intel, [0x304, 0, 0]);
        check("event=0x5,umask=0xcf,edge", &intel, [0x4_cf05, 0, 0]);
        check("event=255,umask=16", &intel, [0x10ff, 0, 0]);
        let amd = [("event", "config:0-7,32-35,59-60"), ("rdwrmask", "config:8-9")];
        check("event=0x0a,rdwrmask=0x2", &amd, [0x20a, 0, 0]);
        check("event=0x1c7", &amd, [0x1_0000_00c7, 0, 0]);
        check("event=0x3fff", &amd, [0x1800_000f_0000_00ff, 0, 0]);
        let words = [("ldlat", "config1:0-15"), ("offcore_rsp", "config2:0-63")];
        check("config=0x11,ldlat=3,offcore_rsp=0xffffffffffffffff", &words, [0x11, 3, u64::MAX]);
    }

    #[test]
    fn nonsense_is_refused_with_what_is_wrong() {
        let formats = formats(&[("event", "config:0-7")]);
        for (event, says) in [
            ("", "no such format: "),
            ("event=0x100", "more than fits: event=0x100"),
            ("event=?", "no number: event=?"),
            ("event=", "no number: event="),
            ("event=0x", "no number: event=0x"),
            ("event=0x+1", "no number: event=0x+1"),
            ("event=18446744073709551616", "no number: event=18446744073709551616"),
            ("umask=1", "no such format: umask"),
            ("event=1,,", "no such format: "),
        ] {
            assert_eq!(encode(event.as_bytes(), &formats).unwrap_err(), says, "{event}");
        }
        for text in [
            "",
            "config",
            "config:",
            "config:7-0",
            "config:64",
            "config:0-64",
            "config3:0",
            "config:0-",
            "config:1,",
        ] {
            assert!(parse_format(text.as_bytes()).is_err(), "{text}");
        }
    }

    proptest! {
        /// Bits taken back from their places are the value, whatever pieces do not overlap.
        #[test]
        fn no_bit_is_lost(widths in proptest::collection::vec((0_u32..6, 1_u32..9), 1..5), value: u64) {
            let (mut pieces, mut next, mut room) = (Vec::new(), 0, 0);
            for (gap, width) in widths {
                pieces.push((next + gap, next + gap + width - 1));
                next += gap + width;
                room += width;
            }
            let texts: Vec<_> = pieces.iter().map(|(first, last)| format!("{first}-{last}")).collect();
            let format = parse_format(format!("config:{}", texts.join(",")).as_bytes()).unwrap();
            let value = value >> (64 - room);
            let placed = format.place(value).unwrap();
            let (mut back, mut at) = (0, 0);
            for (first, last) in pieces {
                let width = last - first + 1;
                back |= ((placed >> first) & ((1 << width) - 1)) << at;
                at += width;
            }
            prop_assert_eq!(back, value);
            prop_assert_eq!(format.place(1 << room), None);
        }

        #[test]
        fn no_bytes_panic(format: Vec<u8>, event: Vec<u8>, name in "[a-z]{1,8}") {
            let formats = parse_format(&format).map(|format| [(name, format)].into());
            let _ = encode(&event, &formats.unwrap_or_default());
        }

        /// Of texts that look like events, too.
        #[test]
        fn no_event_panics(
            format in "config[123]?:[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,2}-[0-9]{1,2}){0,3}",
            event in "([a-c]|config[12]?)(=(0x[0-9a-f]{0,18}|[0-9]{0,21}|\\?))?(,[a-c]=[0-9]{1,4}){0,3}",
        ) {
            let format = parse_format(format.as_bytes());
            let formats = format.map(|format| ["a", "b", "c"].map(|name| (name.to_owned(), format.clone())).into());
            let _ = encode(event.as_bytes(), &formats.unwrap_or_default());
        }
    }
}
