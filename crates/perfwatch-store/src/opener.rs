//! Reading the frames of a chunk: what is read is checked, then decompressed, then its columns are decoded one by one.

use std::io;

use zstd::bulk::Decompressor;

use crate::axis::Axis;
use crate::bytes::Input;
use crate::chunk::{ChunkHead, Frame, GroupHead, STORED, ZSTD};
use crate::column::{Column, Values};
use crate::disk::{Source, unless_broken};
use crate::layout::{LARGE_PAGE, PageId};
use crate::record::is_sound;

/// Most bytes of a frame before compression: 64 columns of 65,536 rows at 10 bytes.
const MAX_FRAME_BYTES: usize = 48 << 20;

/// Most columns of a frame: those of a rollup of the largest page.
const MAX_COLUMNS: usize = 7 * LARGE_PAGE;

/// A frame, opened: its columns are decoded one by one.
#[derive(Debug)]
pub(crate) struct Columns {
    bytes: Vec<u8>,
    /// Where each column ends; the first begins at `start`.
    ends: Vec<usize>,
    start: usize,
}

impl Columns {
    fn new(bytes: Vec<u8>) -> Option<Self> {
        let mut input = Input(&bytes);
        let count = input.length().filter(|count| *count <= MAX_COLUMNS)?;
        let mut lengths = Vec::with_capacity(count);
        for _ in 0..count {
            lengths.push(input.length()?);
        }
        let start = bytes.len() - input.0.len();
        let mut end = start;
        let mut ends = Vec::with_capacity(count);
        for length in lengths {
            end = end.checked_add(length).filter(|end| *end <= bytes.len())?;
            ends.push(end);
        }
        Some(Self { bytes, ends, start })
    }

    /// How many columns there are.
    pub(crate) fn count(&self) -> usize {
        self.ends.len()
    }

    /// A column. None when there is no such column or it makes no sense.
    pub(crate) fn column(&self, index: usize, rows: usize) -> Option<Column> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => self.start,
        };
        Column::decode(self.bytes.get(start..end)?, rows)
    }

    /// As [`Columns::column`], with a value for each row.
    pub(crate) fn values(&self, index: usize, rows: usize) -> Option<Values> {
        Some(self.column(index, rows)?.into_values(rows))
    }
}

/// Where a chunk's body is.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    Memory(&'a [u8]),
    File { file: &'a dyn Source, offset: u64 },
}

/// A frame whose checksum is wrong.
pub(crate) struct DamagedFrame<'a> {
    pub(crate) group: &'a GroupHead,
    /// Whose columns these were. None for the times of the rows.
    pub(crate) page: Option<PageId>,
    /// In the body.
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

/// Opens frames. Keeps zstd's memory, and that of what was read.
pub(crate) struct Opener {
    decompressor: Decompressor<'static>,
    read: Vec<u8>,
}

