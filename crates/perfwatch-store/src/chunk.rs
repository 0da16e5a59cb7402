//! Rows of one tier over a stretch of time, in columns: what is written at a commit (few rows), and what many of those are
//! joined to (a block of hundreds).
//!
//! A chunk has groups, a group has one axis (time of each row, and how long the row covers) and pages of columns.
//! Axis and pages are frames: compressed, with a checksum each in the chunk's head, read one by one. A raw group whose first
//! row continues an earlier one has a lead: its columns begin with the value of the row before, so that the increase of
//! a counter never needs another chunk.

use std::io;
use std::sync::Arc;

use zstd::bulk::{Compressor, Decompressor};

use crate::bytes::{Input, put, put_slice, zigzag};
use crate::column::{self, Column, Values};
use crate::disk::{Source, unless_broken};
use crate::file::TIERS;
use crate::layout::{LARGE_PAGE, Page, PageId};
use crate::record::{RecordKind, is_sound, put_record};

/// zstd's level for what is joined and kept for months, and for what is joined within the hour. Above 3, this data
/// gains 2 % at three times the time.
pub(crate) const BLOCK_LEVEL: i32 = 3;
pub(crate) const COMMIT_LEVEL: i32 = 1;

/// And for rollups, which are few and kept for years: blocks of minutes are 4 % smaller than at 3.
pub(crate) const ROLLUP_LEVEL: i32 = 16;

/// Most rows of a chunk; writers stay far below. More is damage.
const MAX_ROWS: usize = 1 << 16;

/// Most bytes of a frame before compression: 64 columns of 65,536 rows at 10 bytes.
const MAX_FRAME_BYTES: usize = 48 << 20;

/// Most columns of a frame: those of a rollup of the largest page.
const MAX_COLUMNS: usize = 7 * LARGE_PAGE;

/// A frame is kept as it is unless compression saves an eighth.
const WORTH_IT: usize = 8;

const STORED: u8 = 0;
const ZSTD: u8 = 1;

/// What a chunk has, without its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkHead {
    /// 0 for raw rows, else the rollup's number.
    pub(crate) tier: u8,
    /// Numbers of the first and the last raw row that it stands for.
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
    pub(crate) groups: Vec<GroupHead>,
}

/// One group of a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupHead {
    pub(crate) name: Arc<str>,
    pub(crate) rows: usize,
    pub(crate) lead: bool,
    /// Least and greatest time of its rows. Of a rollup: of the beginnings of its buckets.
    pub(crate) min_time: i64,
    pub(crate) max_time: i64,
    axis: Frame,
    pages: Vec<(PageId, Frame)>,
}

/// Where a part of the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    offset: u64,
    length: usize,
    checksum: u32,
}

impl GroupHead {
    /// Its pages, in order.
    pub(crate) fn pages(&self) -> impl Iterator<Item = PageId> {
        self.pages.iter().map(|(id, _)| *id)
    }

    /// Where its axis is in the body: offset and length.
    pub(crate) fn axis_extent(&self) -> (u64, u64) {
        (self.axis.offset, self.axis.length as u64)
    }

    /// Where a page is in the body.
    pub(crate) fn page_extent(&self, page: usize) -> Option<(u64, u64)> {
        self.pages.get(page).map(|(_, frame)| (frame.offset, frame.length as u64))
    }

    /// Values in a column: the rows, and the lead.
    pub(crate) fn height(&self) -> usize {
        self.rows + usize::from(self.lead)
    }
}

