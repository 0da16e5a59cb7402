//! What is far from the same hour of other days. Told only when nothing else is said of the resource.

use crate::rule::{Rule, Test, above, far_above, far_below, must, told};
use crate::sentence::Kind::Unusual;
use crate::sentence::Resource::{self, Cpu, Disk, Memory, Network};
use crate::sentence::Severity::Notice;

const MIB: f64 = (1_u64 << 20) as f64;

const WHY: &str = "Out of the p10 to p90 of the same clock hour of at least three of the last seven days, by twice its width, by as much as \
                   its upper end and by a floor below which a change does not matter.";

const fn unusual(
    name: &'static str,
    resource: Resource,
    head: &'static str,
    signals: &'static [crate::rule::Signal],
) -> Rule {
    Rule::new(name, (resource, Unusual, Notice), head, signals, WHY).hold(120)
}

const BUSY: Test = far_above(30.0);

pub(crate) const RULES: &[Rule] = &[
    // A build of some minutes is nothing to speak of.
    unusual(
        "cpu-unusual",
        Cpu,
        "CPUs are far busier than usual at this hour",
        &[must("cpu.usage_percent", BUSY, "{}")],
    )
    .hold(600),
    unusual(
        "switches-unusual",
        Cpu,
        "CPUs switch between threads far more often than usual at this hour",
        &[must("scheduler.context_switches_per_sec", far_above(50_000.0), "{} times a second")],
    ),
    unusual(
        "memory-unusual",
        Memory,
        "Far more memory is in use than usual at this hour",
        &[
            must("memory.usage_percent", far_above(25.0), "{}"),
            told("memory.used_bytes", "which are {}"),
        ],
    ),
    unusual(
        "disk-unusual",
        Disk,
        "Disk {} reads far more than usual at this hour",
        &[
            must("disk.devices.read_bytes_per_sec", far_above(20.0 * MIB), "{}"),
            must("disk.devices.utilization_percent", above(30.0, 20.0), "busy {} of the time"),
        ],
    )
    .each("device"),
    unusual(
        "disk-writes-unusual",
        Disk,
        "Disk {} writes far more than usual at this hour",
        &[
            must("disk.devices.write_bytes_per_sec", far_above(20.0 * MIB), "{}"),
            must("disk.devices.utilization_percent", above(30.0, 20.0), "busy {} of the time"),
        ],
    )
    .each("device"),
    unusual(
        "traffic-unusual",
        Network,
        "Interface {} receives far more than usual at this hour",
        &[must("network.interfaces.bytes_recv_per_sec", far_above(10.0 * MIB), "{}")],
    )
    .each("interface"),
    unusual(
        "traffic-missing",
        Network,
        "Interface {} receives far less than usual at this hour",
        &[must("network.interfaces.bytes_recv_per_sec", far_below(0.1 * MIB), "{}")],
    )
    .each("interface"),
    unusual(
        "connections-unusual",
        Network,
        "There are far more TCP connections than usual at this hour",
        &[must("network.connections.tcp_established", far_above(500.0), "{} are open")],
    ),
    unusual(
        "close-wait-unusual",
        Network,
        "Connections that the other side closed are not closed here",
        &[must("network.connections.tcp_close_wait", far_above(100.0), "{} in CLOSE_WAIT")],
    ),
];
