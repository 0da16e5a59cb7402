//! resctrl: cache occupancy and memory bandwidth of groups of tasks, where the host's administrator has mounted it.
//!
//! ```text
//! mon_data/mon_L3_00/{llc_occupancy,mbm_total_bytes,mbm_local_bytes}   of the root group
//! web/mon_data/…                                                       of a control group
//! web/mon_groups/batch/mon_data/…, mon_groups/batch/mon_data/…         of a monitoring group
//! ```
//!
//! Each file holds a number, or `Unavailable` (the hardware has none yet), `Error`, or since 6.18 `Unassigned` (no counter is the
//! group's): fs/resctrl/ctrlmondata.c.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::resctrl::{MonitorMetrics, ResctrlMetrics};

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed, Problem};
use crate::hardware::Hardware;
use crate::host::{Host, KernelFile};
use crate::parse::{number, shown};
use crate::rate::per_second;
use crate::rows::{Matcher, Named, Rows};

/// Most monitors, groups times caches: each costs three files and, in the kernel, a call to another CPU. The root group comes first,
/// then control groups, then monitoring groups, by name; the rest is left out.
pub const MAX_MONITORS: usize = 128;

/// How often groups are looked for anew. One that went is seen at once.
const GROUPS_AGAIN: Duration = Duration::from_secs(10);

/// Where it is mounted.
const DIRECTORY: &str = "fs/resctrl";

/// The files of a monitor.
const FILES: [&str; 3] = ["llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"];

/// What resctrl said.
#[derive(Debug, Default)]
pub struct ResctrlReading {
    monitors: Rows<MonitorReading>,
    problems: Vec<Problem>,
    truncated: bool,
}

/// One group in one cache.
#[derive(Debug, Default)]
struct MonitorReading {
    name: String,
    /// As [`FILES`].
    values: [Option<u64>; 3],
}

impl Named for MonitorReading {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Collects [`ResctrlMetrics`].
#[derive(Debug)]
pub struct Resctrl {
    host: Arc<Host>,
    tree: Hardware<Tree>,
}

/// What is mounted.
#[derive(Debug)]
struct Tree {
    monitors: Vec<Monitor>,
    truncated: bool,
    found_at: Instant,
}

#[derive(Debug)]
struct Monitor {
    name: String,
    /// As [`FILES`]. None for what this hardware does not monitor.
    files: [Option<KernelFile>; 3],
}

impl Collector for Resctrl {
    const NAME: &'static str = "resctrl";
    type Reading = ResctrlReading;
    type Metrics = ResctrlMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self { host: Arc::clone(host), tree: Hardware::unknown() }
    }

    fn read(&mut self, into: &mut ResctrlReading) -> Result<(), Error> {
        let now = Instant::now();
        let tree = self.tree.find(now, || Tree::find(&self.host, now))?;
        if now.saturating_duration_since(tree.found_at) >= GROUPS_AGAIN {
            self.tree.lose();
        }
        let tree = self.tree.find(now, || Tree::find(&self.host, now))?;
        into.monitors.clear();
        into.problems.clear();
        into.truncated = tree.truncated;
        let mut any_gone = false;
        for monitor in &mut tree.monitors {
            any_gone |= !monitor.read(into);
        }
        if any_gone {
            self.tree.lose();
        }
        Ok(())
    }

    fn derive(
        before: Option<(&ResctrlReading, Duration)>,
        now: &ResctrlReading,
    ) -> Report<ResctrlMetrics> {
        let mut earlier = Matcher::new(before.map_or(&[][..], |(reading, _)| &reading.monitors));
        let elapsed = before.map_or(Duration::ZERO, |(_, elapsed)| elapsed);
        let mut monitors = BTreeMap::new();
        for monitor in now.monitors.iter() {
            let before = earlier.find(&monitor.name).map(|monitor| monitor.values);
            let [occupancy, total, local] = monitor.values;
            let rate = |before: Option<u64>, now: Option<u64>| per_second(before?, now?, elapsed);
            let [_, total_before, local_before] = before.unwrap_or_default();
            monitors.insert(
                monitor.name.clone(),
                MonitorMetrics {
                    llc_occupancy_bytes: occupancy,
                    mbm_total_bytes: total,
                    mbm_local_bytes: local,
                    mbm_total_bytes_per_sec: rate(total_before, total),
                    mbm_local_bytes_per_sec: rate(local_before, local),
                },
            );
        }
        Report {
            metrics: ResctrlMetrics { monitors },
            problems: now.problems.clone(),
            truncated: now.truncated,
        }
    }
}

