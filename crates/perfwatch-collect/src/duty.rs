//! The thread on duty, and the one that relieves it when it hangs.
//!
//! Handing work to another thread costs 40 to 200 µs of CPU time on a virtual machine, more than most collectors do.
//! So one thread waits for the tick, runs every errand and publishes; nothing is handed over. Before it begins, it
//! lays its duty down where another can take it, and for each errand it arms a timer. If the timer
//! fires, the watching thread takes the duty, does what is left and stays on; a new thread watches. The
//! relieved thread ends when its errand comes back. So what hangs costs a thread and nothing else, however
//! long it hangs, and an errand that is under way is not run again.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use crate::errand::Errand;

/// With so many threads stuck, errands that never came back are left undone until one does.
const MAX_STUCK: usize = 64;

/// So many more may get stuck in errands that have come back before.
const MAX_STUCK_LATER: usize = 3;

/// Most threads: those that may be stuck in errands, one for each collector that may be, the one on duty, the one
/// that watches, and one on its way between the two.
const MAX_THREADS: usize = MAX_STUCK + 12;

/// What all errands of a tick may take together before the one that is under way is left to its thread. A full
/// sample takes half a millisecond.
const PATIENCE: Duration = Duration::from_millis(50);

/// What each may take after that: there may be more of its kind.
const SHORT_PATIENCE: Duration = Duration::from_millis(10);

/// An errand that took no longer last time is among the first.
const QUICK: Duration = Duration::from_millis(1);

/// When the errands that were not begun are left for the next tick, which begins with others.
const ERRANDS_DEADLINE: Duration = Duration::from_millis(150);

/// What one that is waited for may take before the next is begun: 100,000 sockets take 80 ms to list.
const AWAITED_PATIENCE: Duration = Duration::from_millis(150);

/// Stack of a thread: parsers keep nothing large on it.
const STACK_BYTES: usize = 256 << 10;

/// What is done over and over.
pub(crate) trait Duty: Send {
    /// Waits for the next time, and says what is to be run. None when it is over.
    fn begin(&mut self) -> Option<Batch>;
    /// What is waited for has come back, or the time is up.
    fn end(&mut self) -> ControlFlow<()>;
}

/// What is run in a row.
pub(crate) struct Batch {
    /// Run first. One that hangs is not waited for.
    pub(crate) errands: Vec<Arc<dyn Errand>>,
    /// Run next, and waited for until the deadline.
    pub(crate) awaited: Vec<Arc<dyn Errand>>,
    /// When to go on without what has not come back.
    pub(crate) deadline: Instant,
}

/// Starts doing it, on threads of its own. Fails when the system gives none.
pub(crate) fn start(duty: impl Duty + 'static) -> io::Result<()> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let relay = Arc::new(Relay { board: Mutex::default(), back: Condvar::new(), timer });
    let on_duty = Arc::clone(&relay);
    relay.spawn(&mut relay.lock(), move || on_duty.serve(Box::new(duty)))
}

/// What the threads share.
struct Relay {
    board: Mutex<Board>,
    /// Told when an errand comes back from a thread that was relieved.
    back: Condvar,
    timer: OwnedFd,
}

#[derive(Default)]
struct Board {
    /// Laid down while errands are run.
    duty: Option<Box<dyn Duty>>,
    /// What is left to run, and whether it is waited for.
    row: VecDeque<(Arc<dyn Errand>, bool)>,
    began: Option<Instant>,
    deadline: Option<Instant>,
    /// Counts the times that errands were begun.
    batch: u64,
    /// Counts the reliefs: a thread that was relieved sees another number than before.
    reliefs: u64,
    /// Those of this batch that are waited for and were begun.
    under_way: usize,
    watchers: usize,
    threads: usize,
    over: bool,
}

impl Relay {
    fn lock(&self) -> MutexGuard<'_, Board> {
        // Every change to the board is one step, so it is whole even if a holder panicked.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life on duty.
    fn serve(self: &Arc<Self>, mut duty: Box<dyn Duty>) {
        let mut ending = Ending { relay: self, relieved: false };
        while let Some(batch) = duty.begin() {
            {
                let mut board = self.lock();
                let mut errands = batch.errands;
                // The quick ones, and then each of the others first in turn: none starves.
                let turn = board.batch.checked_rem(errands.len() as u64).unwrap_or_default();
                errands.rotate_left(usize::try_from(turn).unwrap_or_default());
                board.batch = board.batch.wrapping_add(1);
                errands.sort_by_key(|errand| errand.last_took().is_none_or(|took| took > QUICK));
                let errands = errands.into_iter().map(|errand| (errand, false));
                board.row =
                    errands.chain(batch.awaited.into_iter().map(|errand| (errand, true))).collect();
                board.began = Some(Instant::now());
                board.deadline = Some(batch.deadline);
                board.under_way = 0;
                self.ensure_watch(&mut board);
            }
            let Some(kept) = self.work_off(duty) else {
                ending.relieved = true;
                return;
            };
            duty = kept;
            if duty.end().is_break() {
                return;
            }
        }
    }

