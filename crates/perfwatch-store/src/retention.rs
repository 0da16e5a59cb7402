//! How much is kept: days of each tier, bytes in all, and a floor of free space on the disk.
//!
//! Whole segments go, oldest first. A clock that is wrong for a while must not cost the history, so age removes
//! at most a segment of a tier an hour. When others fill the disk below the floor, PerfWatch stops growing: it takes
//! the place of its own oldest data, and nothing is removed for the others' sake.

use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::file::{FileName, TIERS};
use crate::index::FileIndex;
use crate::output::Output;
use crate::writer::Writer;

/// A segment holds this part of what its tier keeps, by time.
const SEGMENTS_OF_A_TIER: i64 = 30;

/// And this part of all bytes, within bounds.
const SEGMENTS_OF_THE_CAP: u64 = 32;
const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = (64 << 10)..=(64 << 20);

/// The floor of free space, unless it is set: a twentieth of the disk, at most 1 GiB.
const FREE_SHARE: u64 = 20;
const MAX_FREE: u64 = 1 << 30;

/// Age removes no second segment of a tier before this has passed.
const BETWEEN_REMOVALS: Duration = Duration::from_secs(3600);

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Rows are durable after this at the latest, or after the next row when those are further apart.
    pub commit_interval: Duration,
    /// How long the rows of each tier are kept. Zero for a rollup that is not wanted; as each is made of the one below,
    /// there are no coarser ones then either.
    pub keep: [Duration; TIERS.len()],
    /// Bytes of all files together.
    pub max_bytes: u64,
    /// Free space below which the store does not grow. None: a twentieth of the disk, at most 1 GiB.
    pub min_free_bytes: Option<u64>,
}

impl Options {
    /// Free space below which the store does not grow, on a disk of so many bytes.
    pub fn min_free(&self, disk: u64) -> u64 {
        self.min_free_bytes.unwrap_or((disk / FREE_SHARE).min(MAX_FREE))
    }
}

impl Default for Options {
    fn default() -> Self {
        const DAY: u64 = 86_400;
        Self {
            commit_interval: Duration::from_secs(5),
            keep: [30 * DAY, 180 * DAY, 5 * 365 * DAY].map(Duration::from_secs),
            max_bytes: 2 << 30,
            min_free_bytes: None,
        }
    }
}

/// Options in force, and what was removed last.
#[derive(Debug)]
pub(crate) struct Limits {
    options: Options,
    removed: [Option<Instant>; TIERS.len()],
    /// Bytes there were when the disk fell below the floor.
    frozen_at: Option<u64>,
}

/// What is known of a finished segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    pub(crate) bytes: u64,
    pub(crate) last_seq: u64,
    pub(crate) max_time: i64,
}

impl Segment {
    pub(crate) fn of(index: &FileIndex, bytes: u64) -> Self {
        Self {
            bytes,
            last_seq: index.chunks.iter().map(|chunk| chunk.last_seq).max().unwrap_or_default(),
            max_time: index.chunks.iter().map(|chunk| chunk.max_time).max().unwrap_or(i64::MIN),
        }
    }
}

impl Limits {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, removed: [None; TIERS.len()], frozen_at: None }
    }

    /// Other options from now on.
    pub(crate) fn change(&mut self, options: Options) {
        self.options = options;
    }

    /// How long the rows of a tier are kept.
    pub(crate) fn keep_ns(&self, tier: u8) -> i64 {
        let keep = self.options.keep.get(usize::from(tier)).copied().unwrap_or_default();
        i64::try_from(keep.as_nanos()).unwrap_or(i64::MAX)
    }

    /// Whether a tier is not wanted. Raw rows always are.
    pub(crate) fn keeps_none(&self, tier: u8) -> bool {
        tier > 0 && self.keep_ns(tier) == 0
    }

    /// Bytes that make a segment full.
    pub(crate) fn segment_bytes(&self) -> u64 {
        (self.options.max_bytes / SEGMENTS_OF_THE_CAP)
            .clamp(*SEGMENT_BYTES.start(), *SEGMENT_BYTES.end())
    }

    /// Nanoseconds from its first row to its last that make a segment full.
    pub(crate) fn segment_span(&self, tier: u8) -> i64 {
        self.keep_ns(tier) / SEGMENTS_OF_A_TIER
    }

    /// Whether a segment is large enough, or holds enough time, to begin another.
    pub(crate) fn is_full(&self, tier: u8, segment: &Output, newest: i64) -> bool {
        let oldest = segment.index.chunks.iter().map(|chunk| chunk.min_time).min();
        let span = newest.saturating_sub(oldest.unwrap_or(newest));
        segment.length() >= self.segment_bytes() || span > self.segment_span(tier)
    }
}

