//! What node_exporter has too, by node_exporter's names, types and labels, so that its dashboards and alerts work.
//!
//! Values are the kernel's raw numbers, of the moment of the snapshot. What node_exporter leaves out by default is left out
//! here: partitions and RAM disks of `node_disk_*`, which would count everything twice in a sum. What PerfWatch leaves out
//! is left out as well: loopback, and file systems that are not on a device. The rest beyond a limit has no name and no
//! counters of its own, so it is not here.

mod families;

use std::collections::HashSet;

use perfwatch_collect::ALL_OTHERS;
use perfwatch_metrics::catalog::hidden;
use perfwatch_metrics::cpu::{CpuMetrics, TICKS_PER_SECOND};
use perfwatch_metrics::disk::PartitionMetrics;
use perfwatch_metrics::memory::HostMemory;
use perfwatch_metrics::network::NetworkMetrics;
use perfwatch_metrics::snapshot::Uname;
use perfwatch_metrics::{Snapshot, catalog};

use super::text::{Page, Type, label};
use families::{About, Node, Number};

pub(super) use families::stood_for;

/// Writes every family that this host has.
pub(super) fn write(page: &mut Page, snapshot: &Snapshot) {
    if let Some(uname) = &snapshot.host.uname {
        write_uname(page, uname);
    }
    if let Some(cpu) = &snapshot.cpu {
        write_all(page, &families::ACTIVITY, &[(String::new(), cpu)]);
        write_cpu(page, cpu);
        write_throttles(page, cpu);
        let limits = cpu.frequency_limit_mhz.as_deref().unwrap_or_default();
        write_all(page, &families::FREQUENCY_LIMIT, &by_cpu(limits));
    }
    if let Some(scheduler) = &snapshot.scheduler {
        write_all(page, &families::SCHEDULER, &[(String::new(), &scheduler.host)]);
        write_all(page, &families::RUN_QUEUES, &by_cpu(&scheduler.host.run_queues));
    }
    if let Some(pressure) = &snapshot.pressure {
        write_all(page, &families::PRESSURE, &[(String::new(), pressure)]);
    }
    if let Some(memory) = &snapshot.memory {
        write_meminfo(page, &memory.host);
        write_all(page, &families::VMSTAT, &[(String::new(), &memory.host)]);
        let labels = |number: &String| written(&[("node", number)]);
        let nodes = memory.nodes.iter().map(|(number, node)| (labels(number), node));
        let nodes: Vec<_> = nodes.collect();
        write_all(page, &families::NODES, &nodes);
    }
    let by_device = |name: &String| written(&[("device", name)]);
    if let Some(interfaces) = snapshot.network.as_ref().and_then(|n| n.interfaces.as_ref()) {
        let named = interfaces.iter().filter(|(name, _)| *name != ALL_OTHERS);
        let objects: Vec<_> = named.map(|(name, interface)| (by_device(name), interface)).collect();
        write_all(page, &families::NETWORK, &objects);
    }
    if let Some(network) = &snapshot.network {
        write_network(page, network);
    }
    let disk = snapshot.disk.as_ref();
    if let Some(devices) = disk.and_then(|disk| disk.devices.as_ref()) {
        let named = devices.iter().filter(|(name, _)| *name != ALL_OTHERS && is_disk(name));
        let objects: Vec<_> = named.map(|(name, device)| (by_device(name), device)).collect();
        write_all(page, &families::DISK, &objects);
    }
    if let Some(partitions) = disk.and_then(|disk| disk.partitions.as_ref()) {
        let labels = |partition: &PartitionMetrics| {
            written(&[
                ("device", &partition.device),
                ("fstype", &partition.fstype),
                ("mountpoint", &partition.mountpoint),
            ])
        };
        let objects: Vec<_> =
            partitions.values().map(|partition| (labels(partition), partition)).collect();
        write_all(page, &families::FILESYSTEM, &objects);
    }
    if let Some(kernel) = &snapshot.kernel {
        write_all(page, &families::KERNEL, &[(String::new(), kernel)]);
        let controllers = kernel.memory_controllers.iter().map(|(name, errors)| {
            let number = name.strip_prefix("mc").unwrap_or(name);
            (written(&[("controller", number)]), errors)
        });
        write_all(page, &families::CONTROLLER, &controllers.collect::<Vec<_>>());
    }
}

/// What is of the network and of no interface.
fn write_network(page: &mut Page, network: &NetworkMetrics) {
    let once = String::new;
    if let Some(tcp) = &network.tcp {
        write_all(page, &families::TCP, &[(once(), tcp)]);
    }
    if let Some(udp) = &network.udp {
        for (family, counters) in families::UDP.iter().zip([&udp.ipv4, &udp.ipv6]) {
            write_all(page, family, &[(once(), counters)]);
        }
    }
    if let Some(softnet) = &network.softnet {
        let cpus = softnet.cpus.iter().map(|cpu| (written(&[("cpu", &cpu.cpu.to_string())]), cpu));
        write_all(page, &families::SOFTNET, &cpus.collect::<Vec<_>>());
    }
    if let Some(conntrack) = &network.conntrack {
        write_all(page, &families::CONNTRACK, &[(once(), conntrack)]);
    }
    if let Some(sockets) = &network.sockets {
        write_all(page, &families::SOCKETS, &[(once(), sockets)]);
    }
}

