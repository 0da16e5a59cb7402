//! Rows of the store, section by section at each moment, as NDJSON and CSV.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use perfwatch_metrics::{Kept, catalog};
use perfwatch_store::{GroupRows, RawChunk, Reader, Series};

use super::{Known, SectionRow, VERSION, text};
use crate::history::views;
use crate::selector::Selector;

/// A stretch of time, in nanoseconds since the epoch, without its end.
pub(crate) type Span = (i64, i64);

/// Which series are exported.
pub(super) struct Wanted<'a> {
    selectors: &'a [Selector],
    known: HashMap<Series, Option<Rc<Known>>>,
}

impl<'a> Wanted<'a> {
    /// What any of the selectors means; without one, everything.
    pub(super) fn new(selectors: &'a [Selector]) -> Self {
        Self { selectors, known: HashMap::new() }
    }

    /// A series, if it is wanted and known.
    pub(super) fn get(&mut self, series: &Series) -> Option<Rc<Known>> {
        if let Some(known) = self.known.get(series) {
            return known.clone();
        }
        let known =
            Known::new(&series.name, &series.kind).filter(|known| self.is_meant(series, known));
        let known = known.map(Rc::new);
        self.known.insert(series.clone(), known.clone());
        known
    }

    /// A counter is meant by its own name and by that of every rate and ratio that comes from it.
    fn is_meant(&self, series: &Series, known: &Known) -> bool {
        let mut keys: Vec<_> = views(series).into_iter().map(|(key, _)| key).collect();
        keys.push(known.key.clone());
        let id = known.key.def.id;
        for def in catalog() {
            if matches!(def.kept, Kept::Ratio { of, per } if of == id || per == id) {
                keys.push(perfwatch_metrics::SeriesKey { def, labels: known.key.labels.clone() });
            }
        }
        let meant = |selector: &Selector| keys.iter().any(|key| selector.matches(key));
        self.selectors.is_empty() || self.selectors.iter().any(meant)
    }
}

/// Writes a line of JSON for each row. Returns how much could not be read.
pub(crate) fn ndjson(
    out: &mut impl Write,
    reader: &Reader,
    span: Span,
    selectors: &[Selector],
) -> anyhow::Result<u64> {
    writeln!(out, "{{\"perfwatch_export\":{VERSION}}}")?;
    each_row(reader, span, selectors, |row| {
        write!(out, "{{\"time\":\"{}\",\"section\":", text::moment(row.time))?;
        serde_json::to_writer(&mut *out, &row.section)?;
        write!(out, ",\"covered_ns\":{},\"values\":", row.covered)?;
        for (number, (known, value)) in row.values.iter().enumerate() {
            write!(out, "{}", if number == 0 { '{' } else { ',' })?;
            serde_json::to_writer(&mut *out, &known.name)?;
            write!(out, ":{}", known.write(*value))?;
        }
        writeln!(out, "}}}}")
    })
}

/// Writes a line of CSV for each value. Returns how much could not be read.
pub(crate) fn csv(
    out: &mut impl Write,
    reader: &Reader,
    span: Span,
    selectors: &[Selector],
) -> anyhow::Result<u64> {
    writeln!(out, "perfwatch_export,{VERSION}\n{}", super::lines::CSV_HEADER)?;
    each_row(reader, span, selectors, |row| {
        let before = format!("{},{},{}", text::moment(row.time), row.section, row.covered);
        for (known, value) in &row.values {
            let name = known.name.replace('"', "\"\"");
            writeln!(out, "{before},\"{name}\",{}", known.write(*value))?;
        }
        Ok(())
    })
}

/// Shows every row that has a value. Returns how much could not be read.
fn each_row(
    reader: &Reader,
    span: Span,
    selectors: &[Selector],
    mut each: impl FnMut(&SectionRow) -> io::Result<()>,
) -> anyhow::Result<u64> {
    let mut wanted = Wanted::new(selectors);
    // Sections of the row before that were shown: only those are continued.
    let mut before: Vec<Arc<str>> = Vec::new();
    let mut written = Ok(());
    let mut read = Wanted::new(selectors);
    let select = |series: &Series| read.get(series).is_some();
    let damaged = reader.chunks(span, select, |chunk| {
        if !chunk.continues {
            before.clear();
        }
        for row in Transposed::new(chunk, &mut wanted) {
            let mut shown = Vec::new();
            for (group, mut row) in row {
                if row.values.is_empty() || !(span.0..span.1).contains(&row.time) {
                    continue;
                }
                if !before.contains(&group) {
                    row.covered = 0;
                }
                written = each(&row);
                if written.is_err() {
                    return ControlFlow::Break(());
                }
                shown.push(group);
            }
            before = shown;
        }
        ControlFlow::Continue(())
    })?;
    written?;
    Ok(damaged)
}

