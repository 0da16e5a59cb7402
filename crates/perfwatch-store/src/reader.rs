//! Answers questions: from the files, and in the process that writes from its memory too.
//!
//! A question is answered from the coarsest tier whose buckets its steps are made of; what that tier does not have yet comes
//! from the finer one, and so on down to the rows in memory. Chunks know which raw rows they stand for, so nothing
//! counts twice, however a crash left things; and as summaries merge without loss, it does not matter where a
//! number comes from.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::backup::Bundle;
use crate::chunk::{Body, Chunk, ChunkHead, Opener};
use crate::disk::{Directory, Disk, Source};
use crate::error::{Error, Result};
use crate::event::{Event, each_event};
use crate::file::{FileIndex, FileKind, FileName, Meta, TIERS};
use crate::group::Group;
use crate::layout::{Page, PageId, Series};
use crate::plan::{Plan, Resolution};
use crate::recent::Recent;
use crate::store::SharedDisk;
use crate::summary::Summary;

/// Most rows that are decoded for one question, counted for each series. Some seconds of work.
const MAX_ROWS: u64 = 50_000_000;

/// Most series of one answer.
pub const MAX_SERIES_PER_QUERY: usize = 2_000;

/// Most points of one series.
pub const MAX_POINTS: u64 = 11_000;

/// Lists of series that are remembered. Each has a few kilobytes.
const MAX_CACHED_PAGES: usize = 512;

/// How often a question is begun anew because a file went while it was read.
pub(crate) const ATTEMPTS: usize = 5;

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

/// Reads a store.
#[derive(Debug)]
pub struct Reader {
    pub(crate) disk: SharedDisk,
    recent: Option<Arc<Recent>>,
    files: Mutex<BTreeMap<FileName, Arc<FileIndex>>>,
    pages: Mutex<HashMap<PageId, Arc<Page>>>,
}

/// A chunk that has a part of the answer.
enum Part {
    File(FileName, Meta),
    Memory(Arc<Chunk>),
}

impl Reader {
    pub(crate) fn new(disk: SharedDisk, recent: Option<Arc<Recent>>) -> Self {
        Self { disk, recent, files: Mutex::default(), pages: Mutex::default() }
    }

    /// Reads the files of a directory, beside whoever writes them, or a backup. It sees what is committed.
    pub fn open(path: &Path) -> Result<Self> {
        let disk: Arc<dyn Disk> = match path.is_file() {
            true => Arc::new(Bundle::read(path)?),
            false => Arc::new(Directory::read(path)?),
        };
        Ok(Self::on(disk))
    }

    /// As [`Reader::open`], on a disk of one's own.
    pub fn on(disk: Arc<dyn Disk>) -> Self {
        Self::new(Arc::new(RwLock::new(Some(disk))), None)
    }

    /// Answers for the series that `select` accepts. Fails only when there is neither a file nor memory to read, or
    /// when too much is asked.
    pub fn query(
        &self,
        query: &Query,
        mut select: impl FnMut(&str, &Series) -> bool,
    ) -> Result<Answer> {
        self.attempt(|files, disk| self.answer(query, &mut select, files, disk))
    }

    /// Shows every raw row of a range, group by group, in the order in which they were taken in.
    pub fn rows(
        &self,
        (from, to): (i64, i64),
        mut each: impl FnMut(&RawGroup<'_>) -> io::Result<()>,
    ) -> Result<()> {
        let (files, disk) = self.files()?;
        let plan = Plan { from, step: 1, points: u64::MAX, tier: 0, to };
        let mut opener = Opener::new().map_err(Error::io("reading", "the store"))?;
        for part in self.parts(&plan, &files)?.into_iter().rev() {
            let doing = || Error::io("exporting", part.name(disk.as_deref()));
            let read = self.read_part(
                &part,
                &files,
                disk.as_deref(),
                &mut opener,
                &mut |group, name, opener| {
                    RawGroup::show(group, name, (from, to), opener, &mut each)
                },
            );
            read.map_err(doing())?;
        }
        Ok(())
    }

    /// Events of a range, oldest first.
    pub fn events(&self, (from, to): (i64, i64)) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut take = |event: Event| {
            if (from..to).contains(&event.time) {
                events.push(event);
            }
        };
        if let (files, Some(disk)) = self.files()? {
            let has_events = |kind| matches!(kind, FileKind::Events | FileKind::Bundle);
            for name in files.keys().filter(|name| has_events(name.kind)) {
                let path = disk.path_of(&name.to_string());
                let read =
                    disk.open(&name.to_string()).and_then(|file| each_event(&*file, &mut take));
                match read.map_err(Error::io("reading", path)) {
                    Err(error) if !error.is_gone() => return Err(error),
                    _ => {}
                }
            }
        }
        if let Some(recent) = &self.recent {
            recent.lock().events.iter().cloned().for_each(&mut take);
        }
        events.sort_by_key(|event| event.time);
        // One that was just written may have been in memory a moment ago.
        events.dedup();
        Ok(events)
    }

