//! Rows of an export into a history, each that is not there yet.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::BufRead;
use std::ops::ControlFlow;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use perfwatch_metrics::SeriesKey;
use perfwatch_store::{MAX_SERIES, Row, Store};

use super::lines::Rows;
use super::{SectionRow, text};
use crate::recorder::{Sections, nanoseconds};

/// Most rows that are compared at once with what is there.
const BATCH_ROWS: usize = 512;

/// Most time from the first row of such a batch to the last: so much of the history is read to compare.
const BATCH_SPAN: i64 = 6 * 3_600_000_000_000;

/// After so many values, they are made durable: more than eight megabytes must not wait.
const COMMIT_VALUES: usize = 200_000;

/// How long the disk may take for that.
const PATIENCE: Duration = Duration::from_secs(120);

/// How far ahead of this host's clock a row may be. A row of the far future would make everything else old.
const MAX_AHEAD: Duration = Duration::from_secs(86_400);

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Rows of a section that were taken in.
    pub(crate) imported: u64,
    /// Rows of a section that were there already.
    pub(crate) skipped: u64,
}

/// Takes in everything up to the first line that makes no sense; then fails with that line, and says what was done.
pub(crate) fn import(store: &Store, input: impl BufRead) -> (Counts, anyhow::Result<()>) {
    let mut importer = Importer {
        store,
        sections: Sections::default(),
        hasher: RandomState::new(),
        row: None,
        batch: Vec::new(),
        before: Vec::new(),
        waiting_values: 0,
        last_time: nanoseconds(Timestamp::now()).saturating_add(MAX_AHEAD.as_nanos() as i64),
        counts: Counts::default(),
    };
    let done = importer.run(input);
    (importer.counts, done)
}

/// Everything at a moment.
type FileRow = Vec<SectionRow>;

struct Importer<'a> {
    store: &'a Store,
    sections: Sections,
    hasher: RandomState,
    /// What the next section may belong to.
    row: Option<FileRow>,
    batch: Vec<FileRow>,
    /// Sections of the row before that were taken in: only those are continued.
    before: Vec<&'static str>,
    waiting_values: usize,
    last_time: i64,
    counts: Counts,
}

impl Importer<'_> {
    fn run(&mut self, input: impl BufRead) -> anyhow::Result<()> {
        let read = Rows::new(input).and_then(|mut rows| {
            while let Some(row) = rows.next()? {
                self.take(row)?;
            }
            Ok(())
        });
        self.close_row()?;
        self.write_batch()?;
        self.commit()?;
        read
    }

    fn take(&mut self, section: SectionRow) -> anyhow::Result<()> {
        if section.time > self.last_time {
            let time = text::moment(section.time);
            bail!("a row at {time} is more than a day ahead of this host's clock");
        }
        let belongs = |row: &FileRow| {
            row.iter().all(|other| other.time == section.time && other.section != section.section)
        };
        match &mut self.row {
            Some(row) if belongs(row) => row.push(section),
            _ => {
                self.close_row()?;
                self.row = Some(vec![section]);
            }
        }
        Ok(())
    }

    fn close_row(&mut self) -> anyhow::Result<()> {
        let Some(row) = self.row.take() else { return Ok(()) };
        let time = |row: Option<&FileRow>| row.and_then(|row| row.first()).map(|row| row.time);
        let now = time(Some(&row));
        let goes_on = self.batch.is_empty()
            || self.batch.len() < BATCH_ROWS
                && now >= time(self.batch.last())
                && now
                    .zip(time(self.batch.first()))
                    .is_some_and(|(now, first)| now.saturating_sub(first) <= BATCH_SPAN);
        if !goes_on {
            self.write_batch()?;
        }
        self.batch.push(row);
        Ok(())
    }

    fn write_batch(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let times = || batch.iter().flatten().map(|section| section.time);
        let Some((first, last)) = times().min().zip(times().max()) else { return Ok(()) };
        self.commit()?;
        let mut there = self.there((first, last.saturating_add(1)))?;
        for row in &batch {
            let mut new = Vec::new();
            for section in row {
                let Some(name) = section.values.first().map(|(known, _)| known.key.def.section())
                else {
                    continue;
                };
                let each =
                    section.values.iter().map(|(known, value)| (known.name.as_str(), *value));
                if !there
                    .entry((name.to_owned(), section.time))
                    .or_default()
                    .insert(self.mark(each))
                {
                    self.counts.skipped += 1;
                    continue;
                }
                self.counts.imported += 1;
                let covered = if self.before.contains(&name) { section.covered } else { 0 };
                let values: Vec<_> =
                    section.values.iter().map(|(known, value)| (&known.key, *value)).collect();
                self.waiting_values += values.len();
                new.push((name, covered, values));
            }
            self.before = new.iter().map(|(name, ..)| *name).collect();
            let Some(time) = row.first().map(|section| section.time).filter(|_| !new.is_empty())
            else {
                continue;
            };
            let groups = self.sections.restored(&new);
            let series: usize = groups.iter().map(|group| group.values.len()).sum();
            if series > MAX_SERIES {
                bail!("{}: {series} series, and at most {MAX_SERIES} are kept", text::moment(time));
            }
            self.store.append(Row { time, groups });
            if self.waiting_values >= COMMIT_VALUES {
                self.commit()?;
            }
        }
        Ok(())
    }

    /// Waits until everything so far is durable.
    fn commit(&mut self) -> anyhow::Result<()> {
        self.waiting_values = 0;
        let flushed = self.store.flush(PATIENCE);
        let health = self.store.health();
        if let Some((_, reason)) = health.trouble {
            bail!("writing the history: {reason}");
        }
        if !flushed || health.lost_rows > 0 {
            bail!("the disk takes too long to write the history");
        }
        Ok(())
    }

    /// Marks of the rows that are there, by section and time.
    fn there(&self, span: (i64, i64)) -> anyhow::Result<HashMap<(String, i64), HashSet<u64>>> {
        let mut there: HashMap<_, HashSet<u64>> = HashMap::new();
        // Others are not exported either.
        let is_known = |series: &perfwatch_store::Series| SeriesKey::parse(&series.name).is_some();
        let read = self.store.reader().chunks(span, is_known, |chunk| {
            for group in &chunk.groups {
                for (row, time) in group.times.iter().enumerate() {
                    if !(span.0..span.1).contains(time) {
                        continue;
                    }
                    let values = group.series.iter().filter_map(|(series, values)| {
                        Some((&*series.name, values.get(row).copied().flatten()?))
                    });
                    let mark = self.mark(values);
                    there.entry((group.group.to_string(), *time)).or_default().insert(mark);
                }
            }
            ControlFlow::Continue(())
        });
        read.context("comparing with what is there")?;
        Ok(there)
    }

    /// Equal for equal values, in whatever order they come.
    fn mark<'a>(&self, values: impl Iterator<Item = (&'a str, i64)>) -> u64 {
        values.fold(0, |mark, value| mark.wrapping_add(self.hasher.hash_one(value)))
    }
}
