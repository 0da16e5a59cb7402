//! Which series are meant: `cpu.usage_percent`, `disk.devices.*.write_bytes_per_sec`,
//! `network.interfaces.*{interface="eth0"}`.
//!
//! A pattern is compared with a metric's id and with its path in the snapshot's JSON, where the object's name stands
//! in its place: `disk.devices.sda.read_iops`, `cpu.per_core.3`. `*` stands for any characters, dots included. Labels
//! in braces are compared whole, with `=` or `!=`.

use std::str::FromStr;

use perfwatch_metrics::{SeriesKey, catalog};

/// Longest selector.
const MAX_BYTES: usize = 1024;

/// A selection of series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    pattern: String,
    labels: Vec<LabelTest>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct LabelTest {
    name: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Whether a series is meant.
    pub(crate) fn matches(&self, key: &SeriesKey) -> bool {
        let labels = |test: &LabelTest| {
            let value = key.labels().find(|(name, _)| *name == test.name).map(|(_, value)| value);
            (value == Some(&test.value)) == test.equal
        };
        (glob(&self.pattern, key.def.id) || glob(&self.pattern, &path(key)))
            && self.labels.iter().all(labels)
    }
}

impl Selector {
    /// That there is no metric that it could mean. None when there is one, whether it has values or not.
    pub(crate) fn no_such_metric(&self) -> Option<String> {
        let known = catalog().any(|def| {
            let path = def.id.rsplit_once('.').filter(|_| def.object_label.is_some());
            let of_an_object = path.is_some_and(|(before, name)| {
                let rest =
                    self.pattern.strip_prefix(before).and_then(|rest| rest.strip_prefix('.'));
                rest.is_some_and(|rest| rest.ends_with(name))
            });
            let of_a_list = def.index_label.is_some() && self.pattern.starts_with(def.id);
            glob(&self.pattern, def.id) || of_an_object || of_a_list
        });
        (!known).then(|| {
            let meant = self.nearest().map(|nearest| format!("; did you mean {nearest}?"));
            format!("{}: no such metric{}", self.pattern, meant.unwrap_or_default())
        })
    }

    /// What a pattern that means no metric was perhaps to be: all of a group, the shortest id that begins with it, or the
    /// id that is most like it, if at most a quarter of its letters differ.
    fn nearest(&self) -> Option<String> {
        let pattern = self.pattern.as_str();
        let ids = || catalog().map(|def| def.id);
        if ids().any(|id| id.strip_prefix(pattern).is_some_and(|rest| rest.starts_with('.'))) {
            return Some(format!("{pattern}.*"));
        }
        let begun = ids().filter(|id| pattern.contains('.') && id.starts_with(pattern));
        let most = pattern.len() / 4;
        let similar = ids()
            .filter(|id| id.len().abs_diff(pattern.len()) <= most)
            .map(|id| (edits(pattern, id), id))
            .filter(|(edits, _)| *edits <= most);
        let nearest = begun.min_by_key(|id| id.len()).or(similar.min().map(|(_, id)| id));
        nearest.map(str::to_owned)
    }
}

/// How many bytes are to be put in, left out or exchanged to make one text of the other.
fn edits(text: &str, other: &str) -> usize {
    // Of what was read of the text, for each beginning of the other.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (read, byte) in (1..).zip(text.bytes()) {
        let mut next = vec![read];
        let mut left = read;
        for (pair, wanted) in row.windows(2).zip(other.bytes()) {
            let exchanged = pair[0] + usize::from(byte != wanted);
            left = exchanged.min(pair[1] + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The series' path in the snapshot's JSON.
fn path(key: &SeriesKey) -> String {
    let mut labels = key.labels.iter();
    let mut path = key.def.id.to_owned();
    if key.def.object_label.is_some()
        && let (Some(object), Some((before, name))) = (labels.next(), key.def.id.rsplit_once('.'))
    {
        path = format!("{before}.{object}.{name}");
    }
    for index in labels {
        path.push('.');
        path.push_str(index);
    }
    path
}

/// Whether a text is as a pattern says. In time proportional to the product of their lengths at worst.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let wrong = |why: &str| {
            let shown: String = text.chars().take(60).collect();
            format!("`{}`: {why}", shown.escape_debug())
        };
        if text.is_empty() || text.len() > MAX_BYTES {
            return Err(wrong("expected a metric such as cpu.usage_percent or disk.devices.*"));
        }
        let Some((pattern, labels)) = text.split_once('{') else {
            return Ok(Self { pattern: text.to_owned(), labels: Vec::new() });
        };
        let mut tests = Vec::new();
        let mut rest = labels.trim_start();
        while !rest.starts_with('}') {
            let (test, after) = label_test(rest).ok_or_else(|| {
                wrong("expected labels such as {device=\"sda\"} or {core!=\"0\"} after the metric")
            })?;
            tests.push(test);
            let after = after.trim_start();
            rest = after.strip_prefix(',').unwrap_or(after).trim_start();
        }
        if rest != "}" {
            return Err(wrong("something follows the labels"));
        }
        Ok(Self { pattern: pattern.trim_end().to_owned(), labels: tests })
    }
}

