//! A question and its answer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::chunk::Chunk;
use crate::decode::{Task, decode};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::file::TIERS;
use crate::layout::{Page, PageId, Series};
use crate::parts::{Files, Sources, choose, chunks_of};
use crate::plan::{Plan, Resolution};
use crate::reader::Reader;
use crate::summary::Summary;

/// Most rows that are decoded for one question, counted for each series. Some seconds of work.
const MAX_ROWS: u64 = 50_000_000;

/// Most series of one answer.
pub const MAX_SERIES_PER_QUERY: usize = 2_000;

/// Most points of an answer, over all series. Each takes about a hundred bytes while it is worked out.
const MAX_CELLS: u64 = 400_000;

/// Chunks that are opened at a time: more are announced to the disk together, at some kilobytes of memory each.
const OPEN_AT_A_TIME: usize = 256;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The range, in nanoseconds since the epoch, without its end. It is widened to whole steps.
    pub from: i64,
    /// See `from`.
    pub to: i64,
    /// How fine the answer is to be.
    pub resolution: Resolution,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// When the first point's step begins.
    pub from: i64,
    /// Nanoseconds of a step.
    pub step: i64,
    /// Number of points of each series.
    pub points: usize,
    /// Nanoseconds of the buckets that the points are made of; 0 for raw rows.
    pub tier_width: i64,
    /// Nanoseconds from one raw row to the next, where raw rows were looked at.
    pub interval: Option<i64>,
    /// The series that were selected, in the order in which they were found, with a summary for each point.
    pub series: Vec<(Series, Vec<Summary>)>,
    /// Frames that could not be read.
    pub damaged: u64,
    /// Why the files could not be read, so that this is from memory alone.
    pub trouble: Option<String>,
}

/// What is selected, as far as it has been found.
struct Selection<'a> {
    select: &'a mut dyn FnMut(&str, &Series) -> bool,
    groups: HashMap<Arc<str>, Chosen>,
    found: Vec<Series>,
}

/// The series of a group that are selected. Two groups may have series of the same name.
#[derive(Default)]
struct Chosen {
    /// Where each is in the answer.
    places: HashMap<Series, usize>,
    /// For each list of series, positions in it and in the answer.
    pages: HashMap<PageId, Vec<(usize, usize)>>,
}

impl Selection<'_> {
    fn of(&mut self, group: &Arc<str>, page: &Page) -> &[(usize, usize)] {
        let Self { select, groups, found } = self;
        let Chosen { places, pages } = groups.entry(Arc::clone(group)).or_default();
        pages.entry(page.id).or_insert_with(|| {
            let mut selected = Vec::new();
            for (position, series) in page.series.iter().enumerate() {
                if select(group, series) {
                    let place = *places.entry(series.clone()).or_insert_with(|| {
                        found.push(series.clone());
                        found.len() - 1
                    });
                    selected.push((position, place));
                }
            }
            selected
        })
    }
}

