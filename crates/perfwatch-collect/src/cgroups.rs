//! Control groups: cpu.stat of each group directly below the root.
//!
//! ```text
//! usage_usec 1234567          in every group of version 2
//! nr_periods 100              where the group has the cpu controller
//! nr_throttled 20
//! throttled_usec 456789
//! ```
//!
//! Version 1 has nr_periods, nr_throttled and throttled_time (ns) in cpu.stat of the cpu controller, and cpuacct.usage (ns) in
//! that of cpuacct, which may be mounted together or apart. A host may have both versions; the controller is with one of them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::cgroups::{CgroupMetrics, SliceMetrics};
use rustix::io::Errno;

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed, Problem};
use crate::hardware::Hardware;
use crate::host::{Directory, Host, KernelFile};
use crate::parse::{lines, number, set_text, shown, words};
use crate::rate::scaled_per_second;
use crate::rows::{Matcher, Named, Rows};

/// Most groups that are told: each costs a file or two at every tick. Of more, those that have used the most CPU time; the rest is left out.
pub const MAX_SLICES: usize = 64;

/// Most groups that are looked at to find those.
const MAX_LOOKED_AT: usize = 1024;

/// After so many ticks groups are ranked anew, where not all are told.
const RANKED_FOR: u32 = 12;

/// Where version 2 is mounted, and where version 1 has its controllers, on every distribution.
const V2: &str = "fs/cgroup";
const V1_CPU: [&str; 2] = ["fs/cgroup/cpu", "fs/cgroup/cpu,cpuacct"];
const V1_CPUACCT: [&str; 2] = ["fs/cgroup/cpuacct", "fs/cgroup/cpu,cpuacct"];

/// Percent of time in a microsecond per second.
const PERCENT: f64 = 1e-4;

/// What the kernel said.
#[derive(Debug, Default)]
pub struct CgroupReading {
    slices: Rows<SliceReading>,
    problems: Vec<Problem>,
    truncated: bool,
}

#[derive(Debug, Default)]
struct SliceReading {
    name: String,
    stat: CpuStat,
}

impl Named for SliceReading {
    fn name(&self) -> &str {
        &self.name
    }
}

/// What a group's cpu.stat says. None for what it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CpuStat {
    /// Time on CPUs, in µs.
    pub usage_us: Option<u64>,
    /// Periods of the limit.
    pub periods: Option<u64>,
    /// Periods that ended early.
    pub throttled_periods: Option<u64>,
    /// Time held back, in µs.
    pub throttled_us: Option<u64>,
}

/// Collects [`CgroupMetrics`].
#[derive(Debug)]
pub struct Cgroups {
    host: Arc<Host>,
    tree: Hardware<Tree>,
}

/// The groups directly below the root.
#[derive(Debug)]
struct Tree {
    directory: Directory,
    slices: Vec<Slice>,
    truncated: bool,
    /// Links of the directory when it was listed.
    links: Option<u32>,
    /// Ticks since.
    age: u32,
}

#[derive(Debug)]
struct Slice {
    name: String,
    stat: KernelFile,
    /// Of version 1.
    usage: Option<KernelFile>,
}

impl Collector for Cgroups {
    const NAME: &'static str = "cgroups";
    type Reading = CgroupReading;
    type Metrics = CgroupMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), tree: Hardware::unknown() }
    }

    fn read(&mut self, into: &mut CgroupReading) -> Result<(), Error> {
        let now = Instant::now();
        let host = &self.host;
        if self.tree.find(now, || Tree::find(host))?.is_old() {
            self.tree.lose();
        }
        let tree = self.tree.find(now, || Tree::find(host))?;
        into.slices.clear();
        into.problems.clear();
        into.truncated = tree.truncated;
        let mut any_gone = false;
        for slice in &mut tree.slices {
            match slice.read() {
                Ok(stat) => {
                    let row = into.slices.next_row();
                    row.name.clone_from(&slice.name);
                    row.stat = stat;
                }
                Err(error) if is_gone(&error) => any_gone = true,
                Err(error) => {
                    into.problems.push(Problem::new(format!("slices.{}", slice.name), &error));
                }
            }
        }
        if any_gone {
            self.tree.lose();
        }
        Ok(())
    }

    fn derive(
        before: Option<(&CgroupReading, Duration)>,
        now: &CgroupReading,
    ) -> Report<CgroupMetrics> {
        let mut earlier = Matcher::new(before.map_or(&[][..], |(reading, _)| &reading.slices));
        let elapsed = before.map_or(Duration::ZERO, |(_, elapsed)| elapsed);
        let share = |before: Option<u64>, now: Option<u64>| {
            scaled_per_second(PERCENT, before?, now?, elapsed)
        };
        let slice = |SliceReading { name, stat }: &SliceReading| {
            let before = earlier.find(name).map(|slice| slice.stat).unwrap_or_default();
            let metrics = SliceMetrics {
                cpu_us: stat.usage_us,
                cpu_percent: share(before.usage_us, stat.usage_us),
                throttled_us: stat.throttled_us,
                throttled_percent: share(before.throttled_us, stat.throttled_us),
                periods: stat.periods,
                throttled_periods: stat.throttled_periods,
            };
            (name.clone(), metrics)
        };
        let slices: BTreeMap<_, _> = now.slices.iter().map(slice).collect();
        Report {
            metrics: CgroupMetrics { slices },
            problems: now.problems.clone(),
            truncated: now.truncated,
        }
    }
}

