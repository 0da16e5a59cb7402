//! Memory bandwidth: counters of the memory controllers, each of whose counts is a cache line.

mod sources;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;
use perfwatch_metrics::memory_bandwidth::{HostTraffic, MemoryBandwidthMetrics, SocketTraffic};

use crate::collector::{Collector, Report};
use crate::error::{Error, Problem};
use crate::hardware::Hardware;
use crate::host::Host;
use crate::pmu::{Coverage, DEVICES, Pmu, Running, package_of};
use crate::rate::{increase, per_second, percent};
use crate::rows::{Matcher, Named, Rows};
use sources::{SOURCES, Source, Way, bytes_per_count, is_instance};

/// Most counters: 16 sockets of eight channels are 256. Those beyond it are left out.
const MAX_COUNTERS: usize = 512;

/// What the counters said.
#[derive(Debug, Default)]
pub struct MemoryBandwidthReading {
    source: &'static str,
    /// Which opening of the counters this was read from: there is no rate between two.
    opening: u64,
    sockets: Rows<SocketReading>,
    coverage: Coverage,
    problems: Vec<Problem>,
    truncated: bool,
}

/// Bytes through the controllers of one package. None while one of its counters waits.
#[derive(Debug, Default)]
struct SocketReading {
    name: String,
    traffic: Traffic,
}

impl Named for SocketReading {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Bytes since the counters were opened.
#[derive(Debug, Default, Clone, Copy)]
struct Traffic {
    read: Option<u64>,
    write: Option<u64>,
    total: Option<u64>,
}

/// Collects [`MemoryBandwidthMetrics`].
#[derive(Debug)]
pub struct MemoryBandwidth {
    host: Arc<Host>,
    controllers: Hardware<Controllers>,
    openings: u64,
}

/// The counters of one source.
#[derive(Debug)]
struct Controllers {
    source: &'static str,
    /// By socket.
    sockets: BTreeMap<u64, Vec<Controller>>,
    truncated: bool,
}

/// One counter of one memory controller.
#[derive(Debug)]
struct Controller {
    running: Running,
    way: Way,
    bytes_per_count: f64,
}

impl Collector for MemoryBandwidth {
    const NAME: &'static str = "memory_bandwidth";
    type Reading = MemoryBandwidthReading;
    type Metrics = MemoryBandwidthMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), controllers: Hardware::unknown(), openings: 0 }
    }

    fn read(&mut self, into: &mut MemoryBandwidthReading) -> Result<(), Error> {
        let (host, openings) = (&self.host, &mut self.openings);
        let controllers = self.controllers.find(Instant::now(), || {
            *openings = openings.saturating_add(1);
            Controllers::open(host)
        })?;
        let read = controllers.read(into);
        into.opening = self.openings;
        if read.is_err() {
            self.controllers.lose();
        }
        read
    }

    fn derive(
        before: Option<(&MemoryBandwidthReading, Duration)>,
        now: &MemoryBandwidthReading,
    ) -> Report<MemoryBandwidthMetrics> {
        let before = before
            .filter(|(before, _)| (before.opening, before.source) == (now.opening, now.source));
        let mut earlier = Matcher::new(before.map_or(&[][..], |(reading, _)| &reading.sockets));
        let elapsed = before.map_or(Duration::ZERO, |(_, elapsed)| elapsed);
        let mut sockets = BTreeMap::new();
        for socket in now.sockets.iter() {
            let before = earlier.find(&socket.name).map(|socket| socket.traffic);
            let Traffic { read, write, total } = socket.traffic;
            let rates = socket.traffic.rates(before, elapsed);
            sockets.insert(
                socket.name.clone(),
                SocketTraffic {
                    read_bytes: read,
                    write_bytes: write,
                    total_bytes: total,
                    read_bytes_per_sec: rates[0],
                    write_bytes_per_sec: rates[1],
                    total_bytes_per_sec: rates[2],
                },
            );
        }
        let Traffic { read, write, total } = now.sum();
        let rates = now.sum().rates(before.map(|(before, _)| before.sum()), elapsed);
        let counted = before.and_then(|(before, _)| {
            percent(
                increase(before.coverage.running_ns, now.coverage.running_ns)?,
                increase(before.coverage.enabled_ns, now.coverage.enabled_ns)?,
            )
        });
        let host = HostTraffic {
            source: now.source.to_owned(),
            counted_percent: counted,
            read_bytes: read,
            write_bytes: write,
            total_bytes: total,
            read_bytes_per_sec: rates[0],
            write_bytes_per_sec: rates[1],
            total_bytes_per_sec: rates[2],
        };
        Report {
            metrics: MemoryBandwidthMetrics { host, sockets },
            problems: now.problems.clone(),
            truncated: now.truncated,
        }
    }
}

