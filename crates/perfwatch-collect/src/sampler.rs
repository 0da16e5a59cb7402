//! Every collector at once, and one [`Snapshot`] of what they said in time.

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use perfwatch_metrics::own::CollectorCost;
use perfwatch_metrics::perf::PerfEvents;
use perfwatch_metrics::snapshot::HostInfo;
use perfwatch_metrics::{Part, Section, Snapshot, State, Status};

use crate::budget::Budget;
use crate::cgroups::Cgroups;
use crate::collector::{Collected, Collector, Report, Tracker};
use crate::cost::Cost;
use crate::cpu::Cpu;
use crate::disk::Disk;
use crate::duty::{self, Batch, Duty};
use crate::errand::{Answer, Errand, Slow};
use crate::error::{Error, Problem};
use crate::host::Host;
use crate::kernel::Kernel;
use crate::memory::Memory;
use crate::memory_bandwidth::MemoryBandwidth;
use crate::network::Network;
use crate::options::Options;
use crate::own::Own;
use crate::perf::{self, Perf};
use crate::power::Power;
use crate::pressure::Pressure;
use crate::rate::thousandths;
use crate::resctrl::Resctrl;
use crate::scheduler::Scheduler;

/// A collector that has not answered by half the interval, within these bounds, is `late`, and the snapshot goes
/// out without it.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(250);
const LONGEST_DEADLINE: Duration = Duration::from_secs(1);

/// One point in time at which to sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Counted from 0 when sampling began; ticks that were missed or slept through count.
    pub number: u64,
    /// Time between ticks that was asked for.
    pub interval: Duration,
    /// How much later than planned this one began.
    pub lateness: Duration,
    /// What to collect.
    pub options: Arc<Options>,
}

/// Samples a host on threads of its own.
///
/// `pace` waits for the next tick and returns it, or None to end; `publish` takes each snapshot and says whether
/// to go on. Both are called by one thread at a time. Fails only when the system gives no thread.
///
/// A snapshot is complete by half the interval, at least 250 ms and at most a second after its tick. A collector
/// that has not answered by then is `late`; its answer is dropped, never taken for that of the next tick, and its reading
/// with it, so that every rate comes from two readings that were reported.
pub fn start(
    host: &Arc<Host>,
    pace: impl FnMut() -> Option<Tick> + Send + 'static,
    publish: impl FnMut(Snapshot) -> ControlFlow<()> + Send + 'static,
) -> io::Result<()> {
    duty::start(Sampling { sampler: Sampler::new(host), pace, publish })
}

/// The duty: waiting for ticks, collecting, publishing.
struct Sampling<Pace, Publish> {
    sampler: Sampler,
    pace: Pace,
    publish: Publish,
}

impl<Pace, Publish> Duty for Sampling<Pace, Publish>
where
    Pace: FnMut() -> Option<Tick> + Send,
    Publish: FnMut(Snapshot) -> ControlFlow<()> + Send,
{
    fn begin(&mut self) -> Option<Batch> {
        let tick = (self.pace)()?;
        Some(self.sampler.begin(tick))
    }

    fn end(&mut self) -> ControlFlow<()> {
        (self.publish)(self.sampler.end())
    }
}

/// The collectors of one host.
#[derive(Debug)]
struct Sampler {
    host: Arc<Host>,
    info: HostInfo,
    tick: Tick,
    timestamp: Timestamp,
    began: Instant,
    collectors: Collectors,
    /// How counters are read, and at what interval.
    perf_by: Option<(perf::Settings, Duration)>,
    budget: Budget,
    since: BTreeMap<String, (State, Timestamp)>,
}

/// What a collector answers.
type Answered<M> = Result<Collected<M>, Error>;

/// A collector. None while its section is disabled: nothing is open then, and nothing asked.
type Asked<M> = Option<Arc<Slow<Answered<M>>>>;

