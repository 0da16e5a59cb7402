//! What happens to the host, as two snapshots tell: links, CPUs, mounts and devices come and go, processes are killed.
//!
//! What is compared is what history was told last, so that what was not told for want of budget is told once there is some,
//! if it still holds. A section that is null tells nothing, and is compared with what it was before.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use perfwatch_collect::ALL_OTHERS;
use perfwatch_metrics::Snapshot;
use perfwatch_metrics::disk::{DiskMetrics, PartitionMetrics};
use perfwatch_metrics::network::InterfaceMetrics;
use serde_json::{Value, json};

use super::budget::{Budget, Leave};

/// A kind of event, and what there is to say of one.
type Happened = (&'static str, Value);

/// What history knows of the host. Each is None until it was seen once: what is there then has not just come.
#[derive(Debug, Default)]
pub(super) struct HostEvents {
    /// By CPU, whether it is online.
    cpus: Option<BTreeMap<usize, bool>>,
    /// Processes killed since boot.
    oom_kills: Option<u64>,
    /// By interface, whether its link is up.
    links: Option<BTreeMap<String, bool>>,
    /// Interfaces that are devices.
    interfaces: Option<BTreeSet<String>>,
    /// Block devices.
    devices: Option<BTreeSet<String>>,
    /// By mount point.
    mounts: Option<BTreeMap<String, Mount>>,
    budget: Budget,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    fstype: String,
    read_only: bool,
}

/// What is told, within the budget.
struct Told<'a> {
    events: Vec<Happened>,
    budget: &'a mut Budget,
    now: Instant,
}

impl Told<'_> {
    /// Tells an event about something, if there is budget left. Whether it was told.
    fn tell(&mut self, kind: &'static str, about: &str, mut detail: Value) -> bool {
        match self.budget.ask(self.now, kind, about) {
            Leave::Given => {}
            Leave::Last => detail["last_of_hour"] = true.into(),
            Leave::Refused => return false,
        }
        self.events.push((kind, detail));
        true
    }
}

impl HostEvents {
    /// What happened since the snapshot before.
    pub(super) fn look(&mut self, snapshot: &Snapshot, now: Instant) -> Vec<Happened> {
        let mut told = Told { events: Vec::new(), budget: &mut self.budget, now };
        if let Some(cpu) = &snapshot.cpu {
            let online = cpu.times.iter().map(Option::is_some).enumerate().collect();
            look_at_cpus(&mut self.cpus, online, &mut told);
        }
        if let Some(count) = snapshot.memory.as_ref().and_then(|memory| memory.host.oom_kills) {
            look_at_oom_kills(&mut self.oom_kills, count, &mut told);
        }
        let interfaces = snapshot.network.as_ref().and_then(|network| network.interfaces.as_ref());
        if let Some(interfaces) = interfaces {
            look_at_links(&mut self.links, interfaces, &mut told);
            // Beyond the limit, which ones have names changes with their traffic.
            if !snapshot.status.network.truncated {
                let there = interfaces.keys().map(String::as_str).collect();
                let hardware = |(_, one): &(&String, &InterfaceMetrics)| one.hardware == Some(true);
                let devices = interfaces.iter().filter(hardware).map(|(name, _)| name.as_str());
                look_at_devices(&mut self.interfaces, &devices.collect(), &there, &mut told);
            }
        }
        let disk = snapshot.disk.as_ref().filter(|_| !snapshot.status.disk.truncated);
        if let Some(devices) = disk.and_then(block_devices) {
            look_at_devices(&mut self.devices, &devices, &devices, &mut told);
        }
        if let Some(partitions) = disk.and_then(|disk| disk.partitions.as_ref()) {
            look_at_mounts(&mut self.mounts, partitions, &mut told);
        }
        told.events
    }
}

fn look_at_cpus(
    known: &mut Option<BTreeMap<usize, bool>>,
    online: BTreeMap<usize, bool>,
    told: &mut Told<'_>,
) {
    let Some(known) = known else {
        *known = Some(online);
        return;
    };
    // The table ends with the last CPU that is online, or goes on with one that was added.
    let cpus: BTreeSet<usize> = known.keys().chain(online.keys()).copied().collect();
    for cpu in cpus {
        let is_online = online.get(&cpu).copied().unwrap_or_default();
        let was_online = known.get(&cpu).copied().unwrap_or_default();
        let detail = json!({ "cpu": cpu, "online": is_online });
        if is_online != was_online && told.tell("cpu", &cpu.to_string(), detail) {
            known.insert(cpu, is_online);
        }
    }
}

