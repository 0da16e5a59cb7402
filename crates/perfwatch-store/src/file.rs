//! The files of a store: their names, what is in them and where, and appending to one.
//!
//! | name | holds |
//! |---|---|
//! | `raw-00000007.hot` | what was committed since the newest block, a few rows a chunk |
//! | `raw-00000003.seg` | blocks of hundreds of rows, oldest first |
//! | `1m-….hot`, `1m-….seg`, `1h-….hot`, `1h-….seg` | the same for the rollups |
//! | `00000005.events` | what happened |
//! | `….corrupt-<time>` | a file in which nothing could be read, set aside |
//!
//! A backup is a file of any name that has all of this, of every tier.
//!
//! Numbers grow over all files together and are not used twice, so the later of two files has the greater. A file has
//! every list of series that its chunks refer to. Lists are repeated now and then in a segment, so that no single spot
//! that goes bad takes a whole file with it; a finished segment ends with an index.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::bytes::{Input, put, zigzag};
use crate::chunk::{BLOCK_LEVEL, Chunk, ChunkHead};
use crate::disk::{Disk, Sink, Source, unless_broken};
use crate::error::{Error, Result};
use crate::layout::{Page, PageId};
use crate::record::{
    FILE_HEADER_BYTES, FORMAT, MAX_HEAD_BYTES, Record, RecordKind, file_format, file_header,
    is_sound, known_record, overhead, put_record, record_at, walk,
};

/// A resolution that is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Tier {
    /// `raw`, `1m`, `1h`.
    pub name: &'static str,
    /// Nanoseconds of a bucket. 0 for raw rows.
    pub width: i64,
}

/// Every resolution that is kept, the finest first. Each width divides the next.
pub const TIERS: [Tier; 3] = [
    Tier { name: "raw", width: 0 },
    Tier { name: "1m", width: 60_000_000_000 },
    Tier { name: "1h", width: 3_600_000_000_000 },
];

/// After so many chunks, a segment has its lists of series again.
const REPEAT_PAGES_EVERY: usize = 64;

/// Most bytes of a list of series before compression: 256 of the longest names with two names each beside them.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The length of the record at the end of a finished segment: prefix and an offset.
const END_BYTES: u64 = 17 + 8;

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileKind {
    Hot(u8),
    Segment(u8),
    Events,
    /// A backup: everything in one file, which is not in a directory of a store.
    Bundle,
}

/// What the file of a backup is called on its disk. No directory has such a name.
pub(crate) const BUNDLE: &str = "/";

/// A file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileName {
    pub(crate) number: u64,
    pub(crate) kind: FileKind,
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tier = |tier: u8| TIERS.get(usize::from(tier)).map_or("", |tier| tier.name);
        match self.kind {
            FileKind::Hot(number) => write!(f, "{}-{:08}.hot", tier(number), self.number),
            FileKind::Segment(number) => write!(f, "{}-{:08}.seg", tier(number), self.number),
            FileKind::Events => write!(f, "{:08}.events", self.number),
            FileKind::Bundle => f.write_str(BUNDLE),
        }
    }
}

impl FileName {
    /// What a name says. None for a file that is not the store's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        // What would be written otherwise is somebody else's.
        Self::understand(name).filter(|known| known.to_string() == name)
    }

    fn understand(name: &str) -> Option<Self> {
        if name == BUNDLE {
            return Some(Self { number: 0, kind: FileKind::Bundle });
        }
        let (stem, extension) = name.rsplit_once('.')?;
        if extension == "events" {
            return Some(Self { number: stem.parse().ok()?, kind: FileKind::Events });
        }
        let (tier, number) = stem.split_once('-')?;
        let tier = u8::try_from(TIERS.iter().position(|known| known.name == tier)?).ok()?;
        let kind = match extension {
            "hot" => FileKind::Hot(tier),
            "seg" => FileKind::Segment(tier),
            _ => return None,
        };
        Some(Self { number: number.parse().ok()?, kind })
    }
}

