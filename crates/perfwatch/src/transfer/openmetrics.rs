//! Samples as OpenMetrics: one metric after the other, each with all of its samples.
//!
//! Names and base units are those of `/metrics`. The history is read once for each metric, so that memory does not grow with
//! it; reading back needs all samples at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::rc::Rc;

use anyhow::{anyhow, bail};
use perfwatch_metrics::catalog::hidden;
use perfwatch_metrics::{MetricDef, SeriesKey, catalog};
use perfwatch_store::{GroupRows, Reader, Series};

use super::export::{Span, Wanted};
use super::lines::Lines;
use super::{Known, Names, SectionRow, text};
use crate::prometheus::{family, in_base_unit, in_own_unit, is_counter, label};
use crate::selector::Selector;

/// Most samples that are read back at once: about half a gigabyte.
const MAX_SAMPLES: usize = 20_000_000;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// Samples of each section at each time.
type SectionSamples = BTreeMap<&'static str, BTreeMap<i64, Vec<(Rc<Known>, i64)>>>;

/// What could not be written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// Pieces that are damaged.
    pub(crate) damaged: u64,
    /// Samples that are not later than the one before, as after the clock was set back: OpenMetrics has no such.
    pub(crate) not_later: u64,
}

/// Writes every metric that is kept.
pub(crate) fn export(
    out: &mut impl Write,
    reader: &Reader,
    span: Span,
    selectors: &[Selector],
) -> anyhow::Result<LeftOut> {
    let mut wanted = Wanted::new(selectors);
    let mut present: HashSet<&'static str> = HashSet::new();
    let mut left_out = LeftOut::default();
    let look = |series: &Series| {
        present.extend(wanted.get(series).map(|known| known.key.def.id));
        false
    };
    left_out.damaged = reader.chunks(span, look, |_| ControlFlow::Continue(()))?;
    for def in catalog().chain(hidden()).filter(|def| present.contains(def.id)) {
        let family = family(def);
        let kind = if is_counter(def) { "counter" } else { "gauge" };
        writeln!(out, "# TYPE {family} {kind}")?;
        writeln!(out, "# HELP {family} {}", def.title())?;
        let mut last: HashMap<Rc<str>, i64> = HashMap::new();
        let mut written = Ok(());
        let select = |series: &Series| {
            SeriesKey::parse(&series.name).is_some_and(|key| std::ptr::eq(key.def, def))
        };
        reader.chunks(span, select, |chunk| {
            for group in &chunk.groups {
                written = samples(out, group, span, &mut wanted, &mut last, &mut left_out);
                if written.is_err() {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        })?;
        written?;
    }
    writeln!(out, "# EOF")?;
    Ok(left_out)
}

/// Writes the selected series of a group, one after the other in the order of their names.
fn samples(
    out: &mut impl Write,
    group: &GroupRows,
    span: Span,
    wanted: &mut Wanted<'_>,
    last: &mut HashMap<Rc<str>, i64>,
    left_out: &mut LeftOut,
) -> io::Result<()> {
    let mut ordered: Vec<_> = group.series.iter().collect();
    ordered.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    for (series, values) in ordered {
        let Some(known) = wanted.get(series) else { continue };
        let name: Rc<str> = sample_name(&known.key).into();
        let last = last.entry(Rc::clone(&name)).or_insert(i64::MIN);
        for (time, value) in group.times.iter().zip(values) {
            let Some(value) = value.filter(|_| (span.0..span.1).contains(time)) else { continue };
            if time <= last {
                left_out.not_later += 1;
                continue;
            }
            *last = *time;
            let value = in_base_unit(known.key.def.unit, &known.write(value));
            writeln!(out, "{name} {value} {}", seconds(*time))?;
        }
    }
    Ok(())
}

/// A series' name with its labels.
fn sample_name(key: &SeriesKey) -> String {
    let mut name = family(key.def);
    if is_counter(key.def) {
        name.push_str("_total");
    }
    let mut labels = String::new();
    for (name, value) in key.labels() {
        label(&mut labels, name, value);
    }
    if !labels.is_empty() {
        name.push_str(&format!("{{{labels}}}"));
    }
    name
}

/// Nanoseconds as seconds, with milliseconds where that is exact.
fn seconds(ns: i64) -> String {
    let digits = if ns % 1_000_000 == 0 { 3 } else { 9 };
    let sign = if ns < 0 { "-" } else { "" };
    let (whole, rest) =
        (ns.unsigned_abs() / SECOND.unsigned_abs(), ns.unsigned_abs() % SECOND.unsigned_abs());
    let rest = format!("{rest:09}");
    format!("{sign}{whole}.{}", rest.get(..digits).unwrap_or_default())
}

/// Reads everything up to `# EOF`. An error names its line.
pub(super) fn read(
    first: &str,
    lines: &mut Lines<impl BufRead>,
    names: &mut Names,
) -> anyhow::Result<Vec<SectionRow>> {
    let metrics: HashMap<String, &'static MetricDef> = catalog()
        .chain(hidden())
        .map(|def| (if is_counter(def) { family(def) + "_total" } else { family(def) }, def))
        .collect();
    let mut sections: SectionSamples = BTreeMap::new();
    let (mut count, mut ended) = (0, first == "# EOF");
    while let Some(line) = lines.next()? {
        if ended {
            bail!("line {}: something follows # EOF", lines.number);
        }
        if line.starts_with("# ") {
            ended = line == "# EOF";
            continue;
        }
        let found = sample(line, &metrics, names);
        let (known, value, time) = found.map_err(|why| anyhow!("line {}: {why}", lines.number))?;
        count += 1;
        if count > MAX_SAMPLES {
            bail!(
                "more than {MAX_SAMPLES} samples: OpenMetrics is read as a whole, so export shorter ranges with --from \
                 and --to, or as ndjson"
            );
        }
        let rows = sections.entry(known.key.def.section()).or_default();
        rows.entry(time).or_default().push((known, value));
    }
    if !ended {
        bail!("line {}: it ends without # EOF", lines.number);
    }
    rows(sections).map_err(|why| anyhow!("{why}"))
}

/// `name{label="value"} 1.5 1795403525.123`
fn sample(
    line: &str,
    metrics: &HashMap<String, &'static MetricDef>,
    names: &mut Names,
) -> Result<(Rc<Known>, i64, i64), String> {
    let wrong =
        || format!("expected a sample with its time or # EOF, found `{}`", text::shown(line));
    let end = line.find(['{', ' ']).ok_or_else(wrong)?;
    let (name, rest) = line.split_at_checked(end).ok_or_else(wrong)?;
    let def = metrics
        .get(name)
        .ok_or_else(|| format!("`{}` is no metric that is kept", text::shown(name)))?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest).ok_or_else(wrong)?,
        None => (Vec::new(), rest),
    };
    let mut ordered = Vec::new();
    for name in def.labels() {
        let value = labels.iter().find(|(label, _)| label == name).map(|(_, value)| value.clone());
        ordered.push(value.ok_or_else(|| format!("the label {name} is missing"))?);
    }
    if labels.len() != ordered.len() {
        return Err(wrong());
    }
    let known = names.get(&SeriesKey { def, labels: ordered }.to_string())?;
    let (value, time) =
        rest.strip_prefix(' ').and_then(|rest| rest.split_once(' ')).ok_or_else(wrong)?;
    let value = in_own_unit(def.unit, value)
        .ok_or_else(|| format!("`{}` is no number in plain decimals", text::shown(value)))?;
    let value = known.read(&value)?;
    let time = text::parse_decimal(time, 9)
        .ok_or_else(|| format!("`{}` is no time in seconds", text::shown(time)))?;
    Ok((known, value, time))
}

