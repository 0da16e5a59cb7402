//! Disk: /proc/diskstats, and how full the mounted file systems are.

mod mounts;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::disk::{DeviceMetrics, DiskMetrics, PartitionMetrics};

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed, Problem};
use crate::host::{FileSystemBlocks, Host, KernelFile};
use crate::limit::{ALL_OTHERS, fold_beyond, sum_rates};
use crate::parse::{fill, lines, number, set_text, words};
use crate::rate::{mean_ms, percent, scaled_per_second};
use crate::rows::{Matcher, Named, Rows};

pub use mounts::{MAX_PARTITIONS, Mount, parse_mount_ids, parse_mounts};
use mounts::{MountTable, PartitionReading};

/// Most block devices that are reported by name. Of more, those with the most I/O since boot are, and the rest
/// is summed up as "all others".
pub const MAX_DEVICES: usize = 512;

/// A sector of /proc/diskstats, whatever the disk's own size of a sector (Documentation/admin-guide/iostats.rst).
const SECTOR_BYTES: u64 = 512;

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

/// One line of /proc/diskstats.
#[derive(Debug, Default)]
pub struct DeviceReading {
    /// The kernel's name.
    pub name: String,
    /// Completed reads, reads merged, sectors read, ms reading.
    pub reads: [u64; 4],
    /// Completed writes, writes merged, sectors written, ms writing.
    pub writes: [u64; 4],
    /// Whether the kernel says how long they took. Partitions of old kernels do not.
    pub timed: bool,
    /// What follows, as far as this kernel has it.
    pub rest: [Option<u64>; 9],
}

