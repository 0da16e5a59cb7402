//! What is measured at one moment, and packing such rows into chunks.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::axis::Axis;
use crate::chunk::{COMMIT_LEVEL, Chunk, ChunkBuilder};
use crate::column::Values;
use crate::file::TIERS;
use crate::layout::{Kind, Layout, Series};

/// Most series of a row. What is beyond, group by group, is left out and counted.
pub const MAX_SERIES: usize = 32_768;

/// Everything measured at one moment.
#[derive(Debug, Clone)]
pub struct Row {
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// What was measured, group by group. A group that failed is not there.
    pub groups: Vec<GroupRow>,
}

/// One group of a row.
#[derive(Debug, Clone)]
pub struct GroupRow {
    /// Its series.
    pub layout: Arc<Layout>,
    /// Nanoseconds since the row before that has the group, by a clock that runs evenly, between the two readings. 0 when this row
    /// continues none: no counter is taken to have increased.
    pub covered: u64,
    /// A value for each series of the layout; None where there is none, as for every ratio.
    pub values: Vec<Option<i64>>,
}

impl GroupRow {
    fn value(&self, index: usize) -> Option<i64> {
        self.values.get(index).copied().flatten()
    }
}

/// A row and its number.
#[derive(Debug)]
pub(crate) struct Numbered {
    pub(crate) seq: u64,
    pub(crate) row: Row,
}

impl Numbered {
    /// Its group of a name.
    pub(crate) fn group(&self, name: &str) -> Option<&GroupRow> {
        self.row.groups.iter().find(|group| &*group.layout.group == name)
    }

    /// Of the finest rollup.
    fn bucket(&self) -> i64 {
        bucket(self.row.time)
    }
}

/// Number of the finest rollup's bucket that a time is in.
pub(crate) fn bucket(time: i64) -> i64 {
    time.div_euclid(TIERS[1].width)
}

/// Leaves out what is beyond the limits, and says how many series that were.
pub(crate) fn limit(row: &mut Row) -> usize {
    let (mut room, mut left_out) = (MAX_SERIES, 0);
    row.groups.retain(|group| {
        let fits = group.layout.series <= room && group.layout.has_short_names;
        if fits {
            room -= group.layout.series;
        } else {
            left_out += group.layout.series;
        }
        fits
    });
    left_out
}

/// The last row, with what groups that it does not have had in earlier ones.
pub(crate) fn last_of_each(
    mut rows: Vec<Arc<Numbered>>,
    before: Option<Arc<Numbered>>,
) -> Option<Arc<Numbered>> {
    let Some(last) = rows.pop() else { return before };
    let mut missing: Vec<GroupRow> = Vec::new();
    for group in rows.iter().rev().chain(&before).flat_map(|row| &row.row.groups) {
        let name = &group.layout.group;
        let is_known = missing.iter().any(|known| known.layout.group == *name);
        if !is_known && last.group(name).is_none() {
            missing.push(group.clone());
        }
    }
    if missing.is_empty() {
        return Some(last);
    }
    missing.extend(last.row.groups.iter().cloned());
    Some(Arc::new(Numbered { seq: last.seq, row: Row { time: last.row.time, groups: missing } }))
}

/// Chunks of rows: one for each stretch within a bucket of the finest rollup and without a change of layout.
pub(crate) fn pack(rows: &[Arc<Numbered>], before: Option<&Numbered>) -> io::Result<Vec<Chunk>> {
    let fits = |chunk: &[Arc<Numbered>], next: &Numbered| {
        chunk.iter().all(|earlier| {
            earlier.bucket() == next.bucket()
                && next.row.groups.iter().all(|group| {
                    let other = earlier.group(&group.layout.group);
                    other.is_none_or(|other| same(&other.layout, &group.layout))
                })
        })
    };
    let mut chunks = Vec::new();
    let mut start = 0;
    for end in 1..=rows.len() {
        let part = rows.get(start..end).unwrap_or_default();
        if rows.get(end).is_none_or(|next| !fits(part, next)) {
            let earlier = rows.get(..start).unwrap_or_default().iter().map(Arc::as_ref).rev();
            chunks.push(encode(part, &earlier.chain(before))?);
            start = end;
        }
    }
    Ok(chunks)
}

fn same(one: &Arc<Layout>, other: &Arc<Layout>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

/// The chunk of rows that share their layouts, with those before them, the last one first.
fn encode<'r>(
    rows: &[Arc<Numbered>],
    before: &(impl Iterator<Item = &'r Numbered> + Clone),
) -> io::Result<Chunk> {
    let seqs = (rows.first().map_or(0, |row| row.seq), rows.last().map_or(0, |row| row.seq));
    let mut builder = ChunkBuilder::new(0, seqs, COMMIT_LEVEL)?;
    let mut done: Vec<&str> = Vec::new();
    for layout in rows.iter().flat_map(|row| &row.row.groups).map(|group| &group.layout) {
        if done.contains(&&*layout.group) {
            continue;
        }
        done.push(&layout.group);
        let of = |row: &Arc<Numbered>| {
            row.group(&layout.group).map(|group| (row.row.time, group.covered))
        };
        let (times, covered): (Vec<_>, Vec<_>) = rows.iter().filter_map(of).unzip();
        let axis = Axis { times, covered, rows: Vec::new() };
        let lead = axis.covered.first().is_some_and(|covered| *covered > 0);
        let mut before = before.clone().filter(|_| lead);
        let earlier = before.find_map(|before| before.group(&layout.group));
        // Where the series were in the row before that has the group, if that had others.
        let other = earlier.filter(|earlier| !same(&earlier.layout, layout));
        let moved: Option<HashMap<&Series, usize>> =
            other.map(|earlier| earlier.layout.series().zip(0..).collect());
        let groups: Vec<_> = rows.iter().filter_map(|row| row.group(&layout.group)).collect();
        builder.group(&layout.group, &axis, lead)?;
        let mut index = 0;
        for page in &layout.pages {
            let mut columns = Vec::with_capacity(page.series.len());
            for series in &page.series {
                let mut values = Values::with_capacity(rows.len() + 1);
                // A ratio has no values, but a mark in every row that has it: a block may have rows that do not.
                let mark = matches!(series.kind, Kind::Ratio { .. }).then_some(0);
                if lead {
                    values.push(mark.or_else(|| {
                        let place = match &moved {
                            Some(places) => *places.get(series)?,
                            None => index,
                        };
                        earlier?.value(place)
                    }));
                }
                values.extend(groups.iter().map(|group| mark.or_else(|| group.value(index))));
                columns.push(values);
                index += 1;
            }
            builder.page(page, &columns)?;
        }
    }
    Ok(builder.finish())
}
