//! Samples as OpenMetrics: one metric after the other, and of each one series after the other, with all of its samples.
//!
//! Names and base units are those of `/metrics`. The history is read at least once for each metric, so that memory does not
//! grow with it; reading back needs all samples at once.

mod read;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::rc::Rc;

use perfwatch_metrics::catalog::hidden;
use perfwatch_metrics::{MetricDef, SeriesKey, catalog};
use perfwatch_store::{Reader, Series};

use super::Known;
use super::export::{Span, Wanted};
use crate::prometheus::{family, in_base_unit, is_counter, label};
use crate::selector::Selector;

pub(super) use read::read;

/// Most samples that are held while those of another series are written: 24 MiB, and at most as much again in reserve.
const MAX_HELD: usize = 1 << 20;

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

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
    let wanted = Wanted::new(selectors);
    Export { out, reader, span, wanted, most_held: MAX_HELD, not_later: 0 }.everything()
}
/// An export under way.
struct Export<'a, W> {
    out: &'a mut W,
    reader: &'a Reader,
    span: Span,
    wanted: Wanted<'a>,
    /// [`MAX_HELD`].
    most_held: usize,
    not_later: u64,
}

/// A value of a series, as it is kept.
struct Sample {
    known: Rc<Known>,
    time: i64,
    value: i64,
}

