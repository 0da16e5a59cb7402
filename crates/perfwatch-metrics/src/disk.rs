//! Disk: I/O of each block device, and how full each file system is.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `disk` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DiskMetrics {
    /// By the kernel's name. Null when the table could not be read.
    pub devices: Option<BTreeMap<String, DeviceMetrics>>,
    /// By mount point. Null when the table of mounts could not be read.
    pub partitions: Option<BTreeMap<String, PartitionMetrics>>,
}

impl DiskMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        for (name, device) in self.devices.iter().flatten() {
            device.visit(name, each);
        }
        for (mountpoint, partition) in self.partitions.iter().flatten() {
            partition.visit(mountpoint, each);
        }
    }
}

metrics! {
    /// One block device or partition of one. Loop devices are left out.
    pub struct DeviceMetrics("disk.devices" by "device") {
        /// Read
        ///
        /// Bytes read since the device appeared. A sector of the kernel's table is 512 bytes on any disk.
        read_bytes: u64 = Counter(Bytes) from "/proc/diskstats",
        /// Written
        ///
        /// Bytes written since the device appeared.
        write_bytes: u64 = Counter(Bytes) from "/proc/diskstats",
        /// Read throughput
        ///
        /// Null on the first sample of a device and after its counter went backwards.
        read_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "/proc/diskstats" as rate(read_bytes),
        /// Write throughput
        ///
        /// Null on the first sample of a device and after its counter went backwards.
        write_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "/proc/diskstats" as rate(write_bytes),
        /// Reads
        ///
        /// Completed read requests since the device appeared, after merging.
        read_count: u64 = Counter(Count) from "/proc/diskstats",
        /// Writes
        ///
        /// Completed write requests since the device appeared, after merging.
        write_count: u64 = Counter(Count) from "/proc/diskstats",
        /// Read IOPS
        ///
        /// Completed read requests per second.
        read_iops: Option<f64> = Gauge(OperationsPerSecond) from "/proc/diskstats" as rate(read_count),
        /// Write IOPS
        ///
        /// Completed write requests per second.
        write_iops: Option<f64> = Gauge(OperationsPerSecond) from "/proc/diskstats" as rate(write_count),
        /// Read time
        ///
        /// Time that all reads took, added up: requests in flight together count together. The kernel keeps it
        /// in 32 bits, so it starts again from 0 after 49.7 days' worth. Partitions have none before kernel
        /// 2.6.25 and show 0.
        read_time_ms: u64 = Counter(Milliseconds) from "/proc/diskstats" as counter32,
        /// Write time
        ///
        /// Time that all writes took, added up, as disk.devices.read_time_ms.
        write_time_ms: u64 = Counter(Milliseconds) from "/proc/diskstats" as counter32,
        /// Read latency
        ///
        /// Mean time of the reads that completed since the last sample, queueing included. Null when none did.
        read_latency_ms: Option<f64> = Gauge(Milliseconds) from "Δread_time_ms / Δread_count"
            as ratio(read_time_ms / read_count) better lower,
        /// Write latency
        ///
        /// Mean time of the writes that completed since the last sample, queueing included. Null when none
        /// did.
        write_latency_ms: Option<f64> = Gauge(Milliseconds) from "Δwrite_time_ms / Δwrite_count"
            as ratio(write_time_ms / write_count) better lower,
        /// Utilisation
        ///
        /// Share of time with any request in flight. An NVMe drive, a RAID or a virtual disk serves many requests at once: there
        /// 100 % does not mean saturated, and queue depth and latency tell more. Since kernel 5.0 whole ticks of the
        /// kernel's clock are counted in which a request began or ended, so that many short requests count for more than they took,
        /// and kernels before 5.18 count a long one when it ends: then more than 100 % makes up for too little before.
        utilization_percent: Option<f64> = Gauge(Percent) from "Δio_time_ms / Δtime" as rate(io_time_ms * 0.1)
            better lower,
        /// Queue depth
        ///
        /// Requests in flight on average since the last sample, those that wait and those that are served. Since kernel
        /// 5.0 the time of a request counts when it ends.
        queue_depth: Option<f64> = Gauge(Count) from "Δweighted_io_time_ms / Δtime" as rate(weighted_io_time_ms * 0.001),
        /// In flight
        ///
        /// Requests in flight at the moment of the sample.
        in_flight: Option<u64> = Gauge(Count) from "/proc/diskstats",
        /// Busy time
        ///
        /// Time with any request in flight. In 32 bits, as disk.devices.read_time_ms.
        io_time_ms: Option<u64> = Counter(Milliseconds) from "/proc/diskstats" as counter32,
        /// Time in flight
        ///
        /// Time that all requests took, added up. In 32 bits, as disk.devices.read_time_ms.
        weighted_io_time_ms: Option<u64> = Counter(Milliseconds) from "/proc/diskstats" as counter32,
        /// Merged reads
        ///
        /// Reads that were merged with a neighbour before they were issued. Null for partitions before kernel 2.6.25, as
        /// all that follows on time.
        reads_merged: Option<u64> = Counter(Count) from "/proc/diskstats",
        /// Merged writes
        ///
        /// Writes that were merged with a neighbour before they were issued.
        writes_merged: Option<u64> = Counter(Count) from "/proc/diskstats",
        /// Merged read rate
        ///
        /// Requests that merging saved, per second.
        reads_merged_per_sec: Option<f64> = Gauge(OperationsPerSecond) from "/proc/diskstats" as rate(reads_merged),
        /// Merged write rate
        ///
        /// Requests that merging saved, per second.
        writes_merged_per_sec: Option<f64> = Gauge(OperationsPerSecond) from "/proc/diskstats" as rate(writes_merged),
        /// Discards
        ///
        /// Completed discards: what is not needed any more, as a file system tells a drive. Null before kernel 4.18, as all on
        /// discards.
        discards: Option<u64> = Counter(Count) from "/proc/diskstats",
        /// Discard IOPS
        ///
        /// Completed discards per second.
        discard_iops: Option<f64> = Gauge(OperationsPerSecond) from "/proc/diskstats" as rate(discards),
        /// Discarded
        ///
        /// Bytes discarded since the device appeared.
        discard_bytes: Option<u64> = Counter(Bytes) from "/proc/diskstats",
        /// Discard throughput
        ///
        /// Null as the counter is.
        discard_bytes_per_sec: Option<f64> = Gauge(BytesPerSecond) from "/proc/diskstats" as rate(discard_bytes),
        /// Discard time
        ///
        /// Time that all discards took, added up, as disk.devices.read_time_ms.
        discard_time_ms: Option<u64> = Counter(Milliseconds) from "/proc/diskstats" as counter32,
        /// Discard latency
        ///
        /// Mean time of the discards that completed since the last sample. Null when none did.
        discard_latency_ms: Option<f64> = Gauge(Milliseconds) from "Δdiscard_time_ms / Δdiscards"
            as ratio(discard_time_ms / discards) better lower,
        /// Flushes
        ///
        /// Completed flushes of the drive's own cache, as fsync asks for. Requests that wait for the same flush share one. Null
        /// before kernel 5.5, as all on flushes; the kernel counts none for partitions.
        flushes: Option<u64> = Counter(Count) from "/proc/diskstats",
        /// Flush IOPS
        ///
        /// Completed flushes per second.
        flush_iops: Option<f64> = Gauge(OperationsPerSecond) from "/proc/diskstats" as rate(flushes),
        /// Flush time
        ///
        /// Time that all flushes took, added up, as disk.devices.read_time_ms.
        flush_time_ms: Option<u64> = Counter(Milliseconds) from "/proc/diskstats" as counter32,
        /// Flush latency
        ///
        /// Mean time of the flushes that completed since the last sample: what fsync waits for at least. Null when none did.
        flush_latency_ms: Option<f64> = Gauge(Milliseconds) from "Δflush_time_ms / Δflushes"
            as ratio(flush_time_ms / flushes) better lower,
    }
    raw {
        /// Discards that were merged with a neighbour before they were issued. None before kernel 4.18.
        discards_merged: Option<u64>,
    }
}

