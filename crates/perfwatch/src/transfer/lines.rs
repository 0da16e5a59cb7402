//! Lines of an export, read back: which shape it is, and the rows of NDJSON and CSV.

use std::fmt;
use std::io::{BufRead, Read};
use std::vec;

use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Names, SectionRow, VERSION, openmetrics, text};

/// The second line of CSV.
pub(super) const CSV_HEADER: &str = "time,section,covered_ns,series,value";

/// Longest line: one row of the most series there can be, with long names.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// Text line by line, with numbers.
pub(super) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// Number of the line that was read last.
    pub(super) number: u64,
}

impl<R: BufRead> Lines<R> {
    fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), number: 0 }
    }

    /// The next line without its end. None after the last.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<&str>> {
        self.buffer.clear();
        self.number += 1;
        let mut limited = self.input.by_ref().take(MAX_LINE_BYTES + 1);
        limited.read_until(b'\n', &mut self.buffer).context("reading what is to be imported")?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        }
        if self.buffer.len() as u64 > MAX_LINE_BYTES {
            bail!("line {}: longer than {MAX_LINE_BYTES} bytes", self.number);
        }
        let line = self.buffer.strip_suffix(b"\r").unwrap_or(&self.buffer);
        let line = std::str::from_utf8(line);
        Ok(Some(line.with_context(|| format!("line {}: it is no UTF-8", self.number))?))
    }
}

/// The rows of an export, whatever its shape.
pub(super) struct Rows<R> {
    lines: Lines<R>,
    names: Names,
    shape: Shape,
}

enum Shape {
    Ndjson,
    /// The row that the next line may go on with.
    Csv(Option<SectionRow>),
    Collected(vec::IntoIter<SectionRow>),
}

impl<R: BufRead> Rows<R> {
    /// Recognizes the shape. Of OpenMetrics, reads everything.
    pub(super) fn new(input: R) -> anyhow::Result<Self> {
        let (mut lines, mut names) = (Lines::new(input), Names::default());
        let first = lines.next()?.unwrap_or_default().to_owned();
        let shape = if let Some(version) = first.strip_prefix("perfwatch_export,") {
            same_version(version)?;
            let header = lines.next()?.unwrap_or_default();
            if header != CSV_HEADER {
                bail!("line 2: expected `{CSV_HEADER}`, found `{}`", text::shown(header));
            }
            Shape::Csv(None)
        } else if first.starts_with("# ") {
            let rows = openmetrics::read(&first, &mut lines, &mut names)?;
            Shape::Collected(rows.into_iter())
        } else {
            let header: Header = serde_json::from_str(&first).map_err(|_| {
                anyhow!(
                    "line 1: `{}` does not begin what `perfwatch export` writes",
                    text::shown(&first)
                )
            })?;
            same_version(&header.perfwatch_export.to_string())?;
            Shape::Ndjson
        };
        Ok(Self { lines, names, shape })
    }

    /// The next row. None after the last. An error names its line.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<SectionRow>> {
        match &mut self.shape {
            Shape::Ndjson => match self.lines.next()? {
                Some(line) => {
                    let row = json_row(line, &mut self.names);
                    row.map(Some).map_err(|why| anyhow!("line {}: {why}", self.lines.number))
                }
                None => Ok(None),
            },
            Shape::Csv(open) => loop {
                let Some(line) = self.lines.next()? else { return Ok(open.take()) };
                let row = csv_row(line, &mut self.names);
                let row = row.map_err(|why| anyhow!("line {}: {why}", self.lines.number))?;
                match open {
                    Some(open) if open.goes_on_with(&row) => {
                        if open.values.iter().any(|(known, _)| known.name == row.values[0].0.name) {
                            bail!("line {}: the series stands twice", self.lines.number);
                        }
                        open.values.extend(row.values);
                    }
                    _ => {
                        if let Some(done) = open.replace(row) {
                            return Ok(Some(done));
                        }
                    }
                }
            },
            Shape::Collected(rows) => Ok(rows.next()),
        }
    }
}

impl SectionRow {
    fn goes_on_with(&self, other: &Self) -> bool {
        (self.time, self.covered, &self.section) == (other.time, other.covered, &other.section)
    }
}

fn same_version(version: &str) -> anyhow::Result<()> {
    if version != VERSION.to_string() {
        let version = text::shown(version);
        bail!("line 1: this has version {version}, and this perfwatch knows version {VERSION}");
    }
    Ok(())
}

/// The first line of NDJSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    perfwatch_export: u64,
}

