//! Every raw row, chunk by chunk, in the order in which they were taken in.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::chunk::GroupHead;
use crate::error::{Error, Result};
use crate::group::Group;
use crate::layout::{Kind, Page, Series};
use crate::opener::{Body, Opener};
use crate::parts::{Part, Sources, choose};
use crate::plan::Plan;
use crate::reader::{ATTEMPTS, Reader};

/// Raw rows that were taken in one after the other.
#[derive(Debug)]
pub struct RawChunk {
    /// Whether the first row was taken in right after the last of the chunk that was shown before.
    pub continues: bool,
    /// The rows, group by group. A group that is damaged is not there.
    pub groups: Vec<GroupRows>,
}

/// Raw rows of one group.
#[derive(Debug)]
pub struct GroupRows {
    /// The group's name.
    pub group: Arc<str>,
    /// Time of each row.
    pub times: Vec<i64>,
    /// What each row covers, as [`crate::GroupRow::covered`].
    pub covered: Vec<u64>,
    /// The series that were selected, with a value for each row. Ratios have none and are not there.
    pub series: Vec<(Series, Vec<Option<i64>>)>,
}

impl Reader {
    /// Shows every chunk that has rows of a range, with all of its rows, and of them the series that `select` accepts.
    /// Sees what is committed, and in the process that writes what is in memory too, at one moment. Returns how much could
    /// not be read.
    pub fn chunks(
        &self,
        (from, to): (i64, i64),
        mut select: impl FnMut(&Series) -> bool,
        mut each: impl FnMut(RawChunk) -> ControlFlow<()>,
    ) -> Result<u64> {
        let plan = Plan { from, step: 1, points: u64::MAX, tier: 0, to };
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            // Before the files: what goes from memory meanwhile is in them by then.
            let memory = self.memory()?;
            let (files, disk) = self.files()?;
            let parts = choose(&plan, &files, &memory);
            let mut sources = Sources::new(disk.as_deref(), &files);
            // Open, a file stays readable though it goes.
            match sources.open_files(&parts).map_err(Error::io("reading", "the history")) {
                Err(error) if error.is_gone() && left > 0 => {}
                opened => {
                    opened?;
                    return show(self, &mut sources, parts, &mut select, &mut each);
                }
            }
        }
    }
}

fn show(
    reader: &Reader,
    sources: &mut Sources<'_>,
    parts: Vec<Part>,
    select: &mut dyn FnMut(&Series) -> bool,
    each: &mut dyn FnMut(RawChunk) -> ControlFlow<()>,
) -> Result<u64> {
    let mut opener = Opener::new().map_err(Error::io("reading", "the history"))?;
    let (mut damaged, mut expected) = (0, None);
    for part in parts {
        let (first, last) = part.seqs();
        let doing = Error::io("reading", part.name());
        let groups =
            read(reader, sources, part, &mut opener, select, &mut damaged).map_err(doing)?;
        let continues = expected == Some(first);
        expected = last.checked_add(1).filter(|_| !groups.is_empty());
        if each(RawChunk { continues, groups }).is_break() {
            break;
        }
    }
    Ok(damaged)
}

fn read(
    reader: &Reader,
    sources: &mut Sources<'_>,
    part: Part,
    opener: &mut Opener,
    select: &mut dyn FnMut(&Series) -> bool,
    damaged: &mut u64,
) -> io::Result<Vec<GroupRows>> {
    let mut groups = Vec::new();
    let is_wanted = |_: &Arc<str>, page: &Page| page.series.iter().any(&mut *select);
    let opened = sources.open(reader, vec![part], is_wanted)?;
    let Some((part, head)) = opened.first().and_then(|part| Some((part, part.head()?))) else {
        *damaged += 1;
        return Ok(groups);
    };
    let Some(body) = part.body(sources) else { return Ok(groups) };
    let mut lists = part.lists.iter();
    for group in &head.groups {
        let pages: Vec<_> = lists.by_ref().take(group.pages().count()).cloned().collect();
        *damaged += pages.iter().filter(|page| page.is_none()).count() as u64;
        match raw_group(group, &body, &pages, opener, select, damaged)? {
            Some(group) => groups.push(group),
            None => *damaged += 1,
        }
    }
    Ok(groups)
}

fn raw_group(
    head: &GroupHead,
    body: &Body<'_>,
    pages: &[Option<Arc<Page>>],
    opener: &mut Opener,
    select: &mut dyn FnMut(&Series) -> bool,
    damaged: &mut u64,
) -> io::Result<Option<GroupRows>> {
    let Some(mut group) = Group::open(0, head, body, pages.to_vec(), opener)? else {
        return Ok(None);
    };
    let lead = usize::from(group.lead());
    let mut series = Vec::new();
    for (number, page) in pages.iter().enumerate() {
        for (position, one) in page.iter().flat_map(|page| page.series.iter().enumerate()) {
            if matches!(one.kind, Kind::Ratio { .. }) || !select(one) {
                continue;
            }
            match group.values((number, position), opener)? {
                Some(values) => series.push((one.clone(), values.into_iter().skip(lead).collect())),
                None => *damaged += 1,
            }
        }
    }
    let (times, covered) = (group.axis.times, group.axis.covered);
    Ok(Some(GroupRows { group: Arc::clone(&head.name), times, covered, series }))
}