impl Writer {
    /// Removes every segment whose time is over.
    pub(crate) fn expire(&mut self, newest: i64) -> Result<()> {
        for tier in 0..TIERS.len() as u8 {
            let keep = self.limits.keep_ns(tier);
            let over = |segment: &Segment| newest.saturating_sub(segment.max_time) > keep;
            let segments = self.tier(tier).segments.iter();
            let names: Vec<_> =
                segments.filter(|(_, segment)| over(segment)).map(|(name, _)| *name).collect();
            for name in names {
                self.remove_segment(tier, name)?;
            }
        }
        Ok(())
    }

    /// Removes what is to go before so many bytes are added.
    pub(crate) fn make_room(&mut self, incoming: u64, newest: i64) -> Result<()> {
        for tier in 0..TIERS.len() as u8 {
            let keep = self.limits.keep_ns(tier);
            // Not only the oldest: one row of a clock that was ahead would keep everything.
            let over = |segment: &Segment| newest.saturating_sub(segment.max_time) > keep;
            let mut segments = self.tier(tier).segments.iter();
            let Some((name, _)) = segments.find(|(_, segment)| over(segment)) else { continue };
            let name = *name;
            let slot = self.limits.removed.get_mut(usize::from(tier));
            let Some(slot) =
                slot.filter(|last| last.is_none_or(|last| last.elapsed() >= BETWEEN_REMOVALS))
            else {
                continue;
            };
            *slot = Some(Instant::now());
            // One that cannot be removed is tried again in an hour.
            let _ = self.remove_segment(tier, name);
        }
        let mut total = self.total_bytes()?;
        let cap = self.cap(total)?;
        while total.saturating_add(incoming) > cap {
            let Some((tier, name, bytes)) = self.oldest() else { break };
            if self.remove_segment(tier, name).is_err() {
                // Rather beyond the cap than without the newest rows.
                break;
            }
            total = total.saturating_sub(bytes);
        }
        Ok(())
    }

    /// Bytes of every file of the store. What others put there, or was set aside, costs no history.
    fn total_bytes(&self) -> Result<u64> {
        let doing = || Error::io("reading", self.disk.path());
        let mut total = 0_u64;
        let names = self.disk.list().map_err(doing())?;
        for name in names.iter().filter(|name| FileName::parse(name).is_some()) {
            // A file that just went counts no more.
            let length = self.disk.open(name).and_then(|file| file.length()).unwrap_or_default();
            total = total.saturating_add(length);
        }
        Ok(total)
    }

    /// What the store may grow to.
    fn cap(&mut self, total: u64) -> Result<u64> {
        let space =
            self.disk.space().map_err(Error::io("asking for the space of", self.disk.path()))?;
        let (free, all) = space;
        let options = &self.limits.options;
        let floor = options.min_free(all);
        let max = options.max_bytes;
        if free >= floor {
            self.limits.frozen_at = None;
            return Ok(max);
        }
        Ok(max.min(*self.limits.frozen_at.get_or_insert(total)))
    }

    /// The segment that goes next when there are too many bytes: the oldest of the finest tier that has a finished one.
    fn oldest(&mut self) -> Option<(u8, FileName, u64)> {
        for tier in 0..TIERS.len() as u8 {
            if let Some((name, segment)) = self.tier(tier).segments.first_key_value() {
                return Some((tier, *name, segment.bytes));
            }
        }
        None
    }

    pub(crate) fn remove_segment(&mut self, tier: u8, name: FileName) -> Result<()> {
        let text = name.to_string();
        match self.disk.remove(&text) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("removing", self.disk.path().join(text))(error));
            }
            _ => {}
        }
        self.tier(tier).segments.remove(&name);
        Ok(())
    }
}
