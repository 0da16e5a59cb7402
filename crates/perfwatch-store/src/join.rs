//! Many chunks to one, and a chunk to its rollup.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::axis::Axis;
use crate::chunk::{BLOCK_LEVEL, Chunk, ChunkBuilder, GroupHead, ROLLUP_LEVEL};
use crate::column::Values;
use crate::file::TIERS;
use crate::group::{Group, Place};
use crate::layout::{LARGE_PAGE, Page, SMALL_PAGE, Series, paged};
use crate::opener::{Body, Opener};
use crate::summary::{Summary, to_columns};

/// One chunk with the rows of all of these, which are of one tier and in order. It has every series that one of them
/// has. None of no chunks.
pub(crate) fn join(chunks: &[Arc<Chunk>]) -> io::Result<Option<Chunk>> {
    let (Some(first), Some(last)) = (chunks.first(), chunks.last()) else { return Ok(None) };
    let tier = first.head.tier;
    let seqs = (first.head.first_seq, last.head.last_seq);
    let level = if tier == 0 { BLOCK_LEVEL } else { ROLLUP_LEVEL };
    let mut builder = ChunkBuilder::new(tier, seqs, level)?;
    let mut opener = Opener::new()?;
    let mut names: Vec<&Arc<str>> = Vec::new();
    for name in chunks.iter().flat_map(|chunk| &chunk.head.groups).map(|group| &group.name) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let bodies: Vec<_> = chunks.iter().map(|chunk| Body::Memory(&chunk.body)).collect();
    for name in names {
        let mut parts = Parts::open(chunks, &bodies, name, &mut opener)?;
        let Some(axis) = parts.axis() else { continue };
        let lead = parts.lead();
        builder.group(name, &axis, lead)?;
        for page in paged(parts.series(), if tier == 0 { LARGE_PAGE } else { SMALL_PAGE }) {
            let mut columns = Vec::new();
            for series in &page.series {
                if tier == 0 {
                    columns.push(parts.values(series, lead, &mut opener)?);
                } else {
                    let summaries = parts.summaries(series, &mut opener)?;
                    columns.extend(to_columns(&series.kind, &axis, &summaries));
                }
            }
            builder.page(&page, &columns)?;
        }
    }
    Ok(Some(builder.finish()))
}

/// The same group in several chunks.
struct Parts<'a> {
    parts: Vec<Part<'a>>,
    /// Where each series stands, for each distinct sequence of pages: most parts share one.
    places: Vec<HashMap<Series, Place>>,
}

struct Part<'a> {
    group: Group<'a>,
    /// Which of `places` is its.
    places: usize,
    /// Whether the rows before its first are in the part before.
    follows: bool,
}

impl<'a> Parts<'a> {
    fn open(
        chunks: &'a [Arc<Chunk>],
        bodies: &'a [Body<'a>],
        name: &str,
        opener: &mut Opener,
    ) -> io::Result<Self> {
        let mut parts = Self { parts: Vec::new(), places: Vec::new() };
        let mut known: Vec<Vec<Arc<Page>>> = Vec::new();
        let mut expected_seq = None;
        let mut damaged = false;
        for (chunk, body) in chunks.iter().zip(bodies) {
            let follows = expected_seq == Some(chunk.head.first_seq) && !damaged;
            expected_seq = chunk.head.last_seq.checked_add(1);
            let Some((head, pages)) = group_of(chunk, name) else { continue };
            let lists = pages.iter().cloned().map(Some).collect();
            let Some(group) = Group::open(chunk.head.tier, head, body, lists, opener)? else {
                damaged = true;
                continue;
            };
            damaged = false;
            let same = |known: &Vec<Arc<Page>>| {
                known.iter().map(|page| page.id).eq(pages.iter().map(|page| page.id))
            };
            let places = known.iter().position(same).unwrap_or_else(|| {
                known.push(pages.to_vec());
                parts.places.push(places(pages));
                known.len() - 1
            });
            parts.parts.push(Part { group, places, follows });
        }
        Ok(parts)
    }

    /// The rows of all. A row that continues one that is not here continues none.
    fn axis(&self) -> Option<Axis> {
        let mut parts = self.parts.iter();
        let mut axis = parts.next()?.group.axis.clone();
        for part in parts {
            let Axis { times, covered, rows } = &part.group.axis;
            let start = axis.covered.len();
            axis.times.extend(times);
            axis.covered.extend(covered);
            axis.rows.extend(rows);
            if let Some(covered) =
                axis.covered.get_mut(start).filter(|_| part.group.lead() && !part.follows)
            {
                *covered = 0;
            }
        }
        Some(axis)
    }

    fn lead(&self) -> bool {
        self.parts.first().is_some_and(|part| part.group.lead())
    }

    /// Every series of any of them, in the order in which they appear.
    fn series(&self) -> Vec<Series> {
        let mut seen: HashMap<&Series, ()> = HashMap::new();
        let mut all = Vec::new();
        let mut last = None;
        for part in &self.parts {
            if last.replace(part.places) == Some(part.places) {
                continue;
            }
            for series in part.group.pages.iter().flatten().flat_map(|page| &page.series) {
                if seen.insert(series, ()).is_none() {
                    all.push(series.clone());
                }
            }
        }
        all
    }

    fn values(&mut self, series: &Series, lead: bool, opener: &mut Opener) -> io::Result<Values> {
        let places: Vec<_> = self.places.iter().map(|places| places.get(series).copied()).collect();
        let mut all = Values::new();
        for (number, part) in self.parts.iter_mut().enumerate() {
            let skip = usize::from(part.group.lead() && !(number == 0 && lead));
            let rows = part.group.axis.times.len() + usize::from(number == 0 && lead);
            let values = match places.get(part.places).copied().flatten() {
                Some(place) => part.group.values(place, opener)?,
                None => None,
            };
            match values {
                Some(values) => all.extend(values.into_iter().skip(skip)),
                None => all.resize(all.len() + rows, None),
            }
        }
        Ok(all)
    }

    fn summaries(&mut self, series: &Series, opener: &mut Opener) -> io::Result<Vec<Summary>> {
        let places: Vec<_> = self.places.iter().map(|places| places.get(series).copied()).collect();
        let mut all = Vec::new();
        for part in &mut self.parts {
            let rows = part.group.axis.times.len();
            let summaries = match places.get(part.places).copied().flatten() {
                Some(place) => part.group.summaries(place, opener)?,
                None => None,
            };
            all.extend(summaries.unwrap_or_else(|| vec![Summary::default(); rows]));
        }
        Ok(all)
    }
}