/// Makes of the list of collectors a struct with one for each section. Those before the semicolon are made by
/// [`Collector::new`] when their section is wanted.
macro_rules! collectors {
    ($($section:ident: $collector:ty),+; $($other:ident: $by_hand:ty),+) => {
        #[derive(Debug, Default)]
        struct Collectors {
            $($section: Asked<<$collector as Collector>::Metrics>,)+
            $($other: Asked<<$by_hand as Collector>::Metrics>,)+
        }

        impl Collectors {
            /// Has those that are wanted.
            fn ask(&mut self, host: &Arc<Host>, options: &Options) {
                $(ask::<$collector>(&mut self.$section, host, options);)+
            }

            /// Those whose turn it is.
            fn errands(&self, turn: impl Fn(&str) -> bool) -> Vec<Arc<dyn Errand>> {
                let all = [
                    $((<$collector>::NAME, errand(&self.$section)),)+
                    $((<$by_hand>::NAME, errand(&self.$other)),)+
                ];
                all.into_iter().filter(|(name, _)| turn(name)).filter_map(|(_, errand)| errand).collect()
            }

            /// The snapshot of what came back for a tick.
            fn snapshot(&self, tick: &Tick, began: Instant, host: HostInfo, history: &mut History<'_>) -> Snapshot {
                $(let $section = history.section(<$collector>::NAME, outcome(&self.$section, began));)+
                $(let $other = history.section(<$by_hand>::NAME, outcome(&self.$other, began));)+
                Snapshot {
                    timestamp: history.timestamp,
                    tick: tick.number,
                    interval_ms: u64::try_from(tick.interval.as_millis()).unwrap_or(u64::MAX),
                    lateness_ms: milliseconds(tick.lateness),
                    host,
                    $($section: $section.0,)+
                    $($other: $other.0,)+
                    status: Status { $($section: $section.1,)+ $($other: $other.1,)+ },
                }
            }
        }
    };
}

collectors! {
    cpu: Cpu,
    scheduler: Scheduler,
    pressure: Pressure,
    cgroups: Cgroups,
    memory: Memory,
    network: Network,
    disk: Disk,
    kernel: Kernel,
    power: Power,
    memory_bandwidth: MemoryBandwidth,
    resctrl: Resctrl,
    own: Own;
    perf_events: Perf
}

impl Sampler {
    fn new(host: &Arc<Host>) -> Self {
        Self {
            host: Arc::clone(host),
            info: host.info(),
            tick: Tick {
                number: 0,
                interval: Duration::ZERO,
                lateness: Duration::ZERO,
                options: Arc::default(),
            },
            timestamp: now(),
            began: Instant::now(),
            collectors: Collectors::default(),
            perf_by: None,
            budget: Budget::default(),
            since: BTreeMap::new(),
        }
    }

    /// What is to be run for a tick: collectors take what their errands brought.
    fn begin(&mut self, tick: Tick) -> Batch {
        self.tick = tick;
        self.timestamp = now();
        self.began = Instant::now();
        self.collectors.ask(&self.host, &self.tick.options);
        self.ask_perf();
        let patience = (self.tick.interval / 2).clamp(SHORTEST_DEADLINE, LONGEST_DEADLINE);
        Batch {
            errands: self.host.errands().wanted(),
            awaited: self.collectors.errands(|name| self.budget.is_turn(name, self.tick.number)),
            deadline: self.began + patience,
        }
    }

    /// Begins to count anew when what is to be counted has changed.
    fn ask_perf(&mut self) {
        let Tick { interval, options, .. } = &self.tick;
        let wanted = options.perf.enabled && !options.disabled.contains(Perf::NAME);
        if !wanted {
            (self.collectors.perf_events, self.perf_by) = (None, None);
            return;
        }
        let same = |(settings, at): &(perf::Settings, Duration)| {
            // perf-stat counts at an interval, the kernel without one.
            let by_interval = settings.source == perf::Means::PerfStat;
            *settings == options.perf && (at == interval || !by_interval)
        };
        if !self.perf_by.as_ref().is_some_and(same) {
            let perf = Perf::by(&options.perf, *interval, &self.host);
            self.collectors.perf_events = Some(collector(Tracker::of(perf)));
            self.perf_by = Some((options.perf.clone(), *interval));
        }
    }