impl Named for DeviceReading {
    fn name(&self) -> &str {
        &self.name
    }
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
        let mut earlier = Matcher::new(before.map_or(&[][..], |(reading, _)| &reading.devices));
        let elapsed = before.map_or(Duration::ZERO, |(_, elapsed)| elapsed);
        let mut devices = BTreeMap::new();
        for device in now.devices.iter() {
            devices.insert(
                device.name.clone(),
                device_metrics(earlier.find(&device.name), elapsed, device),
            );
        }
        let volume =
            |metrics: &DeviceMetrics| metrics.read_bytes.saturating_add(metrics.write_bytes);
        let truncated = fold_beyond(&mut devices, MAX_DEVICES, ALL_OTHERS, volume, add_device);
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

fn device_metrics(
    before: Option<&DeviceReading>,
    elapsed: Duration,
    now: &DeviceReading,
) -> DeviceMetrics {
    let [read_count, reads_merged, read_sectors, read_time_ms] = now.reads;
    let [write_count, writes_merged, write_sectors, write_time_ms] = now.writes;
    let rate = |unit: f64, of: fn(&DeviceReading) -> u64| {
        scaled_per_second(unit, of(before?), of(now), elapsed)
    };
    let latency = |of: fn(&DeviceReading) -> &[u64; 4]| {
        let before = before.filter(|_| now.timed)?;
        let ([count_before, .., time_before], [count, .., time]) = (of(before), of(now));
        mean_ms((*time_before, *time), (*count_before, *count))
    };
    DeviceMetrics {
        read_bytes: read_sectors.saturating_mul(SECTOR_BYTES),
        write_bytes: write_sectors.saturating_mul(SECTOR_BYTES),
        read_bytes_per_sec: rate(SECTOR_BYTES as f64, |device| device.reads[2]),
        write_bytes_per_sec: rate(SECTOR_BYTES as f64, |device| device.writes[2]),
        read_count,
        write_count,
        read_iops: rate(1.0, |device| device.reads[0]),
        write_iops: rate(1.0, |device| device.writes[0]),
        read_time_ms,
        write_time_ms,
        read_latency_ms: latency(|device| &device.reads),
        write_latency_ms: latency(|device| &device.writes),
        merged: now.timed.then_some([reads_merged, writes_merged]),
        rest: now.rest,
    }
}

/// Adds a device to the sum of the rest. A mean latency of unlike devices says nothing: the rest has none.
fn add_device(sum: &mut DeviceMetrics, one: &DeviceMetrics) {
    let add = |sum: &mut u64, one: u64| *sum = sum.saturating_add(one);
    add(&mut sum.read_bytes, one.read_bytes);
    add(&mut sum.write_bytes, one.write_bytes);
    add(&mut sum.read_count, one.read_count);
    add(&mut sum.write_count, one.write_count);
    add(&mut sum.read_time_ms, one.read_time_ms);
    add(&mut sum.write_time_ms, one.write_time_ms);
    sum_rates(&mut sum.read_bytes_per_sec, one.read_bytes_per_sec);
    sum_rates(&mut sum.write_bytes_per_sec, one.write_bytes_per_sec);
    sum_rates(&mut sum.read_iops, one.read_iops);
    sum_rates(&mut sum.write_iops, one.write_iops);
    sum.read_latency_ms = None;
    sum.write_latency_ms = None;
    for (sum, one) in sum.merged.iter_mut().flatten().zip(one.merged.unwrap_or_default()) {
        add(sum, one);
    }
    for (sum, one) in sum.rest.iter_mut().zip(one.rest) {
        *sum = sum.zip(one).map(|(sum, one)| sum.saturating_add(one));
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
        inodes,
        read_only: partition.read_only,
    }
}

/// Reads /proc/diskstats: `254  0 vda 4475 2398 759498 2273 368 3264 71912 433 0 1188 2892 …`. After the name come
/// 11 counters (since 2.6), 15 with discards (4.18) or 17 with flushes (5.5). Partitions before 2.6.25 have
/// four: reads, sectors read, writes, sectors written. Loop devices are left out.
pub fn parse_diskstats(text: &[u8], into: &mut Rows<DeviceReading>) -> Result<(), Malformed> {
    /// Words of an old partition's line: major, minor, name and four counters.
    const OLD_PARTITION_WORDS: usize = 7;
    into.clear();
    for (index, line) in lines(text) {
        let mut columns = words(line).skip(2);
        let Some(name) = columns.next() else {
            return Err(Malformed::at(index, "no device"));
        };
        if name.starts_with(b"loop") {
            continue;
        }
        let row = into.next_row();
        set_text(&mut row.name, name);
        row.timed =
            words(line).take(OLD_PARTITION_WORDS.saturating_add(1)).count() != OLD_PARTITION_WORDS;
        if !row.timed {
            let mut old = [0; 4];
            fill(&mut old, columns, index)?;
            let [reads, sectors_read, writes, sectors_written] = old;
            row.reads = [reads, 0, sectors_read, 0];
            row.writes = [writes, 0, sectors_written, 0];
            row.rest = Default::default();
        } else {
            fill(&mut row.reads, columns.by_ref(), index)?;
            fill(&mut row.writes, columns.by_ref(), index)?;
            row.rest = std::array::from_fn(|_| columns.next().and_then(number));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diskstats(text: &str) -> Result<DiskReading, Malformed> {
        let mut reading = DiskReading { devices_known: true, ..DiskReading::default() };
        parse_diskstats(text.as_bytes(), &mut reading.devices).map(|()| reading)
    }

    fn device(before: &str, now: &str) -> DeviceMetrics {
        let (before, now) = (diskstats(before).unwrap(), diskstats(now).unwrap());
        let report = Disk::derive(Some((&before, Duration::from_secs(2))), &now);
        report.metrics.devices.unwrap().remove("sda").unwrap()
    }

    #[test]
    fn every_age_of_the_kernel_is_read() {
        let lines = "8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n8 1 sda1 1 3 5 7\n7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n\
                     8 16 sdb 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n8 32 sdc 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\n";
        let reading = diskstats(lines).unwrap();
        let names: Vec<_> = reading.devices.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["sda", "sda1", "sdb", "sdc"]);
        for row in reading.devices.iter().filter(|row| row.name != "sda1") {
            assert_eq!((row.reads, row.writes), ([1, 2, 3, 4], [5, 6, 7, 8]));
            let columns = match row.name.as_str() {
                "sda" => 3,
                "sdb" => 7,
                _ => 9,
            };
            let rest = std::array::from_fn(|n| (n < columns).then_some(n as u64 + 9));
            assert_eq!(row.rest, rest, "{}", row.name);
        }
        assert_eq!(reading.devices[1].reads, [1, 0, 3, 0]);
        assert_eq!(reading.devices[1].writes, [5, 0, 7, 0]);
        assert_eq!(reading.devices[1].rest, [None; 9]);
    }

    #[test]
    fn latency_is_the_mean_over_the_interval() {
        let device = device(
            "8 0 sda 10 0 100 50 10 0 0 70 0 0 0\n",
            "8 0 sda 14 0 300 60 10 0 0 70 0 0 0\n",
        );
        assert_eq!((device.read_latency_ms, device.write_latency_ms), (Some(2.5), None));
        assert_eq!((device.read_iops, device.read_bytes_per_sec), (Some(2.0), Some(51_200.0)));
        assert_eq!((device.read_bytes, device.read_time_ms), (300 * 512, 60));
    }

    #[test]
    fn a_device_that_was_made_anew_has_no_rates() {
        let device =
            device("8 0 sda 10 0 100 50 1 0 8 70 0 0 0\n", "8 0 sda 1 0 8 1 2 0 16 80 0 0 0\n");
        assert_eq!((device.read_iops, device.read_latency_ms), (None, None));
        assert_eq!(device.write_latency_ms, Some(10.0));
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        for (text, says) in [
            ("8 0\n", "1: no device"),
            ("8 0 sda\n", "1: expected 4 counters, found 0"),
            ("8 0 sda 1 2 3 4 5 6 7 x\n", "1: not a number: x"),
        ] {
            assert_eq!(diskstats(text).unwrap_err().to_string(), says);
        }
    }
}