impl ChunkHead {
    /// Least and greatest time of its rows. None without any.
    pub(crate) fn times(&self) -> Option<(i64, i64)> {
        let min = self.groups.iter().map(|group| group.min_time).min()?;
        Some((min, self.groups.iter().map(|group| group.max_time).max()?))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.tier];
        put(&mut out, self.first_seq);
        put(&mut out, self.last_seq.saturating_sub(self.first_seq));
        put(&mut out, self.groups.len() as u64);
        for group in &self.groups {
            put_slice(&mut out, group.name.as_bytes());
            put(&mut out, group.rows as u64);
            out.push(u8::from(group.lead));
            put(&mut out, zigzag(group.min_time));
            put(&mut out, group.max_time.wrapping_sub(group.min_time) as u64);
            put_frame(&mut out, &group.axis);
            put(&mut out, group.pages.len() as u64);
            for (id, frame) in &group.pages {
                out.extend(id.0.to_le_bytes());
                put_frame(&mut out, frame);
            }
        }
        out
    }

    /// What a chunk's record has for a head, beside a body of this length. None when it makes no sense.
    pub(crate) fn decode(bytes: &[u8], body_length: u64) -> Option<Self> {
        let mut input = Input(bytes);
        let tier = input.byte()?;
        let first_seq = input.varint()?;
        let last_seq = first_seq.checked_add(input.varint()?)?;
        let mut offset = 0;
        let mut groups = Vec::new();
        for _ in 0..input.length()? {
            let name = input.text()?.into();
            let rows = input.length().filter(|rows| *rows <= MAX_ROWS)?;
            let lead = input.byte()? == 1;
            let min_time = input.signed()?;
            let max_time = min_time.wrapping_add(input.varint()? as i64);
            let axis = take_frame(&mut input, &mut offset)?;
            let mut pages = Vec::new();
            for _ in 0..input.length()? {
                let id = PageId(input.fixed_u64()?);
                pages.push((id, take_frame(&mut input, &mut offset)?));
            }
            groups.push(GroupHead { name, rows, lead, min_time, max_time, axis, pages });
        }
        let sane = usize::from(tier) < TIERS.len() && last_seq < u64::MAX && offset <= body_length;
        sane.then_some(Self { tier, first_seq, last_seq, groups })
    }
}

fn put_frame(out: &mut Vec<u8>, frame: &Frame) {
    put(out, frame.length as u64);
    out.extend(frame.checksum.to_le_bytes());
}

/// Frames follow each other in the body, so the head has their lengths alone.
fn take_frame(input: &mut Input<'_>, offset: &mut u64) -> Option<Frame> {
    let length = input.length()?;
    let frame = Frame { offset: *offset, length, checksum: input.fixed_u32()? };
    *offset = offset.checked_add(length as u64)?;
    Some(frame)
}

/// A chunk in memory.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) head: ChunkHead,
    /// Its lists of series, in the order of the groups.
    pub(crate) pages: Vec<Arc<Page>>,
    pub(crate) body: Vec<u8>,
}

impl Chunk {
    /// Appends its record. The lists of series have records of their own, before it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put_record(out, RecordKind::Chunk, &self.head.encode(), &self.body);
    }

    /// The same with other row numbers.
    pub(crate) fn renumbered(&self, shift: u64) -> Self {
        let mut head = self.head.clone();
        head.first_seq = head.first_seq.saturating_add(shift);
        head.last_seq = head.last_seq.saturating_add(shift);
        Self { head, pages: self.pages.clone(), body: self.body.clone() }
    }

    /// Bytes in memory, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let heads: usize = self.head.groups.iter().map(|group| 48 * (2 + group.pages.len())).sum();
        self.body.len() + heads
    }

    /// Raw rows of its longest group.
    pub(crate) fn rows(&self) -> usize {
        self.head.groups.iter().map(|group| group.rows).max().unwrap_or_default()
    }
}

/// Puts a chunk together, group by group and page by page.
pub(crate) struct ChunkBuilder {
    chunk: Chunk,
    compressor: Compressor<'static>,
}

impl ChunkBuilder {
    /// An empty chunk for these raw rows.
    pub(crate) fn new(tier: u8, (first_seq, last_seq): (u64, u64), level: i32) -> io::Result<Self> {
        let head = ChunkHead { tier, first_seq, last_seq, groups: Vec::new() };
        let chunk = Chunk { head, pages: Vec::new(), body: Vec::new() };
        Ok(Self { chunk, compressor: Compressor::new(level)? })
    }

