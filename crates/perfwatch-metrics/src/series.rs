//! The name of one series: a metric and the labels that tell its instances apart.

use std::fmt;

use crate::MetricDef;

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
    use crate::catalog;

    fn key(id: &str, labels: &[&str]) -> String {
        SeriesKey::new(catalog().find(|def| def.id == id).unwrap(), labels).to_string()
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