    /// The snapshot of what came back.
    fn end(&mut self) -> Snapshot {
        let earlier = std::mem::take(&mut self.since);
        let mut history = History {
            earlier,
            now: BTreeMap::new(),
            timestamp: self.timestamp,
            tick: self.tick.number,
            budget: &mut self.budget,
            costs: BTreeMap::new(),
        };
        let info = self.info.clone();
        let mut snapshot = self.collectors.snapshot(&self.tick, self.began, info, &mut history);
        let History { now, costs, .. } = history;
        self.since = now;
        if let Some(own) = &mut snapshot.own {
            own.collectors = costs;
        }
        self.budget.tick(self.tick.options.cpu_percent, self.tick.interval);
        let status = &snapshot.status.perf_events;
        let unwanted = self.tick.options.disabled.contains(Perf::NAME);
        if !unwanted && !matches!(status.state, State::Ok | State::Late) {
            let reason = status.reason.as_deref().unwrap_or_default();
            snapshot.perf_events = Some(uncounted(status.state, reason));
        }
        snapshot
    }
}

/// Has a collector for a section that is wanted, and none for one that is not. One that is wanted again begins anew.
fn ask<C: Collector>(asked: &mut Asked<C::Metrics>, host: &Arc<Host>, options: &Options) {
    if options.disabled.contains(C::NAME) {
        *asked = None;
    } else {
        asked.get_or_insert_with(|| collector(Tracker::<C>::new(host)));
    }
}

/// A collector with the reading before.
fn collector<C: Collector>(mut tracker: Tracker<C>) -> Arc<Slow<Answered<C::Metrics>>> {
    Slow::told(move |was_late| {
        if was_late {
            tracker.forget();
        }
        tracker.collect()
    })
}

fn errand<M: Send + 'static>(asked: &Asked<M>) -> Option<Arc<dyn Errand>> {
    asked.as_ref().map(|slow| Arc::clone(slow) as Arc<dyn Errand>)
}

/// How a collector did at one tick.
#[derive(Debug)]
enum Outcome<M> {
    Collected {
        collected: Collected<M>,
        duration: Duration,
        cost: Cost,
    },
    Failed {
        error: Error,
        duration: Duration,
        cost: Cost,
    },
    Panicked(String),
    /// Not there by the deadline; under way for so long.
    Late(Duration),
    Disabled,
}

/// The answer to the tick that began then. One that was sent for earlier is not taken.
fn outcome<M: Send + 'static>(asked: &Asked<M>, began: Instant) -> Outcome<M> {
    let Some(collector) = asked else { return Outcome::Disabled };
    match collector.take_since(began) {
        Some(Answer { outcome: Ok(Ok(collected)), took, cost, .. }) => {
            Outcome::Collected { collected, duration: took, cost }
        }
        Some(Answer { outcome: Ok(Err(error)), took, cost, .. }) => {
            Outcome::Failed { error, duration: took, cost }
        }
        Some(Answer { outcome: Err(panic), .. }) => Outcome::Panicked(panic),
        None => Outcome::Late(
            collector.late_since().map_or_else(|| began.elapsed(), |since| since.elapsed()),
        ),
    }
}

/// What a collector took, as it is told.
fn cost<M>(outcome: &Outcome<M>) -> CollectorCost {
    let (duration, cost) = match outcome {
        Outcome::Collected { duration, cost, .. } | Outcome::Failed { duration, cost, .. } => {
            (Some(*duration), Some(*cost))
        }
        Outcome::Panicked(_) | Outcome::Late(_) | Outcome::Disabled => (None, None),
    };
    CollectorCost {
        duration_ms: duration.map(milliseconds),
        cpu_ms: cost.map(|cost| milliseconds(cost.cpu)),
        read_bytes: cost.map(|cost| cost.read_bytes),
        late: matches!(outcome, Outcome::Late(_)),
    }
}