/// The other lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonRow<'a> {
    time: String,
    section: String,
    covered_ns: u64,
    #[serde(borrow)]
    values: Values<'a>,
}

/// Values as they are written, for a float would not do.
struct Values<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Values<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of series and their values")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Values(pairs))
            }
        }
        deserializer.deserialize_map(Pairs).map(|values: Values<'de>| Values(values.0))
    }
}

fn json_row(line: &str, names: &mut Names) -> Result<SectionRow, String> {
    let row: JsonRow<'_> =
        serde_json::from_str(line).map_err(|error| text::shown(&error.to_string()))?;
    let mut values = Vec::with_capacity(row.values.0.len());
    for (name, value) in row.values.0 {
        let known = names.get(&name)?;
        let value = known.read(value.get())?;
        values.push((known, value));
    }
    section_row(&row.time, &row.section, row.covered_ns, values)
}

fn csv_row(line: &str, names: &mut Names) -> Result<SectionRow, String> {
    let wrong = || format!("expected `{CSV_HEADER}`, found `{}`", text::shown(line));
    let mut cells = line.splitn(4, ',');
    let mut cell = || cells.next().ok_or_else(wrong);
    let (time, section, covered, rest) = (cell()?, cell()?, cell()?, cell()?);
    let covered = covered.parse().map_err(|_| wrong())?;
    let (name, value) =
        rest.strip_prefix('"').and_then(|rest| rest.rsplit_once("\",")).ok_or_else(wrong)?;
    let known = names.get(&name.replace("\"\"", "\""))?;
    let value = known.read(value)?;
    section_row(time, section, covered, vec![(known, value)])
}