    /// Runs what stands in the row with the duty laid down. None when another thread took it meanwhile.
    fn work_off(&self, duty: Box<dyn Duty>) -> Option<Box<dyn Duty>> {
        let mut board = self.lock();
        board.duty = Some(duty);
        while let Some((errand, awaited)) = board.row.pop_front() {
            let Some(patience) = board.patience(errand.as_ref(), awaited) else { continue };
            let (batch, reliefs) = (board.batch, board.reliefs);
            board.under_way = board.under_way.saturating_add(usize::from(awaited));
            self.arm(patience);
            drop(board);
            errand.run();
            board = self.lock();
            if board.batch == batch {
                board.under_way = board.under_way.saturating_sub(usize::from(awaited));
            }
            if board.reliefs != reliefs {
                self.back.notify_all();
                return None;
            }
        }
        self.arm(Duration::ZERO);
        board.duty.take()
    }

    /// A thread's life before it is on duty: waits for the timer.
    fn watch(self: &Arc<Self>) {
        let mut expirations = [0; 8];
        loop {
            if rustix::io::read(&self.timer, &mut expirations) == Err(Errno::INTR) {
                continue;
            }
            let mut board = self.lock();
            if board.over {
                return;
            }
            let Some(duty) = board.duty.take() else { continue };
            board.reliefs = board.reliefs.wrapping_add(1);
            board.watchers = board.watchers.saturating_sub(1);
            self.ensure_watch(&mut board);
            drop(board);
            let mut ending = Ending { relay: self, relieved: false };
            let kept = self.work_off(duty);
            ending.relieved = kept.is_none();
            let Some(mut duty) = kept else { return };
            self.await_return();
            if duty.end().is_continue() {
                // From here on the ending is that of `serve`.
                ending.relieved = true;
                self.serve(duty);
            }
            return;
        }
    }

    /// Waits for what relieved threads still have in hand, until the deadline.
    fn await_return(&self) {
        let mut board = self.lock();
        while board.under_way > 0 {
            let left =
                board.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let Some(left) = left.filter(|left| !left.is_zero()) else { return };
            board = self.back.wait_timeout(board, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has somebody watch. When no thread is to be had, the next tick tries again.
    fn ensure_watch(self: &Arc<Self>, board: &mut Board) {
        let relay = Arc::clone(self);
        if board.watchers == 0 && self.spawn(board, move || relay.watch()).is_ok() {
            board.watchers = 1;
        }
    }

    fn spawn(
        self: &Arc<Self>,
        board: &mut Board,
        life: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        if board.threads >= MAX_THREADS {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        let relay = Arc::clone(self);
        let thread = thread::Builder::new().name("sample".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || {
            let _alive = Alive(&relay);
            life();
        })?;
        board.threads = board.threads.saturating_add(1);
        Ok(())
    }

    /// Lets the timer fire after a time; zero disarms it.
    fn arm(&self, after: Duration) {
        let it_value = Timespec {
            tv_sec: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(after.subsec_nanos()),
        };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        // Fails only for a descriptor that is no timer or a time that is none.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
    }
}

impl Board {
    /// How long the next may take before the duty is taken from the thread that runs it. None: it is not run at this
    /// tick.
    fn patience(&self, errand: &dyn Errand, awaited: bool) -> Option<Duration> {
        if awaited {
            let left = self.deadline?.saturating_duration_since(Instant::now());
            return (!left.is_zero()).then(|| left.min(AWAITED_PATIENCE));
        }
        let most =
            if errand.last_took().is_some() { MAX_STUCK + MAX_STUCK_LATER } else { MAX_STUCK };
        let spent = self.began?.elapsed();
        let run = self.watchers > 0 && self.threads <= most && spent < ERRANDS_DEADLINE;
        run.then(|| PATIENCE.saturating_sub(spent).max(SHORT_PATIENCE))
    }
}

/// Counts a thread out when it ends, however it ends.
struct Alive<'a>(&'a Relay);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        let mut board = self.0.lock();
        board.threads = board.threads.saturating_sub(1);
    }
}

/// Ends the watch when the thread on duty ends, unless it was relieved.
struct Ending<'a> {
    relay: &'a Relay,
    relieved: bool,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.relieved {
            self.relay.lock().over = true;
            self.relay.arm(Duration::from_nanos(1));
        }
    }
}
