//! A kernel that counts by the clock and does what it is told: refuses, freezes, takes CPUs away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use perfwatch_collect::Error;
use perfwatch_collect::host::KernelFile;
use perfwatch_collect::perf::kernel::{Kernel, Pmu};
use perfwatch_collect::perf::layout::attr;
use perfwatch_collect::perf::sys::Attr;
use perfwatch_metrics::perf::Event;
use rustix::io::Errno;

/// A millisecond of its clock.
pub(crate) const MS: u64 = 1_000_000;

/// How often an event happens in a millisecond on a CPU: a number of its own for each.
pub(crate) fn per_ms(event: Event) -> u64 {
    match event {
        Event::CpuClock => MS,
        event => 1000 * (event as u64 + 1),
    }
}

/// Which event an attr asks for, and of which PMU.
pub(crate) fn asked(asked: &Attr) -> (Event, u64) {
    let pmu = asked.config >> 32;
    let plain = |event: &Event| {
        let plain = attr(*event, None, false);
        (plain.kind, plain.config) == (asked.kind, asked.config & 0xffff_ffff)
    };
    (Event::ALL.into_iter().find(plain).expect("an event of the specification"), pmu)
}

type Refuse = Box<dyn Fn(Event, u32, usize) -> Option<Errno> + Send>;
type Job = Box<dyn FnOnce() + Send>;

/// What is told, and what happened.
pub(crate) struct Script {
    now: u64,
    /// CPUs that are online, and how often each has come.
    online: BTreeMap<u32, u32>,
    came: BTreeMap<u32, u32>,
    /// When those ended that went.
    ended: BTreeMap<(u32, u32), u64>,
    online_text: String,
    /// Says no to an event, a CPU and a place in a group.
    pub(crate) refuse: Refuse,
    pub(crate) pmus: Vec<Pmu>,
    /// Most files that may be open.
    pub(crate) files: usize,
    /// Of a thousand, how much a hardware group runs, by how many members it has.
    pub(crate) share: fn(usize) -> u64,
    /// Counters count from here on: later than before, they have gone backwards.
    pub(crate) counted_from: u64,
    /// Keeps what is to be done in the background instead of doing it.
    pub(crate) deferred: Option<Vec<Job>>,
    pub(crate) open: usize,
    pub(crate) opens: usize,
    pub(crate) reads: usize,
    next: u64,
    groups: BTreeMap<u64, Vec<Event>>,
}

/// The kernel, and the hand that leads it.
#[derive(Clone)]
pub(crate) struct Fake(Arc<Mutex<Script>>);

/// One counter.
#[derive(Debug)]
pub(crate) struct Counter {
    fake: Fake,
    id: u64,
    cpu: u32,
    came: u32,
    from: u64,
}

impl Fake {
    pub(crate) fn new(cpus: u32) -> Self {
        let fake = Self(Arc::new(Mutex::new(Script {
            now: MS,
            online: BTreeMap::new(),
            came: BTreeMap::new(),
            ended: BTreeMap::new(),
            online_text: String::new(),
            refuse: Box::new(|_, _, _| None),
            pmus: Vec::new(),
            files: usize::MAX,
            share: |_| 1000,
            counted_from: 0,
            deferred: None,
            open: 0,
            opens: 0,
            reads: 0,
            next: 0,
            groups: BTreeMap::new(),
        })));
        fake.set_online(0..cpus);
        fake
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap()
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.script().now += ms * MS;
    }

    pub(crate) fn set_online(&self, cpus: impl IntoIterator<Item = u32>) {
        let mut script = self.script();
        let cpus: BTreeSet<u32> = cpus.into_iter().collect();
        let now = script.now;
        let gone: Vec<_> = script.online.iter().map(|(cpu, came)| (*cpu, *came)).collect();
        for (cpu, came) in gone.into_iter().filter(|(cpu, _)| !cpus.contains(cpu)) {
            script.online.remove(&cpu);
            script.ended.insert((cpu, came), now);
        }
        for cpu in &cpus {
            if !script.online.contains_key(cpu) {
                let came = script.came.entry(*cpu).or_default();
                *came += 1;
                let came = *came;
                script.online.insert(*cpu, came);
            }
        }
        let text: Vec<_> = cpus.iter().map(u32::to_string).collect();
        script.online_text = text.join(",") + "\n";
    }

    pub(crate) fn work_off(&self) {
        let jobs = std::mem::take(self.script().deferred.as_mut().unwrap());
        jobs.into_iter().for_each(|job| job());
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl Kernel for Fake {
    type Counter = Counter;

    fn open(&self, attr: &Attr, cpu: u32, leader: Option<&Counter>) -> io::Result<Counter> {
        let mut script = self.script();
        let (event, pmu) = asked(attr);
        let place = leader.map_or(0, |leader| script.groups[&leader.id].len());
        script.opens += 1;
        let Some(&came) = script.online.get(&cpu) else { return Err(Errno::NODEV.into()) };
        let expected =
            script.pmus.iter().find(|pmu| pmu.cpus.contains(cpu)).and_then(|pmu| pmu.kind);
        if !event.is_software() && u64::from(expected.unwrap_or_default()) != pmu {
            return Err(Errno::NOENT.into());
        }
        if let Some(errno) = (script.refuse)(event, cpu, place) {
            return Err(errno.into());
        }
        if script.open >= script.files {
            return Err(Errno::MFILE.into());
        }
        script.open += 1;
        script.next += 1;
        let id = script.next;
        script.groups.entry(leader.map_or(id, |leader| leader.id)).or_default().push(event);
        let from = script.now;
        drop(script);
        Ok(Counter { fake: self.clone(), id, cpu, came, from })
    }

    fn enable(&self, _leader: &Counter) -> io::Result<()> {
        Ok(())
    }

    fn read(&self, leader: &Counter, into: &mut [u8]) -> io::Result<usize> {
        let mut script = self.script();
        script.reads += 1;
        let until = script.ended.get(&(leader.cpu, leader.came)).copied().unwrap_or(script.now);
        let events = &script.groups[&leader.id];
        let share = if events[0].is_software() { 1000 } else { (script.share)(events.len()) };
        let enabled = until.saturating_sub(leader.from);
        let counted = until.saturating_sub(leader.from.max(script.counted_from)) * share / 1000;
        let values = events.iter().map(|event| counted / MS * per_ms(*event));
        let words =
            [events.len() as u64, enabled, enabled * share / 1000].into_iter().chain(values);
        let mut length = 0;
        for (slot, word) in into.chunks_exact_mut(8).zip(words) {
            slot.copy_from_slice(&word.to_ne_bytes());
            length += 8;
        }
        Ok(length)
    }

    fn online(&self, show: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        show(self.script().online_text.as_bytes());
        Ok(())
    }

    fn pmus(&self) -> Vec<Pmu> {
        self.script().pmus.clone()
    }

    fn has_pmu(&self) -> bool {
        true
    }

    fn paranoid(&self) -> Option<i32> {
        Some(2)
    }

    fn stat(&self) -> Option<KernelFile> {
        None
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.script().now)
    }

    fn make_room(&self, _files: usize) {}

    fn in_background(&self, job: Job) -> io::Result<()> {
        let mut script = self.script();
        match &mut script.deferred {
            Some(jobs) => jobs.push(job),
            None => {
                drop(script);
                job();
            }
        }
        Ok(())
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let mut script = self.fake.script();
        script.open -= 1;
        let id = self.id;
        script.groups.remove(&id);
    }
}
