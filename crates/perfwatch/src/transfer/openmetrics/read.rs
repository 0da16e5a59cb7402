//! Samples of OpenMetrics as rows of sections.

use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::rc::Rc;

use anyhow::{anyhow, bail};
use perfwatch_metrics::catalog::hidden;
use perfwatch_metrics::{MetricDef, SeriesKey, catalog};

use super::written_name;
use crate::prometheus::in_own_unit;
use crate::transfer::lines::Lines;
use crate::transfer::{Known, Names, SectionRow, text};

/// Most samples that are read back at once: about half a gigabyte.
const MAX_SAMPLES: usize = 20_000_000;

/// Samples of each section at each time.
type SectionSamples = BTreeMap<&'static str, BTreeMap<i64, Vec<(Rc<Known>, i64)>>>;

/// Reads everything up to `# EOF`. An error names its line.
pub(in super::super) fn read(
    first: &str,
    lines: &mut Lines<impl BufRead>,
    names: &mut Names,
) -> anyhow::Result<Vec<SectionRow>> {
    let metrics: HashMap<String, &'static MetricDef> =
        catalog().chain(hidden()).map(|def| (written_name(def), def)).collect();
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
    fn labels_may_hold_anything() {
        let (labels, rest) = labels("device=\"a\\\"b\x1b\",x=\"\"} 1 2").unwrap();
        assert_eq!(labels, [("device".to_owned(), "a\"b\x1b".to_owned()), ("x".into(), "".into())]);
        assert_eq!(rest, " 1 2");
    }

    #[test]
    fn a_sample_after_a_gap_continues_none() {
        assert_eq!(covered(&[]), [0_u64; 0]);
        assert_eq!(covered(&[7]), [0]);
        assert_eq!(covered(&[0, 10, 20, 45, 71, 81]), [0, 10, 10, 25, 0, 10]);
    }
}