/// Selected series in the order of their names, and where in the group they are.
type Order = Vec<(Rc<Known>, usize)>;

/// The rows of a chunk, each with its sections, in the order of their names.
struct Transposed {
    groups: Vec<(GroupRows, Order)>,
    next: Vec<usize>,
}

impl Transposed {
    fn new(mut chunk: RawChunk, wanted: &mut Wanted<'_>) -> Self {
        chunk.groups.sort_by(|one, other| one.group.cmp(&other.group));
        let mut groups = Vec::new();
        for group in chunk.groups {
            let each = group.series.iter().zip(0..);
            let mut order: Vec<_> = each
                .filter_map(|((series, _), place)| Some((wanted.get(series)?, place)))
                .collect();
            order.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
            groups.push((group, order));
        }
        let next = vec![0; groups.len()];
        Self { groups, next }
    }

    /// The time of the next row: of one that does not come later in another group. Times alone do not tell, for a
    /// clock may be set back.
    fn time(&self) -> Option<i64> {
        let rest = |index: usize| {
            let (group, _) = self.groups.get(index)?;
            group.times.get(*self.next.get(index)?..).filter(|times| !times.is_empty())
        };
        let heads = || (0..self.groups.len()).filter_map(rest);
        let is_next =
            |time: &i64| heads().all(|times| times.first() == Some(time) || !times.contains(time));
        let mut times = heads().filter_map(|times| times.first().copied());
        times.clone().find(is_next).or_else(|| times.next())
    }
}

impl Iterator for Transposed {
    type Item = Vec<(Arc<str>, SectionRow)>;

    fn next(&mut self) -> Option<Self::Item> {
        let time = self.time()?;
        let mut row = Vec::new();
        for ((group, order), next) in self.groups.iter().zip(&mut self.next) {
            if group.times.get(*next) != Some(&time) {
                continue;
            }
            let value = |place: usize| group.series.get(place)?.1.get(*next).copied().flatten();
            let values = order
                .iter()
                .filter_map(|(known, place)| Some((Rc::clone(known), value(*place)?)))
                .collect();
            let covered = group.covered.get(*next).copied().unwrap_or_default();
            let section = group.group.to_string();
            row.push((Arc::clone(&group.group), SectionRow { time, section, covered, values }));
            *next += 1;
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use perfwatch_store::Kind;

    use super::*;

    fn group(name: &str, times: &[i64]) -> GroupRows {
        let values = times.iter().map(|time| Some(*time)).collect();
        let series = Series { name: "memory.total_bytes".into(), kind: Kind::Gauge };
        GroupRows {
            group: name.into(),
            times: times.to_vec(),
            covered: vec![1; times.len()],
            series: vec![(series, values)],
        }
    }

    #[test]
    fn rows_of_groups_are_put_together_even_when_the_clock_is_set_back() {
        let groups =
            vec![group("b", &[10, 5, 6, 7]), group("a", &[5, 6]), group("c", &[10, 6, 8, 7])];
        let mut wanted = Wanted::new(&[]);
        let rows = Transposed::new(RawChunk { continues: false, groups }, &mut wanted);
        let rows: Vec<_> = rows
            .map(|row| {
                let names: String = row.iter().map(|(group, _)| &**group).collect();
                (row[0].1.time, names)
            })
            .collect();
        let expected = [(10, "bc"), (5, "ab"), (6, "abc"), (8, "c"), (7, "bc")];
        assert_eq!(rows, expected.map(|(time, names)| (time, names.to_owned())));
    }

    #[test]
    fn a_rate_means_its_counter() {
        let selectors = ["disk.devices.sda.read_bytes_per_sec".parse().unwrap()];
        let mut wanted = Wanted::new(&selectors);
        let mut is_meant =
            |name: &str| wanted.get(&Series { name: name.into(), kind: Kind::Counter }).is_some();
        assert!(is_meant("disk.devices.read_bytes{device=\"sda\"}"));
        assert!(!is_meant("disk.devices.read_bytes{device=\"sdb\"}"));
        assert!(!is_meant("disk.devices.write_bytes{device=\"sda\"}"));
        let selectors = ["disk.devices.*.read_latency_ms".parse().unwrap()];
        let mut wanted = Wanted::new(&selectors);
        for (name, meant) in [("read_time_ms", true), ("read_count", true), ("write_count", false)]
        {
            let name = format!("disk.devices.{name}{{device=\"sda\"}}");
            let series = Series { name: name.into(), kind: Kind::Counter };
            assert_eq!(wanted.get(&series).is_some(), meant);
        }
    }
}
