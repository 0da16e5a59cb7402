//! Answers questions: from the files, and in the process that writes from its memory too.
//!
//! A question is answered from the coarsest tier whose buckets its steps are made of; what that tier does not have yet comes
//! from the finer one, and so on down to the rows in memory. Chunks know which raw rows they stand for, so nothing
//! counts twice, however a crash left things; and as summaries merge without loss, it does not matter where a
//! number comes from.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use crate::answer::{Answer, Query, answer};
use crate::backup::Bundle;
use crate::chunk::Chunk;
use crate::disk::{Directory, Disk, Source};
use crate::error::{Error, Result};
use crate::event::{Event, each_event};
use crate::file::{FileKind, FileName, TIERS};
use crate::index::FileIndex;
use crate::layout::{Page, PageId, Series};
use crate::parts::{Files, chunks_of};
use crate::recent::Recent;
use crate::record::FILE_HEADER_BYTES;
use crate::store::SharedDisk;

/// Most points of one series.
pub const MAX_POINTS: u64 = 11_000;

/// Lists of series that are remembered. Each has a few kilobytes.
const MAX_CACHED_PAGES: usize = 512;

/// Most indexes are shorter.
const INDEX_BYTES: u64 = 16 << 10;

/// How often a question is begun anew because a file went while it was read.
pub(crate) const ATTEMPTS: usize = 5;

/// Reads a store.
#[derive(Debug)]
pub struct Reader {
    pub(crate) disk: SharedDisk,
    recent: Option<Arc<Recent>>,
    files: Mutex<Known>,
    pages: Mutex<HashMap<PageId, Arc<Page>>>,
    /// Files that could not be read when they were looked at last.
    unreadable: AtomicU64,
}

/// What is known of the files.
#[derive(Debug, Default)]
struct Known {
    /// Where those are. Another one has other files of the same names.
    disk: Option<Weak<dyn Disk>>,
    files: Files,
}

impl Reader {
    pub(crate) fn new(disk: SharedDisk, recent: Option<Arc<Recent>>) -> Self {
        Self {
            disk,
            recent,
            files: Mutex::default(),
            pages: Mutex::default(),
            unreadable: AtomicU64::new(0),
        }
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
        self.attempt(|files, disk, memory| answer(self, query, &mut select, (files, disk), memory))
    }

    /// Events of a range, oldest first.
    ///
    /// Where there is memory and the files cannot be read, those in memory, and why.
    pub fn events(&self, range: (i64, i64)) -> Result<(Vec<Event>, Option<String>)> {
        match self.events_of(range, true) {
            Err(error) if self.recent.is_some() => {
                Ok((self.events_of(range, false)?, Some(error.to_string())))
            }
            other => Ok((other?, None)),
        }
    }

