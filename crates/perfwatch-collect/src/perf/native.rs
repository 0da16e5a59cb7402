//! Counts by perf_event_open: a counter for each event and CPU, read group by group at every tick.
//!
//! A CPU that went offline leaves counters behind that read with success and the same values for ever, also once it is
//! back. Time enabled passes on every CPU that is online, so one that stood still says that its counter is dead: it is
//! opened anew. Counters are never pinned, and nothing on the host is set: who else counts takes turns with PerfWatch.

mod values;

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

use perfwatch_metrics::perf::Event;

use super::absence::Absence;
use super::busy::Busy;
use super::cpus::{CpuList, Cpus};
use super::kernel::Kernel;
use super::layout::Member;
use super::opening::{Opened, Plan, open_all, open_on};
use super::source::{Source, Totals};
use crate::error::Error;

use values::{Values, read, scaled};

/// How long what was refused for a reason that may pass is not tried again.
const RETRY: Duration = Duration::from_secs(60);

/// After this time, groups that were split for want of free counters are tried whole again: whoever had them may be gone.
const REGROUP: Duration = Duration::from_secs(3600);

/// How long the first sample waits for its counters.
const FIRST_PATIENCE: Duration = Duration::from_millis(50);

/// A group that ran for less than a hundredth of the time for so many ticks is split.
const STARVED_TICKS: u8 = 3;

/// The source.
#[derive(Debug)]
pub struct Native<K: Kernel> {
    kernel: Arc<K>,
    wanted: Cpus,
    /// The kernel's list as it was last, and what it means for the CPUs wanted.
    online_text: Vec<u8>,
    online: Vec<u32>,
    plan: Option<Plan>,
    counters: Vec<Counting<K::Counter>>,
    job: Option<Job<K::Counter>>,
    /// When everything was tried last.
    tried: Duration,
    /// Whether groups are split that did not get their turn.
    split: bool,
    /// Whether what was tried last did not fit in the limit on open files beside what is open.
    crowded: bool,
    /// Online CPUs that could not be opened, until CPUs come or go or it is tried again.
    unopened: Vec<u32>,
    /// For each group, how much it ran in this tick, and for how many ticks too little.
    turns: Vec<Turns>,
    busy: Busy,
    totals: Totals,
    swept: Duration,
}

/// A group on a CPU, and what it said last.
#[derive(Debug)]
struct Counting<C> {
    opened: Opened<C>,
    /// None for one that has not been read, and that counts from its first reading on.
    before: Option<Values>,
    dead: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    enabled: u64,
    running: u64,
    starved: u8,
}

/// Where the background brings what it opened, once.
type Job<C> = Receiver<Brought<C>>;

#[derive(Debug)]
enum Brought<C> {
    All(Box<Plan>, Vec<Opened<C>>),
    More(Vec<Opened<C>>, Vec<u32>, Option<(u32, Absence)>),
}

impl<K: Kernel> Native<K> {
    /// Nothing is opened yet.
    pub fn new(kernel: Arc<K>, wanted: Cpus) -> Self {
        Self {
            busy: Busy::new(kernel.stat()),
            kernel,
            wanted,
            online_text: Vec::new(),
            online: Vec::new(),
            plan: None,
            counters: Vec::new(),
            job: None,
            tried: Duration::ZERO,
            split: false,
            crowded: false,
            unopened: Vec::new(),
            turns: Vec::new(),
            totals: Totals::default(),
            swept: Duration::ZERO,
        }
    }

    /// Brings up to date which CPUs are to be counted on.
    fn look_at_cpus(&mut self) -> Result<(), Error> {
        let (text, mut changed) = (&mut self.online_text, false);
        self.kernel.online(&mut |now| {
            changed = *text != now;
            if changed {
                text.clear();
                text.extend_from_slice(now);
            }
        })?;
        if changed {
            let list = std::str::from_utf8(&self.online_text).unwrap_or_default();
            let online: CpuList = list.parse().map_err(|wrong| {
                Error::Unavailable(format!("the kernel's list of online CPUs: {wrong}"))
            })?;
            self.online.clear();
            self.online.extend(online.iter().filter(|cpu| self.wanted.contains(*cpu)));
            self.unopened.clear();
            self.totals.uncounted = None;
        }
        if self.online.is_empty() {
            let wanted = &self.wanted;
            return Err(Error::Unavailable(format!(
                "none of the CPUs {wanted} of perf.cpus is online"
            )));
        }
        Ok(())
    }

    /// Takes what the background brought.
    fn take_job(&mut self, now: Duration) {
        match self.job.as_ref().map(Receiver::try_recv) {
            None | Some(Err(TryRecvError::Empty)) => {}
            // Whoever was at it is gone without an answer.
            Some(Err(TryRecvError::Disconnected)) => self.job = None,
            Some(Ok(brought)) => {
                self.job = None;
                self.take(brought, now);
            }
        }
    }

