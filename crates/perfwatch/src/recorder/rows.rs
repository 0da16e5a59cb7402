//! A snapshot as a row: one group for each section, integers by the catalog's word on how a metric is kept.
//!
//! A section's list of series only grows while it runs, and is swept now and then, so that a value that is null for
//! a while does not make a new list. Looking up a value's place costs a comparison, for values come in the same order
//! at every tick.

use std::collections::HashMap;
use std::sync::Arc;

use perfwatch_collect::ALL_OTHERS;
use perfwatch_metrics::{Kept, MetricDef, SeriesKey, Snapshot, Value, catalog};
use perfwatch_store::{GroupRow, Kind, Layout, Series};

/// After so many rows, series that had no value in any of them are let go. An hour at 5 s.
const SWEEP_ROWS: u64 = 720;

/// The largest float whose thousandths are exact.
const MAX_SCALED: f64 = (1_u64 << 53) as f64;

/// Values that were kept before: a section's name, the time it covers, and its values.
pub(crate) type RestoredSection<'a> = (&'static str, u64, Vec<(&'a SeriesKey, i64)>);

/// Every section's list of series.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    sections: Vec<Section>,
    rows: u64,
}

#[derive(Debug)]
struct Section {
    name: &'static str,
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
    /// Where the next value is expected.
    next: usize,
    values: Vec<Option<i64>>,
    /// None when the entries have changed.
    layout: Option<Arc<Layout>>,
}

#[derive(Debug)]
struct Entry {
    key: SeriesKey,
    series: Series,
    /// Number of the last row in which it had a value.
    seen: u64,
}

impl Sections {
    /// The snapshot's values, section by section. A section that is null has no row.
    pub(crate) fn rows(&mut self, snapshot: &Snapshot) -> Vec<GroupRow> {
        self.rows += 1;
        let mut each = |def: &'static MetricDef, labels: &[&str], value: Value<'_>| {
            if let Some((kind, number)) = kept(def, labels, value) {
                self.section(def.section()).put(def, labels, &kind, number);
            }
        };
        snapshot.visit(&mut each);
        snapshot.visit_hidden(&mut each);
        let sweep = self.rows.is_multiple_of(SWEEP_ROWS);
        let mut rows = Vec::new();
        for (name, status) in snapshot.status.sections() {
            let found = self.sections.iter_mut().find(|section| section.name == name);
            let Some(section) = found.filter(|section| section.next > 0) else { continue };
            let covered = status.elapsed_ms.map_or(0, nanoseconds);
            rows.push(section.row(covered, self.rows));
            if sweep {
                section.sweep(self.rows);
            }
        }
        rows
    }

    /// Rows of values that were kept before.
    pub(crate) fn restored(&mut self, sections: &[RestoredSection<'_>]) -> Vec<GroupRow> {
        self.rows += 1;
        let (number, sweep) = (self.rows, self.rows.is_multiple_of(SWEEP_ROWS));
        let mut rows = Vec::new();
        for (name, covered, values) in sections {
            let section = self.section(name);
            for (key, value) in values {
                let labels: Vec<_> = key.labels.iter().map(String::as_str).collect();
                if let Some(kind) = kind(key.def, &labels) {
                    section.put(key.def, &labels, &kind, *value);
                }
            }
            rows.push(section.row(*covered, number));
            if sweep {
                section.sweep(number);
            }
        }
        rows
    }

    fn section(&mut self, name: &'static str) -> &mut Section {
        let known = self.sections.iter().position(|section| section.name == name);
        let index = known.unwrap_or_else(|| {
            self.sections.push(Section {
                name,
                entries: Vec::new(),
                places: HashMap::new(),
                next: 0,
                values: Vec::new(),
                layout: None,
            });
            self.sections.len() - 1
        });
        &mut self.sections[index]
    }
}

impl Section {
    fn put(&mut self, def: &'static MetricDef, labels: &[&str], kind: &Kind, number: i64) {
        let is_it = |entry: &Entry| std::ptr::eq(entry.key.def, def) && entry.key.labels == labels;
        while self.entries.get(self.next).is_some_and(|entry| is_ratio(&entry.series)) {
            self.next += 1;
        }
        let place = if self.entries.get(self.next).is_some_and(is_it) {
            self.next
        } else {
            let key = SeriesKey::new(def, labels);
            match self.places.get(&key.to_string()) {
                Some(place) => *place,
                None => self.add(&key, kind),
            }
        };
        self.next = place + 1;
        if let Some(slot) = self.values.get_mut(place) {
            *slot = Some(number);
        }
    }

