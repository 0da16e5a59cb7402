//! The thread that keeps a `perf stat` running: starts it, reads what it prints, ends it when it misbehaves, and begins again.
//!
//! A thread of its own, because starting a program and waiting for its end can take as long as the disk that it is on, and
//! because the program dies with the thread that started it.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::Trouble;
use super::child::Child;
use super::csv::{Count, Interval, Intervals};
use crate::perf::source::Totals;
use crate::perf::{Absence, Cpus};

/// So many intervals without a count are too many: the section says so, and perf is begun anew.
const PATIENCE_INTERVALS: u32 = 3;

/// perf opens a counter for each event and CPU before it prints anything: 1.6 s on 256 CPUs.
const LONGEST_OPENING: Duration = Duration::from_secs(5);

/// What perf may print in one interval, counts and messages together. 17 events take 1.3 kB, on two kinds of CPU 3 kB.
pub(super) const MAX_OUTPUT_BYTES: usize = 64 << 10;

/// What is kept of perf's messages, to say why it ended.
const MAX_MESSAGE_BYTES: usize = 1 << 10;

/// perf writes the lines of an interval at once. When it has been quiet for this long, it has written all of them.
const QUIET: Duration = Duration::from_millis(50);

/// Pauses before perf is begun anew: doubled each time, until it counts again.
pub(super) const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What to run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// perf. None: the first of [`super::PROGRAMS`] that is there.
    pub(super) program: Option<PathBuf>,
    /// Time between two counts.
    pub(super) interval: Duration,
    /// Where to count.
    pub(super) cpus: Cpus,
}

impl Plan {
    /// How long a perf that counts may be silent.
    fn patience(&self) -> Duration {
        self.interval.saturating_mul(PATIENCE_INTERVALS)
    }

    /// How long one that was just begun may be.
    fn opening(&self) -> Duration {
        self.patience().max(LONGEST_OPENING)
    }
}

/// Has a `perf stat` running until it is dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
}

/// What the thread and its owner know of each other.
#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Written to when the thread is to end.
    stop: OwnedFd,
}

/// What has come of it.
#[derive(Debug)]
struct State {
    totals: Totals,
    /// When the totals grew, or perf was begun to make them grow.
    since: Instant,
    /// How long that may be ago.
    patience: Duration,
    /// Why they do not grow. None again as soon as they do.
    trouble: Option<Trouble>,
}

impl State {
    /// How long perf may still take. Err when that is over.
    fn left(&self) -> Result<Duration, Trouble> {
        self.patience.checked_sub(self.since.elapsed()).ok_or(Trouble::Silent(self.patience))
    }
}

impl Keeper {
    /// Begins, and goes on counting from these totals. Fails only when the system gives no thread.
    pub(super) fn start(plan: Plan, totals: Totals) -> io::Result<Self> {
        let (since, patience) = (Instant::now(), plan.opening());
        let state = State { totals, since, patience, trouble: None };
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared { state: Mutex::new(state), stop });
        let keeping = Keeping { plan, shared: Arc::clone(&shared) };
        std::thread::Builder::new().name("perf-stat".to_owned()).spawn(move || keeping.run())?;
        Ok(Self { shared })
    }

    /// What was counted so far, whatever has come of it since.
    pub(super) fn totals(&self) -> Totals {
        self.shared.state().totals.clone()
    }

    /// What was counted, while it goes on being counted. Waits for nobody.
    pub(super) fn read(&self, into: &mut Totals) -> Result<(), Trouble> {
        let state = self.shared.state();
        if let Some(trouble) = &state.trouble {
            return Err(trouble.clone());
        }
        // The thread may itself be stuck, with a program that does not start.
        state.left()?;
        into.clone_from(&state.totals);
        Ok(())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Cannot fail: it is the first write of eight bytes. The thread ends perf; nobody waits for it.
        let _ = rustix::io::write(&self.shared.stop, &1_u64.to_ne_bytes());
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until told to stop. Says whether it was.
    fn stopped_within(&self, time: Duration) -> bool {
        let mut fds = [PollFd::new(&self.stop, PollFlags::IN)];
        wait(&mut fds, time).is_err() || !fds.iter().all(|fd| fd.revents().is_empty())
    }
}

/// The thread's side.
#[derive(Debug)]
struct Keeping {
    plan: Plan,
    shared: Arc<Shared>,
}

/// Why a perf is no longer listened to.
enum End {
    /// Its owner wants it no more.
    Stopped,
    /// It closed its output, as it does when it ends.
    Closed,
    Trouble(Trouble),
}