/// Puts a row together. The error says what does not fit.
fn section_row(
    time: &str,
    section: &str,
    covered: u64,
    mut values: Vec<(std::rc::Rc<super::Known>, i64)>,
) -> Result<SectionRow, String> {
    let when = text::parse_moment(time);
    let time = when.ok_or_else(|| format!("`{}` is no time", text::shown(time)))?;
    if values.is_empty() {
        return Err("a row without values".to_owned());
    }
    if let Some((stray, _)) = values.iter().find(|(known, _)| known.key.def.section() != section) {
        let (name, section) = (text::shown(&stray.name), text::shown(section));
        return Err(format!("{name} is not in the section `{section}`"));
    }
    values.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    if values.windows(2).any(|pair| pair[0].0.name == pair[1].0.name) {
        return Err("a series stands twice".to_owned());
    }
    Ok(SectionRow { time, section: section.to_owned(), covered, values })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &(impl AsRef<[u8]> + ?Sized)) -> anyhow::Result<Vec<SectionRow>> {
        let mut rows = Rows::new(text.as_ref())?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push(row);
        }
        Ok(all)
    }

    #[track_caller]
    fn fails(text: &str, says: &str) {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }

    const JSON: &str = "{\"perfwatch_export\":1}\n";
    const CSV: &str = "perfwatch_export,1\ntime,section,covered_ns,series,value\n";

    #[test]
    fn json_is_read_exactly() {
        let row = r#"{"time":"2026-11-23T03:12:05.123Z","section":"disk","covered_ns":5000000000,"values":{"disk.devices.read_bytes{device=\"a\\\"b\"}":18446744073709551615}}"#;
        let rows = read(&format!("{JSON}{row}\n")).unwrap();
        assert_eq!((rows[0].time, rows[0].covered), (1_795_403_525_123_000_000, 5_000_000_000));
        assert_eq!(rows[0].values[0].1 as u64, u64::MAX);
        assert_eq!(rows[0].values[0].0.key.labels, ["a\"b"]);
    }

    #[test]
    fn lines_of_csv_become_rows() {
        let line = |time: &str, name: &str, value: &str| {
            format!(
                "2026-11-23T03:12:0{time}.000Z,disk,0,\"{name}{{device=\"\"sda\"\"}}\",{value}\n"
            )
        };
        let text = format!(
            "{CSV}{}{}{}",
            line("5", "disk.devices.read_bytes", "1"),
            line("5", "disk.devices.read_count", "2"),
            line("6", "disk.devices.read_count", "3"),
        );
        let rows = read(&text).unwrap();
        assert_eq!(rows.iter().map(|row| row.values.len()).collect::<Vec<_>>(), [2, 1]);
        fails(
            &format!(
                "{CSV}{}{}",
                line("5", "disk.devices.read_bytes", "1"),
                line("5", "disk.devices.read_bytes", "1")
            ),
            "line 4: the series stands twice",
        );
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        fails("", "line 1: `` does not begin what `perfwatch export` writes");
        fails("hello\n", "line 1: `hello` does not begin");
        fails("{\"perfwatch_export\":2}\n", "line 1: this has version 2");
        fails("perfwatch_export,2\n", "line 1: this has version 2");
        fails("perfwatch_export,1\ntime\n", "line 2: expected `time,section");
        let row = |time: &str, section: &str, name: &str, value: &str| {
            format!(
                "{JSON}{{\"time\":\"{time}\",\"section\":\"{section}\",\"covered_ns\":0,\"values\":{{\"{name}\":{value}}}}}\n"
            )
        };
        let time = "2026-11-23T03:12:05.123Z";
        assert!(read(&row(time, "cpu", "cpu.usage_percent", "1.5")).is_ok());
        for (text, says) in [
            (row("soon", "cpu", "cpu.usage_percent", "1"), "line 2: `soon` is no time"),
            (row(time, "memory", "cpu.usage_percent", "1"), "is not in the section `memory`"),
            (row(time, "cpu", "cpu.flux", "1"), "`cpu.flux` is no series that is kept"),
            (row(time, "cpu", "cpu.usage_percent", "1.2345"), "at most 3 digits"),
            (row(time, "cpu", "cpu.usage_percent", "1e3"), "`1e3` is no number"),
            (row(time, "cpu", "cpu.usage_percent", "null"), "`null` is no number"),
            (row(time, "cpu", "cpu.interrupts", "-1"), "is no counter's value"),
            (row(time, "memory", "memory.pgpgin_per_sec", "1"), "is no series that is kept"),
            (format!("{JSON}{{\"time\":\"{time}\""), "line 2: EOF while parsing"),
            (format!("{CSV}1,2\n"), "line 3: expected `time,section"),
        ] {
            fails(&text, says);
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let endless = std::io::repeat(b'x');
        let error = Rows::new(std::io::BufReader::new(endless)).map(drop).unwrap_err().to_string();
        assert!(error.contains("line 1: longer than"), "{error}");
    }

    /// An export of each shape.
    const EXPORTS: [&str; 3] = [
        concat!(
            "{\"perfwatch_export\":1}\n",
            r#"{"time":"2026-11-23T03:12:05.123Z","section":"disk","covered_ns":5000000000,"#,
            r#""values":{"disk.devices.read_bytes{device=\"sda\"}":18446744073709551615}}"#,
            "\n"
        ),
        concat!(
            "perfwatch_export,1\ntime,section,covered_ns,series,value\n",
            "2026-11-23T03:12:05.000Z,disk,0,\"disk.devices.read_bytes{device=\"\"sda\"\"}\",1\n",
            "2026-11-23T03:12:05.000Z,cpu,0,\"cpu.usage_percent\",-1.5\n"
        ),
        concat!(
            "# TYPE perfwatch_disk_devices_read_bytes counter\n",
            "perfwatch_disk_devices_read_bytes_total{device=\"sda\"} 1 1795403525.123\n",
            "# EOF\n"
        ),
    ];

    #[test]
    fn an_export_of_each_shape_is_read() {
        EXPORTS.iter().for_each(|export| assert!(!read(export).unwrap().is_empty()));
    }

    proptest! {
        /// What almost is an export gets further than what is none at all.
        #[test]
        fn exports_with_bytes_changed_never_panic(
            export in prop::sample::select(EXPORTS.to_vec()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, any::<Vec<u8>>()), 1..5),
        ) {
            let mut bytes = export.as_bytes().to_vec();
            for (at, gone, new) in changes {
                let at = at.index(bytes.len() + 1);
                let end = bytes.len().min(at + gone);
                bytes.splice(at..end, new);
            }
            let _ = read(&bytes);
        }

        #[test]
        fn nonsense_never_panics(text: String, words in prop::collection::vec(prop::sample::select(vec![
            "2026-11-23T03:12:05Z", ",", "cpu", "\"", "\"\"", "cpu.usage_percent", "1", "-", ".5", "{", "}", ":", "[",
            "\n", "# TYPE ", "# EOF", "perfwatch_cpu_usage_percent", " ", "core=", "\\", "\\u", "gauge", "null",
        ]), 0..30)) {
            for start in ["", JSON, CSV, "# TYPE x gauge\n"] {
                let _ = read(&format!("{start}{text}"));
                let _ = read(&format!("{start}{}", words.concat()));
            }
        }
    }
}
