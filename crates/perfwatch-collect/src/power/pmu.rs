//! The perf `power` PMU: `energy-pkg`, `energy-cores`, `energy-ram`, `energy-gpu` and `energy-psys` in units of 2^-32 J
//! (arch/x86/events/rapl.c), one counter for each package or die. AMD's family 15h has another PMU of this name, without
//! these events.

use super::{Domain, Meter, Opened};
use crate::error::Error;
use crate::host::Host;
use crate::pmu::{DEVICES, Event, Pmu, Running, package_of};

pub(super) const SOURCE: &str = "power PMU";

/// The kernel's names, and the names of powercap for the same.
const EVENTS: [(&str, &str); 5] = [
    ("energy-pkg", "package"),
    ("energy-cores", "cores"),
    ("energy-gpu", "gpu"),
    ("energy-ram", "dram"),
    ("energy-psys", "psys"),
];

/// A counter of energy.
#[derive(Debug)]
pub(super) struct EnergyCounter {
    running: Running,
    joules_per_count: f64,
}

impl EnergyCounter {
    /// Whether it has counted at all.
    pub(super) fn has_counted(&mut self) -> Result<bool, Error> {
        Ok(self.running.peek()? > 0)
    }

    /// Energy in microjoules since it was opened. None while it has not counted at all.
    pub(super) fn advance(&mut self) -> Result<Option<u64>, Error> {
        let count = self.running.advance()?.filter(|count| *count > 0);
        // As a float: 53 bits of microjoules are nine gigajoules, a year and a half at 190 W.
        Ok(count.map(|count| (count as f64 * self.joules_per_count * 1e6) as u64))
    }
}

/// Opens what the PMU has.
pub(super) fn open(host: &Host) -> Result<Opened, Error> {
    if !host.sysfs_names(DEVICES)?.iter().any(|name| name == "power") {
        return Err(Error::Unavailable("no power PMU".to_owned()));
    }
    let pmu = Pmu::read(host, "power")?;
    let mut opened = Opened::default();
    for (name, domain) in EVENTS {
        let Some((event, joules_per_count)) = energy_event(host, &pmu, name)? else { continue };
        // The platform is one, whichever package is asked: the first leads.
        let places = if domain == "psys" { 1 } else { pmu.cpus.len() };
        for cpu in pmu.cpus.iter().take(places) {
            let package = Domain::package(package_of(host, *cpu));
            let domain = match domain {
                "package" => package,
                "psys" => Domain::other(domain),
                _ => package.part(domain),
            };
            let counter = |running| Meter::Counter(EnergyCounter { running, joules_per_count });
            opened.add(domain, pmu.count(host, &event, *cpu).map(counter));
        }
    }
    opened.if_any("the power PMU has no energy events")
}

/// An event that counts energy, and how much for each count.
fn energy_event(host: &Host, pmu: &Pmu, name: &str) -> Result<Option<(Event, f64)>, Error> {
    let Some(event) = pmu.event(host, name)? else { return Ok(None) };
    let joules = event.scale.filter(|_| event.unit.as_deref() == Some("Joules"));
    Ok(joules.map(|joules| (event, joules)))
}
