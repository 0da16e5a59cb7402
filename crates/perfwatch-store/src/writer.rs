//! The one thread that writes: commits, joins what was committed to blocks, rolls blocks up, keeps to the limits.
//!
//! A commit appends the rows since the last one to a hot file and syncs it. When hundreds of rows have come together,
//! at the end of a minute or an hour, they become a block in a segment, the block's rollup goes the same way one tier above, and
//! the hot file is removed. Nothing is removed before what replaces it is durable, and whatever a crash leaves twice
//! has the same row numbers, by which readers and the next start see it.
//!
//! A file whose sync failed is never appended to again: what it was to hold is written anew elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::chunk::Chunk;
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::file::{FileKind, FileName, TIERS};
use crate::index::FileIndex;
use crate::join::{join, roll_up};
use crate::output::Output;
use crate::recent::Recent;
use crate::record::FILE_HEADER_BYTES;
use crate::retention::{Limits, Options, Segment};
use crate::row::bucket;

/// Rows that make a block. 720 is an hour at 5 s and a fifth of one at 1 s, so that blocks end with hours.
const BLOCK_ROWS: usize = 720;

/// An hour that ends makes a block of so many rows already.
pub(crate) const SHORT_BLOCK_ROWS: usize = 360;

/// Rows of a rollup that make a block: a third of a day of minutes, 20 days of hours.
const ROLLUP_BLOCK_ROWS: u64 = 480;

/// How long after a failure writing is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// Bytes of a file of events; then another is begun.
pub(crate) const EVENT_FILE_BYTES: u64 = 256 << 10;

/// Files of events that are kept.
const MAX_EVENT_FILES: usize = 16;

/// Most hot files of raw rows; more, as after many crashes, are joined to a block whatever the number of rows.
const MAX_HOT_FILES: usize = 32;

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) recent: Arc<Recent>,
    pub(crate) limits: Limits,
    pub(crate) next_number: u64,
    pub(crate) tiers: [TierFiles; TIERS.len()],
    pub(crate) events: Option<Output>,
    pub(crate) event_files: Vec<FileName>,
    /// Whether every block is rolled up. If not, nothing is until it is: a rollup must have no holes.
    pub(crate) caught_up: bool,
}

/// The files of one tier.
#[derive(Debug, Default)]
pub(crate) struct TierFiles {
    /// The hot file that is appended to.
    pub(crate) hot: Option<Output>,
    /// Every hot file, and the last raw row it has.
    pub(crate) hot_files: BTreeMap<FileName, u64>,
    /// Rows in hot files.
    pub(crate) hot_rows: u64,
    /// The segment that is appended to.
    pub(crate) segment: Option<Output>,
    /// Every segment but that one.
    pub(crate) segments: BTreeMap<FileName, Segment>,
    /// Rows up to this one are in blocks, or in hot files of a rollup.
    pub(crate) reaches: u64,
}

impl Writer {
    /// Writes until it is told to stop. Ends before only when the directory was removed: then returns false.
    pub(crate) fn run(mut self) -> bool {
        let mut retry = None;
        loop {
            let mut state = self.recent.wait_for_work(retry);
            let stopping = state.stopping;
            let options = state.options.take();
            let packed = state.pack().map_err(Error::io("compressing for", self.disk.path()));
            drop(state);
            let kept = options.map_or(Ok(()), |options| self.keep(options));
            let done = packed.and_then(|()| self.work()).and(kept);
            retry = done.is_err().then_some(RETRY);
            self.recent.sized(self.known_bytes());
            self.recent.report(done.err().map(|error| error.to_string()));
            if stopping {
                return true;
            }
            if retry.is_some() && !self.disk.is_in_place() {
                return false;
            }
        }
    }

    /// Bytes of the files that it keeps in mind.
    fn known_bytes(&self) -> u64 {
        let of_tier = |tier: &TierFiles| {
            let open = [&tier.hot, &tier.segment].into_iter().flatten().map(Output::length);
            open.chain(tier.segments.values().map(|segment| segment.bytes)).sum::<u64>()
        };
        self.tiers.iter().map(of_tier).sum()
    }

