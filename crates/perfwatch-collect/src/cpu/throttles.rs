//! How often cores and packages were slowed down because they were too hot: thermal_throttle of Intel's CPUs.
//!
//! Each CPU counts for itself, and hyper-threads of a core, as the CPUs of a package, are told of the same event. So one CPU speaks for
//! each core, and one for each package.

use std::collections::BTreeSet;
use std::sync::Arc;

use perfwatch_metrics::cpu::Throttled;

use super::MAX_CPUS;
use crate::error::Error;
use crate::host::{Host, KernelFile};
use crate::parse::number;
use crate::rate::increase;

const CPUS: &str = "devices/system/cpu";

/// The counters of a host.
#[derive(Debug)]
pub(super) struct Throttles {
    host: Arc<Host>,
    counters: Vec<Counter>,
    /// How many CPUs were online when counters were looked for.
    looked_among: Option<usize>,
    sum: Option<Sum>,
}

/// A counter, and who it speaks for.
#[derive(Debug)]
struct Counter {
    package: u64,
    core: Option<u64>,
    file: KernelFile,
}

/// All counters together.
#[derive(Debug, Clone, Copy)]
struct Sum {
    seen: u64,
    /// As `seen`, but goes on where it was when another CPU speaks.
    told: u64,
}

impl Throttles {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), counters: Vec::new(), looked_among: None, sum: None }
    }

    /// Reads every counter, and tells the sum. None when there are none, or one could not be read. Counters are looked for when the number of CPUs
    /// that are online changes: what a processor does not count costs nothing after that.
    pub(super) fn read(&mut self, online: usize, into: &mut Vec<Throttled>) -> Option<u64> {
        let found_anew = self.looked_among != Some(online);
        if found_anew {
            self.counters = find(&self.host);
            self.looked_among = Some(online);
        }
        into.clear();
        for Counter { package, core, file } in &mut self.counters {
            let count = file.read().ok().and_then(|text| number(text.trim_ascii()));
            into.push(Throttled { package: *package, core: *core, count });
        }
        if into.is_empty() {
            return None;
        }
        let seen = into
            .iter()
            .try_fold(0_u64, |sum, throttled| Some(sum.saturating_add(throttled.count?)))?;
        let told = self.sum.map_or(seen, |before| {
            let grown = if found_anew { Some(0) } else { increase(before.seen, seen) };
            grown.map_or(seen, |grown| before.told.saturating_add(grown))
        });
        self.sum = Some(Sum { seen, told });
        Some(told)
    }
}

/// Why there is nothing.
pub(super) fn none() -> Error {
    Error::Unavailable("this processor does not count thermal throttles".to_owned())
}

fn find(host: &Host) -> Vec<Counter> {
    let names = host.sysfs_names(CPUS).unwrap_or_default();
    let is_cpu = |name: &&String| {
        name.strip_prefix("cpu").is_some_and(|number| number.parse::<usize>().is_ok())
    };
    let mut counters = Vec::new();
    let mut spoken_for = BTreeSet::new();
    for name in names.iter().filter(is_cpu).take(MAX_CPUS) {
        let topology = |what: &str| {
            number(host.sysfs_text(&format!("{CPUS}/{name}/topology/{what}"))?.as_bytes())
        };
        let open = |what: &str| {
            let mut file = host.sysfs(&format!("{CPUS}/{name}/thermal_throttle/{what}"));
            file.read().is_ok().then_some(file)
        };
        let Some(file) = open("core_throttle_count") else { continue };
        let Some(package) = topology("physical_package_id") else { continue };
        let core = topology("core_id");
        if core.is_some() && spoken_for.insert((package, core)) {
            counters.push(Counter { package, core, file });
        }
        if spoken_for.insert((package, None))
            && let Some(file) = open("package_throttle_count")
        {
            counters.push(Counter { package, core: None, file });
        }
    }
    counters
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn cpu(dir: &Path, number: usize, (package, core): (u64, u64), counts: [u64; 2]) {
        let cpu = dir.join("sys").join(CPUS).join(format!("cpu{number}"));
        fs::create_dir_all(cpu.join("topology")).unwrap();
        fs::create_dir_all(cpu.join("thermal_throttle")).unwrap();
        for (file, value) in [
            ("topology/physical_package_id", package),
            ("topology/core_id", core),
            ("thermal_throttle/core_throttle_count", counts[0]),
            ("thermal_throttle/package_throttle_count", counts[1]),
        ] {
            fs::write(cpu.join(file), format!("{value}\n")).unwrap();
        }
    }

    #[test]
    fn a_core_and_a_package_count_once() {
        let dir = tempfile::tempdir().unwrap();
        // Two cores of two threads in package 0, one of two in package 1.
        let layout = [(0, 0), (0, 1), (1, 0), (0, 0), (0, 1), (1, 0)];
        for (number, place) in layout.into_iter().enumerate() {
            cpu(dir.path(), number, place, [3, 50]);
        }
        let mut throttles = Throttles::new(&Arc::new(Host::recorded(dir.path())));
        let mut all = Vec::new();
        assert_eq!(throttles.read(6, &mut all), Some(3 * 3 + 2 * 50));
        cpu(dir.path(), 1, (0, 1), [4, 50]);
        assert_eq!(throttles.read(6, &mut all), Some(110));
        // The CPU that spoke for core 0 goes; the other thread of it has seen more.
        fs::remove_dir_all(dir.path().join("sys").join(CPUS).join("cpu0")).unwrap();
        cpu(dir.path(), 3, (0, 0), [9, 50]);
        assert_eq!(throttles.read(5, &mut all), Some(110));
        cpu(dir.path(), 3, (0, 0), [10, 50]);
        assert_eq!(throttles.read(5, &mut all), Some(111));
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn what_is_not_counted_is_not_looked_for_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut throttles = Throttles::new(&Arc::new(Host::recorded(dir.path())));
        let mut all = Vec::new();
        assert_eq!(throttles.read(2, &mut all), None);
        cpu(dir.path(), 0, (0, 0), [1, 1]);
        assert_eq!(throttles.read(2, &mut all), None);
        assert_eq!(throttles.read(1, &mut all), Some(2));
    }
}