impl Tree {
    fn find(host: &Host) -> Result<Self, Error> {
        if host.sysfs_text(&format!("{V2}/cgroup.controllers")).is_some() {
            return Ok(Self::list(host, V2, None));
        }
        let has = |directory: &&&str, file: &str| {
            host.sysfs_text(&format!("{directory}/{file}")).is_some()
        };
        if let Some(cpu) = V1_CPU.iter().find(|directory| has(directory, "cpu.shares")) {
            let cpuacct = V1_CPUACCT.iter().find(|directory| has(directory, "cpuacct.usage"));
            return Ok(Self::list(host, cpu, cpuacct.copied()));
        }
        let none = "no control groups with a cpu controller below /sys/fs/cgroup";
        Err(Error::Unavailable(none.to_owned()))
    }

    fn list(host: &Host, cpu: &str, cpuacct: Option<&str>) -> Self {
        let directory = host.sysfs_directory(cpu);
        // Asked for first, so that a group that comes meanwhile is seen at the next tick.
        let links = directory.links();
        let names = directory.directories();
        let truncated = names.len() > MAX_SLICES;
        let slice = |name: &OsStr| {
            let file = |controller: &str, file: &str| {
                host.sysfs_at(&Path::new(controller).join(name).join(file))
            };
            let mut slice = Slice {
                name: String::new(),
                stat: file(cpu, "cpu.stat"),
                usage: cpuacct.map(|cpuacct| file(cpuacct, "cpuacct.usage")),
            };
            set_text(&mut slice.name, name.as_bytes());
            slice
        };
        let mut names: Vec<_> = names.into_iter().take(MAX_LOOKED_AT).collect();
        if truncated {
            names.sort_by_cached_key(|name| {
                Reverse(slice(name).read().ok().and_then(|stat| stat.usage_us))
            });
        }
        let slices = names.iter().take(MAX_SLICES).map(|name| slice(name)).collect();
        Self { directory, slices, truncated, links, age: 0 }
    }

    /// Whether groups came or went, or are to be ranked anew.
    fn is_old(&mut self) -> bool {
        self.age = self.age.saturating_add(1);
        let is_ranked = !self.truncated || self.age <= RANKED_FOR;
        !is_ranked || self.directory.links() != self.links
    }
}

impl Slice {
    fn read(&mut self) -> Result<CpuStat, Error> {
        let mut stat = self.stat.parse(parse_cpu_stat)?;
        if let Some(usage) = &mut self.usage {
            // A group of the one controller need not be one of the other.
            stat.usage_us = match usage.parse(parse_usage) {
                Ok(ns) => Some(ns / 1000),
                Err(error) if is_gone(&error) => None,
                Err(error) => return Err(error),
            };
        }
        Ok(stat)
    }
}

/// Whether a group is not there any more: its files cannot be opened, or answer ENODEV.
fn is_gone(error: &Error) -> bool {
    let errno = |source: &std::io::Error| source.raw_os_error();
    error.is_absent()
        || matches!(error, Error::Read { source, .. } if errno(source) == Some(Errno::NODEV.raw_os_error()))
}

/// Reads a group's cpu.stat. Other lines are skipped.
pub fn parse_cpu_stat(text: &[u8]) -> Result<CpuStat, Malformed> {
    let mut stat = CpuStat::default();
    for (index, line) in lines(text) {
        let mut words = words(line);
        let (slot, divisor) = match words.next() {
            Some(b"usage_usec") => (&mut stat.usage_us, 1),
            Some(b"nr_periods") => (&mut stat.periods, 1),
            Some(b"nr_throttled") => (&mut stat.throttled_periods, 1),
            Some(b"throttled_usec") => (&mut stat.throttled_us, 1),
            Some(b"throttled_time") => (&mut stat.throttled_us, 1000),
            _ => continue,
        };
        let value = words
            .next()
            .and_then(number)
            .ok_or_else(|| Malformed::at(index, format!("not a number: {}", shown(line))))?;
        *slot = Some(value / divisor);
    }
    if stat == CpuStat::default() {
        return Err(Malformed::at(0, "neither usage_usec nor nr_periods"));
    }
    Ok(stat)
}