/// Where a chunk is, and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) offset: u64,
    pub(crate) head_length: u64,
    pub(crate) body_length: u64,
    pub(crate) tier: u8,
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    pub(crate) rows: u64,
}

impl Meta {
    /// Where it ends.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.head_length).saturating_add(self.body_length)
    }

    /// The chunk's head, and where its body begins.
    pub(crate) fn head(&self, file: &dyn Source) -> std::io::Result<Option<(ChunkHead, u64)>> {
        let record = known_record(file, self.offset, self.head_length, self.end());
        let record = unless_broken(record)?.flatten();
        Ok(record.and_then(|record| {
            let head = ChunkHead::decode(&record.head, record.body_length)?;
            Some((head, record.body_offset))
        }))
    }
}

/// What is in a file and where. Made by reading its index or by walking through it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FileIndex {
    pub(crate) chunks: Vec<Meta>,
    /// Where each list of series stands.
    pub(crate) pages: HashMap<PageId, Vec<u64>>,
    /// Up to where the file was walked.
    pub(crate) walked: u64,
    /// Nothing will be appended.
    pub(crate) finished: bool,
    /// What its header says. None when that is damaged.
    pub(crate) format: Option<u32>,
    /// Bytes where no record verified and after which there are others.
    pub(crate) damaged_bytes: u64,
    /// Bytes of the file after the last record that verifies.
    pub(crate) loose_bytes: u64,
}

impl FileIndex {
    /// Reads a file's index. Fails for a newer format.
    pub(crate) fn load(disk: &dyn Disk, name: FileName) -> Result<(Self, Box<dyn Source>)> {
        let doing = || Error::io("reading", disk.path_of(&name.to_string()));
        let file = disk.open(&name.to_string()).map_err(doing())?;
        let format = file_format(&*file).map_err(doing())?;
        if let Some(found) = format.filter(|found| *found > FORMAT) {
            let path = disk.path_of(&name.to_string());
            return Err(Error::Newer { path, found, known: FORMAT });
        }
        let mut index = match Self::from_end(&*file).map_err(doing())? {
            Some(index) => index,
            None => Self { walked: FILE_HEADER_BYTES, ..Self::default() },
        };
        index.refresh(&*file).map_err(doing())?;
        index.format = format;
        if format.is_none() {
            index.damaged_bytes += FILE_HEADER_BYTES;
        }
        Ok((index, file))
    }

    /// Takes in what was appended.
    pub(crate) fn refresh(&mut self, file: &dyn Source) -> std::io::Result<()> {
        if self.finished {
            return Ok(());
        }
        let walked = walk(file, self.walked, |record| self.take_in(&record))?;
        self.walked = walked.end;
        self.damaged_bytes += walked.damaged_bytes;
        self.loose_bytes = file.length()?.saturating_sub(self.walked);
        Ok(())
    }

    /// Takes in a record that was found.
    pub(crate) fn take_in(&mut self, record: &Record) {
        match record.kind {
            RecordKind::Page => {
                if let Some(id) = Input(&record.head).fixed_u64() {
                    self.pages.entry(PageId(id)).or_default().push(record.offset);
                }
            }
            RecordKind::Chunk => {
                let head = ChunkHead::decode(&record.head, record.body_length);
                self.chunks.extend(head.and_then(|head| {
                    meta(&head, record.offset, overhead(&record.head), record.body_length)
                }));
            }
            RecordKind::End => self.finished = true,
            RecordKind::Event | RecordKind::Index => {}
        }
    }