    /// Keeps to other limits from now on.
    fn keep(&mut self, options: Options) -> Result<()> {
        self.limits.change(options);
        // A rollup that was not wanted before has to catch up.
        self.caught_up = false;
        let newest = self.recent.lock().chunks.back().and_then(|chunk| chunk.head.times());
        newest.map_or(Ok(()), |(_, newest)| self.make_room(0, newest))
    }

    fn work(&mut self) -> Result<()> {
        let (rows, events) = (self.commit(), self.write_events());
        rows.and(events)?;
        if !self.caught_up {
            self.catch_up()?;
            self.caught_up = true;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<()> {
        loop {
            let (chunks, durable, sealed) = {
                let state = self.recent.lock();
                let chunks: Vec<_> = state.chunks.iter().cloned().collect();
                (chunks, state.health.durable_seq, state.sealed_seq)
            };
            let open: Vec<_> =
                chunks.into_iter().filter(|chunk| chunk.head.last_seq > sealed).collect();
            let block = self.block_due(&open);
            let now = open.get(..block.unwrap_or(open.len())).unwrap_or_default();
            let new: Vec<_> =
                now.iter().filter(|chunk| chunk.head.last_seq > durable).cloned().collect();
            if let Some(last) = new.last() {
                self.append_hot(0, &new)?;
                self.recent.committed(last.head.last_seq);
            }
            if block.is_none() {
                return Ok(());
            }
            if let Err(error) = self.seal(now) {
                // No room for a block is no reason not to commit what comes after.
                let durable = self.recent.lock().health.durable_seq;
                let new: Vec<_> =
                    open.iter().filter(|chunk| chunk.head.last_seq > durable).cloned().collect();
                if let Some(last) = new.last() {
                    self.append_hot(0, &new)?;
                    self.recent.committed(last.head.last_seq);
                }
                return Err(error);
            }
        }
    }

    /// How many of these chunks are to become a block.
    fn block_due(&self, open: &[Arc<Chunk>]) -> Option<usize> {
        let many_files = self.tiers[0].hot_files.len() > MAX_HOT_FILES;
        let (mut rows, mut bytes) = (0, 0);
        for (index, pair) in open.windows(2).enumerate() {
            let [chunk, next] = pair else { continue };
            rows += chunk.rows();
            bytes += chunk.body.len() as u64;
            let (Some((_, ends)), Some((begins, _))) = (chunk.head.times(), next.head.times())
            else {
                continue;
            };
            let hour = |time: i64| time.div_euclid(TIERS[2].width);
            let due = rows >= BLOCK_ROWS && bucket(ends) != bucket(begins)
                || rows >= SHORT_BLOCK_ROWS && hour(ends) != hour(begins)
                || rows >= 2 * BLOCK_ROWS
                || bytes >= self.limits.segment_bytes()
                || many_files && index + 2 == open.len();
            if due {
                return Some(index + 1);
            }
        }
        None
    }

    /// Appends chunks to a tier's hot file, in a new one if need be.
    fn append_hot(&mut self, tier: u8, chunks: &[Arc<Chunk>]) -> Result<()> {
        let mut output = match self.tier(tier).hot.take() {
            Some(output) => output,
            None => self.create(FileKind::Hot(tier))?,
        };
        let last = chunks.last().map_or(0, |chunk| chunk.head.last_seq);
        // Known before it is written: part of it may be there after a failure.
        self.tier(tier).hot_files.insert(output.name, last);
        let disk = Arc::clone(&self.disk);
        let written = output.append(&*disk, chunks.iter().map(Arc::as_ref));
        if !output.broken {
            self.tier(tier).hot = Some(output);
        } else if output.index.chunks.is_empty() {
            // Nothing of it was ever acknowledged. One that stays is seen through at the next start.
            let _ = self.disk.remove(&output.name.to_string());
            self.tier(tier).hot_files.remove(&output.name);
        }
        written?;
        let rows: usize = chunks.iter().map(|chunk| chunk.rows()).sum();
        self.tier(tier).hot_rows += rows as u64;
        Ok(())
    }

    /// Makes a block of these chunks, which are durable, and rolls it up.
    fn seal(&mut self, chunks: &[Arc<Chunk>]) -> Result<()> {
        let joined = join(chunks).map_err(Error::io("compressing for", self.disk.path()))?;
        let Some(block) = joined else { return Ok(()) };
        let last = block.head.last_seq;
        self.append_block(0, &block)?;
        self.tier(0).reaches = last;
        self.recent.sealed(last, (block.body.len() as u64, block.rows() as u64));
        self.remove_hot(0, last);
        if self.caught_up {
            self.caught_up = false;
            self.roll(&block)?;
            self.caught_up = true;
        }
        Ok(())
    }

    /// Rolls a block up into the tier above, and that tier's blocks into the next.
    fn roll(&mut self, block: &Chunk) -> Result<()> {
        let rolled = roll_up(block).map_err(Error::io("compressing for", self.disk.path()))?;
        let Some(rolled) = rolled else { return Ok(()) };
        let tier = rolled.head.tier;
        if self.limits.keeps_none(tier) {
            return Ok(());
        }
        let last = rolled.head.last_seq;
        self.append_hot(tier, &[Arc::new(rolled)])?;
        self.tier(tier).reaches = last;
        let files = self.tier(tier);
        let bytes = files.hot.as_ref().map_or(0, |hot| hot.length());
        if files.hot_rows < ROLLUP_BLOCK_ROWS && bytes < self.limits.segment_bytes() {
            return Ok(());
        }
        let hot = self.read_hot(tier)?;
        let mut blocks = Vec::new();
        // A block stands for every row from its first to its last. What was lost between may be there in a finer tier, so no
        // block reaches over it.
        let follows = |a: &Arc<Chunk>, b: &Arc<Chunk>| a.head.last_seq + 1 == b.head.first_seq;
        for run in hot.chunk_by(follows) {
            let joined = join(run).map_err(Error::io("compressing for", self.disk.path()))?;
            if let Some(block) = joined {
                self.append_block(tier, &block)?;
                blocks.push(block);
            }
        }
        self.remove_hot(tier, last);
        blocks.iter().try_for_each(|block| self.roll(block))
    }

    /// Everything in a tier's hot files, each row once.
    fn read_hot(&mut self, tier: u8) -> Result<Vec<Arc<Chunk>>> {
        let names: Vec<_> = self.tier(tier).hot_files.keys().copied().collect();
        let mut chunks = BTreeMap::new();
        for name in names {
            let (index, file) = FileIndex::load(&*self.disk, name)?;
            for meta in &index.chunks {
                let path = self.disk.path().join(name.to_string());
                let chunk =
                    index.chunk(&*file, meta, &*self.disk).map_err(Error::io("reading", path))?;
                chunks.extend(chunk.map(|chunk| (chunk.head.first_seq, Arc::new(chunk))));
            }
        }
        Ok(chunks.into_values().collect())
    }

    /// Appends a block to a tier's segment, in a new one if need be, after making room for it.
    fn append_block(&mut self, tier: u8, block: &Chunk) -> Result<()> {
        let newest = block.head.times().map_or(0, |(_, max)| max);
        self.make_room(block.body.len() as u64, newest)?;
        if let Some(full) = self.tier(tier).segment.take() {
            if self.limits.is_full(tier, &full, newest) {
                self.finish(tier, full);
            } else {
                self.tier(tier).segment = Some(full);
            }
        }
        let mut output = match self.tier(tier).segment.take() {
            Some(output) => output,
            None => self.create(FileKind::Segment(tier))?,
        };
        let disk = Arc::clone(&self.disk);
        let written = output.append(&*disk, [block]);
        if output.broken {
            let segment = Segment::of(&output.index, output.length());
            self.tier(tier).segments.insert(output.name, segment);
        } else {
            self.tier(tier).segment = Some(output);
        }
        written
    }

    /// Ends a segment. Its index is a convenience: without it the file is walked.
    fn finish(&mut self, tier: u8, full: Output) {
        let (name, segment) = (full.name, Segment::of(&full.index, full.length()));
        let _ = full.finish(&*self.disk);
        self.tier(tier).segments.insert(name, segment);
    }

    /// Removes a tier's hot files of which every row is in a block.
    fn remove_hot(&mut self, tier: u8, last: u64) {
        let files = self.tier(tier);
        files.hot = None;
        files.hot_rows = 0;
        let done: Vec<_> = files
            .hot_files
            .iter()
            .filter(|(_, seq)| **seq <= last)
            .map(|(name, _)| *name)
            .collect();
        for name in done {
            // One that stays is seen to be done at the next start.
            let _ = self.disk.remove(&name.to_string());
            self.tier(tier).hot_files.remove(&name);
        }
    }

    fn write_events(&mut self) -> Result<()> {
        let (events, gone): (Vec<Event>, u64) = {
            let state = self.recent.lock();
            (state.events.iter().cloned().collect(), state.events_gone)
        };
        if events.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        events.iter().for_each(|event| event.put(&mut bytes));
        let mut output = match self.events.take().filter(|file| file.length() < EVENT_FILE_BYTES) {
            Some(output) => output,
            None => self.create(FileKind::Events)?,
        };
        if !self.event_files.contains(&output.name) {
            self.event_files.push(output.name);
        }
        let written = output.write(&*self.disk, &bytes);
        if !output.broken {
            self.events = Some(output);
        } else if output.length() <= FILE_HEADER_BYTES {
            // Nothing of it was ever acknowledged.
            let _ = self.disk.remove(&output.name.to_string());
            self.event_files.retain(|name| *name != output.name);
        }
        written?;
        self.recent.events_written(gone.saturating_add(events.len() as u64));
        while self.event_files.len() > MAX_EVENT_FILES {
            let oldest = self.event_files.remove(0);
            // One that stays is removed another time.
            let _ = self.disk.remove(&oldest.to_string());
        }
        Ok(())
    }

    pub(crate) fn create(&mut self, kind: FileKind) -> Result<Output> {
        let name = FileName { number: self.next_number, kind };
        self.next_number = self.next_number.saturating_add(1);
        Output::create(&*self.disk, name)
    }

    /// Forgets the segments of a tier, for they were replaced: nothing is written any more.
    pub(crate) fn forget(&mut self, tier: u8) {
        let files = self.tier(tier);
        files.segment = None;
        files.segments.clear();
    }

    /// The files of a tier. There is no tier that has none.
    pub(crate) fn tier(&mut self, tier: u8) -> &mut TierFiles {
        let last = self.tiers.len() - 1;
        &mut self.tiers[usize::from(tier).min(last)]
    }

    /// Rolls up what a crash kept from being rolled up: everything in a tier's segments beyond what the tier above has.
    pub(crate) fn catch_up(&mut self) -> Result<()> {
        for tier in 0..TIERS.len() as u8 - 1 {
            if self.limits.keeps_none(tier + 1) {
                continue;
            }
            let mut reached = self.tier(tier + 1).reaches;
            let files = self.tier(tier);
            let active = files.segment.as_ref().map(|output| output.name);
            let names: Vec<_> = files.segments.keys().copied().chain(active).collect();
            for name in names {
                let known = self.tier(tier).segments.get(&name).map(|segment| segment.last_seq);
                if known.is_some_and(|last| last <= reached) {
                    continue;
                }
                let (index, file) = FileIndex::load(&*self.disk, name)?;
                for meta in &index.chunks {
                    // Of a block that is there twice, one.
                    if meta.first_seq <= reached {
                        continue;
                    }
                    reached = meta.last_seq;
                    let path = self.disk.path().join(name.to_string());
                    let chunk = index
                        .chunk(&*file, meta, &*self.disk)
                        .map_err(Error::io("reading", path))?;
                    if let Some(chunk) = chunk {
                        self.roll(&chunk)?;
                    }
                }
            }
        }
        Ok(())
    }
}
