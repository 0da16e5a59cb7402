//! Every collector at once, and one [`Snapshot`] of what they said in time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use perfwatch_metrics::cpu::CpuMetrics;
use perfwatch_metrics::disk::DiskMetrics;
use perfwatch_metrics::memory::MemoryMetrics;
use perfwatch_metrics::network::NetworkMetrics;
use perfwatch_metrics::snapshot::HostInfo;
use perfwatch_metrics::{Part, Section, Snapshot, State, Status};

use crate::collector::{Collector, Report, Tracker};
use crate::cpu::Cpu;
use crate::disk::Disk;
use crate::error::Problem;
use crate::host::Host;
use crate::memory::Memory;
use crate::network::Network;
use crate::rate::thousandths;
use crate::worker::{Outcome, Worker};

/// A collector that has not answered by half the interval, within these bounds, is `late`, and the snapshot goes
/// out without it.
const SHORTEST_DEADLINE: Duration = Duration::from_millis(250);
const LONGEST_DEADLINE: Duration = Duration::from_secs(1);

/// One point in time at which to sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Counted from 0 when sampling began; missed ticks count.
    pub number: u64,
    /// Time between ticks that was asked for.
    pub interval: Duration,
    /// How much later than planned this one began.
    pub lateness: Duration,
}

/// The collectors of one host, each on its own thread.
#[derive(Debug)]
pub struct Sampler {
    info: HostInfo,
    cpu: Worker<CpuMetrics>,
    memory: Worker<MemoryMetrics>,
    network: Worker<NetworkMetrics>,
    disk: Worker<DiskMetrics>,
    since: BTreeMap<String, (State, Timestamp)>,
}

impl Sampler {
    /// Starts the collectors' threads. Fails only when the system gives no more threads.
    pub fn new(host: &Arc<Host>) -> io::Result<Self> {
        Ok(Self {
            info: host.info(),
            cpu: start::<Cpu>(host)?,
            memory: start::<Memory>(host)?,
            network: start::<Network>(host)?,
            disk: start::<Disk>(host)?,
            since: BTreeMap::new(),
        })
    }

    /// Samples once: asks all collectors and waits for each until the deadline: half the interval, at
    /// least 250 ms and at most a second. Never fails and never takes longer.
    pub fn sample(&mut self, tick: Tick) -> Snapshot {
        let timestamp = now();
        let deadline =
            Instant::now() + (tick.interval / 2).clamp(SHORTEST_DEADLINE, LONGEST_DEADLINE);
        self.cpu.ask(tick.number);
        self.memory.ask(tick.number);
        self.network.ask(tick.number);
        self.disk.ask(tick.number);
        let cpu = self.cpu.answer(tick.number, deadline);
        let memory = self.memory.answer(tick.number, deadline);
        let network = self.network.answer(tick.number, deadline);
        let disk = self.disk.answer(tick.number, deadline);
        let mut history =
            History { earlier: std::mem::take(&mut self.since), now: BTreeMap::new(), timestamp };
        let (cpu, cpu_status) = history.section(Cpu::NAME, cpu);
        let (memory, memory_status) = history.section(Memory::NAME, memory);
        let (network, network_status) = history.section(Network::NAME, network);
        let (disk, disk_status) = history.section(Disk::NAME, disk);
        let perf_events =
            history.disabled("perf_events", "this version collects no performance counters");
        self.since = history.now;
        Snapshot {
            timestamp,
            tick: tick.number,
            interval_ms: u64::try_from(tick.interval.as_millis()).unwrap_or(u64::MAX),
            lateness_ms: milliseconds(tick.lateness),
            host: self.info.clone(),
            cpu,
            memory,
            network,
            disk,
            perf_events: None,
            status: Status {
                cpu: cpu_status,
                memory: memory_status,
                network: network_status,
                disk: disk_status,
                perf_events,
            },
        }
    }
}

/// A collector's thread.
fn start<C: Collector>(host: &Arc<Host>) -> io::Result<Worker<C::Metrics>> {
    let mut tracker = Tracker::<C>::new(host);
    Worker::spawn(C::NAME, move || tracker.collect())
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

/// Since when each section and part is in its state.
struct History {
    earlier: BTreeMap<String, (State, Timestamp)>,
    now: BTreeMap<String, (State, Timestamp)>,
    timestamp: Timestamp,
}

impl History {
    fn section<M>(&mut self, name: &'static str, outcome: Outcome<M>) -> (Option<M>, Section) {
        match outcome {
            Outcome::Collected { report, duration } => {
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
                    truncated,
                    parts,
                };
                (Some(metrics), section)
            }
            Outcome::Failed { error, duration } => {
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
            Outcome::Late(asked) => {
                let reason = format!("no answer for {:.1} s", asked.elapsed().as_secs_f64());
                (None, self.missing(name, State::Late, reason, None, None))
            }
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
