//! Asks file systems how full they are, though any of them may never answer.
//!
//! One thread serves all mounts while they answer. A mount that does not keeps its thread, and others take the
//! rest of the queue: it costs one thread and nothing else, and is not asked again before it has answered.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::mounts::{MAX_PARTITIONS, Mount};
use crate::host::{FileSystemBlocks, Host};
use crate::lane::STACK_BYTES;

/// Most threads, stuck ones included. With as many mounts stuck, the others wait for one to come free.
const MAX_THREADS: usize = 32;

/// Without an answer for so long, more threads take the queue.
const PATIENCE: Duration = Duration::from_millis(20);

/// How long one tick waits for all mounts together. Well below the sampler's deadline at the shortest interval.
const BUDGET: Duration = Duration::from_millis(100);

/// First pause before a mount that was slow and then failed is asked again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is known of a mount at this tick.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Known(FileSystemBlocks),
    /// Asked at this time and not answered.
    Waiting(Instant),
    Failed(String),
}

#[derive(Debug)]
pub(super) struct Prober {
    host: Arc<Host>,
    shared: Arc<Shared>,
    answers: Receiver<Answer>,
    answer: SyncSender<Answer>,
    states: HashMap<Arc<[u8]>, MountState>,
    next_number: u64,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

#[derive(Debug)]
struct Job {
    number: u64,
    mountpoint: Arc<[u8]>,
}

#[derive(Debug)]
struct Answer {
    job: Job,
    blocks: io::Result<FileSystemBlocks>,
}

#[derive(Debug, Default)]
struct MountState {
    /// The outstanding question and when it was put.
    asked: Option<(u64, Instant)>,
    last: Option<Result<FileSystemBlocks, String>>,
    /// After slow failures: how long to leave it alone, and until when.
    pause: Duration,
    paused_until: Option<Instant>,
}

impl Prober {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        let (answer, answers) = sync_channel(MAX_PARTITIONS);
        Self {
            host: Arc::clone(host),
            shared: Arc::default(),
            answers,
            answer,
            states: HashMap::new(),
            next_number: 0,
        }
    }

    /// Forgets mounts that are gone. A thread that is stuck in one stays so until the kernel lets it go.
    pub(super) fn forget_all_but(&mut self, mounts: &[Mount]) {
        let mut kept = HashMap::with_capacity(mounts.len());
        for mount in mounts {
            if let Some(state) = self.states.remove(&mount.mountpoint) {
                kept.insert(Arc::clone(&mount.mountpoint), state);
            }
        }
        self.states = kept;
    }

    /// Asks every mount that is not outstanding, and waits for the answers as long as the budget allows.
    pub(super) fn ask(&mut self, mounts: &[Mount], now: Instant) {
        while let Ok(answer) = self.answers.try_recv() {
            self.note(answer);
        }
        let first = self.next_number.saturating_add(1);
        let jobs: Vec<Job> = mounts.iter().filter_map(|mount| self.job(mount, now)).collect();
        let mut outstanding = jobs.len();
        if outstanding == 0 {
            return;
        }
        self.enqueue(jobs);
        let deadline = now + BUDGET;
        while outstanding > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.answers.recv_timeout(left.min(PATIENCE)) {
                Ok(answer) => {
                    let asked_now = answer.job.number >= first;
                    self.note(answer);
                    outstanding = outstanding.saturating_sub(usize::from(asked_now));
                }

                Err(_) if left.is_zero() => return,
                Err(_) => self.add_threads(usize::MAX),
            }
        }
    }

    /// What is known of a mount after [`Prober::ask`].
    pub(super) fn outcome(&self, mount: &Mount) -> Outcome {
        let state = self.states.get(&mount.mountpoint);
        match state.and_then(|state| state.asked.map(|asked| (asked, state))) {
            Some(((_, since), _)) => Outcome::Waiting(since),
            None => match state.and_then(|state| state.last.clone()) {
                Some(Ok(blocks)) => Outcome::Known(blocks),
                Some(Err(error)) => Outcome::Failed(error),
                None => Outcome::Failed("not asked".to_owned()),
            },
        }
    }

    fn job(&mut self, mount: &Mount, now: Instant) -> Option<Job> {
        let state = self.states.entry(Arc::clone(&mount.mountpoint)).or_default();
        if state.asked.is_some() || state.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.next_number = self.next_number.saturating_add(1);
        state.asked = Some((self.next_number, now));
        Some(Job { number: self.next_number, mountpoint: Arc::clone(&mount.mountpoint) })
    }

    /// Takes note of an answer, unless its mount is gone and perhaps mounted anew.
    fn note(&mut self, answer: Answer) {
        let Some(state) = self.states.get_mut(&answer.job.mountpoint) else { return };
        let Some((_, since)) = state.asked.filter(|(number, _)| *number == answer.job.number)
        else {
            return;
        };
        state.asked = None;
        state.paused_until = None;
        if answer.blocks.is_ok() {
            state.pause = Duration::ZERO;
        } else if since.elapsed() > BUDGET {
            state.pause = state.pause.saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            state.paused_until = Some(Instant::now() + state.pause);
        }
        state.last = Some(answer.blocks.map_err(|error| error.to_string()));
    }

    fn enqueue(&self, jobs: Vec<Job>) {
        let idle = {
            let mut queue = self.shared.lock();
            queue.jobs.extend(jobs);
            queue.idle
        };
        if idle > 0 {
            self.shared.wake.notify_one();
        } else {
            self.add_threads(1);
        }
    }

    /// Starts up to `most` threads for what is queued. One that cannot be started is tried for again at the
    /// next tick.
    fn add_threads(&self, most: usize) {
        let mut queue = self.shared.lock();
        let room = MAX_THREADS.saturating_sub(queue.threads);
        for _ in 0..queue.jobs.len().min(room).min(most) {
            let (shared, host, answer) =
                (Arc::clone(&self.shared), Arc::clone(&self.host), self.answer.clone());
            let thread = thread::Builder::new().name("statvfs".to_owned()).stack_size(STACK_BYTES);
            if thread.spawn(move || shared.serve(&host, &answer)).is_err() {
                return;
            }
            queue.threads = queue.threads.saturating_add(1);
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Every change to the queue is one step, so it is whole even if a holder panicked.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread's life: answers what is queued, and waits for more if no other thread does.
    fn serve(&self, host: &Host, answers: &SyncSender<Answer>) {
        while let Some(job) = self.next_job() {
            let blocks = host.statvfs(&job.mountpoint);
            if answers.send(Answer { job, blocks }).is_err() {
                return;
            }
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if !queue.closed
                && let Some(job) = queue.jobs.pop_front()
            {
                return Some(job);
            }
            if queue.closed || queue.idle > 0 {
                queue.threads = queue.threads.saturating_sub(1);
                return None;
            }
            queue.idle = queue.idle.saturating_add(1);
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle = queue.idle.saturating_sub(1);
        }
    }
}