    /// First and last time there is something of, for each tier that has anything.
    pub fn extent(&self) -> Result<Vec<(&'static str, i64, i64)>> {
        let (files, _) = self.files()?;
        let mut extents = Vec::new();
        for (number, tier) in (0_u8..).zip(&TIERS) {
            let chunks = || chunks_of(&files, number).map(|(_, chunk)| chunk);
            let (min, max) =
                (chunks().map(|c| c.min_time).min(), chunks().map(|c| c.max_time).max());
            extents.extend(min.zip(max).map(|(min, max)| (tier.name, min, max)));
        }
        Ok(extents)
    }

    /// Where the files are.
    pub(crate) fn disk(&self) -> Result<Arc<dyn Disk>> {
        let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner).clone();
        let absent = || io::Error::from(io::ErrorKind::NotFound);
        disk.ok_or_else(|| Error::io("opening", "the history")(absent()))
    }

    /// What is in the files, as far as it can be read.
    pub(crate) fn files(
        &self,
    ) -> Result<(BTreeMap<FileName, Arc<FileIndex>>, Option<Arc<dyn Disk>>)> {
        let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(disk) = disk else { return Ok((BTreeMap::new(), None)) };
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let names = disk.list().map_err(Error::io("reading", disk.path()))?;
        let names: Vec<_> = names.iter().filter_map(|name| FileName::parse(name)).collect();
        known.retain(|name, _| names.contains(name));
        for name in names {
            let refreshed = match known.get(&name) {
                Some(index) if index.finished || name.kind == FileKind::Events => continue,
                Some(index) => refresh(&*disk, name, index),
                None => FileIndex::load(&*disk, name).map(|(index, _)| Some(Arc::new(index))),
            };
            match refreshed {
                Ok(Some(index)) => drop(known.insert(name, index)),
                Ok(None) => {}
                // It was joined or its time had come.
                Err(error) if error.is_gone() => drop(known.remove(&name)),
                Err(error) => return Err(error),
            }
        }
        Ok((known.clone(), Some(disk)))
    }

    /// Answers from files and memory; when the files cannot be read, from memory; and anew when a file went meanwhile.
    fn attempt(
        &self,
        mut answer: impl FnMut(&BTreeMap<FileName, Arc<FileIndex>>, Option<&dyn Disk>) -> Result<Answer>,
    ) -> Result<Answer> {
        for _ in 0..ATTEMPTS {
            let answered = self.files().and_then(|(files, disk)| answer(&files, disk.as_deref()));
            match answered {
                Err(error) if error.is_gone() => {}
                Err(Error::TooMuch(reason)) => return Err(Error::TooMuch(reason)),
                Err(error) if self.recent.is_some() => {
                    let answer = answer(&BTreeMap::new(), None)?;
                    return Ok(Answer { trouble: Some(error.to_string()), ..answer });
                }
                other => return other,
            }
        }
        Err(Error::TooMuch("files go faster than they can be read".to_owned()))
    }

    fn answer(
        &self,
        query: &Query,
        select: &mut dyn FnMut(&str, &Series) -> bool,
        files: &BTreeMap<FileName, Arc<FileIndex>>,
        disk: Option<&dyn Disk>,
    ) -> Result<Answer> {
        let memory = match &self.recent {
            Some(recent) => recent.chunks().map_err(Error::io("reading", "memory"))?,
            None => Vec::new(),
        };
        let mut plan = Plan::new(query, |tier| {
            let kept = chunks_of(files, tier).map(|(_, chunk)| chunk.min_time).min();
            let in_memory = memory.iter().filter_map(|chunk| Some(chunk.head.times()?.0)).min();
            if tier == 0 { kept.into_iter().chain(in_memory).min() } else { kept }
        })?;
        let interval = (plan.tier == 0).then(|| self.interval(&plan, files, &memory)).flatten();
        if let (Resolution::Points(_), Some(interval)) = (query.resolution, interval) {
            plan = plan.no_finer_than(query, interval)?;
        }
        let parts = choose(&plan, files, &memory);
        if let Some(disk) = disk {
            announce(disk, &parts);
        }
        let mut found = Answer {
            from: plan.from,
            step: plan.step,
            points: plan.points as usize,
            tier_width: TIERS.get(usize::from(plan.tier)).map_or(0, |tier| tier.width),
            interval,
            series: Vec::new(),
            damaged: 0,
            trouble: None,
        };
        let mut opener = Opener::new().map_err(Error::io("reading", "the store"))?;
        let mut numbers: HashMap<Series, usize> = HashMap::new();
        let mut chosen: HashMap<PageId, Vec<(usize, usize)>> = HashMap::new();
        let mut rows = 0_u64;
        // Oldest first, so that the last reading of a counter is the last.
        for part in parts.iter().rev() {
            let mut trouble = None;
            let doing = Error::io("reading", part.name(disk));
            self.read_part(part, files, disk, &mut opener, &mut |group, name, opener| {
                for (number, page) in group.pages.clone().into_iter().enumerate() {
                    let Some(page) = page else {
                        found.damaged += 1;
                        continue;
                    };
                    let wanted = chosen.entry(page.id).or_insert_with(|| {
                        let each = page.series.iter().enumerate();
                        let each = each.filter(|(_, series)| select(name, series));
                        each.map(|(position, series)| {
                            let number = *numbers.entry(series.clone()).or_insert_with(|| {
                                let empty = vec![Summary::default(); found.points];
                                found.series.push((series.clone(), empty));
                                found.series.len() - 1
                            });
                            (position, number)
                        })
                        .collect()
                    });
                    rows += (wanted.len() * group.axis.times.len()) as u64;
                    if rows > MAX_ROWS || found.series.len() > MAX_SERIES_PER_QUERY {
                        trouble = Some(too_much(rows, found.series.len()));
                        return Ok(());
                    }
                    for (position, series) in wanted {
                        match group.summaries((number, *position), opener)? {
                            Some(summaries) => {
                                if let Some((_, points)) = found.series.get_mut(*series) {
                                    plan.put(points, &group.axis.times, &summaries);
                                }
                            }
                            None => found.damaged += 1,
                        }
                    }
                }
                Ok(())
            })
            .map_err(doing)?;
            if let Some(trouble) = trouble {
                return Err(Error::TooMuch(trouble));
            }
        }
        Ok(found)
    }

    /// The chunks of raw rows of a range, newest first.
    fn parts(&self, plan: &Plan, files: &BTreeMap<FileName, Arc<FileIndex>>) -> Result<Vec<Part>> {
        let memory = match &self.recent {
            Some(recent) => recent.chunks().map_err(Error::io("reading", "memory"))?,
            None => Vec::new(),
        };
        Ok(choose(plan, files, &memory))
    }

    /// Time from one raw row to the next: the middle one of those of some chunks.
    fn interval(
        &self,
        plan: &Plan,
        files: &BTreeMap<FileName, Arc<FileIndex>>,
        memory: &[Arc<Chunk>],
    ) -> Option<i64> {
        const LOOKED_AT: usize = 50;
        let in_memory = memory.iter().filter_map(|chunk| {
            let (min, max) = chunk.head.times()?;
            Some((min, max, chunk.rows() as u64))
        });
        let kept = chunks_of(files, 0).map(|(_, c)| (c.min_time, c.max_time, c.rows));
        let mut chunks: Vec<_> =
            kept.chain(in_memory).filter(|c| plan.overlaps(c.0, c.1)).collect();
        chunks.sort_unstable();
        let newest = chunks.get(chunks.len().saturating_sub(LOOKED_AT)..).unwrap_or_default();
        let mut gaps = Vec::new();
        for pair in newest.windows(2) {
            let [before, chunk] = pair else { continue };
            gaps.push(match i64::try_from(chunk.2).unwrap_or(1) {
                1 => chunk.0.saturating_sub(before.1),
                rows => chunk.1.saturating_sub(chunk.0) / (rows - 1),
            });
        }
        if let Some(only) = newest.first().filter(|c| gaps.is_empty() && c.2 > 1) {
            gaps.push(only.1.saturating_sub(only.0) / (only.2 as i64 - 1));
        }
        gaps.retain(|gap| *gap > 0);
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied()
    }

    /// Opens the groups of a chunk, one after the other.
    fn read_part(
        &self,
        part: &Part,
        files: &BTreeMap<FileName, Arc<FileIndex>>,
        disk: Option<&dyn Disk>,
        opener: &mut Opener,
        each: &mut dyn FnMut(&mut Group<'_>, &str, &mut Opener) -> io::Result<()>,
    ) -> io::Result<()> {
        match part {
            Part::Memory(chunk) => {
                let lists = chunk.pages.iter().cloned().map(Some);
                open_groups(&chunk.head, &Body::Memory(&chunk.body), lists, opener, each)
            }
            Part::File(name, meta) => {
                let (Some(disk), Some(index)) = (disk, files.get(name)) else { return Ok(()) };
                let file = disk.open(&name.to_string())?;
                let Some((head, offset)) = meta.head(&*file)? else { return Ok(()) };
                let mut lists = Vec::new();
                for id in head.groups.iter().flat_map(|group| group.pages()) {
                    lists.push(self.page(index, &*file, id)?);
                }
                let body = Body::File { file: &*file, offset };
                open_groups(&head, &body, lists.into_iter(), opener, each)
            }
        }
    }

    fn page(
        &self,
        index: &FileIndex,
        file: &dyn Source,
        id: PageId,
    ) -> io::Result<Option<Arc<Page>>> {
        let known = || self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = known().get(&id) {
            return Ok(Some(Arc::clone(page)));
        }
        let Some(page) = index.page(file, id)?.map(Arc::new) else { return Ok(None) };
        let mut pages = known();
        if pages.len() >= MAX_CACHED_PAGES {
            pages.clear();
        }
        pages.insert(id, Arc::clone(&page));
        Ok(Some(page))
    }
}

