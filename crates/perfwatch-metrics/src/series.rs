//! The name of one series: a metric and the labels that tell its instances apart.

use std::fmt;

use crate::MetricDef;
use crate::catalog::{catalog, hidden};

/// A metric's description with the values of its labels: `disk.devices.read_iops{device="sda"}`.
#[derive(Debug, Clone)]
pub struct SeriesKey {
    /// The metric.
    pub def: &'static MetricDef,
    /// Values of the labels, in the order of [`MetricDef::labels`].
    pub labels: Vec<String>,
}

impl SeriesKey {
    /// The key of a value as [`crate::Snapshot::visit`] shows it.
    pub fn new(def: &'static MetricDef, labels: &[&str]) -> Self {
        Self { def, labels: labels.iter().map(|&label| label.to_owned()).collect() }
    }
}

impl SeriesKey {
    /// The key that was written so. None when it is malformed, or of a metric this version does not know, reported or
    /// hidden.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, mut rest) = match text.split_once('{') {
            Some((id, rest)) => (id, rest.strip_suffix('}')?),
            None => (text, ""),
        };
        let def = catalog().chain(hidden()).find(|def| def.id == id)?;
        let mut labels = Vec::new();
        for name in def.labels() {
            rest =
                rest.strip_prefix(',').unwrap_or(rest).strip_prefix(name)?.strip_prefix("=\"")?;
            let (value, after) = unescaped(rest)?;
            labels.push(value);
            rest = after;
        }
        rest.is_empty().then_some(Self { def, labels })
    }

    /// The labels by name.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.def.labels().zip(self.labels.iter().map(String::as_str))
    }
}

/// A quoted value up to its closing quote, and what follows that.
fn unescaped(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text.chars();
    loop {
        match rest.next()? {
            '"' => return Some((value, rest.as_str())),
            '\\' => match rest.next()? {
                'n' => value.push('\n'),
                'u' => {
                    let (digits, after) = rest.as_str().strip_prefix('{')?.split_once('}')?;
                    value.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                    rest = after.chars();
                }
                character => value.push(character),
            },
            character => value.push(character),
        }
    }
}

/// `id{label="value",…}`, in the syntax of Prometheus: backslash, quote and line feed are escaped.
/// Every other control character is written as `\u{…}`, so that no name can talk to a terminal.
impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.def.id)?;
        let mut before = '{';
        for (name, value) in self.def.labels().zip(&self.labels) {
            write!(f, "{before}{name}=\"")?;
            for character in value.chars() {
                match character {
                    '\\' | '"' => write!(f, "\\{character}")?,
                    '\n' => f.write_str("\\n")?,
                    _ if character.is_control() => write!(f, "{}", character.escape_unicode())?,
                    _ => write!(f, "{character}")?,
                }
            }
            f.write_str("\"")?;
            before = ',';
        }
        if before == ',' { f.write_str("}") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, labels: &[&str]) -> String {
        SeriesKey::new(catalog().find(|def| def.id == id).unwrap(), labels).to_string()
    }

    #[test]
    fn a_key_comes_back() {
        for value in ["sda", "", "a\"b\\c\n\x1b", "}{,=\"", "\\u{1b}", "/mnt/ä b"] {
            let id = "disk.devices.read_iops";
            let parsed = SeriesKey::parse(&key(id, &[value])).unwrap();
            assert_eq!((parsed.def.id, parsed.labels), (id, vec![value.to_owned()]));
        }
        assert!(SeriesKey::parse("memory.pgpgin").is_some());
        for nonsense in [
            "",
            "cpu",
            "cpu.usage_percent{",
            "cpu.per_core",
            "cpu.per_core{core=\"1\"",
            "cpu.per_core{core=\"1\"}x",
            "cpu.per_core{core=\"\\u{110000}\"}",
            "cpu.usage_percent{core=\"1\"}",
        ] {
            assert!(SeriesKey::parse(nonsense).is_none(), "{nonsense}");
        }
    }

    #[test]
    fn a_key_reads_like_prometheus() {
        assert_eq!(key("cpu.usage_percent", &[]), "cpu.usage_percent");
        assert_eq!(key("cpu.per_core", &["3"]), r#"cpu.per_core{core="3"}"#);
        assert_eq!(
            key("disk.devices.read_iops", &["a\"b\\c\n\x1b"]),
            r#"disk.devices.read_iops{device="a\"b\\c\n\u{1b}"}"#
        );
    }
}
