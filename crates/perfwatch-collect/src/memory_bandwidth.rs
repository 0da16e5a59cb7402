//! Memory bandwidth: counters of the memory controllers, each of whose counts is a cache line.
//!
//! Intel's servers list `cas_count_read` and `cas_count_write` for each channel (arch/x86/events/intel/uncore_snbep.c; Granite Rapids
//! for each half of one), their clients `data_read` and `data_write` of counters that always run (uncore_snb.c). AMD's drivers
//! list no events at all: theirs are those of perf (tools/perf/pmu-events/arch/x86), `umc_cas_cmd.rd` and `.wr` of
//! amdzen4/memory-controller.json, and before Zen 4 `dram_channel_data_controller_0` to `_7` of amdzen{1,2,3}/data-fabric.json,
//! reads and writes together.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;
use perfwatch_metrics::memory_bandwidth::{HostTraffic, MemoryBandwidthMetrics, SocketTraffic};

use crate::collector::{Collector, Report};
use crate::error::{Error, Problem};
use crate::hardware::Hardware;
use crate::host::Host;
use crate::parse::{lines, number};
use crate::pmu::{Coverage, DEVICES, Event, Pmu, Running, package_of};
use crate::rate::{increase, per_second, percent};
use crate::rows::{Matcher, Named, Rows};

/// Most counters: 16 sockets of eight channels are 256. Those beyond it are left out.
const MAX_COUNTERS: usize = 512;

/// What one count stands for where sysfs does not say: a burst on the bus, a cache line.
const LINE_BYTES: f64 = 64.0;

/// PMUs that count memory traffic, the best first: a host may have several that count the same.
const SOURCES: [Source; 5] = [
    Source {
        pmu: "uncore_imc",
        events: Events::Listed {
            read: &["cas_count_read", "cas_count_read_sch0", "cas_count_read_sch1"],
            write: &["cas_count_write", "cas_count_write_sch0", "cas_count_write_sch1"],
        },
    },
    Source {
        pmu: "uncore_imc_free_running",
        events: Events::Listed { read: &["data_read", "read"], write: &["data_write", "write"] },
    },
    Source {
        pmu: "uncore_imc",
        events: Events::Listed { read: &["data_reads"], write: &["data_writes"] },
    },
    Source {
        pmu: "amd_umc",
        events: Events::Known(&[
            (Way::Read, "umc_cas_cmd.rd", "event=0x0a,rdwrmask=0x1"),
            (Way::Write, "umc_cas_cmd.wr", "event=0x0a,rdwrmask=0x2"),
        ]),
    },
    Source {
        pmu: "amd_df",
        events: Events::BeforeZen4(&[
            (Way::Both, "dram_channel_data_controller_0", "event=0x07,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_1", "event=0x47,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_2", "event=0x87,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_3", "event=0xc7,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_4", "event=0x107,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_5", "event=0x147,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_6", "event=0x187,umask=0x38"),
            (Way::Both, "dram_channel_data_controller_7", "event=0x1c7,umask=0x38"),
        ]),
    },
];

/// A kind of PMU: `uncore_imc` and `uncore_imc_0`, `uncore_imc_1`, …
struct Source {
    pmu: &'static str,
    events: Events,
}

/// Which of its events count memory traffic.
enum Events {
    /// Those that sysfs lists under these names.
    Listed { read: &'static [&'static str], write: &'static [&'static str] },
    /// These, with their fields.
    Known(&'static [(Way, &'static str, &'static str)]),
    /// These, on processors of AMD's families 17h and 19h that are no Zen 4.
    BeforeZen4(&'static [(Way, &'static str, &'static str)]),
}

/// What a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Read,
    Write,
    Both,
}

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

impl Events {
    /// Those that the PMU has.
    fn of(&self, host: &Host, pmu: &Pmu) -> Result<Vec<(Way, Event)>, Error> {
        let known = |events: &[(Way, &str, &str)]| {
            events
                .iter()
                .filter_map(|(way, name, fields)| Some((*way, pmu.event_of(name, fields)?)))
                .collect()
        };
        match self {
            Self::Listed { read, write } => {
                let mut found = Vec::new();
                for (way, names) in [(Way::Read, read), (Way::Write, write)] {
                    for name in *names {
                        found.extend(pmu.event(host, name)?.map(|event| (way, event)));
                    }
                }
                Ok(found)
            }
            Self::Known(events) => Ok(known(events)),
            Self::BeforeZen4(events) if is_before_zen4(host)? => Ok(known(events)),
            Self::BeforeZen4(_) => Ok(Vec::new()),
        }
    }
}

/// Whether a PMU is one of several of this name.
fn is_instance(device: &str, name: &str) -> bool {
    device.strip_prefix(name).is_some_and(|rest| {
        rest.is_empty()
            || rest.strip_prefix('_').is_some_and(|digits| number(digits.as_bytes()).is_some())
    })
}

/// What a count stands for: sysfs gives MiB (2^20 bytes) for each.
fn bytes_per_count(event: &Event) -> f64 {
    let mib = event.scale.filter(|_| event.unit.as_deref() == Some("MiB"));
    mib.map_or(LINE_BYTES, |mib| mib * f64::from(1 << 20))
}

fn set_number(text: &mut String, number: u64) {
    use std::fmt::Write;
    text.clear();
    // Writing to a String cannot fail.
    let _ = write!(text, "{number}");
}

/// Whether this is an AMD processor of the families that tools/perf/pmu-events/arch/x86/mapfile.csv takes for Zen 1 to 3.
fn is_before_zen4(host: &Host) -> Result<bool, Error> {
    host.procfs("cpuinfo").parse(|text| {
        let field = |name: &[u8]| {
            let mut values = lines(text).filter_map(|(_, line)| {
                let (key, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
                (key.trim_ascii() == name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
            });
            values.next()
        };
        let model = field(b"model").and_then(number);
        Ok(match (field(b"vendor_id"), field(b"cpu family").and_then(number), model) {
            (Some(b"AuthenticAMD"), Some(0x17), Some(_)) => true,
            (Some(b"AuthenticAMD"), Some(0x19), Some(model)) => {
                matches!(model, 0..=0x0f | 0x20..=0x2f | 0x40..=0x5f)
            }
            _ => false,
        })
    })
}