fn look_at_oom_kills(known: &mut Option<u64>, count: u64, told: &mut Told<'_>) {
    let Some(before) = *known else {
        *known = Some(count);
        return;
    };
    match count.checked_sub(before) {
        Some(0) => {}
        Some(kills) => {
            if told.tell("oom_kill", "", json!({ "count": kills })) {
                *known = Some(count);
            }
        }
        None => *known = Some(count),
    }
}

fn look_at_links(
    known: &mut Option<BTreeMap<String, bool>>,
    interfaces: &BTreeMap<String, InterfaceMetrics>,
    told: &mut Told<'_>,
) {
    let known = known.get_or_insert_default();
    known.retain(|name, _| interfaces.contains_key(name));
    for (name, interface) in interfaces {
        let Some(up) = interface.link_up.filter(|_| name != ALL_OTHERS) else { continue };
        match known.get_mut(name) {
            // An interface that is new comes up or not as it was made.
            None => {
                known.insert(name.clone(), up);
            }
            Some(was_up) => {
                let detail = json!({ "interface": name, "up": up });
                if *was_up != up && told.tell("link", name, detail) {
                    *was_up = up;
                }
            }
        }
    }
}

/// `there` are the names of which it is known whether they are devices or not; what is not in it has vanished.
fn look_at_devices(
    known: &mut Option<BTreeSet<String>>,
    devices: &BTreeSet<&str>,
    there: &BTreeSet<&str>,
    told: &mut Told<'_>,
) {
    let Some(known) = known else {
        *known = Some(devices.iter().map(|name| (*name).to_owned()).collect());
        return;
    };
    let mut tell = |name: &str, present| {
        told.tell("device", name, json!({ "device": name, "present": present }))
    };
    known.retain(|name| there.contains(name.as_str()) || !tell(name, false));
    for name in devices {
        if !known.contains(*name) && tell(name, true) {
            known.insert((*name).to_owned());
        }
    }
}

/// Whole devices: a partition comes and goes with its disk.
fn block_devices(disk: &DiskMetrics) -> Option<BTreeSet<&str>> {
    let names = disk.devices.as_ref()?;
    let is_part = |name: &str| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        // `sda1` of `sda`, `nvme0n1p1` of `nvme0n1`.
        let whole =
            stem.strip_suffix('p').filter(|disk| disk.ends_with(|c: char| c.is_ascii_digit()));
        stem.len() < name.len() && names.contains_key(whole.unwrap_or(stem))
    };
    let names = names.keys().map(String::as_str);
    Some(names.filter(|name| *name != ALL_OTHERS && !is_part(name)).collect())
}

fn look_at_mounts(
    known: &mut Option<BTreeMap<String, Mount>>,
    partitions: &BTreeMap<String, PartitionMetrics>,
    told: &mut Told<'_>,
) {
    let Some(known) = known else {
        let all = partitions.iter().map(|(point, partition)| (point.clone(), Mount::of(partition)));
        *known = Some(all.collect());
        return;
    };
    known.retain(|point, mount| {
        let still = partitions.get(point).is_some_and(|partition| mount.is_of(partition));
        still || !told.tell("mount", point, mount.detail(point, false))
    });
    for (point, partition) in partitions {
        let read_only = partition.read_only;
        let changed = known.get(point).is_none_or(|mount| {
            // What it replaces is told first.
            mount.is_of(partition) && mount.read_only != read_only
        });
        if changed {
            let mount = Mount::of(partition);
            let mut detail = mount.detail(point, true);
            detail["read_only"] = read_only.into();
            if told.tell("mount", point, detail) {
                known.insert(point.clone(), mount);
            }
        }
    }
}

impl Mount {
    fn of(partition: &PartitionMetrics) -> Self {
        let PartitionMetrics { device, fstype, read_only, .. } = partition;
        Self { device: device.clone(), fstype: fstype.clone(), read_only: *read_only }
    }

    /// Whether the same is mounted there, writable or not.
    fn is_of(&self, partition: &PartitionMetrics) -> bool {
        self.device == partition.device && self.fstype == partition.fstype
    }

    fn detail(&self, mountpoint: &str, mounted: bool) -> Value {
        let Self { device, fstype, .. } = self;
        json!({ "mountpoint": mountpoint, "device": device, "fstype": fstype, "mounted": mounted })
    }
}

#[cfg(test)]
mod tests;
