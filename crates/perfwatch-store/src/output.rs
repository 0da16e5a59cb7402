//! Appending to a file.

use crate::bytes::put;
use crate::chunk::{BLOCK_LEVEL, Chunk};
use crate::disk::{Disk, Sink, Source};
use crate::error::{Error, Result};
use crate::file::FileName;
use crate::index::{FileIndex, Meta};
use crate::layout::{Page, PageId};
use crate::record::{
    FILE_HEADER_BYTES, FORMAT, MAX_HEAD_BYTES, RecordKind, file_header, put_record,
};

/// After so many chunks, a segment has its lists of series again.
const REPEAT_PAGES_EVERY: usize = 64;

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
            index.chunks.extend(Meta::of(
                &chunk.head,
                self.length + start as u64,
                all - body,
                body,
            ));
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
