//! Every raw row that is committed, chunk by chunk, in the order in which they were taken in.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::backup::{Opened, Place, distinct};
use crate::chunk::{Body, GroupHead, Opener};
use crate::error::{Error, Result};
use crate::group::Group;
use crate::layout::{Kind, Page, Series};
use crate::reader::Reader;

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
    /// Sees what is committed, at one moment. Returns how much could not be read.
    pub fn chunks(
        &self,
        (from, to): (i64, i64),
        mut select: impl FnMut(&Series) -> bool,
        mut each: impl FnMut(RawChunk) -> ControlFlow<()>,
    ) -> Result<u64> {
        let disk = self.disk()?;
        let files = Opened::all(&*disk)?;
        let mut opener = Opener::new().map_err(Error::io("reading", disk.path()))?;
        let (mut damaged, mut expected) = (0, None);
        for place in distinct(&files, 0) {
            let (number, meta) = place;
            if meta.min_time >= to || meta.max_time < from {
                continue;
            }
            let name = files.get(number).map(|file| file.name.to_string()).unwrap_or_default();
            let groups = read(&files, place, &mut opener, &mut select, &mut damaged)
                .map_err(Error::io("reading", disk.path_of(&name)))?;
            let continues = expected == Some(meta.first_seq);
            expected = meta.last_seq.checked_add(1).filter(|_| !groups.is_empty());
            if each(RawChunk { continues, groups }).is_break() {
                break;
            }
        }
        Ok(damaged)
    }
}

fn read(
    files: &[Opened],
    (number, meta): Place,
    opener: &mut Opener,
    select: &mut dyn FnMut(&Series) -> bool,
    damaged: &mut u64,
) -> io::Result<Vec<GroupRows>> {
    let mut groups = Vec::new();
    let Some(file) = files.get(number) else { return Ok(groups) };
    let Some((head, offset)) = meta.head(&*file.file)? else {
        *damaged += 1;
        return Ok(groups);
    };
    let body = Body::File { file: &*file.file, offset };
    for group in &head.groups {
        let mut pages = Vec::new();
        for id in group.pages() {
            let page = file.index.page(&*file.file, id)?.map(Arc::new);
            *damaged += u64::from(page.is_none());
            pages.push(page);
        }
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
