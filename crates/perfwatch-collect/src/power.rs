//! Power: energy counters of the processors' own meters (RAPL), from the perf `power` PMU or else from powercap.
//!
//! One of the two at a time, as both read the same registers. The PMU comes first: it needs CAP_PERFMON and not root, and the
//! kernel itself watches for wraps.

mod pmu;
mod powercap;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::State;
use perfwatch_metrics::power::{DomainPower, HostPower, PowerMetrics};

use crate::collector::{Collector, Report};
use crate::error::{Error, Problem};
use crate::hardware::Hardware;
use crate::host::Host;
use crate::parse::lines;
use crate::rate::{per_second, thousandths};
use crate::rows::{Matcher, Named, Rows};

/// Most meters: eight sockets with four domains each are 32. Those beyond it are left out.
const MAX_METERS: usize = 256;

/// The registers are written about every millisecond (Intel SDM volume 3B, RAPL interfaces). One that is still 0 after this time does not count.
const SETTLE: Duration = Duration::from_millis(5);

/// What the meters said.
#[derive(Debug, Default)]
pub struct PowerReading {
    source: &'static str,
    /// Which opening of the meters this was read from: there is no rate between two.
    opening: u64,
    domains: Rows<DomainReading>,
    problems: Vec<Problem>,
    truncated: bool,
}

/// What the meters of one domain said together.
#[derive(Debug, Default)]
struct DomainReading {
    name: String,
    is_package: bool,
    /// Since a start that does not matter. None when one of its meters has no figure.
    microjoules: Option<u64>,
}

impl Named for DomainReading {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Collects [`PowerMetrics`].
#[derive(Debug)]
pub struct Power {
    host: Arc<Host>,
    meters: Hardware<Meters>,
    openings: u64,
}

/// The meters of one source, sorted by their domains' names.
#[derive(Debug)]
struct Meters {
    source: &'static str,
    meters: Vec<(Domain, Meter)>,
    /// Those that could not be opened.
    problems: Vec<Problem>,
    truncated: bool,
}

/// What a meter measures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Domain {
    name: String,
    is_package: bool,
}

impl Domain {
    /// A processor package.
    fn package(number: u64) -> Self {
        Self { name: format!("package-{number}"), is_package: true }
    }

    /// A part of it: cores, gpu, dram.
    fn part(&self, name: &str) -> Self {
        Self { name: format!("{}/{name}", self.name), is_package: false }
    }

    /// Anything else: the platform.
    fn other(name: &str) -> Self {
        Self { name: name.to_owned(), is_package: false }
    }
}

/// One meter. A large package has one for each die.
#[derive(Debug)]
enum Meter {
    Counter(pmu::EnergyCounter),
    Zone(powercap::Zone),
}

impl Meter {
    /// Whether it has counted at all.
    fn has_counted(&mut self) -> Result<bool, Error> {
        match self {
            Self::Counter(counter) => counter.has_counted(),
            Self::Zone(zone) => Ok(zone.peek()? > 0),
        }
    }

    /// Energy in microjoules since a start that does not matter. None when there is no figure now.
    fn advance(&mut self, now: Instant) -> Result<Option<u64>, Error> {
        match self {
            Self::Counter(counter) => counter.advance(),
            Self::Zone(zone) => zone.advance(now),
        }
    }
}

impl Collector for Power {
    const NAME: &'static str = "power";
    type Reading = PowerReading;
    type Metrics = PowerMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), meters: Hardware::unknown(), openings: 0 }
    }

    fn read(&mut self, into: &mut PowerReading) -> Result<(), Error> {
        let (host, openings, now) = (&self.host, &mut self.openings, Instant::now());
        let meters = self.meters.find(now, || {
            *openings = openings.saturating_add(1);
            Meters::open(host, *openings == 1)
        })?;
        let read = meters.read(now, into);
        into.opening = self.openings;
        if read.is_err() {
            self.meters.lose();
        }
        read
    }

    fn derive(
        before: Option<(&PowerReading, Duration)>,
        now: &PowerReading,
    ) -> Report<PowerMetrics> {
        let before = before.filter(|(before, _)| before.opening_is(now));
        let mut earlier = Matcher::new(before.map_or(&[][..], |(reading, _)| &reading.domains));
        let elapsed = before.map_or(Duration::ZERO, |(_, elapsed)| elapsed);
        let mut domains = BTreeMap::new();
        let mut packages = Some(None);
        for domain in now.domains.iter() {
            let watts = watts(earlier.find(&domain.name), elapsed, domain);
            if domain.is_package {
                packages = packages
                    .zip(watts)
                    .map(|(sum, watts)| Some(thousandths(sum.unwrap_or(0.0) + watts)));
            }
            let energy_joules = domain.microjoules.map(|energy| energy / 1_000_000);
            domains.insert(domain.name.clone(), DomainPower { energy_joules, watts });
        }
        let host = HostPower { source: now.source.to_owned(), packages_watts: packages.flatten() };
        Report {
            metrics: PowerMetrics { host, domains },
            problems: now.problems.clone(),
            truncated: now.truncated,
        }
    }
}