/// Families of objects, which come with their labels.
fn write_all<T>(page: &mut Page, nodes: &[Node<T>], objects: &[(String, &T)]) {
    for Node { name, kind, about, value } in nodes {
        let help = match about {
            About::Metric(id) => help_of(id),
            About::Words(words) => (*words).to_owned(),
        };
        page.family(name, *kind, &help, |family| {
            for (labels, object) in objects {
                if let Some(number) = value(object) {
                    family.sample(labels, &number.written());
                }
            }
        });
    }
}

fn write_uname(page: &mut Page, uname: &Uname) {
    let labels = written(&[
        ("domainname", &uname.domainname),
        ("machine", &uname.machine),
        ("nodename", &uname.nodename),
        ("release", &uname.release),
        ("sysname", &uname.sysname),
        ("version", &uname.version),
    ]);
    page.family("node_uname", Type::Info, "What uname(2) says.", |family| {
        family.sample(&labels, "1");
    });
}

fn write_cpu(page: &mut Page, cpu: &CpuMetrics) {
    const MODES: [&str; 8] =
        ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal"];
    const GUEST_MODES: [&str; 2] = ["user", "nice"];
    const _: () = assert!(TICKS_PER_SECOND == 100, "its digits are hundredths");
    let mut write = |name, help, modes: &[&str], skipped: usize| {
        page.family(name, Type::Counter, help, |family| {
            for (number, times) in cpu.times.iter().enumerate() {
                for (mode, ticks) in modes.iter().zip(times.iter().flatten().skip(skipped)) {
                    let labels = written(&[("cpu", &number.to_string()), ("mode", mode)]);
                    family.sample(&labels, &Number(*ticks, 2).written());
                }
            }
        });
    };
    write("node_cpu_seconds", "Time of each CPU by what it was spent on.", &MODES, 0);
    let help = "Time of each CPU in virtual CPUs of guests, which is part of user and nice too.";
    write("node_cpu_guest_seconds", help, &GUEST_MODES, MODES.len());
}

fn write_throttles(page: &mut Page, cpu: &CpuMetrics) {
    let (mut cores, mut packages) = (Vec::new(), Vec::new());
    for throttled in &cpu.throttled {
        let package = throttled.package.to_string();
        match throttled.core {
            Some(core) => {
                let labels = written(&[("core", &core.to_string()), ("package", &package)]);
                cores.push((labels, throttled));
            }
            None => packages.push((written(&[("package", &package)]), throttled)),
        }
    }
    write_all(page, &families::CORE_THROTTLES, &cores);
    write_all(page, &families::PACKAGE_THROTTLES, &packages);
}

/// What there is of each CPU, with its label.
fn by_cpu<T>(values: &[Option<T>]) -> Vec<(String, &T)> {
    let cpus = values.iter().enumerate();
    cpus.filter_map(|(cpu, value)| Some((written(&[("cpu", &cpu.to_string())]), value.as_ref()?)))
        .collect()
}

/// Every line of /proc/meminfo: `Active(anon)` is `node_memory_Active_anon_bytes`.
fn write_meminfo(page: &mut Page, memory: &HostMemory) {
    let lines = &memory.meminfo;
    let mut told = HashSet::new();
    for (line, value) in lines.names.iter().zip(&lines.values) {
        let name = line.name.replace('(', "_").replace(')', "");
        let is_legal = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if name.is_empty() || !is_legal {
            continue;
        }
        let metric = families::MEMINFO.iter().find(|(known, _)| *known == line.name);
        let help = metric
            .map_or_else(|| format!("{} of /proc/meminfo.", line.name), |(_, id)| help_of(id));
        let unit = if line.is_size { "_bytes" } else { "" };
        let name = format!("node_memory_{name}{unit}");
        if !told.contains(&name) {
            page.single(&name, Type::Gauge, &help, &value.to_string());
            told.insert(name);
        }
    }
}

/// What the catalog says of a metric.
fn help_of(id: &str) -> String {
    let metric = catalog().chain(hidden()).find(|def| def.id == id);
    metric.map_or_else(String::new, super::help)
}

fn written(pairs: &[(&str, &str)]) -> String {
    let mut labels = String::new();
    for (name, value) in pairs {
        label(&mut labels, name, value);
    }
    labels
}

/// Whether node_exporter shows this block device by default: not a partition of `sda` or `nvme0n1`, a RAM disk, a loop
/// device or a floppy.
fn is_disk(name: &str) -> bool {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() == name.len() {
        return true;
    }
    let letter = |stem: &str| stem.len() == 1 && stem.bytes().all(|b| b.is_ascii_lowercase());
    let is_partition = ["hd", "sd", "vd", "xvd"]
        .iter()
        .any(|prefix| stem.strip_prefix(prefix).is_some_and(letter));
    let is_nvme_partition = || {
        let disk = stem.strip_suffix('p').and_then(|rest| rest.strip_prefix("nvme"));
        disk.and_then(|rest| rest.split_once('n')).is_some_and(|(controller, namespace)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits(controller) && digits(namespace)
        })
    };
    !(matches!(stem, "ram" | "loop" | "fd") || is_partition || is_nvme_partition())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_that_is_stood_for_is_one() {
        for id in stood_for().into_keys() {
            assert!(!help_of(id).is_empty(), "{id}");
        }
    }

    #[test]
    fn partitions_are_no_disks() {
        for name in ["sda", "sdaa1", "vda", "nvme0n1", "md0", "dm-3", "zram0", "sr0", "mmcblk0p1"] {
            assert!(is_disk(name), "{name}");
        }
        for name in
            ["sda1", "hdb12", "xvda1", "vdz9", "nvme0n1p1", "nvme10n2p15", "loop7", "ram0", "fd0"]
        {
            assert!(!is_disk(name), "{name}");
        }
    }
}
