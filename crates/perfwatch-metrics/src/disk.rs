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
            as ratio(read_time_ms / read_count),
        /// Write latency
        ///
        /// Mean time of the writes that completed since the last sample, queueing included. Null when none
        /// did.
        write_latency_ms: Option<f64> = Gauge(Milliseconds) from "Δwrite_time_ms / Δwrite_count"
            as ratio(write_time_ms / write_count),
    }
    raw {
        /// Reads and writes that were merged with a neighbour before they were issued. None for partitions of kernels
        /// before 2.6.25, which have no times either.
        merged: Option<[u64; 2]>,
        /// The columns of /proc/diskstats after those of writes: requests in flight, ms with any in flight, ms that all
        /// took; since 4.18 discards completed, merged, their sectors, their ms; since 5.5 flushes, their ms.
        rest: [Option<u64>; 9],
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
        usage_percent: Option<f64> = Gauge(Percent) from "used_bytes / (used_bytes + free_bytes)",
    }
    raw {
        /// f_files and f_ffree of statvfs: inodes, and how many of them are free. None while it does not answer.
        inodes: Option<[u64; 2]>,
        /// Whether the host has it mounted read-only. Of the mount table: statvfs tells of PerfWatch's own namespace, where
        /// systemd may have made everything read-only.
        read_only: bool,
    }
}