    /// Reads the index that stands at the end. None where there is none that is sound.
    pub(crate) fn from_end(file: &dyn Source) -> std::io::Result<Option<Self>> {
        let length = file.length()?;
        let Some(offset) = length.checked_sub(END_BYTES) else { return Ok(None) };
        let end = record_at(file, offset, length)?.filter(|end| end.kind == RecordKind::End);
        let Some(at) = end.and_then(|end| Input(&end.head).fixed_u64()) else { return Ok(None) };
        let index = record_at(file, at, length)?.filter(|index| index.kind == RecordKind::Index);
        // Checksums keep accidents out, and this whoever made the file to do harm.
        let fits = |index: &Self| {
            index.chunks.iter().all(|chunk| {
                let end = chunk.offset.checked_add(chunk.head_length);
                end.and_then(|end| end.checked_add(chunk.body_length))
                    .is_some_and(|end| end <= length)
            })
        };
        Ok(index.and_then(|index| Self::decode(&index.head)).filter(fits).map(|index| Self {
            walked: length,
            finished: true,
            ..index
        }))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.chunks.len() as u64);
        for chunk in &self.chunks {
            out.push(chunk.tier);
            put(&mut out, chunk.offset);
            put(&mut out, chunk.head_length);
            put(&mut out, chunk.body_length);
            put(&mut out, chunk.first_seq);
            put(&mut out, chunk.last_seq.saturating_sub(chunk.first_seq));
            put(&mut out, zigzag(chunk.min_time));
            put(&mut out, chunk.max_time.wrapping_sub(chunk.min_time) as u64);
            put(&mut out, chunk.rows);
        }
        put(&mut out, self.pages.len() as u64);
        for (id, offsets) in &self.pages {
            out.extend(id.0.to_le_bytes());
            put(&mut out, offsets.len() as u64);
            offsets.iter().for_each(|offset| put(&mut out, *offset));
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Input(bytes);
        let mut index = Self::default();
        for _ in 0..input.length()? {
            let tier = input.byte()?;
            let (offset, head_length) = (input.varint()?, input.varint()?);
            let (body_length, first_seq) = (input.varint()?, input.varint()?);
            let last_seq = first_seq.checked_add(input.varint()?)?;
            let min_time = input.signed()?;
            let max_time = min_time.wrapping_add(input.varint()? as i64);
            let rows = input.varint()?;
            index.chunks.push(Meta {
                offset,
                head_length,
                body_length,
                tier,
                first_seq,
                last_seq,
                min_time,
                max_time,
                rows,
            });
        }
        for _ in 0..input.length()? {
            let id = PageId(input.fixed_u64()?);
            let mut offsets = Vec::new();
            for _ in 0..input.length()? {
                offsets.push(input.varint()?);
            }
            index.pages.insert(id, offsets);
        }
        Some(index)
    }

