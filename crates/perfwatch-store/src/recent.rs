//! What was measured last, in memory: rows that are not written yet, and at least ten minutes of what is.
//!
//! Rows come in here and nowhere else, without waiting for a disk. Questions are answered from here and from the files, so
//! that the disk may be slow, full or gone and the last minutes can still be seen; and what could not be written waits
//! here until it can.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::chunk::Chunk;
use crate::event::Event;
use crate::retention::Options;
use crate::row::{Numbered, Row, last_of_each, limit, pack};

/// How long rows stay in memory after they were written.
pub const MEMORY_NS: i64 = 600_000_000_000;

/// Most bytes of rows that wait for a disk, beyond those of the last ten minutes. Then the oldest are lost, and
/// counted. 100 series at 5 s fill it in a day.
const MAX_WAITING_BYTES: usize = 8 << 20;

/// Rows that are packed together at most. More come together only when the writer is stuck.
const MAX_PENDING_ROWS: usize = 64;

/// What is added to the numbers of rows that were taken in before the files could be opened.
const UNADOPTED: u64 = 1 << 62;

/// Most events that wait for a disk. Then the oldest are lost.
const MAX_WAITING_EVENTS: usize = 1024;

/// How the store is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing is written, and since when. None when all is well.
    pub trouble: Option<(SystemTime, String)>,
    /// Number of the last row that would survive a power cut.
    pub durable_seq: u64,
    /// Rows that were lost because they waited for a disk too long.
    pub lost_rows: u64,
    /// Series of the newest row that were left out because there were too many.
    pub left_out_series: usize,
    /// Bytes of the files of rows, as of the last commit.
    pub bytes: u64,
    /// Bytes of the newest block of single rows, and how many it has. None before the first is made.
    pub block: Option<(u64, u64)>,
}

/// Rows and events in memory. One per store.
#[derive(Debug)]
pub(crate) struct Recent {
    state: Mutex<State>,
    changed: Condvar,
    commit_interval: Duration,
}

#[derive(Debug)]
pub(crate) struct State {
    next_seq: u64,
    /// Rows that an earlier run left behind: they are numbered first.
    earlier: u64,
    /// Not packed yet.
    pending: Vec<Arc<Numbered>>,
    /// What each group had before the first row that is not packed, as one row.
    before: Option<Arc<Numbered>>,
    /// Packed, oldest first.
    pub(crate) chunks: VecDeque<Arc<Chunk>>,
    /// Rows up to this one are in blocks.
    pub(crate) sealed_seq: u64,
    pub(crate) events: VecDeque<Event>,
    /// Events before the first of those.
    pub(crate) events_gone: u64,
    last_commit: Instant,
    wanted: bool,
    /// What is to be kept from now on, until the writer has taken it.
    pub(crate) options: Option<Options>,
    pub(crate) stopping: bool,
    pub(crate) stopped: bool,
    /// Whether numbers go on from those in the files.
    adopted: bool,
    pub(crate) health: Health,
}