/// `name="value"` or `name!="value"`, and what follows. Backslash and quote in the value are escaped.
fn label_test(text: &str) -> Option<(LabelTest, &str)> {
    let end = text.find(|character: char| !character.is_alphanumeric() && character != '_')?;
    let (name, rest) = text.split_at_checked(end).filter(|(name, _)| !name.is_empty())?;
    let rest = rest.trim_start();
    let (equal, rest) = match rest.strip_prefix("!=") {
        Some(rest) => (false, rest),
        None => (true, rest.strip_prefix('=')?),
    };
    let mut characters = rest.trim_start().strip_prefix('"')?.chars();
    let mut value = String::new();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => value.push(characters.next()?),
            character => value.push(character),
        }
    }
    Some((LabelTest { name: name.to_owned(), value, equal }, characters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, id: &str, label: Option<&str>) -> bool {
        let def = catalog().find(|def| def.id == id).unwrap();
        let labels: Vec<_> = label.into_iter().collect();
        selector.parse::<Selector>().unwrap().matches(&SeriesKey::new(def, &labels))
    }

    #[test]
    fn a_metric_is_meant_by_id_by_path_and_by_pattern() {
        let sda = |selector| matches(selector, "disk.devices.write_bytes_per_sec", Some("sda"));
        for selector in [
            "disk.devices.write_bytes_per_sec",
            "disk.devices.sda.write_bytes_per_sec",
            "disk.devices.*.write_bytes_per_sec",
            "disk.devices.*",
            "disk.*_per_sec",
            "*",
            "*write*",
            "disk.devices.*{device=\"sda\"}",
            " disk.devices.* { device != \"sdb\" , } ",
        ] {
            assert!(sda(selector), "{selector}");
        }
        for selector in [
            "disk.devices",
            "disk.devices.sdb.write_bytes_per_sec",
            "disk.devices.*{device=\"sdb\"}",
            "disk.devices.*{device!=\"sda\"}",
            "disk.devices.*{interface=\"sda\"}",
            "*write",
            "write*",
        ] {
            assert!(!sda(selector), "{selector}");
        }
        assert!(matches("cpu.per_core.3", "cpu.per_core", Some("3")));
        assert!(matches("cpu.per_core", "cpu.per_core", Some("3")));
        assert!(!matches("cpu.per_core.3", "cpu.per_core", Some("13")));
        assert!(matches(
            "disk.partitions./.usage_percent",
            "disk.partitions.usage_percent",
            Some("/")
        ));
    }

    #[test]
    fn a_metric_that_there_is_not_is_told_from_one_without_values() {
        let unknown = |text: &str| text.parse::<Selector>().unwrap().no_such_metric().is_some();
        for known in
            ["cpu.*", "disk.devices.sdz.read_iops", "cpu.per_core.99", "disk.devices.*.read_iops"]
        {
            assert!(!unknown(known), "{known}");
        }
        for text in ["cpu.usage", "disk.devices.sda.iops", "no.such"] {
            assert!(unknown(text), "{text}");
        }
    }

    #[test]
    fn what_a_metric_was_perhaps_to_be_is_told() {
        for (text, meant) in [
            ("cpu.usage", Some("cpu.usage_percent")),
            ("cpu.usgae_percent", Some("cpu.usage_percent")),
            ("cpu_usage_percent", Some("cpu.usage_percent")),
            ("memory.used", Some("memory.used_bytes")),
            ("disk.devices.sda.iops", Some("disk.devices.read_iops")),
            ("disk.devices", Some("disk.devices.*")),
            ("cpu", Some("cpu.*")),
            ("cp", None),
            ("no.such", None),
            ("*.such", None),
            ("{core=\"0\"}", None),
        ] {
            let said = text.parse::<Selector>().unwrap().no_such_metric().unwrap();
            let found = said.split_once("; did you mean ").map(|(_, meant)| meant);
            assert_eq!(found, meant.map(|meant| format!("{meant}?")).as_deref(), "{said}");
        }
    }

    #[test]
    fn edits_are_counted() {
        for (text, other, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("abc", "abd", 1),
            ("abc", "bc", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(text, other), count, "{text} {other}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            " ",
            "a{",
            "a{b}",
            "a{b=c}",
            "a{b=\"c}",
            "a{b=\"c\"}d",
            "a{=\"c\"}",
            "a{b=\"c\" d=\"e\"x}",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text}");
        }
    }
}