    fn take(&mut self, brought: Brought<K::Counter>, now: Duration) {
        match brought {
            Brought::All(plan, opened) => {
                let new =
                    opened.into_iter().map(|opened| Counting { opened, before: None, dead: false });
                let new: Vec<_> = new.collect();
                // While the old ones are open, there may be too few files for the new: then those stay.
                self.crowded = self.plan.as_ref().is_some_and(|old| plan.lacks_files_for(old));
                if self.crowded {
                    return self.close(new);
                }
                // What was open until now counts up to here, and what is new from here.
                self.sweep(now);
                let old = mem::replace(&mut self.counters, new);
                self.close(old);
                self.counters.sort_unstable_by_key(Counting::place);
                self.turns = vec![Turns::default(); plan.layout.groups().len()];
                for (group, member) in members(&plan) {
                    if let Some(total) = self.totals.of_mut(member) {
                        total.group = u8::try_from(group).unwrap_or(u8::MAX);
                    }
                }
                self.totals.absent = plan.absent.clone();
                self.plan = Some(*plan);
            }
            Brought::More(opened, unopened, uncounted) => {
                let zero = Some(Values::default());
                let new =
                    opened.into_iter().map(|opened| Counting { opened, before: zero, dead: false });
                self.counters.extend(new);
                self.counters.sort_unstable_by_key(Counting::place);
                self.unopened = unopened;
                self.unopened.retain(|cpu| self.online.binary_search(cpu).is_ok());
                self.totals.uncounted = uncounted;
            }
        }
    }

    /// Reads every group, and adds what it counted.
    fn sweep(&mut self, now: Duration) {
        let Some(plan) = &self.plan else { return };
        let passed = u64::try_from(now.saturating_sub(self.swept).as_nanos()).unwrap_or(u64::MAX);
        self.swept = now;
        for counting in &mut self.counters {
            let (cpu, group) = counting.place();
            let online = self.online.binary_search(&cpu).is_ok();
            let read =
                counting.opened.counters.first().and_then(|leader| read(&*self.kernel, leader));
            let Some((members, values)) = read else {
                counting.dead = true;
                continue;
            };
            // A CPU that goes offline takes its groups apart (DETACH_GROUP in kernel/events/core.c): then the leader answers for
            // itself alone, and the others seem to have fallen to 0. It is dead at once, also if its CPU is back already.
            let is_whole = members == counting.opened.counters.len() as u64;
            counting.dead = !online || !is_whole;
            let Some(before) = counting.before.replace(values) else { continue };
            let delta = values.since(&before).filter(|_| is_whole);
            counting.dead |= delta.is_none();
            let mut delta = delta.unwrap_or(Values { enabled: passed, ..Values::default() });
            if delta.enabled == 0 && passed > 0 && online {
                counting.dead = true;
                delta.enabled = passed;
            }
            if let Some(turns) = self.turns.get_mut(group) {
                turns.enabled = turns.enabled.saturating_add(delta.enabled);
                turns.running = turns.running.saturating_add(delta.running);
            }
            let members = plan.layout.groups().get(group).into_iter().flatten();
            for (member, value) in members.zip(delta.values) {
                let Some(total) = self.totals.of_mut(*member) else { continue };
                let counted = scaled(value, delta.enabled, delta.running);
                total.count = total.count.wrapping_add(counted);
                total.enabled = total.enabled.wrapping_add(delta.enabled);
                total.running = total.running.wrapping_add(delta.running);
            }
        }
        self.totals.at = now;
        self.totals.counting = true;
    }

    /// Closes what is dead. Not here: closing a counter waits for its CPU.
    fn bury(&mut self) {
        if self.counters.iter().any(|counting| counting.dead) {
            let (dead, alive) = mem::take(&mut self.counters).into_iter().partition(|one| one.dead);
            self.counters = alive;
            self.close(dead);
        }
    }

    fn close(&self, counters: Vec<Counting<K::Counter>>) {
        if !counters.is_empty() {
            // Without a thread to be had, they are closed here.
            let _ = self.kernel.in_background(Box::new(move || drop(counters)));
        }
    }

    /// The plan with those groups split that do not get their turn. None when all do, or cannot be split.
    fn without_starved(&mut self) -> Option<Plan> {
        let plan = self.plan.as_ref()?;
        let mut split: Option<Plan> = None;
        for (group, turns) in self.turns.iter_mut().enumerate() {
            let Turns { enabled, running, starved } = mem::take(turns);
            if u128::from(running) * 100 < u128::from(enabled) {
                turns.starved = starved.saturating_add(1);
            }
            let can_be = plan.layout.groups().get(group).is_some_and(|members| members.len() > 1);
            if turns.starved >= STARVED_TICKS && can_be {
                split.get_or_insert_with(|| plan.clone()).layout.split(group, None);
            }
        }
        split
    }