fn parse_usage(text: &[u8]) -> Result<u64, Malformed> {
    let text = text.trim_ascii();
    number(text).ok_or_else(|| Malformed::at(0, format!("not a number: {}", shown(text))))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::collector::Tracker;

    /// A host with control groups of version 2 or 1, to be changed.
    struct Groups {
        dir: tempfile::TempDir,
        of_v1: bool,
    }

    impl Groups {
        fn new(of_v1: bool) -> Self {
            let groups = Self { dir: tempfile::tempdir().unwrap(), of_v1 };
            let file = if of_v1 { "cpu.shares" } else { "cgroup.controllers" };
            for root in groups.roots() {
                fs::create_dir_all(&root).unwrap();
                fs::write(root.join(file), "").unwrap();
                fs::write(root.join("cpuacct.usage"), "1").unwrap();
            }
            groups
        }

        fn roots(&self) -> Vec<PathBuf> {
            let sys = self.dir.path().join("sys");
            let roots = if self.of_v1 { &[V1_CPU[0], V1_CPUACCT[0]][..] } else { &[V2][..] };
            roots.iter().map(|root| sys.join(root)).collect()
        }

        fn write(&self, name: &[u8], file: &str, text: &str) {
            for root in self.roots() {
                let group = root.join(OsStr::from_bytes(name));
                fs::create_dir_all(&group).unwrap();
                fs::write(group.join(file), text).unwrap();
            }
        }

        fn remove(&self, name: &str) {
            self.roots().iter().for_each(|root| fs::remove_dir_all(root.join(name)).unwrap());
        }

        fn tracker(&self) -> Tracker<Cgroups> {
            Tracker::new(&Arc::new(Host::recorded(self.dir.path())))
        }
    }

    fn slices(tracker: &mut Tracker<Cgroups>) -> BTreeMap<String, SliceMetrics> {
        tracker.collect().unwrap().report.metrics.slices
    }

    #[test]
    fn both_versions_are_told_in_microseconds() {
        let v2 = "usage_usec 70\nuser_usec 60\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 9\nnr_bursts 0\n";
        let (usage_us, periods) = (Some(70), Some(5));
        let (throttled_periods, throttled_us) = (Some(2), Some(9));
        let stat = CpuStat { usage_us, periods, throttled_periods, throttled_us };
        assert_eq!(parse_cpu_stat(v2.as_bytes()), Ok(stat));
        let v1 = b"nr_periods 5\nnr_throttled 2\nthrottled_time 9999\nnr_bursts 0\nburst_time 0\n";
        assert_eq!(parse_cpu_stat(v1), Ok(CpuStat { usage_us: None, ..stat }));
        let alone = CpuStat { usage_us, ..CpuStat::default() };
        assert_eq!(parse_cpu_stat(b"usage_usec 70\n"), Ok(alone));
        for (text, says) in [
            ("", "1: neither usage_usec nor nr_periods"),
            ("usage_usec 1\nnr_periods\n", "2: not a number: nr_periods"),
        ] {
            assert_eq!(parse_cpu_stat(text.as_bytes()).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn usage_of_version_1_is_of_another_controller() {
        let groups = Groups::new(true);
        groups.write(b"batch", "cpu.stat", "nr_periods 5\nnr_throttled 2\nthrottled_time 9000\n");
        let mut tracker = groups.tracker();
        let found = slices(&mut tracker);
        assert_eq!((found["batch"].cpu_us, found["batch"].throttled_us), (None, Some(9)));
        groups.write(b"batch", "cpuacct.usage", "12345678\n");
        assert_eq!(slices(&mut tracker)["batch"].cpu_us, Some(12_345));
    }

    #[test]
    fn groups_come_and_go() {
        let groups = Groups::new(false);
        let mut tracker = groups.tracker();
        assert!(slices(&mut tracker).is_empty());
        groups.write(b"a.slice", "cpu.stat", "usage_usec 1\n");
        groups.write(b"\xff<b>", "cpu.stat", "usage_usec 2\n");
        let found = slices(&mut tracker);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["\\xff<b>", "a.slice"]);
        groups.remove("a.slice");
        groups.write(b"c.slice", "cpu.stat", "usage_usec 3\n");
        // As many as before, and the file that stayed open still answers: only the kernel's say ENODEV.
        slices(&mut tracker);
        groups.write(b"d.slice", "cpu.stat", "usage_usec 4\n");
        let found = slices(&mut tracker);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["\\xff<b>", "c.slice", "d.slice"]);
    }

    #[test]
    fn of_too_many_those_that_use_the_most_are_told_and_it_is_said() {
        let groups = Groups::new(false);
        let busy = |number: u32| format!("usage_usec {number}\n");
        for number in 0..=100 {
            groups.write(format!("{number}").as_bytes(), "cpu.stat", &busy(number));
        }
        let mut tracker = groups.tracker();
        let report = tracker.collect().unwrap().report;
        assert!(report.truncated);
        assert_eq!(report.metrics.slices.len(), MAX_SLICES);
        assert!(report.metrics.slices.values().all(|slice| slice.cpu_us > Some(36)));
        groups.write(b"0", "cpu.stat", &busy(1000));
        for _ in 1..RANKED_FOR {
            assert!(!slices(&mut tracker).contains_key("0"));
        }
        assert!(slices(&mut tracker).contains_key("0"));
    }
}
