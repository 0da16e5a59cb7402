//! The chunks that have an answer, and opening them: first all that will be read is announced to the disk, so that it
//! comes in one go instead of one seek after the other.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

use crate::chunk::{Chunk, ChunkHead};
use crate::disk::{Disk, Source};
use crate::file::{FileKind, FileName};
use crate::index::{FileIndex, Meta};
use crate::layout::Page;
use crate::opener::Body;
use crate::plan::Plan;
use crate::reader::Reader;

/// Ranges that are nearer than this are announced as one, for the system reads whole pages. It is also what is read beyond
/// a chunk's head, where the times of its rows are.
const NEAR_BYTES: u64 = 4096;

/// The files of a store.
pub(crate) type Files = BTreeMap<FileName, Arc<FileIndex>>;

/// A chunk that has a part of the answer.
pub(crate) enum Part {
    File(FileName, Meta),
    Memory(Arc<Chunk>),
}

impl Part {
    /// Numbers of the first and the last raw row that it stands for.
    pub(crate) fn seqs(&self) -> (u64, u64) {
        match self {
            Self::File(_, meta) => (meta.first_seq, meta.last_seq),
            Self::Memory(chunk) => (chunk.head.first_seq, chunk.head.last_seq),
        }
    }

    /// Which file it is in, for messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(name, _) => name.to_string(),
            Self::Memory(_) => "memory".to_owned(),
        }
    }
}

/// Every chunk of a tier in the files.
pub(crate) fn chunks_of(
    files: &Files,
    tier: u8,
) -> impl DoubleEndedIterator<Item = (FileName, &Meta)> {
    let chunks = files.iter().flat_map(|(name, index)| index.chunks.iter().map(|c| (*name, c)));
    chunks.filter(move |(_, chunk)| chunk.tier == tier)
}

/// The chunks that answer, oldest first, each raw row by one chunk: of blocks and rollups before what they were made
/// from, of memory before what was committed of it, and of two that stand for the same rows the one that was written later.
pub(crate) fn choose(plan: &Plan, files: &Files, memory: &[Arc<Chunk>]) -> Vec<Part> {
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
            if (tier, hot) == (0, true) {
                // Whoever writes has in memory what its hot file has, to make a block of it.
                for chunk in memory.iter().rev() {
                    if let Some(times) = chunk.head.times() {
                        let seqs = (chunk.head.first_seq, chunk.head.last_seq);
                        take(seqs, times, Part::Memory(Arc::clone(chunk)));
                    }
                }
            }
            let of_kind =
                |(name, _): &(FileName, &Meta)| matches!(name.kind, FileKind::Hot(_)) == hot;
            for (name, meta) in chunks_of(files, tier).rev().filter(of_kind) {
                let times = (meta.min_time, meta.max_time);
                take((meta.first_seq, meta.last_seq), times, Part::File(name, *meta));
            }
        }
    }
    parts.sort_by_key(|(first, _)| *first);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// A chunk whose head has been read.
pub(crate) struct OpenPart {
    part: Part,
    head: Option<ChunkHead>,
    body_offset: u64,
    /// Lists of series, in the order of the groups; None where one is damaged.
    pub(crate) lists: Vec<Option<Arc<Page>>>,
}

impl OpenPart {
    /// What the chunk has.
    pub(crate) fn head(&self) -> Option<&ChunkHead> {
        match &self.part {
            Part::Memory(chunk) => Some(&chunk.head),
            Part::File(..) => self.head.as_ref(),
        }
    }

    /// Where its frames are.
    pub(crate) fn body<'a>(&'a self, sources: &'a Sources<'_>) -> Option<Body<'a>> {
        match &self.part {
            Part::Memory(chunk) => Some(Body::Memory(&chunk.body)),
            Part::File(name, _) => {
                let file = sources.files.get(name)?;
                Some(Body::File { file: &**file, offset: self.body_offset })
            }
        }
    }

    /// As [`Part::name`].
    pub(crate) fn name(&self) -> String {
        self.part.name()
    }
}

/// Files that are open while a question is answered.
pub(crate) struct Sources<'a> {
    disk: Option<&'a dyn Disk>,
    indexes: &'a Files,
    files: HashMap<FileName, Arc<dyn Source>>,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(disk: Option<&'a dyn Disk>, indexes: &'a Files) -> Self {
        Self { disk, indexes, files: HashMap::new() }
    }

    /// Opens the files of chunks.
    pub(crate) fn open_files(&mut self, parts: &[Part]) -> io::Result<()> {
        for part in parts {
            if let (Part::File(name, _), Some(disk)) = (part, self.disk)
                && !self.files.contains_key(name)
            {
                self.files.insert(*name, disk.open(&name.to_string())?);
            }
        }
        Ok(())
    }

    /// Opens chunks: reads their heads, and announces the axes and of the pages those that are wanted.
    pub(crate) fn open(
        &mut self,
        reader: &Reader,
        parts: Vec<Part>,
        mut is_wanted: impl FnMut(&Arc<str>, &Page) -> bool,
    ) -> io::Result<Vec<OpenPart>> {
        self.open_files(&parts)?;
        for part in &parts {
            if let Part::File(name, meta) = part
                && let Some(file) = self.files.get(name)
            {
                file.will_need(meta.offset, meta.head_length + NEAR_BYTES);
            }
        }
        let mut open = Vec::with_capacity(parts.len());
        for part in parts {
            let mut opened = OpenPart { part, head: None, body_offset: 0, lists: Vec::new() };
            match &opened.part {
                Part::Memory(chunk) => {
                    opened.lists = chunk.pages.iter().cloned().map(Some).collect();
                }
                Part::File(name, meta) => {
                    let (Some(file), Some(index), Some(disk)) =
                        (self.files.get(name), self.indexes.get(name), self.disk)
                    else {
                        continue;
                    };
                    let Some((head, body_offset)) = meta.head(&**file)? else { continue };
                    let mut ahead = Ahead {
                        file: &**file,
                        from: body_offset,
                        to: body_offset + NEAR_BYTES,
                        told: true,
                    };
                    for group in &head.groups {
                        let (start, length) = group.axis_extent();
                        ahead.add(body_offset + start, length);
                        for (number, id) in group.pages().enumerate() {
                            let list = reader.page(index, &**file, id, (self.indexes, disk))?;
                            let wanted =
                                list.as_ref().is_some_and(|list| is_wanted(&group.name, list));
                            if let Some((start, length)) =
                                group.page_extent(number).filter(|_| wanted)
                            {
                                ahead.add(body_offset + start, length);
                            }
                            opened.lists.push(list);
                        }
                    }
                    ahead.tell();
                    (opened.head, opened.body_offset) = (Some(head), body_offset);
                }
            }
            open.push(opened);
        }
        Ok(open)
    }
}

/// A range of a file that is about to be announced, and grows while the next one is near.
struct Ahead<'a> {
    file: &'a dyn Source,
    from: u64,
    to: u64,
    /// Whether it was announced before.
    told: bool,
}

impl Ahead<'_> {
    fn add(&mut self, start: u64, length: u64) {
        let end = start.saturating_add(length);
        if end <= self.to {
            return;
        }
        if self.told || start > self.to.saturating_add(NEAR_BYTES) {
            self.tell();
            (self.from, self.told) = (start, false);
        }
        self.to = end;
    }

    fn tell(&mut self) {
        if !self.told {
            self.file.will_need(self.from, self.to - self.from);
        }
    }
}