    /// A list of series, from the first place where it is sound.
    pub(crate) fn page(&self, file: &dyn Source, id: PageId) -> std::io::Result<Option<Page>> {
        for offset in self.pages.get(&id).into_iter().flatten() {
            let page = unless_broken(read_page(file, *offset))?.flatten();
            if let Some(page) = page.filter(|page| page.id == id) {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// A chunk with its lists of series, in memory. None when its head is damaged, or a list wherever it stands.
    pub(crate) fn chunk(
        &self,
        file: &dyn Source,
        meta: &Meta,
        disk: &dyn Disk,
    ) -> std::io::Result<Option<Chunk>> {
        let Some((head, body_offset)) = meta.head(file)? else { return Ok(None) };
        let mut body = vec![0; meta.body_length as usize];
        if unless_broken(file.read_at(&mut body, body_offset))?.is_none() {
            return Ok(None);
        }
        let mut pages = Vec::new();
        for id in head.groups.iter().flat_map(|group| group.pages()) {
            let page = match self.page(file, id)? {
                None => page_of_any_file(disk, id)?,
                here => here,
            };
            let Some(page) = page else { return Ok(None) };
            pages.push(Arc::new(page));
        }
        Ok(Some(Chunk { head, pages, body }))
    }
}

/// A list of series that is damaged where it should be, from another file that has it too.
fn page_of_any_file(disk: &dyn Disk, id: PageId) -> std::io::Result<Option<Page>> {
    for name in disk.list()?.iter().filter_map(|name| FileName::parse(name)) {
        // One that cannot be read has none, either.
        let Ok((index, file)) = FileIndex::load(disk, name) else { continue };
        if let Some(page) = index.page(&*file, id)? {
            return Ok(Some(page));
        }
    }
    Ok(None)
}

/// What an index knows of a chunk. None for one without rows.
fn meta(head: &ChunkHead, offset: u64, head_length: u64, body_length: u64) -> Option<Meta> {
    let (min_time, max_time) = head.times()?;
    let rows = head.groups.iter().map(|group| group.rows as u64).max()?;
    let (tier, first_seq, last_seq) = (head.tier, head.first_seq, head.last_seq);
    Some(Meta {
        offset,
        head_length,
        body_length,
        tier,
        first_seq,
        last_seq,
        min_time,
        max_time,
        rows,
    })
}

fn put_page(out: &mut Vec<u8>, page: &Page) -> std::io::Result<()> {
    let plain = page.encode();
    let mut body = Vec::new();
    put(&mut body, plain.len() as u64);
    body.extend(zstd::bulk::compress(&plain, BLOCK_LEVEL)?);
    let mut head = page.id.0.to_le_bytes().to_vec();
    head.extend(crc32fast::hash(&body).to_le_bytes());
    put_record(out, RecordKind::Page, &head, &body);
    Ok(())
}

/// The list of series whose record is at an offset. None when it is damaged.
pub(crate) fn read_page(file: &dyn Source, offset: u64) -> std::io::Result<Option<Page>> {
    let Some(record) = record_at(file, offset, file.length()?)? else { return Ok(None) };
    let mut body = vec![0; record.body_length as usize];
    file.read_at(&mut body, record.body_offset)?;
    let decode = || {
        let mut head = Input(&record.head);
        head.fixed_u64()?;
        if !is_sound(crc32fast::hash(&body), head.fixed_u32()?) {
            return None;
        }
        let mut input = Input(&body);
        let length = input.length().filter(|length| *length <= MAX_PAGE_BYTES)?;
        Page::decode(&zstd::bulk::decompress(input.0, length).ok()?)
    };
    Ok(decode())
}

/// A file that is appended to.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) name: FileName,
    pub(crate) index: FileIndex,
    sink: Box<dyn Sink>,
    length: u64,
    /// Nobody knows what is in it: nothing is appended any more.
    pub(crate) broken: bool,
}

impl Output {
    /// Makes a file.
    pub(crate) fn create(disk: &dyn Disk, name: FileName) -> Result<Self> {
        let text = name.to_string();
        let doing = || Error::io("writing", disk.path_of(&text));
        let mut sink = disk.create(&text).map_err(doing())?;
        let header = file_header();
        if let Err(error) = sink.write(&header) {
            // It holds nothing.
            let _ = disk.remove(&text);
            return Err(doing()(error));
        }
        let (walked, format) = (FILE_HEADER_BYTES, Some(FORMAT));
        let index = FileIndex { walked, format, ..FileIndex::default() };
        Ok(Self { name, index, sink, length: header.len() as u64, broken: false })
    }

    /// Goes on with a file that ends with a whole record.
    pub(crate) fn reopen(disk: &dyn Disk, name: FileName, index: FileIndex) -> Result<Self> {
        let text = name.to_string();
        let sink = disk.append(&text).map_err(Error::io("writing", disk.path_of(&text)))?;
        Ok(Self { name, length: index.walked, index, sink, broken: false })
    }

    /// Its length.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends chunks, with the lists of series that the file does not have yet. When this returns, they would
    /// survive a power cut. After a failure they may or may not be there.
    pub(crate) fn append<'a>(
        &mut self,
        disk: &dyn Disk,
        chunks: impl IntoIterator<Item = &'a Chunk>,
    ) -> Result<()> {
        let (mut out, mut index) = (Vec::new(), self.index.clone());
        for chunk in chunks {
            let again = index.chunks.len() % REPEAT_PAGES_EVERY == 0;
            for page in &chunk.pages {
                if self.lacks(&mut index, page.id, again, out.len()) {
                    put_page(&mut out, page).map_err(Error::io("compressing for", disk.path()))?;
                }
            }
            let start = out.len();
            chunk.put(&mut out);
            let (body, all) = (chunk.body.len() as u64, (out.len() - start) as u64);
            index.chunks.extend(meta(&chunk.head, self.length + start as u64, all - body, body));
        }
        self.write(disk, &out)?;
        self.index = FileIndex { walked: self.length, ..index };
        Ok(())
    }

    /// Appends chunks of other files as they stand, what is damaged of their bodies included, with the lists of series
    /// that this one does not have yet. Durable as with [`Output::append`]. Returns how many were left out because
    /// their head is damaged.
    pub(crate) fn copy<'a>(
        &mut self,
        disk: &dyn Disk,
        chunks: impl IntoIterator<Item = (&'a dyn Source, &'a FileIndex, &'a Meta)>,
    ) -> Result<u64> {
        let doing = || Error::io("copying chunks to", disk.path_of(&self.name.to_string()));
        let (mut out, mut index, mut left_out) = (Vec::new(), self.index.clone(), 0);
        for (file, from, meta) in chunks {
            let Some((head, _)) = meta.head(file).map_err(doing())? else {
                left_out += 1;
                continue;
            };
            let again = index.chunks.len() % REPEAT_PAGES_EVERY == 0;
            for id in head.groups.iter().flat_map(|group| group.pages()) {
                let Some(page) = from.page(file, id).map_err(doing())? else { continue };
                if self.lacks(&mut index, id, again, out.len()) {
                    put_page(&mut out, &page).map_err(doing())?;
                }
            }
            let start = out.len();
            let length = meta.head_length.saturating_add(meta.body_length);
            out.resize(start + length as usize, 0);
            let room = out.get_mut(start..).unwrap_or_default();
            file.read_at(room, meta.offset).map_err(doing())?;
            index.chunks.push(Meta { offset: self.length + start as u64, ..*meta });
        }
        self.write(disk, &out)?;
        self.index = FileIndex { walked: self.length, ..index };
        Ok(left_out)
    }

    /// Whether a list of series is to be written so many bytes after what there is; then it is in the index.
    fn lacks(&self, index: &mut FileIndex, id: PageId, again: bool, ahead: usize) -> bool {
        let offsets = index.pages.entry(id).or_default();
        // Once for a chunk is enough, even where a list is to be repeated.
        let fresh = offsets.last().is_some_and(|last| *last >= self.length);
        let lacks = offsets.is_empty() || again && !fresh;
        if lacks {
            offsets.push(self.length + ahead as u64);
        }
        lacks
    }

    /// Appends bytes of whole records, durably.
    pub(crate) fn write(&mut self, disk: &dyn Disk, bytes: &[u8]) -> Result<()> {
        let doing = |doing| Error::io(doing, disk.path_of(&self.name.to_string()));
        if let Err(error) = self.sink.write(bytes) {
            self.broken = self.sink.truncate(self.length).is_err();
            return Err(doing("writing")(error));
        }
        if let Err(error) = self.sink.sync() {
            self.broken = true;
            return Err(doing("syncing")(error));
        }
        self.length += bytes.len() as u64;
        self.index.walked = self.length;
        Ok(())
    }

    /// Appends the index: nothing comes after. Where that is too large for a record, the file is walked.
    pub(crate) fn finish(mut self, disk: &dyn Disk) -> Result<()> {
        let (mut out, index) = (Vec::new(), self.index.encode());
        if index.len() > MAX_HEAD_BYTES {
            return Ok(());
        }
        put_record(&mut out, RecordKind::Index, &index, &[]);
        put_record(&mut out, RecordKind::End, &self.length.to_le_bytes(), &[]);
        self.write(disk, &out)
    }
}