fn places(pages: &[Arc<Page>]) -> HashMap<Series, Place> {
    let mut places = HashMap::new();
    for (number, page) in pages.iter().enumerate() {
        for (position, series) in page.series.iter().enumerate() {
            places.entry(series.clone()).or_insert((number, position));
        }
    }
    places
}

/// A group of a chunk with its lists of series.
pub(crate) fn group_of<'a>(
    chunk: &'a Chunk,
    name: &str,
) -> Option<(&'a GroupHead, &'a [Arc<Page>])> {
    let mut start = 0;
    for group in &chunk.head.groups {
        let end = start + group.pages().count();
        if &*group.name == name {
            return Some((group, chunk.pages.get(start..end)?));
        }
        start = end;
    }
    None
}

/// What a chunk is in the tier above it. None in the highest.
pub(crate) fn roll_up(chunk: &Chunk) -> io::Result<Option<Chunk>> {
    let above = chunk.head.tier + 1;
    let Some(tier) = TIERS.get(usize::from(above)) else { return Ok(None) };
    let seqs = (chunk.head.first_seq, chunk.head.last_seq);
    let mut builder = ChunkBuilder::new(above, seqs, ROLLUP_LEVEL)?;
    let mut opener = Opener::new()?;
    let body = Body::Memory(&chunk.body);
    for head in &chunk.head.groups {
        let Some((_, pages)) = group_of(chunk, &head.name) else { continue };
        let lists = pages.iter().cloned().map(Some).collect();
        let Some(mut group) = Group::open(chunk.head.tier, head, &body, lists, &mut opener)? else {
            continue;
        };
        let (axis, buckets) = bucketed(&group.axis, tier.width);
        builder.group(&head.name, &axis, false)?;
        let mut series = Vec::new();
        for (page, list) in pages.iter().enumerate() {
            let each = list.series.iter().enumerate();
            series.extend(each.map(|(position, series)| (series.clone(), (page, position))));
        }
        for part in series.chunks(LARGE_PAGE) {
            let mut columns = Vec::new();
            for (series, place) in part {
                let mut summaries = vec![Summary::default(); axis.times.len()];
                let rows = group.summaries(*place, &mut opener)?.unwrap_or_default();
                for (bucket, row) in buckets.iter().zip(&rows) {
                    if let Some(summary) = summaries.get_mut(*bucket) {
                        summary.merge(row);
                    }
                }
                columns.extend(to_columns(&series.kind, &axis, &summaries));
            }
            let names = part.iter().map(|(series, _)| series.clone());
            for page in paged(names, LARGE_PAGE) {
                builder.page(&page, &columns)?;
            }
        }
    }
    Ok(Some(builder.finish()))
}

/// The buckets of rows, and in which of them each row is. A clock that was set back makes a bucket anew.
fn bucketed(rows: &Axis, width: i64) -> (Axis, Vec<usize>) {
    let mut axis = Axis::default();
    let mut buckets = Vec::with_capacity(rows.times.len());
    for (row, (time, covered)) in rows.times.iter().zip(&rows.covered).enumerate() {
        let begins = time.div_euclid(width).saturating_mul(width);
        if axis.times.last() != Some(&begins) {
            axis.times.push(begins);
            axis.covered.push(0);
            axis.rows.push(0);
        }
        if let Some((sum, count)) = axis.covered.last_mut().zip(axis.rows.last_mut()) {
            *sum = sum.saturating_add(*covered);
            *count = count.saturating_add(rows.rows_of(row));
        }
        buckets.push(axis.times.len() - 1);
    }
    (axis, buckets)
}