impl PowerReading {
    /// Whether another reading is of the same opening. Recordings of two instants are.
    fn opening_is(&self, other: &Self) -> bool {
        (self.opening, self.source) == (other.opening, other.source)
    }
}

fn watts(before: Option<&DomainReading>, elapsed: Duration, now: &DomainReading) -> Option<f64> {
    let microwatts = per_second(before?.microjoules?, now.microjoules?, elapsed)?;
    Some(thousandths(microwatts / 1e6))
}

impl Meters {
    /// The meters of the first source that has any. Why there are none, if there are none.
    fn open(host: &Host, is_first: bool) -> Result<Self, Error> {
        let first = match Self::that_count(host, pmu::SOURCE, pmu::open(host)) {
            Ok(meters) => return Ok(meters),
            Err(error) => error,
        };
        let opened = powercap::open(host, is_first);
        Self::that_count(host, powercap::SOURCE, opened).map_err(|second| {
            match (first.state(), second.state()) {
                (State::Unavailable, State::Unavailable) => {
                    Error::Unavailable(format!("no energy meter (RAPL): {first}; {second}"))
                }
                (_, State::Unavailable) => first,
                (State::Unavailable, _) => second,
                _ => Error::Both { first: Box::new(first), second: Box::new(second) },
            }
        })
    }

    /// What was opened, when at least one of it counts: a virtual machine may have registers that stand still.
    fn that_count(
        host: &Host,
        source: &'static str,
        opened: Result<Opened, Error>,
    ) -> Result<Self, Error> {
        let Opened { mut meters, problems, .. } = opened?;
        meters.sort_by(|(a, _), (b, _)| a.cmp(b));
        if dies_show_the_package(host) {
            meters.dedup_by(|(domain, _), (first, _)| domain == first);
        }
        let truncated = meters.len() > MAX_METERS;
        meters.truncate(MAX_METERS);
        let mut any_counts =
            || meters.iter_mut().any(|(_, meter)| meter.has_counted().unwrap_or(false));
        if !any_counts() {
            std::thread::sleep(SETTLE);
            if !any_counts() {
                return Err(Error::Unavailable(format!(
                    "the {source} is there and stands still, as in a virtual machine"
                )));
            }
        }
        Ok(Self { source, meters, problems, truncated })
    }

    fn read(&mut self, now: Instant, into: &mut PowerReading) -> Result<(), Error> {
        into.source = self.source;
        into.truncated = self.truncated;
        into.problems.clone_from(&self.problems);
        into.domains.clear();
        let mut rows = self.meters.chunk_by_mut(|(a, _), (b, _)| a == b);
        rows.try_for_each(|meters| {
            let Some((domain, _)) = meters.first() else { return Ok(()) };
            let row = into.domains.next_row();
            row.name.clone_from(&domain.name);
            row.is_package = domain.is_package;
            row.microjoules = Some(0);
            for (domain, meter) in meters {
                let energy = match meter.advance(now) {
                    Ok(Some(energy)) => Ok(energy),
                    Ok(None) => Err(Error::Unavailable("it stands still".to_owned())),
                    Err(error @ Error::CounterLost { .. }) => return Err(error),
                    Err(error) => Err(error),
                };
                let energy = energy.map_err(|error| {
                    let part = format!("domains.{}", domain.name);
                    into.problems.push(Problem::new(part, &error));
                });
                row.microjoules = row
                    .microjoules
                    .zip(energy.ok())
                    .map(|(sum, energy)| sum.saturating_add(energy));
            }
            Ok(())
        })
    }
}

/// Whether each die's meter is that of its whole package, so that they must not be added. AMD's are: the kernel had one for each
/// die up to 6.11 all the same (commits 8d72eba1cf8c and 26096aed255f).
fn dies_show_the_package(host: &Host) -> bool {
    let is_amd = host.procfs("cpuinfo").parse(|text| {
        Ok(lines(text).any(|(_, line)| {
            line.starts_with(b"vendor_id")
                && (line.ends_with(b"AuthenticAMD") || line.ends_with(b"HygonGenuine"))
        }))
    });
    is_amd.unwrap_or(false)
}

/// What a source has.
#[derive(Default)]
struct Opened {
    meters: Vec<(Domain, Meter)>,
    problems: Vec<Problem>,
    first_error: Option<Error>,
}

impl Opened {
    /// Adds a domain's meter, or why it cannot be read.
    fn add(&mut self, domain: Domain, meter: Result<Meter, Error>) {
        match meter {
            Ok(meter) => self.meters.push((domain, meter)),
            Err(error) => {
                self.problems.push(Problem::new(format!("domains.{}", domain.name), &error));
                self.first_error.get_or_insert(error);
            }
        }
    }

    /// It, if it has a meter; else why the first one cannot be read, or that there is none.
    fn if_any(mut self, none: &str) -> Result<Self, Error> {
        match self.first_error.take() {
            Some(error) if self.meters.is_empty() => Err(error),
            None if self.meters.is_empty() => Err(Error::Unavailable(none.to_owned())),
            _ => Ok(self),
        }
    }
}