impl Tree {
    fn find(host: &Host, now: Instant) -> Result<Self, Error> {
        let names = host.sysfs_names(DIRECTORY)?;
        if names.is_empty() {
            let none = "resctrl is not mounted (`mount -t resctrl resctrl /sys/fs/resctrl`, where processor and kernel have it)";
            return Err(Error::Unavailable(none.to_owned()));
        }
        if !names.iter().any(|name| name == "mon_data") {
            let none = "resctrl is mounted, and this processor does not monitor";
            return Err(Error::Unavailable(none.to_owned()));
        }
        let mut tree = Self { monitors: Vec::new(), truncated: false, found_at: now };
        let mut controls = vec![String::new()];
        for name in names {
            if !NO_GROUPS.contains(&name.as_str()) {
                controls.push(format!("{name}/"));
            }
        }
        for group in &controls {
            tree.add(host, group)?;
        }
        for control in &controls {
            for name in host.sysfs_names(&format!("{DIRECTORY}/{control}mon_groups"))? {
                tree.add(host, &format!("{control}mon_groups/{name}/"))?;
            }
        }
        Ok(tree)
    }

    /// Adds the monitors of a group, if it is one. Its path ends in a slash or is empty.
    fn add(&mut self, host: &Host, group: &str) -> Result<(), Error> {
        let dir = format!("{DIRECTORY}/{group}mon_data");
        let domains = host.sysfs_names(&dir)?;
        for domain in domains.iter().filter(|name| name.starts_with("mon_L3_")) {
            if self.monitors.len() >= MAX_MONITORS {
                self.truncated = true;
                break;
            }
            let has = host.sysfs_names(&format!("{dir}/{domain}"))?;
            let files = FILES.map(|file| {
                let is_there = has.iter().any(|name| name == file);
                is_there.then(|| host.sysfs(&format!("{dir}/{domain}/{file}")))
            });
            self.monitors.push(Monitor { name: format!("{group}{domain}"), files });
        }
        Ok(())
    }
}

/// Directories of the root group that are no control groups.
const NO_GROUPS: [&str; 3] = ["info", "mon_data", "mon_groups"];

impl Monitor {
    /// Reads what it has. False when it is not there any more.
    fn read(&mut self, into: &mut ResctrlReading) -> bool {
        let mut values = [None; 3];
        for ((slot, file), name) in values.iter_mut().zip(&mut self.files).zip(FILES) {
            let Some(file) = file else { continue };
            let error = match file.parse(parse_value) {
                Ok(Answer::Value(value)) => {
                    *slot = Some(value);
                    continue;
                }
                Ok(Answer::Word(word)) => Error::Unavailable(format!("the kernel says {word}")),
                Err(error) if error.is_gone() => return false,
                Err(error) => error,
            };
            into.problems.push(Problem::new(format!("monitors.{}.{name}", self.name), &error));
        }
        let row = into.monitors.next_row();
        row.name.clone_from(&self.name);
        row.values = values;
        true
    }
}

/// What a file of `mon_data` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Bytes.
    Value(u64),
    /// The kernel's word for why there is no value.
    Word(&'static str),
}

/// Reads a file of `mon_data`.
pub fn parse_value(text: &[u8]) -> Result<Answer, Malformed> {
    match text.trim_ascii() {
        b"Unavailable" => Ok(Answer::Word("Unavailable")),
        b"Error" => Ok(Answer::Word("Error")),
        b"Unassigned" => Ok(Answer::Word("Unassigned")),
        text => match number(text) {
            Some(value) => Ok(Answer::Value(value)),
            None => Err(Malformed::at(0, format!("not a number: {}", shown(text)))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_kernel_are_no_values() {
        assert_eq!(parse_value(b"11234000\n"), Ok(Answer::Value(11_234_000)));
        for word in ["Unavailable", "Error", "Unassigned"] {
            assert_eq!(parse_value(format!("{word}\n").as_bytes()), Ok(Answer::Word(word)));
        }
        assert_eq!(parse_value(b"").unwrap_err().to_string(), "1: not a number: ");
        assert_eq!(parse_value(b"-1\n").unwrap_err().to_string(), "1: not a number: -1");
    }

    #[test]
    fn a_group_that_is_removed_is_no_failure() {
        let host = Host::recorded("no such host".as_ref());
        let files = FILES.map(|file| Some(host.sysfs(file)));
        let mut monitor = Monitor { name: "web/mon_L3_00".to_owned(), files };
        let mut reading = ResctrlReading::default();
        assert!(!monitor.read(&mut reading));
        assert!(reading.monitors.is_empty() && reading.problems.is_empty());
        let error = |errno: i32| Error::Read {
            path: "llc_occupancy".into(),
            source: std::io::Error::from_raw_os_error(errno),
        };
        // ENODEV of a file that was open, and EIO.
        assert!(error(19).is_gone() && !error(5).is_gone());
    }
}
