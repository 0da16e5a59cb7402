//! Every collector at once, and one [`Snapshot`] of what they said in time.

mod section;

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use perfwatch_metrics::perf::PerfEvents;
use perfwatch_metrics::snapshot::HostInfo;
use perfwatch_metrics::{Snapshot, State, Status};

use crate::budget::Budget;
use crate::cgroups::Cgroups;
use crate::collector::{Collected, Collector, Tracker};
use crate::cpu::Cpu;
use crate::disk::Disk;
use crate::duty::{self, Batch, Duty};
use crate::errand::{Errand, Slow};
use crate::error::Error;
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
use crate::resctrl::Resctrl;
use crate::scheduler::Scheduler;
use section::{History, milliseconds, outcome};

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

#[cfg(test)]
mod tests;