    /// Begins a group: its axis, and whether its columns have a lead.
    pub(crate) fn group(&mut self, name: &Arc<str>, axis: &Axis, lead: bool) -> io::Result<()> {
        let times = || axis.times.iter().copied();
        let group = GroupHead {
            name: Arc::clone(name),
            rows: axis.times.len(),
            lead,
            min_time: times().min().unwrap_or_default(),
            max_time: times().max().unwrap_or_default(),
            axis: self.frame(&axis.columns())?,
            pages: Vec::new(),
        };
        self.chunk.head.groups.push(group);
        Ok(())
    }

    /// Appends a page to the group that was begun last.
    pub(crate) fn page(&mut self, page: &Arc<Page>, columns: &[Values]) -> io::Result<()> {
        let frame = self.frame(columns)?;
        if let Some(group) = self.chunk.head.groups.last_mut() {
            group.pages.push((page.id, frame));
            self.chunk.pages.push(Arc::clone(page));
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Chunk {
        self.chunk
    }

    fn frame(&mut self, columns: &[Values]) -> io::Result<Frame> {
        let (mut lengths, mut data) = (Vec::new(), Vec::new());
        put(&mut lengths, columns.len() as u64);
        for values in columns {
            let before = data.len();
            column::encode(values, &mut data);
            put(&mut lengths, (data.len() - before) as u64);
        }
        lengths.append(&mut data);
        let plain = lengths;
        let compressed = self.compressor.compress(&plain)?;
        let start = self.chunk.body.len();
        if compressed.len() + plain.len() / WORTH_IT < plain.len() {
            self.chunk.body.push(ZSTD);
            put(&mut self.chunk.body, plain.len() as u64);
            self.chunk.body.extend(compressed);
        } else {
            self.chunk.body.push(STORED);
            self.chunk.body.extend(plain);
        }
        let bytes = self.chunk.body.get(start..).unwrap_or_default();
        Ok(Frame { offset: start as u64, length: bytes.len(), checksum: crc32fast::hash(bytes) })
    }
}

/// The rows of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Nanoseconds since the epoch. Of a rollup: when the bucket begins.
    pub(crate) times: Vec<i64>,
    /// Nanoseconds that lie between a row and the one it continues; 0 for one that continues none. Of a rollup: the sum.
    pub(crate) covered: Vec<u64>,
    /// Of a rollup: raw rows in each bucket. Empty for raw rows.
    pub(crate) rows: Vec<u64>,
}

impl Axis {
    /// Raw rows that row `row` stands for.
    pub(crate) fn rows_of(&self, row: usize) -> u64 {
        self.rows.get(row).copied().unwrap_or(1)
    }

    /// Covered time is kept as what it differs from the time between the rows.
    fn columns(&self) -> Vec<Values> {
        let expected = differences(&self.times);
        let covered = self.covered.iter().zip(expected);
        let mut columns = vec![
            self.times.iter().copied().map(Some).collect::<Values>(),
            covered
                .map(|(covered, gap)| (*covered > 0).then(|| (*covered as i64).wrapping_sub(gap)))
                .collect(),
        ];
        if !self.rows.is_empty() {
            columns.push(self.rows.iter().map(|rows| Some(*rows as i64)).collect());
        }
        columns
    }

    fn from_columns(columns: &Columns, rows: usize) -> Option<Self> {
        let all = |values: Values| values.into_iter().collect::<Option<Vec<i64>>>();
        let times = all(columns.values(0, rows)?)?;
        let covered = columns.values(1, rows)?.into_iter().zip(differences(&times));
        let covered = covered
            .map(|(kept, gap)| kept.map_or(0, |kept| kept.wrapping_add(gap) as u64))
            .collect();
        let rows = match columns.values(2, rows) {
            Some(rows) => all(rows)?.into_iter().map(|rows| rows as u64).collect(),
            None => Vec::new(),
        };
        Some(Self { times, covered, rows })
    }
}

/// From each to the one before; for the first, as for the second.
fn differences(times: &[i64]) -> Vec<i64> {
    let mut gaps: Vec<i64> = times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    gaps.insert(0, gaps.first().copied().unwrap_or_default());
    gaps
}

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
