//! What is in a file and where: from the index that stands at its end, or by walking through it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::bytes::{Input, put, zigzag};
use crate::chunk::{Chunk, ChunkHead};
use crate::disk::{Disk, Source, unless_broken};
use crate::error::{Error, Result};
use crate::file::FileName;
use crate::layout::{Page, PageId};
use crate::record::{
    FILE_HEADER_BYTES, FORMAT, Record, RecordKind, file_format, is_sound, known_record, overhead,
    record_at, walk,
};

/// Most bytes of a list of series before compression: 256 of the longest names with two names each beside them.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// The length of the record at the end of a finished segment: prefix and an offset.
const END_BYTES: u64 = 17 + 8;

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
    /// Of the chunk with this head, which stands there. None for one without rows.
    pub(crate) fn of(
        head: &ChunkHead,
        offset: u64,
        head_length: u64,
        body_length: u64,
    ) -> Option<Self> {
        let (min_time, max_time) = head.times()?;
        Some(Self {
            offset,
            head_length,
            body_length,
            tier: head.tier,
            first_seq: head.first_seq,
            last_seq: head.last_seq,
            min_time,
            max_time,
            rows: head.groups.iter().map(|group| group.rows as u64).max()?,
        })
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.tier);
        put(out, self.offset);
        put(out, self.head_length);
        put(out, self.body_length);
        put(out, self.first_seq);
        put(out, self.last_seq.saturating_sub(self.first_seq));
        put(out, zigzag(self.min_time));
        put(out, self.max_time.wrapping_sub(self.min_time) as u64);
        put(out, self.rows);
    }

    fn decode(input: &mut Input<'_>) -> Option<Self> {
        let tier = input.byte()?;
        let (offset, head_length, body_length) =
            (input.varint()?, input.varint()?, input.varint()?);
        let first_seq = input.varint()?;
        let last_seq = first_seq.checked_add(input.varint()?)?;
        let min_time = input.signed()?;
        let max_time = min_time.wrapping_add(input.varint()? as i64);
        let rows = input.varint()?;
        Some(Self {
            tier,
            offset,
            head_length,
            body_length,
            first_seq,
            last_seq,
            min_time,
            max_time,
            rows,
        })
    }

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
    pub(crate) fn load(disk: &dyn Disk, name: FileName) -> Result<(Self, Arc<dyn Source>)> {
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
                    Meta::of(&head, record.offset, overhead(&record.head), record.body_length)
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

    /// As it stands at the end of a finished file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.chunks.len() as u64);
        for chunk in &self.chunks {
            chunk.encode(&mut out);
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
            index.chunks.push(Meta::decode(&mut input)?);
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