    /// Has the background open what is not open.
    fn repair(&mut self, now: Duration) {
        let since = now.saturating_sub(self.tried);
        let split = self.without_starved().filter(|_| !self.crowded || since >= RETRY);
        if self.job.is_some() {
            return;
        }
        if since >= RETRY && !self.unopened.is_empty() {
            self.tried = now;
            self.unopened.clear();
        }
        let Some(plan) = &self.plan else { return };
        let passes = |absence: &Absence| {
            !matches!(absence, Absence::Unsupported { .. } | Absence::NotOnAll { .. })
        };
        let again = since >= RETRY && plan.absent.iter().flatten().any(passes);
        let regroup = since >= REGROUP && self.split;
        if split.is_some() || again || regroup {
            return self.open_all(now, split);
        }
        let whole = plan.live_groups().count();
        let opened = self.online.len().saturating_sub(self.unopened.len()).saturating_mul(whole);
        if self.counters.len() == opened {
            return;
        }
        let is_whole = |cpu: &u32| {
            self.counters.iter().filter(|counting| counting.opened.cpu == *cpu).count() == whole
        };
        let missing: Vec<u32> = self
            .online
            .iter()
            .copied()
            .filter(|cpu| !is_whole(cpu) && !self.unopened.contains(cpu))
            .collect();
        if missing.is_empty() {
            return;
        }
        // Of a CPU of which some groups are dead, the others are opened anew with them.
        for counting in &mut self.counters {
            counting.dead |= missing.contains(&counting.opened.cpu);
        }
        self.bury();
        self.open_on(missing);
    }

    fn open_all(&mut self, now: Duration, before: Option<Plan>) {
        (self.tried, self.split) = (now, before.is_some());
        let cpus = self.online.clone();
        self.start(move |kernel| {
            let (plan, opened) = open_all(kernel, &cpus, before.as_ref());
            Brought::All(Box::new(plan), opened)
        });
    }

    fn open_on(&mut self, cpus: Vec<u32>) {
        let Some(plan) = self.plan.clone() else { return };
        let mut unopened = self.unopened.clone();
        self.start(move |kernel| {
            let (opened, uncounted) = open_on(kernel, &cpus, &plan);
            let is_open = |cpu: &u32| opened.iter().any(|opened| opened.cpu == *cpu);
            unopened.extend(cpus.iter().filter(|cpu| !is_open(cpu)));
            Brought::More(opened, unopened, uncounted)
        });
    }

    fn start(&mut self, work: impl FnOnce(&K) -> Brought<K::Counter> + Send + 'static) {
        let (answer, job) = mpsc::sync_channel(1);
        let kernel = Arc::clone(&self.kernel);
        let begun = self.kernel.in_background(Box::new(move || {
            // Nobody takes it when the source was dropped meanwhile: then it is closed here.
            let _ = answer.send(work(&kernel));
        }));
        // Without a thread to be had, the next tick tries again.
        self.job = begun.is_ok().then_some(job);
    }
}

impl<K: Kernel> Source for Native<K> {
    fn name(&self) -> &'static str {
        "perf_event_open"
    }

    fn read(&mut self, into: &mut Totals) -> Result<(), Error> {
        self.look_at_cpus()?;
        let mut now = self.kernel.now();
        if self.plan.is_none() && self.job.is_none() {
            self.open_all(now, None);
            // A host with few CPUs is ready at once, and counts from the first sample on.
            if let Some(Ok(brought)) = self.job.as_ref().map(|job| job.recv_timeout(FIRST_PATIENCE))
            {
                self.job = None;
                now = self.kernel.now();
                self.take(brought, now);
            }
        }
        self.take_job(now);
        self.sweep(now);
        self.bury();
        let groups = self.plan.as_ref().map_or(0, |plan| plan.live_groups().count());
        let is_whole = self.counters.len() == self.online.len().saturating_mul(groups);
        self.repair(now);
        if let Some(refusal) = self.plan.as_ref().and_then(Plan::refusal) {
            return Err(Error::Counters(refusal));
        }
        let has_cycles = self.totals.event(Event::Cycles).enabled > 0;
        // A CPU that was busy and not counted on would make all of them seem slow.
        let busy = has_cycles && is_whole;
        self.totals.busy = if busy { self.busy.total(&self.online) } else { None };
        into.clone_from(&self.totals);
        Ok(())
    }
}

impl<K: Kernel> Drop for Native<K> {
    fn drop(&mut self) {
        let counters = mem::take(&mut self.counters);
        self.close(counters);
    }
}

impl<C> Counting<C> {
    fn place(&self) -> (u32, usize) {
        (self.opened.cpu, self.opened.group)
    }
}

fn members(plan: &Plan) -> impl Iterator<Item = (usize, Member)> {
    let groups = plan.layout.groups().iter().enumerate();
    groups.flat_map(|(group, members)| members.iter().map(move |member| (group, *member)))
}