/// Answers from these files and what is in memory.
pub(crate) fn answer(
    reader: &Reader,
    query: &Query,
    select: &mut dyn FnMut(&str, &Series) -> bool,
    (files, disk): (&Files, Option<&dyn Disk>),
    memory: &[Arc<Chunk>],
) -> Result<Answer> {
    let path = || disk.map_or_else(|| "memory".into(), |disk| disk.path().to_owned());
    let (plan, interval) = planned(query, files, memory)?;
    let mut parts = choose(&plan, files, memory);
    let mut selection = Selection { select, groups: HashMap::new(), found: Vec::new() };
    let mut points: Vec<Vec<Summary>> = Vec::new();
    let (mut damaged, mut rows) = (0, 0_u64);
    let mut sources = Sources::new(disk, files);
    // Oldest first, so that the last reading of a counter is the last.
    while !parts.is_empty() {
        let rest = parts.split_off(parts.len().min(OPEN_AT_A_TIME));
        let opened = sources
            .open(reader, parts, |group, page| !selection.of(group, page).is_empty())
            .map_err(Error::io("reading", path()))?;
        let mut tasks = Vec::new();
        for part in &opened {
            let (Some(head), Some(body)) = (part.head(), part.body(&sources)) else { continue };
            let mut lists = part.lists.iter();
            for group in &head.groups {
                let pages: Vec<_> = lists.by_ref().take(group.pages().count()).cloned().collect();
                damaged += pages.iter().filter(|page| page.is_none()).count() as u64;
                let mut wanted = Vec::new();
                for (number, page) in pages.iter().enumerate() {
                    let Some(page) = page else { continue };
                    let selected = selection.of(&group.name, page).iter();
                    wanted.extend(selected.map(|(position, place)| ((number, *position), *place)));
                }
                if wanted.is_empty() {
                    continue;
                }
                rows += (wanted.len() * group.rows) as u64;
                if rows > MAX_ROWS || selection.found.len() > MAX_SERIES_PER_QUERY {
                    return Err(too_much(rows, selection.found.len()));
                }
                let cells = plan.points.saturating_mul(selection.found.len() as u64);
                if cells > MAX_CELLS {
                    return Err(Error::TooMuch(format!(
                        "{cells} points: at most {MAX_CELLS}; ask for fewer series or fewer points of each"
                    )));
                }
                tasks.push(Task { part, tier: head.tier, group, body, pages, wanted });
            }
        }
        points.resize_with(selection.found.len(), || plan.nothing());
        damaged += decode(&tasks, &plan, &mut points).map_err(|(part, error)| {
            let file = disk.map_or_else(path, |disk| disk.path_of(&part.name()));
            Error::io("reading", file)(error)
        })?;
        parts = rest;
    }
    points.resize_with(selection.found.len(), || plan.nothing());
    Ok(Answer {
        from: plan.from,
        step: plan.step,
        points: plan.points as usize,
        tier_width: TIERS.get(usize::from(plan.tier)).map_or(0, |tier| tier.width),
        interval,
        series: selection.found.into_iter().zip(points).collect(),
        damaged,
        trouble: None,
    })
}

/// The steps and the tier; of raw rows, with the time from one to the next.
fn planned(query: &Query, files: &Files, memory: &[Arc<Chunk>]) -> Result<(Plan, Option<i64>)> {
    let plan = Plan::new(query, |tier| {
        let kept = chunks_of(files, tier).map(|(_, chunk)| chunk.min_time).min();
        let in_memory = memory.iter().filter_map(|chunk| Some(chunk.head.times()?.0)).min();
        if tier == 0 { kept.into_iter().chain(in_memory).min() } else { kept }
    })?;
    if plan.tier > 0 {
        return Ok((plan, None));
    }
    let interval = interval(&plan, files, memory);
    match (query.resolution, interval) {
        (Resolution::Points(_), Some(least)) => Ok((plan.no_finer_than(query, least)?, interval)),
        _ => Ok((plan, interval)),
    }
}

/// Time from one raw row to the next: the middle one of those of the newest chunks.
fn interval(plan: &Plan, files: &Files, memory: &[Arc<Chunk>]) -> Option<i64> {
    const LOOKED_AT: usize = 50;
    let in_memory = memory.iter().filter_map(|chunk| {
        let (min, max) = chunk.head.times()?;
        Some((min, max, chunk.rows() as u64))
    });
    let kept = chunks_of(files, 0).map(|(_, chunk)| (chunk.min_time, chunk.max_time, chunk.rows));
    let mut chunks: Vec<_> =
        kept.chain(in_memory).filter(|chunk| plan.overlaps(chunk.0, chunk.1)).collect();
    chunks.sort_unstable();
    // What was committed and is still in memory is there twice.
    chunks.dedup();
    let newest = chunks.get(chunks.len().saturating_sub(LOOKED_AT)..).unwrap_or_default();
    let inside = |(min, max, rows): &(i64, i64, u64)| {
        let steps = i64::try_from(*rows).ok()?.checked_sub(1).filter(|steps| *steps > 0)?;
        Some(max.saturating_sub(*min) / steps)
    };
    let between = newest.windows(2).filter_map(|pair| match pair {
        [before, chunk] if inside(chunk).is_none() => Some(chunk.0.saturating_sub(before.1)),
        _ => None,
    });
    let mut gaps: Vec<i64> = newest.iter().filter_map(inside).chain(between).collect();
    gaps.retain(|gap| *gap > 0);
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied()
}

fn too_much(rows: u64, series: usize) -> Error {
    Error::TooMuch(if rows > MAX_ROWS {
        format!(
            "more than {MAX_ROWS} rows would have to be read: ask for a shorter range or fewer series"
        )
    } else {
        format!("{series} series and more: at most {MAX_SERIES_PER_QUERY} at a time")
    })
}