/// What the specification wants said when nothing is counted.
fn uncounted(state: State, reason: &str) -> PerfEvents {
    let status = match state {
        State::Denied | State::Disabled => state.word(),
        _ => State::Unavailable.word(),
    };
    PerfEvents::absent(status, reason)
}

/// Wall-clock time to the millisecond.
fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
}

fn milliseconds(duration: Duration) -> f64 {
    thousandths(duration.as_secs_f64() * 1000.0)
}

/// Since when each section and part is in its state, and what each cost.
struct History<'b> {
    earlier: BTreeMap<String, (State, Timestamp)>,
    now: BTreeMap<String, (State, Timestamp)>,
    timestamp: Timestamp,
    tick: u64,
    budget: &'b mut Budget,
    costs: BTreeMap<String, CollectorCost>,
}

impl History<'_> {
    fn section<M>(&mut self, name: &'static str, outcome: Outcome<M>) -> (Option<M>, Section) {
        let every_ticks = Some(self.budget.pace(name)).filter(|pace| *pace > 1);
        let (metrics, section) = match (outcome, every_ticks) {
            (Outcome::Disabled, _) => (None, self.disabled(name, "switched off by the settings")),
            (_, Some(pace)) if !self.budget.is_turn(name, self.tick) => {
                let reason = format!(
                    "collected at every {pace}th tick, for it costs more than its share of budget.cpu_percent"
                );
                (None, self.missing(name, State::Paced, reason, None, None))
            }
            (outcome, _) => self.outcome(name, outcome),
        };
        (metrics, Section { every_ticks, ..section })
    }

    fn outcome<M>(&mut self, name: &'static str, outcome: Outcome<M>) -> (Option<M>, Section) {
        self.costs.insert(name.to_owned(), cost(&outcome));
        match outcome {
            Outcome::Collected { collected, duration, cost } => {
                self.budget.spend(name, cost.cpu);
                let Collected { report, elapsed } = collected;
                let Report { metrics, problems, truncated } = report;
                let parts = problems.into_iter().map(|problem| self.part(name, problem)).collect();
                let duration_ms = Some(milliseconds(duration));
                let since = self.since(name.to_owned(), State::Ok);
                let section = Section {
                    state: State::Ok,
                    reason: None,
                    fix: None,
                    since,
                    duration_ms,
                    elapsed_ms: elapsed.map(milliseconds),
                    every_ticks: None,
                    truncated,
                    parts,
                };
                (Some(metrics), section)
            }
            Outcome::Failed { error, duration, .. } => {
                let duration_ms = Some(milliseconds(duration));
                (
                    None,
                    self.missing(name, error.state(), error.to_string(), error.fix(), duration_ms),
                )
            }
            Outcome::Panicked(said) => {
                let reason = format!("the collector panicked: {said}");
                let fix = Some("report this with the output of `perfwatch capture DIR`".to_owned());
                (None, self.missing(name, State::Failed, reason, fix, None))
            }
            Outcome::Late(time) => {
                let reason = format!("no answer for {:.1} s", time.as_secs_f64());
                (None, self.missing(name, State::Late, reason, None, None))
            }
            Outcome::Disabled => (None, self.disabled(name, "switched off by the settings")),
        }
    }

    fn disabled(&mut self, name: &'static str, reason: &str) -> Section {
        self.missing(name, State::Disabled, reason.to_owned(), None, None)
    }

    fn missing(
        &mut self,
        name: &str,
        state: State,
        reason: String,
        fix: Option<String>,
        duration_ms: Option<f64>,
    ) -> Section {
        let since = self.since(name.to_owned(), state);
        Section {
            state,
            reason: Some(reason),
            fix,
            since,
            duration_ms,
            elapsed_ms: None,
            every_ticks: None,
            truncated: false,
            parts: BTreeMap::new(),
        }
    }

    fn part(&mut self, section: &str, problem: Problem) -> (String, Part) {
        let Problem { part, state, reason, fix } = problem;
        let since = self.since(format!("{section}.{part}"), state);
        (part, Part { state, reason, fix, since })
    }

    fn since(&mut self, key: String, state: State) -> Timestamp {
        let earlier = self.earlier.get(&key).filter(|(before, _)| *before == state);
        let since = earlier.map_or(self.timestamp, |(_, since)| *since);
        self.now.insert(key, (state, since));
        since
    }
}

