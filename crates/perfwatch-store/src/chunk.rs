//! Rows of one tier over a stretch of time, in columns: what is written at a commit (few rows), and what many of those are
//! joined to (a block of hundreds).
//!
//! A chunk has groups, a group has one axis (time of each row, and how long the row covers) and pages of columns.
//! Axis and pages are frames: compressed, with a checksum each in the chunk's head, read one by one. A raw group whose first
//! row continues an earlier one has a lead: its columns begin with the value of the row before, so that the increase of
//! a counter never needs another chunk.

use std::io;
use std::sync::Arc;

use zstd::bulk::Compressor;

use crate::axis::Axis;
use crate::bytes::{Input, put, put_slice, zigzag};
use crate::column::{self, Values};
use crate::file::TIERS;
use crate::layout::{Page, PageId};
use crate::record::{RecordKind, put_record};

/// zstd's level for what is joined and kept for months, and for what is joined within the hour. Above 3, this data
/// gains 2 % at three times the time.
pub(crate) const BLOCK_LEVEL: i32 = 3;
pub(crate) const COMMIT_LEVEL: i32 = 1;

/// And for rollups, which are few and kept for years: blocks of minutes are 4 % smaller than at 3.
pub(crate) const ROLLUP_LEVEL: i32 = 16;

/// Most rows of a chunk; writers stay far below. More is damage.
const MAX_ROWS: usize = 1 << 16;

/// A frame is kept as it is unless compression saves an eighth.
const WORTH_IT: usize = 8;

/// How a frame is kept: its first byte.
pub(crate) const STORED: u8 = 0;
pub(crate) const ZSTD: u8 = 1;

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
    pub(crate) axis: Frame,
    pub(crate) pages: Vec<(PageId, Frame)>,
}

/// Where a part of the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    pub(crate) length: usize,
    pub(crate) checksum: u32,
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::layout::{Kind, Series, paged};

    pub(crate) fn axis(times: impl IntoIterator<Item = i64>) -> Axis {
        let times: Vec<i64> = times.into_iter().collect();
        Axis { covered: vec![10; times.len()], times, rows: Vec::new() }
    }

    /// Of a counter with a lead and of one that repeats itself; then of noise, in another group.
    pub(crate) fn columns() -> [Vec<Values>; 2] {
        let all = |of: fn(i64) -> i64, count| (0..count).map(|row| Some(of(row))).collect();
        [
            vec![all(|row| row * row, 301), all(|row| row % 7 * 1_000, 301)],
            vec![all(|row| row.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64), 20)],
        ]
    }

    /// Rows 10 to 309 in two groups.
    pub(crate) fn chunk() -> Chunk {
        let series = |name: &str| Series { name: name.into(), kind: Kind::Gauge };
        let [first, second] = columns();
        let mut builder = ChunkBuilder::new(0, (10, 309), BLOCK_LEVEL).unwrap();
        builder.group(&"a".into(), &axis((0..300).map(|row| 1_000 + row * 10)), true).unwrap();
        builder.page(&paged([series("a.x"), series("a.y")], 2)[0], &first).unwrap();
        builder.group(&"b".into(), &axis([-5, 20, 15]), false).unwrap();
        builder.page(&paged([series("b.x")], 2)[0], &second).unwrap();
        builder.finish()
    }

    #[test]
    fn a_head_comes_back() {
        let Chunk { head, body, .. } = chunk();
        let length = body.len() as u64;
        assert_eq!(ChunkHead::decode(&head.encode(), length).as_ref(), Some(&head));
        assert_eq!(head.groups[0].height(), 301);
        assert_eq!(head.groups[1].height(), 3);
        assert_eq!(head.times(), Some((-5, 3_990)));
        let empty = ChunkHead { groups: Vec::new(), ..head };
        assert_eq!(empty.times(), None);
    }

    #[test]
    fn a_head_that_makes_no_sense_is_refused() {
        let Chunk { head, body, .. } = chunk();
        let (bytes, length) = (head.encode(), body.len() as u64);
        for end in 0..bytes.len() {
            assert_eq!(ChunkHead::decode(&bytes[..end], length), None, "cut off at {end}");
        }
        assert_eq!(ChunkHead::decode(&bytes, length - 1), None, "a body that is too short");
        let decoded = |head: ChunkHead| ChunkHead::decode(&head.encode(), length);
        let of_tier = |tier| ChunkHead { tier, ..head.clone() };
        assert!(decoded(of_tier(2)).is_some());
        assert_eq!(decoded(of_tier(3)), None);
        let to = |last_seq| ChunkHead { last_seq, ..head.clone() };
        assert!(decoded(to(u64::MAX - 1)).is_some());
        assert_eq!(decoded(to(u64::MAX)), None);
        let of_rows = |rows| {
            let mut head = head.clone();
            head.groups[0].rows = rows;
            decoded(head)
        };
        assert!(of_rows(MAX_ROWS).is_some());
        assert_eq!(of_rows(MAX_ROWS + 1), None);
    }

    #[test]
    fn frames_follow_each_other_to_the_end_of_the_body() {
        let Chunk { head, body, .. } = chunk();
        let mut end = 0;
        let mut compressed = Vec::new();
        for group in &head.groups {
            for (offset, length) in [group.axis_extent(), group.page_extent(0).unwrap()] {
                assert_eq!(offset, end);
                compressed.push(body[offset as usize] == ZSTD);
                end += length;
            }
            assert_eq!(group.page_extent(1), None);
        }
        assert_eq!(end, body.len() as u64);
        // Neither three times nor noise are worth it.
        assert_eq!(compressed, [true, true, false, false]);
    }

    #[test]
    fn a_chunk_with_other_numbers_is_the_same_chunk() {
        let (chunk, other) = (chunk(), chunk().renumbered(5));
        assert_eq!((other.head.first_seq, other.head.last_seq), (15, 314));
        assert_eq!((&other.head.groups, &other.body), (&chunk.head.groups, &chunk.body));
        assert_eq!((&other.pages, other.rows()), (&chunk.pages, 300));
    }

    #[test]
    fn a_chunk_takes_its_body_and_some_bytes_a_group_and_page() {
        let chunk = chunk();
        let heads = chunk.bytes() - chunk.body.len();
        assert!((200..400).contains(&heads), "{heads}");
    }
}