impl Keeping {
    fn run(self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let before = self.begin();
            let Err(trouble) = self.once() else { return };
            let after = {
                let mut state = self.shared.state();
                state.trouble = Some(trouble);
                state.totals.at
            };
            if after > before {
                pause = SHORTEST_PAUSE;
            }
            if self.shared.stopped_within(pause) {
                return;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Gives a perf its time to open counters. Up to when the totals are.
    fn begin(&self) -> Duration {
        let mut state = self.shared.state();
        (state.since, state.patience) = (Instant::now(), self.plan.opening());
        state.totals.at
    }

    /// One perf, from its start to its end. Ok when it was wanted no more.
    fn once(&self) -> Result<(), Trouble> {
        let mut child =
            Child::start(self.plan.program.as_deref(), self.plan.interval, &self.plan.cpus)?;
        let mut messages = Vec::new();
        let end = self.listen(&mut child, &mut messages);
        let status = child.end();
        match end {
            End::Stopped => Ok(()),
            End::Closed => Err(Trouble::ended(status, &messages)),
            End::Trouble(trouble) => Err(trouble),
        }
    }

    /// Takes what perf prints until one of the two ends it.
    fn listen(&self, child: &mut Child, messages: &mut Vec<u8>) -> End {
        let mut intervals = Intervals::default();
        let (mut window, mut room) = (Instant::now(), MAX_OUTPUT_BYTES);
        loop {
            let patience = match self.shared.state().left() {
                Ok(patience) => patience,
                Err(trouble) => return End::Trouble(trouble),
            };
            let mut fds = [
                PollFd::new(&self.shared.stop, PollFlags::IN),
                PollFd::new(&child.counts, PollFlags::IN),
                PollFd::new(&child.messages, PollFlags::IN),
            ];
            let time = if intervals.is_open() { QUIET } else { patience };
            let quiet = match wait(&mut fds, time) {
                Ok(quiet) => quiet,
                Err(error) => return End::Trouble(Trouble::NotHeard(error.to_string())),
            };
            if fds.first().is_some_and(|stop| !stop.revents().is_empty()) {
                return End::Stopped;
            }
            if window.elapsed() > self.plan.interval {
                (window, room) = (Instant::now(), MAX_OUTPUT_BYTES);
            }
            // Both, whichever was ready: when one is closed, the other holds all there will ever be.
            let counts = drain(&mut child.counts, &mut room, |bytes| {
                intervals.feed(bytes, |interval| self.add(&interval));
            });
            let said = drain(&mut child.messages, &mut room, |bytes| {
                let space = MAX_MESSAGE_BYTES.saturating_sub(messages.len());
                messages.extend(bytes.iter().take(space));
            });
            let end = counts.and(said);
            if (quiet || end.is_err())
                && let Some(interval) = intervals.settle()
            {
                self.add(&interval);
            }
            if let Err(end) = end {
                return end;
            }
        }
    }

    fn add(&self, interval: &Interval) {
        let mut state = self.shared.state();
        add(&mut state.totals, interval);
        (state.since, state.patience) = (Instant::now(), self.plan.patience());
        state.trouble = None;
    }
}

/// Waits for one of them, at most so long. Whether that time passed and nothing came.
fn wait(fds: &mut [PollFd<'_>], time: Duration) -> io::Result<bool> {
    let time = Timespec::try_from(time).map_err(io::Error::other)?;
    match poll(fds, Some(&time)) {
        // A signal says nothing of them.
        Err(rustix::io::Errno::INTR) => Ok(false),
        answer => Ok(answer? == 0),
    }
}

/// Takes what a pipe holds, as far as there is room. Err when it is closed, or there is not.
fn drain(pipe: &mut impl Read, room: &mut usize, mut take: impl FnMut(&[u8])) -> Result<(), End> {
    let mut buffer = [0; 4096];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return Err(End::Closed),
            Ok(length) => {
                *room = room.checked_sub(length).ok_or(End::Trouble(Trouble::Flooded))?;
                take(buffer.get(..length).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(End::Trouble(Trouble::NotHeard(error.to_string()))),
        }
    }
}

/// Adds an interval to the totals.
fn add(totals: &mut Totals, interval: &Interval) {
    totals.counting = true;
    totals.at += Duration::from_nanos(interval.length_ns);
    // What an event that did not run would have run, had it been alone: the clock is never made to wait.
    let all_ns = match interval.counts.first() {
        Some(Count::Counted { enabled_ns, .. }) => *enabled_ns,
        _ => interval.length_ns,
    };
    let events = totals.events.iter_mut().zip(&mut totals.absent);
    for ((number, count), (total, absent)) in (1..).zip(&interval.counts).zip(events) {
        // perf gives every event its turns by itself.
        total.group = number;
        *absent = None;
        match *count {
            Count::NotSupported => *absent = Some(Absence::NotSupported),
            Count::Counted { user_only: true, .. } => *absent = Some(Absence::UserOnly),
            Count::Missing | Count::NotCounted => {
                total.enabled = total.enabled.wrapping_add(all_ns);
            }
            Count::Counted { value, running_ns, enabled_ns, user_only: false } => {
                total.count = total.count.wrapping_add(value);
                total.running = total.running.wrapping_add(running_ns);
                total.enabled = total.enabled.wrapping_add(enabled_ns);
            }
        }
    }
}