#[cfg(test)]
mod tests {
    use perfwatch_metrics::memory::MemoryMetrics;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;
    use crate::cost::thread_cpu_time;

    fn tick(number: u64) -> Tick {
        let (interval, lateness) = (Duration::from_millis(500), Duration::ZERO);
        Tick { number, interval, lateness, options: Arc::default() }
    }

    fn sampler() -> Sampler {
        Sampler::new(&Arc::new(Host::recorded("no such host".as_ref())))
    }

    /// Samples once for each tick.
    fn run(sampler: Sampler, ticks: u64) -> Vec<Snapshot> {
        let mut numbers = 0..ticks;
        let (published, snapshots) = mpsc::channel();
        let pace = move || numbers.next().map(tick);
        let publish = move |snapshot| match published.send(snapshot) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        duty::start(Sampling { sampler, pace, publish }).unwrap();
        snapshots.iter().collect()
    }

    fn memory() -> Report<MemoryMetrics> {
        Memory::derive(None, &<Memory as Collector>::Reading::default())
    }

    #[test]
    fn a_collector_that_panics_costs_its_section() {
        let mut sampler = sampler();
        let mut runs = 0;
        sampler.collectors.memory = Some(Slow::new(move || {
            runs += 1;
            assert!(runs != 1, "no such luck");
            Ok(Collected { report: memory(), elapsed: None })
        }));
        let snapshots = run(sampler, 2);
        let (first, second) = (&snapshots[0], &snapshots[1]);
        assert!(first.memory.is_none());
        assert_eq!(first.status.memory.state, State::Failed);
        assert_eq!(
            first.status.memory.reason.as_deref(),
            Some("the collector panicked: no such luck")
        );
        assert!(second.memory.is_some(), "retried at the next tick");
        assert_eq!(second.status.memory.since, second.timestamp);
    }

    #[test]
    fn a_late_answer_is_never_taken_for_the_next_tick() {
        let mut sampler = sampler();
        let (release, gate) = mpsc::channel::<()>();
        let memory_collector = Slow::new(move || {
            // Ends with an error when the gate is opened.
            let _ = gate.recv();
            Ok(Collected { report: memory(), elapsed: None })
        });
        sampler.collectors.memory = Some(Arc::clone(&memory_collector));
        let mut release = Some(release);
        let (published, snapshots) = mpsc::channel();
        let mut numbers = 0..3;
        let pace = move || {
            let number = numbers.next()?;
            if number == 2 {
                // The answer to tick 0 comes between two ticks.
                drop(release.take());
                while memory_collector.under_way_since().is_some() {
                    std::thread::yield_now();
                }
            }
            Some(tick(number))
        };
        let publish = move |snapshot| match published.send(snapshot) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        duty::start(Sampling { sampler, pace, publish }).unwrap();
        for _ in 0..2 {
            let snapshot = snapshots.recv().unwrap();
            assert_eq!((snapshot.memory, snapshot.status.memory.state), (None, State::Late));
            assert_ne!(snapshot.status.cpu.state, State::Late, "the others are on time");
        }
        assert!(
            snapshots.recv().unwrap().memory.is_some(),
            "run anew, and answered for its own tick"
        );
    }

    static HELD: AtomicBool = AtomicBool::new(false);

    /// A collector that does not come back while it is held.
    struct Holdable;

    impl Collector for Holdable {
        const NAME: &'static str = Memory::NAME;
        type Reading = <Memory as Collector>::Reading;
        type Metrics = MemoryMetrics;

