//! Disks and file systems.

use crate::rule::{Rule, above, below, far_above, if_there, must, one_of, told};
use crate::sentence::Kind::{Errors, Forecast, Saturation, Unusual, Utilisation};
use crate::sentence::Resource::Disk;
use crate::sentence::Severity::{Critical, Notice, Warning};

const GIB: f64 = (1_u64 << 30) as f64;

/// From events: a part of the disk section is late.
pub(crate) static MOUNT_STUCK: Rule = Rule::new(
    "mount-stuck",
    (Disk, Errors, Critical),
    "The file system at {} does not answer",
    &[],
    "statvfs has not come back within its 10 ms, for half a minute at least: a dead NFS server or FUSE daemon. Whoever touches a file \
     there hangs as well.",
)
.each("mountpoint")
.hides(&["io-stalled"]);

/// From days of history: see `forecast.rs`.
pub(crate) static FILL_FORECAST: Rule = Rule::new(
    "fs-fills",
    (Disk, Forecast, Notice),
    "{} will be full",
    &[],
    "Theil–Sen slope of the bytes in use (the median of the slopes of all pairs of points, which a third of wrong ones does not move), \
     over seven days in steps of an hour and over the last half hour. Four of five pairs must rise, the newest quarter too. A trend is carried on for at most \
     four times the time that it was seen for. Under a day is critical, under a week a warning, under a month a notice.",
)
.each("mountpoint");

pub(crate) const RULES: &[Rule] = &[
    Rule::new(
        "disk-saturated",
        (Disk, Saturation, Warning),
        "Disk {} is saturated",
        &[
            must("disk.devices.utilization_percent", above(80.0, 60.0), "busy {} of the time"),
            must("disk.devices.queue_depth", above(2.0, 1.2), "{} requests in flight on average"),
            one_of("pressure.resources.some_percent", above(10.0, 5.0), "something waits for I/O {} of the time")
                .of("resource", "io"),
            one_of("disk.devices.queue_depth", above(16.0, 8.0), ""),
            told("disk.devices.read_latency_ms", "a read takes {}"),
            told("disk.devices.write_latency_ms", "a write takes {}"),
        ],
        "USE method: saturation is the queue. Utilisation alone says little of what serves requests in parallel (NVMe, RAID), so it \
         decides only together with requests that wait, and tasks that wait for them or a long queue: PSI does not see who waits for asynchronous I/O.",
    )
    .each("device")
    .hides(&["io-stalled", "disk-slow"]),
    Rule::new(
        "disk-slow",
        (Disk, Unusual, Warning),
        "Disk {} has become slow",
        &[
            one_of("disk.devices.read_latency_ms", far_above(20.0), "a read takes {}"),
            one_of("disk.devices.write_latency_ms", far_above(20.0), "a write takes {}"),
            told("disk.devices.queue_depth", "{} requests in flight on average"),
        ],
        "Far above the latency of the same hour on other days, by 20 ms at least: two turns of a hard disk.",
    )
    .each("device")
    .hold(60)
    .hides(&["io-stalled"]),
    Rule::new(
        "io-stalled",
        (Disk, Saturation, Warning),
        "Work stands still for I/O",
        &[
            must("pressure.resources.full_percent", above(20.0, 10.0), "everything waits for it {} of the time")
                .of("resource", "io"),
            told("cpu.iowait", "CPUs idle {} of the time meanwhile"),
        ],
        "PSI: full is the share of time in which all tasks that are not idle wait for I/O. No disk shows why: a limit of a control group, a \
         network file system, or a disk that is not reported.",
    ),
    Rule::new(
        "fs-full",
        (Disk, Utilisation, Warning),
        "The file system at {} is nearly full",
        &[
            must("disk.partitions.usage_percent", above(95.0, 93.0), "{} used").level(),
            must("disk.partitions.free_bytes", below(20.0 * GIB, 25.0 * GIB), "{} free").level(),
            if_there("disk.partitions.read_only", below(0.5, 0.5), "").level(),
        ],
        "The last 5 % are where allocation gets slow and writers begin to fail; of a large one they are room enough, so less than 20 GiB must \
         be left as well. Images that are read-only are always full.",
    )
    .each("mountpoint")
    .at_once()
    .critical(99.0)
    .hides(&["fs-fills"]),
    Rule::new(
        "inodes-full",
        (Disk, Utilisation, Warning),
        "The file system at {} runs out of inodes",
        &[
            must("disk.partitions.inodes_usage_percent", above(95.0, 93.0), "{} used").level(),
            told("disk.partitions.inodes_total", "of {}").level(),
            if_there("disk.partitions.read_only", below(0.5, 0.5), "").level(),
        ],
        "Without an inode no file can be made, however much space is left.",
    )
    .each("mountpoint")
    .at_once()
    .critical(99.0),
    Rule::new(
        "fs-read-only",
        (Disk, Errors, Critical),
        "The file system at {} has become read-only",
        &[must("disk.partitions.read_only", above(0.5, 0.5), "").level()],
        "ext4 (errors=remount-ro) and XFS do so after an error of the disk.",
    )
    .each("mountpoint")
    .at_once()
    .news(),
];
