//! powercap: /sys/class/powercap/intel-rapl:*, which AMD's driver uses as well. `intel-rapl:0` is a package, `intel-rapl:0:1` a part
//! of it; `name` says which: `package-0`, `package-0-die-1`, `core`, `uncore` (the graphics), `dram`, `psys`. The zones of
//! `intel-rapl-mmio` are the same packages through another door and left out.
//!
//! `energy_uj` comes round after `max_energy_range_uj`, at 262 kJ on most processors: every 20 minutes at 200 W. Since
//! CVE-2020-8694 only root may read it.

use std::io;
use std::time::{Duration, Instant};

use super::{Domain, Meter, Opened};
use crate::error::{Error, Malformed};
use crate::host::{Host, KernelFile};
use crate::parse::{number, shown};

pub(super) const SOURCE: &str = "powercap";

const DIRECTORY: &str = "class/powercap";

/// No meter takes more than this, in watts: a fall that would mean more is a reset and no wrap.
const MOST_WATTS: u64 = 10_000;

/// A meter that takes this, in watts, all the time may have come round twice in the time in which it comes round once: then it
/// begins anew. The largest packages take 500.
const SUSTAINED_WATTS: u64 = 1_000;

/// A zone's counter.
#[derive(Debug)]
pub(super) struct Zone {
    energy: KernelFile,
    /// None when the kernel does not say: then every fall is a reset.
    range: Option<u64>,
    /// None after an error: what it did meanwhile cannot be told.
    before: Option<(Instant, u64)>,
    /// None until it is first read.
    total: Option<u64>,
}

impl Zone {
    /// What the kernel says: microjoules.
    pub(super) fn peek(&mut self) -> Result<u64, Error> {
        let energy = self.energy.parse(|text| {
            let text = text.trim_ascii();
            number(text).ok_or_else(|| Malformed::at(0, format!("not a number: {}", shown(text))))
        });
        energy.map_err(root_only)
    }

    /// Energy in microjoules, wraps undone. None while it has not counted at all. Begins anew at 0 when what it did cannot
    /// be told.
    pub(super) fn advance(&mut self, now: Instant) -> Result<Option<u64>, Error> {
        let before = self.before.take();
        let energy = match self.peek() {
            Ok(energy) => energy,
            Err(error) => {
                self.total = Some(0);
                return Err(error);
            }
        };
        let total = match (self.total, before) {
            // Recordings of two instants are compared by where the kernel stands.
            (None, _) => energy,
            (Some(total), Some((then, before))) => {
                let elapsed = now.saturating_duration_since(then);
                let grown = grown(before, energy, self.range, elapsed);
                grown.map_or(0, |grown| total.saturating_add(grown))
            }
            (Some(total), None) => total,
        };
        (self.before, self.total) = (Some((now, energy)), Some(total));
        Ok((energy > 0 || total > 0).then_some(total))
    }
}

/// How much the counter grew, once round at most. None when that cannot be told.
fn grown(before: u64, now: u64, range: Option<u64>, elapsed: Duration) -> Option<u64> {
    let could_take = |watts: u64| u128::from(watts).saturating_mul(elapsed.as_micros());
    if range.is_some_and(|range| could_take(SUSTAINED_WATTS) > u128::from(range)) {
        return None;
    }
    if let Some(grown) = now.checked_sub(before) {
        return Some(grown);
    }
    let grown = range?.checked_sub(before)?.checked_add(now)?;
    (u128::from(grown) <= could_take(MOST_WATTS)).then_some(grown)
}

/// Opens the zones that are there. They count on from where the kernel stands, or else from 0: after another source, whose
/// counters would seem to have grown.
pub(super) fn open(host: &Host, from_kernel: bool) -> Result<Opened, Error> {
    let mut opened = Opened::default();
    for zone in host.sysfs_names(DIRECTORY)? {
        let Some(path) = zone.strip_prefix("intel-rapl:") else { continue };
        let name = |zone: &str| host.sysfs_text(&format!("{DIRECTORY}/{zone}/name"));
        let Some(own) = name(&zone) else { continue };
        let domain = match path.split_once(':') {
            None => top(&own),
            Some((parent, _)) => match name(&format!("intel-rapl:{parent}")) {
                Some(parent) => top(&parent).part(part(&own)),
                None => continue,
            },
        };
        let range = host.sysfs_text(&format!("{DIRECTORY}/{zone}/max_energy_range_uj"));
        let mut zone = Zone {
            energy: host.sysfs(&format!("{DIRECTORY}/{zone}/energy_uj")),
            range: range.and_then(|range| number(range.as_bytes())).filter(|range| *range > 0),
            before: None,
            total: (!from_kernel).then_some(0),
        };
        opened.add(domain, zone.peek().map(|_| Meter::Zone(zone)));
    }
    opened.if_any("no intel-rapl zone in /sys/class/powercap")
}

/// A zone that is in no other: a package, all dies of it together, or the platform.
fn top(name: &str) -> Domain {
    let digits = name.strip_prefix("package-").and_then(|rest| rest.split('-').next());
    let package = digits.and_then(|digits| number(digits.as_bytes()));
    package.map_or_else(|| Domain::other(name), Domain::package)
}

/// A zone inside a package, by the name that it has here.
fn part(name: &str) -> &str {
    match name {
        "core" => "cores",
        "uncore" => "gpu",
        name => name,
    }
}

fn root_only(error: Error) -> Error {
    match error {
        Error::Read { path, source } if source.kind() == io::ErrorKind::PermissionDenied => {
            Error::RootOnly {
                what: format!("reading {}", path.display()),
                source,
                fix: "give PerfWatch CAP_PERFMON, for the power PMU (module intel_rapl_perf), or let it read energy_uj, which since CVE-2020-8694 root alone may",
            }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: Option<u64> = Some(262_143_328_850);
    const FIVE: Duration = Duration::from_secs(5);

    #[test]
    fn a_wrap_is_undone_and_a_reset_is_none() {
        assert_eq!(grown(1_000, 500_001_000, RANGE, FIVE), Some(500_000_000));
        assert_eq!(grown(262_143_000_000, 1_000, RANGE, FIVE), Some(329_850));
        // 62 kJ in five seconds are 12 kW.
        assert_eq!(grown(200_000_000_000, 1_000, RANGE, FIVE), None);
        assert_eq!(grown(1_000, 10, None, FIVE), None);
        assert_eq!(grown(300_000_000_000, 10, RANGE, FIVE), None);
    }

    #[test]
    fn after_a_gap_nobody_knows_how_often_it_came_round() {
        assert_eq!(grown(1_000, 2_000, RANGE, Duration::from_secs(262)), Some(1_000));
        assert_eq!(grown(1_000, 2_000, RANGE, Duration::from_secs(263)), None);
    }

    #[test]
    fn names_of_zones() {
        assert_eq!(top("package-1"), Domain::package(1));
        assert_eq!(top("package-0-die-1"), Domain::package(0));
        assert_eq!(top("psys"), Domain::other("psys"));
        assert_eq!(top("package-"), Domain::other("package-"));
        assert_eq!(top("package-0").part(part("core")).name, "package-0/cores");
    }
}