impl Part {
    fn name(&self, disk: Option<&dyn Disk>) -> std::path::PathBuf {
        match (self, disk) {
            (Self::File(name, _), Some(disk)) => disk.path_of(&name.to_string()),
            _ => "memory".into(),
        }
    }
}

/// Raw rows of one group of one chunk.
#[derive(Debug)]
pub struct RawGroup<'a> {
    /// The group's name.
    pub group: &'a str,
    /// Time of each row.
    pub times: &'a [i64],
    /// What each row covers, as [`crate::GroupRow::covered`].
    pub covered: &'a [u64],
    /// Every series with its values, one for each row. Ratios have none.
    pub series: Vec<(Series, Vec<Option<i64>>)>,
}

impl RawGroup<'_> {
    fn show(
        group: &mut Group<'_>,
        name: &str,
        (from, to): (i64, i64),
        opener: &mut Opener,
        each: &mut impl FnMut(&RawGroup<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let within: Vec<bool> =
            group.axis.times.iter().map(|time| (from..to).contains(time)).collect();
        let lead = usize::from(group.lead());
        let mut series = Vec::new();
        for (number, page) in group.pages.clone().into_iter().enumerate() {
            for (position, one) in page.iter().flat_map(|page| page.series.iter().enumerate()) {
                let values = group.values((number, position), opener)?.unwrap_or_default();
                let rows = values.into_iter().skip(lead).zip(&within);
                let values = rows.filter_map(|(value, within)| within.then_some(value)).collect();
                series.push((one.clone(), values));
            }
        }
        fn kept<T: Copy>(all: &[T], within: &[bool]) -> Vec<T> {
            all.iter().zip(within).filter_map(|(one, within)| within.then_some(*one)).collect()
        }
        let (times, covered) =
            (kept(&group.axis.times, &within), kept(&group.axis.covered, &within));
        if times.is_empty() {
            return Ok(());
        }
        each(&RawGroup { group: name, times: &times, covered: &covered, series })
    }
}