    /// Adds a series, and after a counter the ratios that are made from it.
    fn add(&mut self, key: &SeriesKey, kind: &Kind) -> usize {
        let place = self.entries.len();
        let ratios = catalog().filter(|def| {
            let of_it = matches!(def.kept, Kept::Ratio { of, .. } if of == key.def.id);
            of_it && matches!(kind, Kind::Counter | Kind::Counter32)
        });
        let mut new = vec![(key.clone(), kind.clone())];
        for def in ratios {
            let Kept::Ratio { of, per } = def.kept else { continue };
            let name = |id: &str| {
                let def = catalog().find(|def| def.id == id);
                def.map(|def| SeriesKey { def, labels: key.labels.clone() }.to_string().into())
            };
            if let (Some(numerator), Some(denominator)) = (name(of), name(per)) {
                let ratio = SeriesKey { def, labels: key.labels.clone() };
                new.push((ratio, Kind::Ratio { numerator, denominator }));
            }
        }
        for (key, kind) in new {
            let name = key.to_string();
            self.places.insert(name.clone(), self.entries.len());
            self.entries.push(Entry { key, series: Series { name: name.into(), kind }, seen: 0 });
            self.values.push(None);
        }
        self.layout = None;
        place
    }

    fn row(&mut self, covered: u64, row: u64) -> GroupRow {
        self.next = 0;
        for (entry, value) in self.entries.iter_mut().zip(&self.values) {
            if value.is_some() {
                entry.seen = row;
            }
        }
        let series = || self.entries.iter().map(|entry| entry.series.clone());
        let layout = self.layout.get_or_insert_with(|| Layout::new(self.name, series()));
        let empty = vec![None; self.values.len()];
        let values = std::mem::replace(&mut self.values, empty);
        GroupRow { layout: Arc::clone(layout), covered, values }
    }

    /// Lets go of series that have had no value for long, and of the ratios made from them.
    fn sweep(&mut self, row: u64) {
        let gone = |entry: &Entry| row - entry.seen >= SWEEP_ROWS;
        let numerator = |entry: &Entry| match &entry.series.kind {
            Kind::Ratio { numerator, .. } => self.places.get(&**numerator).copied(),
            _ => None,
        };
        let keep: Vec<bool> = self
            .entries
            .iter()
            .map(|entry| {
                let of = numerator(entry).and_then(|place| self.entries.get(place));
                !gone(of.unwrap_or(entry))
            })
            .collect();
        if keep.iter().all(|keep| *keep) {
            return;
        }
        let mut keep = keep.into_iter();
        self.entries.retain(|_| keep.next().unwrap_or(true));
        self.values = vec![None; self.entries.len()];
        let names = self.entries.iter().map(|entry| entry.series.name.to_string());
        self.places = names.zip(0..).collect();
        self.layout = None;
    }
}

fn is_ratio(series: &Series) -> bool {
    matches!(series.kind, Kind::Ratio { .. })
}

/// How a value is kept. None for what is derived from something else, and for what is no number.
///
/// What is summed up over the rest of too many is kept as it was reported: its counters fall when one of the rest moves
/// out, so nothing can be derived from them.
fn kept(def: &MetricDef, labels: &[&str], value: Value<'_>) -> Option<(Kind, i64)> {
    let kind = kind(def, labels)?;
    let number = match value {
        Value::Integer(number) if kind == Kind::Gauge => {
            i64::try_from(number).ok()?.checked_mul(10_i64.checked_pow(decimals(def))?)?
        }
        Value::Integer(number) => number as i64,
        Value::Float(number) => scaled(number, decimals(def))?,
        Value::Text(_) => return None,
    };
    Some((kind, number))
}

/// How the values of a series are kept. None when they are not: they are derived, or no numbers.
pub(crate) fn kind(def: &MetricDef, labels: &[&str]) -> Option<Kind> {
    let rest = labels.contains(&ALL_OTHERS);
    match def.kept {
        Kept::Counter | Kept::Counter32 if rest => Some(Kind::Gauge),
        Kept::Counter => Some(Kind::Counter),
        Kept::Counter32 => Some(Kind::Counter32),
        Kept::Gauge { .. } | Kept::Amount { .. } => Some(Kind::Gauge),
        Kept::Rate { .. } if rest => Some(Kind::Gauge),
        Kept::Rate { .. } | Kept::Ratio { .. } | Kept::Nothing => None,
    }
}

/// Digits after the point with which a gauge is kept.
pub(crate) fn decimals(def: &MetricDef) -> u32 {
    match def.kept {
        Kept::Gauge { decimals } | Kept::Amount { decimals } => decimals,
        Kept::Rate { .. } | Kept::Ratio { .. } => 3,
        Kept::Counter | Kept::Counter32 | Kept::Nothing => 0,
    }
}

fn scaled(number: f64, decimals: u32) -> Option<i64> {
    let scaled = (number * 10_f64.powi(decimals as i32)).round();
    (scaled.abs() <= MAX_SCALED).then_some(scaled as i64)
}

/// Milliseconds to a thousandth as nanoseconds.
fn nanoseconds(elapsed_ms: f64) -> u64 {
    let micros = (elapsed_ms * 1000.0).round();
    // Shorter ones give no rate: the collectors say the same.
    if micros < 1000.0 { 0 } else { micros as u64 * 1000 }
}