    fn events_of(&self, (from, to): (i64, i64), with_files: bool) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        let mut take = |event: Event| {
            if (from..to).contains(&event.time) {
                events.push(event);
            }
        };
        // Before the files: what is written meanwhile is there twice rather than not at all.
        if let Some(recent) = &self.recent {
            recent.lock().events.iter().cloned().for_each(&mut take);
        }
        if let (files, Some(disk)) = if with_files { self.files()? } else { (Files::new(), None) } {
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
        events.sort_by(|a, b| {
            let key = |event: &Event| (event.time, event.kind.clone(), event.detail.clone());
            key(a).cmp(&key(b))
        });
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

    /// What is in the files, as far as it can be read. Looked at anew when one goes meanwhile, for what it held is in
    /// another then.
    pub(crate) fn files(&self) -> Result<(Files, Option<Arc<dyn Disk>>)> {
        let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(disk) = disk else { return Ok((Files::new(), None)) };
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let here = Arc::downgrade(&disk);
        if !known.disk.as_ref().is_some_and(|known| known.ptr_eq(&here)) {
            *known = Known { disk: Some(here), files: Files::new() };
        }
        let known = &mut known.files;
        for attempt in 1.. {
            match update(&*disk, known) {
                Err(error) if error.is_gone() && attempt < ATTEMPTS => {}
                other => {
                    self.unreadable.store(other?, Ordering::Relaxed);
                    break;
                }
            }
        }
        Ok((known.clone(), Some(disk)))
    }

    /// Answers from files and memory; when the files cannot be read, from memory; and anew when a file went meanwhile.
    fn attempt(
        &self,
        mut answer: impl FnMut(&Files, Option<&dyn Disk>, &[Arc<Chunk>]) -> Result<Answer>,
    ) -> Result<Answer> {
        let mut left = ATTEMPTS;
        loop {
            left -= 1;
            // Before the files: what goes from memory meanwhile is in them by then.
            let memory = self.memory()?;
            let answered =
                self.files().and_then(|(files, disk)| answer(&files, disk.as_deref(), &memory));
            match answered {
                Err(error) if error.is_gone() && left > 0 => {}
                Err(Error::TooMuch(reason)) => return Err(Error::TooMuch(reason)),
                // Gone again and again: the directory itself was removed.
                Err(error) if self.recent.is_some() => {
                    let answer = answer(&Files::new(), None, &memory)?;
                    return Ok(Answer { trouble: Some(error.to_string()), ..answer });
                }
                other => {
                    let unreadable = self.unreadable.load(Ordering::Relaxed);
                    return other.map(|answer| Answer {
                        damaged: answer.damaged.saturating_add(unreadable),
                        ..answer
                    });
                }
            }
        }
    }

    /// Chunks in memory: none in a process that does not write.
    pub(crate) fn memory(&self) -> Result<Vec<Arc<Chunk>>> {
        match &self.recent {
            Some(recent) => recent.chunks().map_err(Error::io("reading", "memory")),
            None => Ok(Vec::new()),
        }
    }

    /// A list of series, remembered or read.
    pub(crate) fn page(
        &self,
        index: &FileIndex,
        file: &dyn Source,
        id: PageId,
        (files, disk): (&Files, &dyn Disk),
    ) -> io::Result<Option<Arc<Page>>> {
        let known = || self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = known().get(&id) {
            return Ok(Some(Arc::clone(page)));
        }
        let page = match index.page(file, id)? {
            None => elsewhere(files, disk, id)?,
            here => here,
        };
        let Some(page) = page.map(Arc::new) else { return Ok(None) };
        let mut pages = known();
        if pages.len() >= MAX_CACHED_PAGES {
            pages.clear();
        }
        pages.insert(id, Arc::clone(&page));
        Ok(Some(page))
    }
}

/// A list of series that is damaged where it should be, from another file that has it too.
fn elsewhere(files: &Files, disk: &dyn Disk, id: PageId) -> io::Result<Option<Page>> {
    for (name, index) in files.iter().filter(|(_, index)| index.pages.contains_key(&id)) {
        if let Some(page) = index.page(&*disk.open(&name.to_string())?, id)? {
            return Ok(Some(page));
        }
    }
    Ok(None)
}

/// Takes in what is new in a directory, and forgets what went. Returns how many files cannot be read.
fn update(disk: &dyn Disk, known: &mut Files) -> Result<u64> {
    let mut unreadable = 0;
    let names = disk.list().map_err(Error::io("reading", disk.path()))?;
    let names: Vec<_> = names.iter().filter_map(|name| FileName::parse(name)).collect();
    known.retain(|name, _| names.contains(name));
    announce(disk, names.iter().filter(|name| !known.contains_key(name)));
    for name in names {
        let index = match known.get(&name) {
            Some(index) if index.finished || name.kind == FileKind::Events => continue,
            Some(index) => refresh(disk, name, index),
            None => FileIndex::load(disk, name).map(|(index, _)| Some(Arc::new(index))),
        };
        match index {
            Err(error) if error.is_of_one_file() => unreadable += 1,
            index => known.extend(index?.map(|index| (name, index))),
        }
    }
    Ok(unreadable)
}

/// Tells the disk that the beginnings and the ends of these files will be read, where their indexes are: so they come
/// together instead of one after the other.
fn announce<'a>(disk: &dyn Disk, names: impl Iterator<Item = &'a FileName>) {
    for file in names.filter_map(|name| disk.open(&name.to_string()).ok()) {
        let length = file.length().unwrap_or_default();
        file.will_need(0, FILE_HEADER_BYTES);
        file.will_need(length.saturating_sub(INDEX_BYTES), INDEX_BYTES);
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
    if file.length().map_err(doing())? < known.walked {
        // Cut off after a failed write, and maybe written to again: what is known of it is of no use.
        return Ok(Some(Arc::new(FileIndex::load(disk, name)?.0)));
    }
    let mut index = FileIndex::clone(known);
    index.refresh(&*file).map_err(doing())?;
    Ok(Some(Arc::new(index)))
}
