//! Disk: /proc/diskstats, and how full the mounted file systems are.

mod devices;
mod mounts;

use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::disk::{DiskMetrics, PartitionMetrics};

use crate::collector::{Collector, Report};
use crate::error::{Error, Problem};
use crate::host::{FileSystemBlocks, Host, KernelFile};
use crate::rate::percent;
use crate::rows::Rows;

pub use devices::{DeviceReading, MAX_DEVICES, parse_diskstats};
pub use mounts::{MAX_PARTITIONS, Mount, parse_mount_ids, parse_mounts};
use mounts::{MountTable, PartitionReading};

/// What the kernel said of disks.
#[derive(Debug, Default)]
pub struct DiskReading {
    /// Without loop devices.
    pub devices: Rows<DeviceReading>,
    /// Whether the table could be read.
    pub devices_known: bool,
    partitions: Vec<PartitionReading>,
    partitions_known: bool,
    partitions_truncated: bool,
    problems: Vec<Problem>,
}

/// Collects [`DiskMetrics`].
#[derive(Debug)]
pub struct Disk {
    diskstats: KernelFile,
    mounts: MountTable,
}

impl Collector for Disk {
    const NAME: &'static str = "disk";
    type Reading = DiskReading;
    type Metrics = DiskMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self { diskstats: host.procfs("diskstats"), mounts: MountTable::new(host) }
    }

    /// The two halves fail apart; the section as a whole does when both do.
    fn read(&mut self, into: &mut DiskReading) -> Result<(), Error> {
        into.problems.clear();
        let devices = self.diskstats.parse(|text| parse_diskstats(text, &mut into.devices));
        into.devices_known = devices.is_ok();
        let partitions = self.mounts.read(&mut into.partitions);
        into.partitions_known = partitions.is_ok();
        into.partitions_truncated = *partitions.as_ref().unwrap_or(&false);
        match (devices, partitions) {
            (Ok(()), Ok(_)) => {}
            (Err(error), Ok(_)) => {
                into.devices.clear();
                into.problems.push(Problem::new("devices", &error));
            }
            (Ok(()), Err(error)) => into.problems.push(Problem::new("partitions", &error)),
            (Err(first), Err(second)) => {
                return Err(Error::Both { first: Box::new(first), second: Box::new(second) });
            }
        }
        into.problems.extend(into.partitions.iter().filter_map(PartitionReading::problem));
        Ok(())
    }

    fn derive(before: Option<(&DiskReading, Duration)>, now: &DiskReading) -> Report<DiskMetrics> {
        let devices_before = before.map(|(reading, elapsed)| (&*reading.devices, elapsed));
        let (devices, truncated) = devices::metrics(devices_before, &now.devices);
        let partitions = now
            .partitions
            .iter()
            .map(|partition| (partition.name.clone(), partition_metrics(partition)));
        let metrics = DiskMetrics {
            devices: now.devices_known.then_some(devices),
            partitions: now.partitions_known.then(|| partitions.collect()),
        };
        let truncated = truncated || now.partitions_truncated;
        Report { metrics, problems: now.problems.clone(), truncated }
    }
}

fn partition_metrics(partition: &PartitionReading) -> PartitionMetrics {
    let blocks = partition.blocks();
    let bytes = |of: fn(&FileSystemBlocks) -> u64| {
        blocks.map(|blocks| of(blocks).saturating_mul(blocks.fragment_bytes))
    };
    let used = bytes(|blocks| blocks.blocks.saturating_sub(blocks.free));
    let free = bytes(|blocks| blocks.available);
    let inodes = blocks.and_then(|blocks| blocks.inodes);
    let inodes_total = inodes.map(|[all, _]| all).filter(|all| *all > 0);
    let inodes_used = inodes_total.zip(inodes).map(|(all, [_, free])| all.saturating_sub(free));
    PartitionMetrics {
        device: partition.device.clone(),
        fstype: partition.fstype.clone(),
        mountpoint: partition.name.clone(),
        total_bytes: bytes(|blocks| blocks.blocks),
        used_bytes: used,
        free_bytes: free,
        usage_percent: used
            .zip(free)
            .and_then(|(used, free)| percent(used, used.saturating_add(free))),
        inodes_total,
        inodes_used,
        inodes_usage_percent: inodes_used
            .zip(inodes_total)
            .and_then(|(used, all)| percent(used, all)),
        read_only: partition.read_only,
        inodes,
    }
}