/// Labels and their values up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        let (name, after) = rest.split_once("=\"")?;
        let mut characters = after.chars();
        let mut value = String::new();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => value.push(match characters.next()? {
                    'n' => '\n',
                    character => character,
                }),
                character => value.push(character),
            }
        }
        labels.push((name.to_owned(), value));
        let after = characters.as_str();
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => return Some((labels, after.strip_prefix('}')?)),
        }
    }
}

/// Rows of all sections in the order of their times.
fn rows(sections: SectionSamples) -> Result<Vec<SectionRow>, String> {
    let mut all = Vec::new();
    for (section, rows) in sections {
        let times: Vec<i64> = rows.keys().copied().collect();
        let covered = covered(&times);
        for ((time, mut values), covered) in rows.into_iter().zip(covered) {
            values.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
            if let Some(pair) = values.windows(2).find(|pair| pair[0].0.name == pair[1].0.name) {
                let name = text::shown(&pair[0].0.name);
                return Err(format!("{name} has two values at {}", text::moment(time)));
            }
            all.push(SectionRow { time, section: section.to_owned(), covered, values });
        }
    }
    // Sections of one moment stay in the order of their names.
    all.sort_by_key(|row| row.time);
    Ok(all)
}

/// What samples at these times cover: the time since the one before, unless it is longer than 2.5 times the middle one.
fn covered(times: &[i64]) -> Vec<u64> {
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1].abs_diff(pair[0])).collect();
    let mut sorted = gaps.clone();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let longest = middle.saturating_mul(5) / 2;
    let continued = gaps.into_iter().map(|gap| if gap <= longest { gap } else { 0 });
    std::iter::once(0).chain(continued).take(times.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_prometheus() {
        let key = SeriesKey::parse("disk.devices.read_bytes{device=\"a\\\"b\\u{1b}\"}").unwrap();
        let name = sample_name(&key);
        assert_eq!(name, "perfwatch_disk_devices_read_bytes_total{device=\"a\\\"b\x1b\"}");
        let (labels, rest) = labels("device=\"a\\\"b\x1b\",x=\"\"} 1 2").unwrap();
        assert_eq!(labels, [("device".to_owned(), "a\"b\x1b".to_owned()), ("x".into(), "".into())]);
        assert_eq!(rest, " 1 2");
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds(1_795_403_525_123_000_000), "1795403525.123");
        assert_eq!(seconds(1_795_403_525_123_000_001), "1795403525.123000001");
        assert_eq!(seconds(-1), "-0.000000001");
        assert_eq!(text::parse_decimal(&seconds(-1), 9), Some(-1));
    }

    #[test]
    fn a_sample_after_a_gap_continues_none() {
        assert_eq!(covered(&[]), [0_u64; 0]);
        assert_eq!(covered(&[7]), [0]);
        assert_eq!(covered(&[0, 10, 20, 45, 71, 81]), [0, 10, 10, 25, 0, 10]);
    }
}