impl Recent {
    pub(crate) fn new(commit_interval: Duration) -> Self {
        let state = State {
            next_seq: 1,
            earlier: 0,
            pending: Vec::new(),
            before: None,
            chunks: VecDeque::new(),
            sealed_seq: 0,
            events: VecDeque::new(),
            events_gone: 0,
            last_commit: Instant::now().checked_sub(commit_interval).unwrap_or_else(Instant::now),
            wanted: false,
            options: None,
            stopping: false,
            stopped: false,
            adopted: false,
            health: Health::default(),
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), commit_interval }
    }

    /// The state. A panic while it was held has left it whole: every change is one of its methods.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a row in and returns its number.
    pub(crate) fn append(&self, row: Row) -> u64 {
        let mut state = self.lock();
        let seq = state.append(row);
        if state.pending.len() == 1 || state.pending.len() >= MAX_PENDING_ROWS {
            self.changed.notify_all();
        }
        seq
    }

    pub(crate) fn event(&self, event: Event) {
        let mut state = self.lock();
        state.events.push_back(event);
        while state.events.len() > MAX_WAITING_EVENTS {
            state.events.pop_front();
            state.events_gone += 1;
        }
        self.changed.notify_all();
    }

    /// Says what is to be kept from now on.
    pub(crate) fn keep(&self, options: Options) {
        let mut state = self.lock();
        state.options = Some(options);
        state.wanted = true;
        self.changed.notify_all();
    }

    /// Waits until there is something to write and its time has come, at most so long.
    pub(crate) fn wait_for_work(&self, retry: Option<Duration>) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        let began = Instant::now();
        loop {
            if state.stopping || state.wanted {
                break;
            }
            let due = match retry {
                Some(retry) => began + retry,
                None if state.pending.len() >= MAX_PENDING_ROWS => break,
                None if state.has_nothing_to_write() => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                None => state.last_commit + self.commit_interval,
            };
            let Some(left) =
                due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            else {
                break;
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.wanted = false;
        state.last_commit = Instant::now();
        state
    }

    /// Asks for a commit now, and waits until all rows so far are durable. False when that took too long.
    pub(crate) fn flush(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        state.wanted = true;
        self.changed.notify_all();
        let until = Instant::now() + patience;
        // Counted from the first row of this run: numbers change when the files are opened late.
        let rows = |state: &State, seq: u64| seq.saturating_sub(state.earlier);
        let last = rows(&state, state.next_seq.saturating_sub(1));
        while rows(&state, state.health.durable_seq) < last || !state.events.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || state.stopped {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Ends the writer and waits for it, at most so long. False when that took too long.
    pub(crate) fn stop(&self, patience: Duration) -> bool {
        let mut state = self.lock();
        state.stopping = true;
        self.changed.notify_all();
        let until = Instant::now() + patience;
        while !state.stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Says that rows up to this one are durable.
    pub(crate) fn committed(&self, seq: u64) {
        let mut state = self.lock();
        state.health.durable_seq = state.health.durable_seq.max(seq);
        state.trim();
        self.changed.notify_all();
    }

    /// Says that rows up to this one are in blocks, of which the newest has so many bytes and rows.
    pub(crate) fn sealed(&self, seq: u64, block: (u64, u64)) {
        let mut state = self.lock();
        state.sealed_seq = seq;
        state.health.block = Some(block);
        state.trim();
    }

    /// Says how much there is.
    pub(crate) fn sized(&self, bytes: u64) {
        self.lock().health.bytes = bytes;
    }

    /// Says whether writing works.
    pub(crate) fn report(&self, trouble: Option<String>) {
        let mut state = self.lock();
        let since = match (&trouble, &state.health.trouble) {
            (Some(_), Some((since, _))) => *since,
            _ => SystemTime::now(),
        };
        state.health.trouble = trouble.map(|reason| (since, reason));
        self.changed.notify_all();
    }

    /// Says that the first so many events of all are written.
    pub(crate) fn events_written(&self, count: u64) {
        let mut state = self.lock();
        while state.events_gone < count && state.events.pop_front().is_some() {
            state.events_gone += 1;
        }
        self.changed.notify_all();
    }

    pub(crate) fn ended(&self) {
        self.lock().stopped = true;
        self.changed.notify_all();
    }

    /// Everything in memory, rows that are not packed yet packed for this once.
    pub(crate) fn chunks(&self) -> io::Result<Vec<Arc<Chunk>>> {
        let state = self.lock();
        let mut chunks: Vec<_> = state.chunks.iter().cloned().collect();
        let (pending, before) = (state.pending.clone(), state.before.clone());
        let adopted = state.adopted;
        drop(state);
        chunks.extend(pack(&pending, before.as_deref())?.into_iter().map(Arc::new));
        if !adopted {
            // They are newer than any in the files, whatever numbers those have.
            chunks = chunks.iter().map(|chunk| Arc::new(chunk.renumbered(UNADOPTED))).collect();
        }
        Ok(chunks)
    }
}

impl State {
    fn has_nothing_to_write(&self) -> bool {
        let packed = self.chunks.back().map_or(0, |chunk| chunk.head.last_seq);
        self.pending.is_empty() && self.events.is_empty() && packed <= self.health.durable_seq
    }

    fn append(&mut self, mut row: Row) -> u64 {
        let seq = self.next_seq;
        self.next_seq = seq.saturating_add(1);
        self.health.left_out_series = limit(&mut row);
        // A group continues what it had before, however many rows without it lie between.
        for group in &mut row.groups {
            let name = &group.layout.group;
            let mut before = self.pending.iter().rev().chain(&self.before);
            if !before.any(|before| before.group(name).is_some()) {
                group.covered = 0;
            }
        }
        self.pending.push(Arc::new(Numbered { seq, row }));
        if self.pending.len() > MAX_PENDING_ROWS && self.pack().is_err() {
            // Out of memory is the only way: the rows are lost, sampling is not.
            self.health.lost_rows += self.pending.len() as u64;
            self.before = None;
            self.pending.clear();
        }
        seq
    }

    /// Packs the rows that are not.
    pub(crate) fn pack(&mut self) -> io::Result<()> {
        let chunks = pack(&self.pending, self.before.as_deref())?;
        self.chunks.extend(chunks.into_iter().map(Arc::new));
        self.before = last_of_each(std::mem::take(&mut self.pending), self.before.take());
        self.trim();
        Ok(())
    }

    /// Lets go of what is in blocks and older than ten minutes, and of what waited too long.
    fn trim(&mut self) {
        let newest = self.chunks.back().and_then(|chunk| chunk.head.times());
        let Some((_, newest)) = newest else { return };
        let is_old = |chunk: &Chunk| {
            // One from the future, as after the clock was set back, is no newer.
            let age = |max: i64| newest.abs_diff(max);
            chunk.head.times().is_none_or(|(_, max)| age(max) > MEMORY_NS.unsigned_abs())
        };
        let is_sealed = |chunk: &Chunk| chunk.head.last_seq <= self.sealed_seq;
        while self.chunks.front().is_some_and(|chunk| is_old(chunk) && is_sealed(chunk)) {
            self.chunks.pop_front();
        }
        let durable_seq = self.health.durable_seq;
        let waits = |chunk: &Arc<Chunk>| chunk.head.last_seq > durable_seq;
        let waiting = self.chunks.iter().filter(|chunk| waits(chunk));
        let mut bytes: usize = waiting.map(|chunk| chunk.bytes()).sum();
        while bytes > MAX_WAITING_BYTES {
            let Some(first) = self.chunks.iter().position(waits) else { break };
            let Some(chunk) = self.chunks.get(first).filter(|chunk| is_old(chunk)) else { break };
            bytes -= chunk.bytes();
            self.health.lost_rows += chunk.rows() as u64;
            self.chunks.remove(first);
        }
    }

    /// Puts what an earlier run left behind before what was measured since, and numbers that on. All of that is to be
    /// written, also what had been to files that are not there any more.
    pub(crate) fn adopt(&mut self, found: Adopted) {
        let shift = found.next_seq.saturating_sub(1);
        let renumber = |seq: &mut u64| *seq = seq.saturating_add(shift);
        renumber(&mut self.next_seq);
        let pending = self.pending.iter_mut().chain(&mut self.before);
        for numbered in pending {
            let row = numbered.row.clone();
            *numbered = Arc::new(Numbered { seq: numbered.seq.saturating_add(shift), row });
        }
        let mut chunks = found.chunks;
        for chunk in self.chunks.drain(..) {
            chunks.push_back(Arc::new(chunk.renumbered(shift)));
        }
        self.chunks = chunks;
        self.sealed_seq = found.sealed_seq;
        self.earlier = self.earlier.saturating_add(shift);
        self.adopted = true;
        self.health.durable_seq = shift;
    }
}

/// What an earlier run left behind.
#[derive(Debug)]
pub(crate) struct Adopted {
    /// Number of the next row.
    pub(crate) next_seq: u64,
    /// Rows up to this one are in blocks.
    pub(crate) sealed_seq: u64,
    /// Those that are not.
    pub(crate) chunks: VecDeque<Arc<Chunk>>,
}
