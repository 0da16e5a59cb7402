//! Situations that cannot be caused here.

use super::made::{GIB, Made};

/// A situation: its name, what makes it of an idle host so many seconds before the end, and the rules that must speak.
pub(super) type Situation = (&'static str, fn(&mut Made, i64), &'static [&'static str]);

pub(super) const SITUATIONS: &[Situation] = &[
    ("an idle host", |_, _| {}, &[]),
    (
        "a build with as many jobs as CPUs",
        |made, ago_s| {
            if ago_s < 240 {
                made.set("cpu.usage_percent", 97.0)
                    .set("cpu.system", 18.0)
                    .set("scheduler.forks", 90.0)
                    .set("scheduler.run_queue_wait_us", 8e5)
                    .pressure("some_us{resource=\"cpu\"}", 45.0)
                    .pressure("some_us{resource=\"io\"}", 6.0)
                    .set("disk.devices.io_time_ms", 250.0)
                    .set("disk.devices.weighted_io_time_ms", 900.0);
            }
        },
        &[],
    ),
    (
        "CPU burners",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_cpus();
            }
        },
        &["cpu-saturated"],
    ),
    (
        "burners in a control group with a quota",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_cpus()
                    .set("cgroups.slices.throttled_us", 8e5)
                    .set("cgroups.slices.cpu_us", 1.9e6);
            }
        },
        &["cgroup-throttled"],
    ),
    (
        "a fork storm",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_cpus().set("scheduler.forks", 2_400.0).set("cpu.system", 70.0);
            }
        },
        &["fork-storm"],
    ),
    (
        "a greedy neighbour",
        |made, ago_s| {
            if ago_s < 120 {
                made.set("cpu.steal", 30.0);
            }
        },
        &["cpu-stolen"],
    ),
    (
        "CPUs that are too hot",
        |made, ago_s| {
            if ago_s < 120 {
                made.set("cpu.throttles", 2.0);
            }
        },
        &["cpu-overheats"],
    ),
    (
        "reclaim that shows as I/O",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_disk()
                    .pressure("some_us{resource=\"memory\"}", 60.0)
                    .pressure("full_us{resource=\"memory\"}", 40.0)
                    .set("memory.direct_reclaims", 300.0)
                    .set("memory.refaults", 9_000.0)
                    .set("memory.usage_percent", 97.0)
                    .set("memory.available_bytes", 5e8);
            }
        },
        &["memory-pressure"],
    ),
    (
        "a process that is killed for memory",
        |made, ago_s| {
            if ago_s < 120 {
                made.pressure("full_us{resource=\"memory\"}", 40.0);
            }
            if ago_s == 60 {
                made.set("memory.oom_kills", 0.2);
            }
        },
        &["oom-kill"],
    ),
    (
        "swapping",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_disk().set("memory.pswpin", 800.0).set("memory.pswpout", 500.0);
            }
        },
        &["swapping"],
    ),
    (
        "a disk with a queue",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_disk();
            }
        },
        &["disk-saturated"],
    ),
    (
        "I/O that no disk explains",
        |made, ago_s| {
            if ago_s < 120 {
                made.pressure("full_us{resource=\"io\"}", 70.0);
            }
        },
        &["io-stalled"],
    ),
    (
        "a full file system",
        |made, _| {
            made.set("disk.partitions.usage_percent", 99.5).set("disk.partitions.free_bytes", 2e8);
        },
        &["fs-full"],
    ),
    (
        "no inodes",
        |made, _| {
            made.set("disk.partitions.inodes_usage_percent", 98.0);
        },
        &["inodes-full"],
    ),
    (
        "a file system that was mounted anew, read-only",
        |made, ago_s| {
            if ago_s < 100 {
                made.set("disk.partitions.read_only", 1.0);
            }
        },
        &["fs-read-only"],
    ),
    (
        "a log that runs away",
        |made, ago_s| {
            let used = 99.0 * GIB - ago_s as f64 * GIB / 400.0;
            made.set("disk.partitions.used_bytes", used.round());
            made.set("disk.partitions.free_bytes", (100.0 * GIB - used).round());
            made.set("disk.partitions.usage_percent", used / GIB);
        },
        &["fs-full"],
    ),
    (
        "an accept queue that overflows",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.tcp.listen_overflows", 3.0).set("network.tcp.listen_drops", 3.0);
            }
        },
        &["listen-overflow"],
    ),
    (
        "datagrams that nobody reads",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.udp.receive_buffer_errors", 500.0);
            }
        },
        &["udp-receive-errors"],
    ),
    (
        "a bad cable",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.errors_in", 3.0);
            }
        },
        &["interface-errors"],
    ),
    (
        "drops",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.drops_in", 300.0);
            }
        },
        &["interface-drops"],
    ),
    (
        "a backlog that is full",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.softnet.dropped", 9.0);
            }
        },
        &["softnet-drops"],
    ),
    (
        "a lossy path",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.tcp.retransmit_percent", 12.0);
            }
        },
        &["retransmits"],
    ),
    (
        "a full link",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.link_utilization_percent", 96.0);
            }
        },
        &["link-saturated"],
    ),
    (
        "a loose plug",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.carrier_changes", 0.2);
                made.set("network.interfaces.link_up", f64::from(u8::from(ago_s % 10 == 0)));
            }
        },
        &["link-flaps"],
    ),
    (
        "an unplugged cable",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.link_up", 0.0);
            }
        },
        &["link-down"],
    ),
    (
        "too many connections",
        |made, _| {
            made.set("network.conntrack.usage_percent", 97.0);
        },
        &["conntrack-full"],
    ),
    (
        "a leak of descriptors",
        |made, _| {
            made.set("kernel.open_files_percent", 90.0);
        },
        &["open-files"],
    ),
    (
        "a leak of threads",
        |made, _| {
            made.set("kernel.threads_percent", 90.0);
        },
        &["threads"],
    ),
    (
        "a clock without a server",
        |made, ago_s| {
            if ago_s < 120 {
                made.set("kernel.clock_synchronized", 0.0);
            }
        },
        &["clock-unsynchronized"],
    ),
    (
        "a failing memory module",
        |made, ago_s| {
            if ago_s == 60 {
                made.set("kernel.hardware_errors_uncorrected", 0.2);
            }
        },
        &["hardware-errors"],
    ),
    (
        "several troubles",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_disk()
                    .set("network.tcp.listen_overflows", 3.0)
                    .set("kernel.threads_percent", 97.0);
            }
        },
        &["threads", "listen-overflow", "disk-saturated"],
    ),
    (
        "trouble that is over",
        |made, ago_s| {
            if (400..600).contains(&ago_s) {
                made.busy_disk().busy_cpus();
            }
        },
        &[],
    ),
];