metrics! {
    /// One mounted file system on a real device: network, memory and loop mounts are left out.
    pub struct PartitionMetrics("disk.partitions" by "mountpoint") {
        /// Device
        ///
        /// What is mounted, as the mount table names it.
        device: String = Info(Text) from "/proc/1/mounts, else /proc/self/mounts",
        /// File system type
        ///
        /// The kernel's name of the file system: ext4, xfs, btrfs.
        fstype: String = Info(Text) from "/proc/1/mounts, else /proc/self/mounts",
        /// Mount point
        ///
        /// The directory where it is mounted, the kernel's octal escapes undone. Bytes that are not UTF-8 are
        /// written as \xNN.
        mountpoint: String = Info(Text) from "/proc/1/mounts, else /proc/self/mounts",
        /// Size
        ///
        /// Size of the file system. Null, as all its figures, while the file system does not answer.
        total_bytes: Option<u64> = Gauge(Bytes) from "statvfs: f_blocks × f_frsize",
        /// Used
        ///
        /// Space in use, by anyone.
        used_bytes: Option<u64> = Gauge(Bytes) from "statvfs: (f_blocks - f_bfree) × f_frsize",
        /// Free
        ///
        /// Space that an unprivileged user may still use: what is reserved for root is not in it, so used and
        /// free do not add up to the size.
        free_bytes: Option<u64> = Gauge(Bytes) from "statvfs: f_bavail × f_frsize",
        /// Fill level
        ///
        /// used / (used + free): full when an unprivileged user can write no more. Null for a file system
        /// without blocks.
        usage_percent: Option<f64> = Gauge(Percent) from "used_bytes / (used_bytes + free_bytes)" better lower,
        /// Inodes
        ///
        /// How many files it can hold. Null for a file system without such a limit, such as btrfs.
        inodes_total: Option<u64> = Gauge(Count) from "statvfs: f_files",
        /// Used inodes
        ///
        /// How many there are. Null as their number is.
        inodes_used: Option<u64> = Gauge(Count) from "statvfs: f_files - f_ffree",
        /// Inode fill level
        ///
        /// At 100 % no file can be made, however much space is free.
        inodes_usage_percent: Option<f64> = Gauge(Percent) from "inodes_used / inodes_total" better lower,
        /// Read-only
        ///
        /// Whether the host has it mounted so. ext4 and others make themselves read-only after an error (which ext4 does not
        /// tell between kernels 6.12 and 6.15): it shows after 30 s at most, a remount at once. Of the mount table, for statvfs tells of PerfWatch's own mounts, all of which
        /// systemd may have made read-only.
        read_only: bool = Gauge(Flag) from "/proc/1/mounts, else /proc/self/mounts",
    }
    raw {
        /// f_files and f_ffree of statvfs: inodes, and how many of them are free. None while it does not answer.
        inodes: Option<[u64; 2]>,
    }
}