impl MemoryBandwidthReading {
    /// All sockets together.
    fn sum(&self) -> Traffic {
        let sum = |of: fn(&Traffic) -> Option<u64>| {
            let parts = self.sockets.iter().map(|socket| of(&socket.traffic));
            parts.reduce(|sum, part| Some(sum?.saturating_add(part?))).flatten()
        };
        Traffic {
            read: sum(|traffic| traffic.read),
            write: sum(|traffic| traffic.write),
            total: sum(|traffic| traffic.total),
        }
    }
}

impl Traffic {
    fn rates(self, before: Option<Self>, elapsed: Duration) -> [Option<f64>; 3] {
        [|t: Self| t.read, |t: Self| t.write, |t: Self| t.total]
            .map(|of: fn(Self) -> Option<u64>| per_second(of(before?)?, of(self)?, elapsed))
    }
}

impl Controllers {
    /// The counters of the first source that is there. Why there are none, if there are none.
    fn open(host: &Host) -> Result<Self, Error> {
        let devices = host.sysfs_names(DEVICES)?;
        let mut seen = Vec::new();
        for source in &SOURCES {
            let names: Vec<_> =
                devices.iter().filter(|device| is_instance(device, source.pmu)).collect();
            if names.is_empty() {
                continue;
            }
            if !seen.contains(&source.pmu) {
                seen.push(source.pmu);
            }
            if let Some(controllers) = Self::of(host, source, &names)? {
                return Ok(controllers);
            }
        }
        Err(Error::Unavailable(match &seen[..] {
            [] => "no PMU of memory controllers (uncore_imc, amd_umc, amd_df)".to_owned(),
            seen => format!("no event for memory traffic in {}", seen.join(", ")),
        }))
    }

    /// The counters of these PMUs. None when they have no event for memory traffic.
    fn of(host: &Host, source: &Source, names: &[&String]) -> Result<Option<Self>, Error> {
        let mut controllers =
            Self { source: source.pmu, sockets: BTreeMap::new(), truncated: false };
        let mut count = 0_usize;
        for name in names {
            let pmu = Pmu::read(host, name)?;
            let events = source.events.of(host, &pmu)?;
            for cpu in &pmu.cpus {
                let socket = package_of(host, *cpu);
                for (way, event) in &events {
                    if count >= MAX_COUNTERS {
                        controllers.truncated = true;
                        break;
                    }
                    count = count.saturating_add(1);
                    // Without one channel the sum would be wrong: all or none.
                    let running = pmu.count(host, event, *cpu)?;
                    let bytes_per_count = bytes_per_count(event);
                    let controller = Controller { running, way: *way, bytes_per_count };
                    controllers.sockets.entry(socket).or_default().push(controller);
                }
            }
        }
        Ok((!controllers.sockets.is_empty()).then_some(controllers))
    }

    fn read(&mut self, into: &mut MemoryBandwidthReading) -> Result<(), Error> {
        into.source = self.source;
        into.truncated = self.truncated;
        into.sockets.clear();
        into.problems.clear();
        into.coverage = Coverage::default();
        for (number, controllers) in &mut self.sockets {
            let row = into.sockets.next_row();
            set_number(&mut row.name, *number);
            let mut sums: [Option<Option<u64>>; 3] = [None; 3];
            let [read, write, both] = &mut sums;
            for controller in controllers {
                let count = controller.running.advance()?;
                let bytes = count.map(|count| (count as f64 * controller.bytes_per_count) as u64);
                let sum = match controller.way {
                    Way::Read => &mut *read,
                    Way::Write => &mut *write,
                    Way::Both => &mut *both,
                };
                // The first sets it; one that waits spoils it.
                *sum = Some(match sum.take() {
                    None => bytes,
                    Some(sum) => sum.zip(bytes).map(|(sum, bytes)| sum.saturating_add(bytes)),
                });
                let coverage = controller.running.coverage();
                into.coverage.enabled_ns =
                    into.coverage.enabled_ns.saturating_add(coverage.enabled_ns);
                into.coverage.running_ns =
                    into.coverage.running_ns.saturating_add(coverage.running_ns);
            }
            let [read, write, both] = sums.map(Option::flatten);
            let split = read.zip(write).map(|(read, write)| read.saturating_add(write));
            row.traffic = Traffic { read, write, total: both.or(split) };
            if row.traffic.total.is_none() {
                into.problems.push(Problem {
                    part: format!("sockets.{number}"),
                    state: State::Late,
                    reason: "its counters did not have their turn".to_owned(),
                    fix: None,
                });
            }
        }
        Ok(())
    }
}

fn set_number(text: &mut String, number: u64) {
    use std::fmt::Write;
    text.clear();
    // Writing to a String cannot fail.
    let _ = write!(text, "{number}");
}