impl Opener {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()?, read: Vec::new() })
    }

    /// The axis of a group. None when it is damaged.
    pub(crate) fn axis(&mut self, body: &Body<'_>, group: &GroupHead) -> io::Result<Option<Axis>> {
        let columns = self.open(body, group.axis)?;
        Ok(columns.and_then(|columns| Axis::from_columns(&columns, group.rows)))
    }

    /// The columns of a page. None when it is damaged.
    pub(crate) fn page(
        &mut self,
        body: &Body<'_>,
        group: &GroupHead,
        page: usize,
    ) -> io::Result<Option<Columns>> {
        match group.pages.get(page) {
            Some((_, frame)) => self.open(body, *frame),
            None => Ok(None),
        }
    }

    /// How many frames of a chunk are damaged.
    pub(crate) fn verify(&mut self, body: &Body<'_>, head: &ChunkHead) -> io::Result<u64> {
        let mut damaged = 0;
        self.each_damaged(body, head, &mut |_| damaged += 1)?;
        Ok(damaged)
    }

    /// Shows every frame of a chunk that is damaged, and returns how many there are in all.
    pub(crate) fn each_damaged(
        &mut self,
        body: &Body<'_>,
        head: &ChunkHead,
        each: &mut dyn FnMut(DamagedFrame<'_>),
    ) -> io::Result<u64> {
        let mut frames = 0;
        for group in &head.groups {
            let mut look = |frame: Frame, page, sound: bool| {
                frames += 1;
                if !sound {
                    each(DamagedFrame { group, page, offset: frame.offset, length: frame.length });
                }
            };
            look(group.axis, None, self.axis(body, group)?.is_some());
            for (number, (id, frame)) in group.pages.iter().enumerate() {
                look(*frame, Some(*id), self.page(body, group, number)?.is_some());
            }
        }
        Ok(frames)
    }

    fn open(&mut self, body: &Body<'_>, frame: Frame) -> io::Result<Option<Columns>> {
        let mut read = std::mem::take(&mut self.read);
        let bytes = match body {
            Body::Memory(bytes) => {
                let start = frame.offset as usize;
                bytes.get(start..start.saturating_add(frame.length)).unwrap_or_default()
            }
            Body::File { file, offset } => {
                read.resize(frame.length, 0);
                if unless_broken(file.read_at(&mut read, offset.saturating_add(frame.offset)))?
                    .is_none()
                {
                    return Ok(None);
                }
                &read
            }
        };
        let columns = self.unpack(bytes, frame.checksum);
        self.read = read;
        Ok(columns)
    }

    fn unpack(&mut self, bytes: &[u8], checksum: u32) -> Option<Columns> {
        if !is_sound(crc32fast::hash(bytes), checksum) {
            return None;
        }
        let mut input = Input(bytes);
        match input.byte()? {
            STORED => Columns::new(input.0.to_vec()),
            ZSTD => {
                let length = input.length().filter(|length| *length <= MAX_FRAME_BYTES)?;
                Columns::new(self.decompressor.decompress(input.0, length).ok()?)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::tests::{axis, chunk, columns};
    use crate::chunk::{BLOCK_LEVEL, ChunkBuilder};

    #[test]
    fn what_was_put_into_a_chunk_comes_back() {
        let chunk = chunk();
        let mut opener = Opener::new().unwrap();
        let body = Body::Memory(&chunk.body);
        for (group, columns) in chunk.head.groups.iter().zip(columns()) {
            let times = match &*group.name {
                "a" => axis((0..300).map(|row| 1_000 + row * 10)),
                _ => axis([-5, 20, 15]),
            };
            assert_eq!(opener.axis(&body, group).unwrap(), Some(times));
            let page = opener.page(&body, group, 0).unwrap().unwrap();
            assert_eq!(page.count(), columns.len());
            for (index, values) in columns.iter().enumerate() {
                assert_eq!(page.values(index, values.len()).as_ref(), Some(values));
            }
            assert!(page.column(columns.len(), 3).is_none());
            assert!(opener.page(&body, group, 1).unwrap().is_none());
        }
        assert_eq!(opener.verify(&body, &chunk.head).unwrap(), 0);
    }

    #[test]
    fn a_flipped_bit_costs_its_frame_and_is_found() {
        let mut chunk = chunk();
        let mut opener = Opener::new().unwrap();
        for byte in 0..chunk.body.len() {
            chunk.body[byte] ^= 1 << (byte % 8);
            let mut found = Vec::new();
            let body = Body::Memory(&chunk.body);
            let frames = opener.each_damaged(&body, &chunk.head, &mut |frame| {
                let is_in = frame.offset as usize..frame.offset as usize + frame.length;
                found.push((is_in.contains(&byte), frame.page.is_some()));
            });
            let group =
                &chunk.head.groups[usize::from(byte as u64 >= chunk.head.groups[1].axis.offset)];
            let is_page = byte as u64 >= group.pages[0].1.offset;
            assert_eq!((frames.unwrap(), &*found), (4, &[(true, is_page)][..]), "byte {byte}");
            assert_eq!(opener.verify(&body, &chunk.head).unwrap(), 1);
            chunk.body[byte] ^= 1 << (byte % 8);
        }
        // Cut off, the last frame is damaged, and nothing else.
        chunk.body.pop();
        assert_eq!(opener.verify(&Body::Memory(&chunk.body), &chunk.head).unwrap(), 1);
    }

    #[test]
    fn buckets_come_back_with_their_rows() {
        let buckets =
            Axis { covered: vec![55, 0, 60], rows: vec![12, 1, 11], ..axis([0, 60, 120]) };
        let mut builder = ChunkBuilder::new(1, (1, 24), BLOCK_LEVEL).unwrap();
        builder.group(&"a".into(), &buckets, false).unwrap();
        let chunk = builder.finish();
        let body = Body::Memory(&chunk.body);
        let opened = Opener::new().unwrap().axis(&body, &chunk.head.groups[0]).unwrap();
        assert_eq!(opened.as_ref(), Some(&buckets));
        assert_eq!((buckets.rows_of(2), axis([0]).rows_of(0)), (11, 1));
    }
}