        fn new(_: &Arc<Host>) -> Self {
            Self
        }

        fn read(&mut self, _: &mut Self::Reading) -> Result<(), Error> {
            while HELD.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            Ok(())
        }

        fn derive(
            before: Option<(&Self::Reading, Duration)>,
            now: &Self::Reading,
        ) -> Report<MemoryMetrics> {
            Memory::derive(before, now)
        }
    }

    #[test]
    fn no_rate_comes_from_a_reading_that_was_not_reported() {
        let mut sampler = sampler();
        let slow = collector(Tracker::<Holdable>::new(&sampler.host));
        sampler.collectors.memory = Some(Arc::clone(&slow));
        let mut numbers = 0..6;
        let pace = move || {
            let number = numbers.next()?;
            HELD.store(number == 2, Ordering::Relaxed);
            while slow.under_way_since().is_some() {
                std::thread::yield_now();
            }
            Some(tick(number))
        };
        let (published, snapshots) = mpsc::channel();
        let publish = move |snapshot| match published.send(snapshot) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        };
        duty::start(Sampling { sampler, pace, publish }).unwrap();
        let sections: Vec<_> = snapshots.iter().map(|snapshot| snapshot.status.memory).collect();
        let late: Vec<_> = sections.iter().map(|section| section.state == State::Late).collect();
        assert_eq!(late, [false, false, true, false, false, false]);
        let timed: Vec<_> = sections.iter().map(|section| section.elapsed_ms.is_some()).collect();
        assert_eq!(timed, [false, true, false, false, true, true]);
    }

    #[test]
    fn a_disabled_section_is_not_asked_until_it_is_wanted_again() {
        let mut sampler = sampler();
        let disabled = std::collections::BTreeSet::from(["memory".to_owned()]);
        let without = Arc::new(Options { disabled, ..Options::default() });
        let states = [0, 1, 2].map(|number| {
            let options = if number == 1 { Arc::clone(&without) } else { Arc::default() };
            let batch = sampler.begin(Tick { options, ..tick(number) });
            batch.awaited.iter().for_each(|errand| errand.run());
            sampler.end().status.memory.state
        });
        assert_eq!(states, [State::Unavailable, State::Disabled, State::Unavailable]);
    }

    #[test]
    fn a_collector_beyond_its_share_is_run_less_often_and_says_so() {
        const BURN: Duration = Duration::from_millis(2);
        let mut sampler = sampler();
        sampler.collectors.memory = Some(Slow::new(|| {
            let before = thread_cpu_time();
            while thread_cpu_time().saturating_sub(before) < BURN {}
            Ok(Collected { report: memory(), elapsed: None })
        }));
        // Half a millisecond at a tick, of which the others take next to nothing.
        let options = Arc::new(Options { cpu_percent: Some(0.1), ..Options::default() });
        let snapshots: Vec<_> = (0..36)
            .map(|number| {
                let options = Arc::clone(&options);
                let batch = sampler.begin(Tick { options, ..tick(number) });
                batch.awaited.iter().for_each(|errand| errand.run());
                sampler.end()
            })
            .collect();
        let (first, later) = snapshots.split_at(12);
        assert!(first.iter().all(|snapshot| snapshot.status.memory.every_ticks.is_none()));
        for snapshot in later {
            let section = &snapshot.status.memory;
            let pace = section.every_ticks.unwrap();
            assert!(pace >= 4, "{pace}");
            let state = if snapshot.tick % pace == 0 { State::Ok } else { State::Paced };
            assert_eq!((section.state, snapshot.memory.is_some()), (state, state == State::Ok));
            assert_eq!(snapshot.status.cpu.every_ticks, None);
        }
    }

    #[test]
    fn a_state_says_since_when_it_lasts() {
        let snapshots = run(sampler(), 2);
        let (first, second) = (&snapshots[0], &snapshots[1]);
        assert_eq!(first.status.cpu.state, State::Unavailable);
        assert_eq!(second.status.cpu.since, first.timestamp);
    }
}