fn too_much(rows: u64, series: usize) -> String {
    if rows > MAX_ROWS {
        format!(
            "more than {MAX_ROWS} rows would have to be read: ask for a shorter range or fewer series"
        )
    } else {
        format!("{series} series and more: at most {MAX_SERIES_PER_QUERY} at a time")
    }
}

fn refresh(
    disk: &dyn Disk,
    name: FileName,
    known: &Arc<FileIndex>,
) -> Result<Option<Arc<FileIndex>>> {
    let doing = || Error::io("reading", disk.path_of(&name.to_string()));
    let file = disk.open(&name.to_string()).map_err(doing())?;
    if file.length().map_err(doing())? == known.walked + known.loose_bytes {
        return Ok(None);
    }
    let mut index = FileIndex::clone(known);
    index.refresh(&*file).map_err(doing())?;
    Ok(Some(Arc::new(index)))
}

fn open_groups(
    head: &ChunkHead,
    body: &Body<'_>,
    mut lists: impl Iterator<Item = Option<Arc<Page>>>,
    opener: &mut Opener,
    each: &mut dyn FnMut(&mut Group<'_>, &str, &mut Opener) -> io::Result<()>,
) -> io::Result<()> {
    for group in &head.groups {
        let pages = lists.by_ref().take(group.pages().count()).collect();
        if let Some(mut opened) = Group::open(head.tier, group, body, pages, opener)? {
            each(&mut opened, &group.name, opener)?;
        }
    }
    Ok(())
}

/// Every chunk of a tier in the files.
fn chunks_of(
    files: &BTreeMap<FileName, Arc<FileIndex>>,
    tier: u8,
) -> impl DoubleEndedIterator<Item = (FileName, &Meta)> {
    let chunks = files.iter().flat_map(|(name, index)| index.chunks.iter().map(|c| (*name, c)));
    chunks.filter(move |(_, chunk)| chunk.tier == tier)
}

/// The chunks that answer, newest first, each raw row by one chunk: of blocks and rollups before what they were made
/// from, and of two that stand for the same rows the one that was written later.
fn choose(
    plan: &Plan,
    files: &BTreeMap<FileName, Arc<FileIndex>>,
    memory: &[Arc<Chunk>],
) -> Vec<Part> {
    let mut covered = BTreeMap::new();
    let mut parts: Vec<(u64, Part)> = Vec::new();
    let mut take = |(first, last): (u64, u64), times: (i64, i64), part: Part| {
        let known = covered.range(..=first).next_back();
        if plan.overlaps(times.0, times.1) && known.is_none_or(|(_, end)| *end < first) {
            covered.insert(first, last);
            parts.push((first, part));
        }
    };
    for tier in (0..=plan.tier).rev() {
        for hot in [false, true] {
            let of_kind =
                |(name, _): &(FileName, &Meta)| matches!(name.kind, FileKind::Hot(_)) == hot;
            for (name, meta) in chunks_of(files, tier).rev().filter(of_kind) {
                let times = (meta.min_time, meta.max_time);
                take((meta.first_seq, meta.last_seq), times, Part::File(name, *meta));
            }
        }
    }
    for chunk in memory.iter().rev() {
        if let Some(times) = chunk.head.times() {
            let seqs = (chunk.head.first_seq, chunk.head.last_seq);
            take(seqs, times, Part::Memory(Arc::clone(chunk)));
        }
    }
    parts.sort_by_key(|(first, _)| std::cmp::Reverse(*first));
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Tells the disk what will be read, so that it comes in one go.
fn announce(disk: &dyn Disk, parts: &[Part]) {
    let mut ranges: BTreeMap<FileName, (u64, u64)> = BTreeMap::new();
    for part in parts {
        if let Part::File(name, meta) = part {
            let end = meta.offset + meta.head_length + meta.body_length;
            let range = ranges.entry(*name).or_insert((meta.offset, end));
            *range = (range.0.min(meta.offset), range.1.max(end));
        }
    }
    for (name, (start, end)) in ranges {
        if let Ok(file) = disk.open(&name.to_string()) {
            file.will_need(start, end - start);
        }
    }
}