impl<W: Write> Export<'_, W> {
    fn everything(mut self) -> anyhow::Result<LeftOut> {
        let mut present: BTreeMap<&'static str, BTreeSet<Rc<str>>> = BTreeMap::new();
        let look = |series: &Series| {
            if let Some(known) = self.wanted.get(series) {
                let names = present.entry(known.key.def.id).or_default();
                names.insert(sample_name(&known.key).into());
            }
            false
        };
        let damaged = self.reader.chunks(self.span, look, |_| ControlFlow::Continue(()))?;
        for def in catalog().chain(hidden()) {
            let Some(names) = present.remove(def.id) else { continue };
            self.family(def, names)?;
        }
        writeln!(self.out, "# EOF")?;
        Ok(LeftOut { damaged, not_later: self.not_later })
    }

    /// Writes a metric, one series after the other: OpenMetrics has it that neither series nor their samples are mixed.
    fn family(&mut self, def: &MetricDef, names: BTreeSet<Rc<str>>) -> anyhow::Result<()> {
        let family = family(def);
        let kind = if is_counter(def) { "counter" } else { "gauge" };
        writeln!(self.out, "# TYPE {family} {kind}")?;
        writeln!(self.out, "# HELP {family} {}", def.title())?;
        let mut left = names;
        while !left.is_empty() {
            left = self.pass(left)?;
        }
        Ok(())
    }

    /// Reads the history once, writes as many of these series as it can, and returns the others. The first is written as
    /// it comes. Those after it are held until it is complete; of too many, the last wait for another pass.
    fn pass(&mut self, mut names: BTreeSet<Rc<str>>) -> anyhow::Result<BTreeSet<Rc<str>>> {
        let wanted_now: HashSet<_> = names.iter().cloned().collect();
        let Some(first) = names.pop_first() else { return Ok(names) };
        let mut held: BTreeMap<Rc<str>, Vec<Sample>> =
            names.into_iter().map(|name| (name, Vec::new())).collect();
        let (mut count, mut left) = (0, BTreeSet::new());
        let (mut last, mut written) = (i64::MIN, Ok(()));
        let select = |series: &Series| {
            SeriesKey::parse(&series.name)
                .is_some_and(|key| wanted_now.contains(sample_name(&key).as_str()))
        };
        let reader = self.reader;
        reader.chunks(self.span, select, |chunk| {
            for group in &chunk.groups {
                for (series, values) in &group.series {
                    let Some(known) = self.wanted.get(series) else { continue };
                    let name = sample_name(&known.key);
                    let mut samples = samples(&known, &group.times, values, self.span);
                    if name == *first {
                        written = samples.try_for_each(|one| self.write(&first, &one, &mut last));
                        if written.is_err() {
                            return ControlFlow::Break(());
                        }
                    } else if let Some(held) = held.get_mut(name.as_str()) {
                        let before = held.len();
                        held.extend(samples);
                        count += held.len() - before;
                    }
                    while count > self.most_held
                        && let Some((name, samples)) = held.pop_last()
                    {
                        count -= samples.len();
                        left.insert(name);
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        written?;
        for (name, samples) in held {
            let mut last = i64::MIN;
            for sample in &samples {
                self.write(&name, sample, &mut last)?;
            }
        }
        Ok(left)
    }

    fn write(&mut self, name: &str, sample: &Sample, last: &mut i64) -> io::Result<()> {
        let Sample { known, time, value } = sample;
        if time <= last {
            self.not_later += 1;
            return Ok(());
        }
        *last = *time;
        let value = in_base_unit(known.key.def.unit, &known.write(*value));
        writeln!(self.out, "{name} {value} {}", seconds(*time))
    }
}

/// What a series has of a stretch of time.
fn samples(
    known: &Rc<Known>,
    times: &[i64],
    values: &[Option<i64>],
    span: Span,
) -> impl Iterator<Item = Sample> {
    let known = Rc::clone(known);
    times.iter().zip(values).filter_map(move |(time, value)| {
        let value = value.filter(|_| (span.0..span.1).contains(time))?;
        Some(Sample { known: Rc::clone(&known), time: *time, value })
    })
}

/// The name that samples of a metric have.
fn written_name(def: &MetricDef) -> String {
    family(def) + if is_counter(def) { "_total" } else { "" }
}

/// A series' name with its labels.
fn sample_name(key: &SeriesKey) -> String {
    let mut name = written_name(key.def);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use perfwatch_store::{GroupRow, Kind, Layout, Options, Row, Store};

    use super::*;
    use crate::transfer::text;

    #[test]
    fn a_series_is_whole_before_the_next_begins_however_few_samples_are_held() {
        const PATIENCE: Duration = Duration::from_secs(60);
        let data = tempfile::tempdir().unwrap();
        let store = Store::open(data.path(), Options::default(), |_, _| Vec::new()).unwrap();
        let names = ["c", "a", "d", "b"];
        let series = names.map(|name| Series {
            name: format!("network.interfaces.bytes_recv{{interface=\"{name}\"}}").into(),
            kind: Kind::Counter,
        });
        let layout = Layout::new("network", series);
        // The third is not later, and the last is without the last series.
        for (row, seconds) in [1, 2, 2, 3, 4].into_iter().enumerate() {
            let mut values = [0, 10, 20, 30].map(|base| Some(base + row as i64)).to_vec();
            if row == 4 {
                values[3] = None;
            }
            let groups = vec![GroupRow { layout: Arc::clone(&layout), covered: 0, values }];
            store.append(Row { time: seconds * SECOND, groups });
            assert!(store.flush(PATIENCE));
        }
        assert!(store.close(PATIENCE));
        let reader = Reader::open(data.path()).unwrap();
        let mut expected = "# TYPE perfwatch_network_interfaces_recv_bytes counter\n\
                            # HELP perfwatch_network_interfaces_recv_bytes Received\n"
            .to_owned();
        for (name, base) in [("a", 10), ("b", 30), ("c", 0), ("d", 20)] {
            for (row, seconds) in [(0, 1), (1, 2), (3, 3), (4, 4)] {
                if (name, row) != ("b", 4) {
                    expected += &format!(
                        "perfwatch_network_interfaces_recv_bytes_total{{interface=\"{name}\"}} {} {seconds}.000\n",
                        base + row
                    );
                }
            }
        }
        expected += "# EOF\n";
        for most_held in [0, 1, 6, 9, MAX_HELD] {
            let (mut out, wanted) = (Vec::new(), Wanted::new(&[]));
            let span = (0, 10 * SECOND);
            let export =
                Export { out: &mut out, reader: &reader, span, wanted, most_held, not_later: 0 };
            let left_out = export.everything().unwrap();
            assert_eq!(left_out, LeftOut { damaged: 0, not_later: 4 }, "{most_held}");
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{most_held}");
        }
    }

    #[test]
    fn names_are_those_of_prometheus() {
        let key = SeriesKey::parse("disk.devices.read_bytes{device=\"a\\\"b\\u{1b}\"}").unwrap();
        let name = sample_name(&key);
        assert_eq!(name, "perfwatch_disk_devices_read_bytes_total{device=\"a\\\"b\x1b\"}");
    }

    #[test]
    fn times_are_seconds() {
        assert_eq!(seconds(1_795_403_525_123_000_000), "1795403525.123");
        assert_eq!(seconds(1_795_403_525_123_000_001), "1795403525.123000001");
        assert_eq!(seconds(-1), "-0.000000001");
        assert_eq!(text::parse_decimal(&seconds(-1), 9), Some(-1));
    }
}
