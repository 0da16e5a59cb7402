//! The families that every object of a kind has one sample of.

use std::collections::HashMap;

use perfwatch_metrics::cpu::{CpuMetrics, Throttled};
use perfwatch_metrics::disk::{DeviceMetrics, PartitionMetrics};
use perfwatch_metrics::kernel::KernelMetrics;
use perfwatch_metrics::memory::{HostMemory, NodeMetrics};
use perfwatch_metrics::network::{
    ConntrackMetrics, InterfaceMetrics, SocketMetrics, SoftnetCpu, TcpMetrics, UdpCounters,
};
use perfwatch_metrics::pressure::PressureMetrics;
use perfwatch_metrics::scheduler::{HostScheduler, RunQueue};

use super::super::name::shifted;
use super::super::text::Type;
use About::{Metric, Words};

/// A family that every object of a kind has one sample of.
pub(super) struct Node<T> {
    /// Without `_total`.
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) about: About,
    pub(super) value: fn(&T) -> Option<Number>,
}

/// Where the help comes from.
pub(super) enum About {
    /// A metric of the catalog, for which it stands: the same meaning, so that one is not told beside it.
    Metric(&'static str),
    /// There is none.
    Words(&'static str),
}

/// A whole number of units of ten to the power of minus this.
pub(super) struct Number(pub(super) u64, pub(super) i32);

impl Number {
    pub(super) fn written(&self) -> String {
        let digits = self.0.to_string();
        shifted(&digits, self.1.saturating_neg()).unwrap_or(digits)
    }
}

const fn counter<T>(name: &'static str, about: About, value: fn(&T) -> Option<Number>) -> Node<T> {
    Node { name, kind: Type::Counter, about, value }
}

const fn gauge<T>(name: &'static str, about: About, value: fn(&T) -> Option<Number>) -> Node<T> {
    Node { name, kind: Type::Gauge, about, value }
}

const fn unknown<T>(name: &'static str, about: About, value: fn(&T) -> Option<Number>) -> Node<T> {
    Node { name, kind: Type::Unknown, about, value }
}

const fn whole(value: u64) -> Option<Number> {
    Some(Number(value, 0))
}

const fn millis(value: u64) -> Option<Number> {
    Some(Number(value, 3))
}

const fn micros(value: u64) -> Option<Number> {
    Some(Number(value, 6))
}

const fn nanos(value: u64) -> Option<Number> {
    Some(Number(value, 9))
}

/// A load, of which the kernel tells two digits after the point.
fn hundredths(value: f64) -> Option<Number> {
    Some(Number((value * 100.0).round() as u64, 2))
}

pub(super) const ACTIVITY: [Node<CpuMetrics>; 2] = [
    gauge("node_boot_time_seconds", Words("When the host was booted, since the epoch."), |cpu| {
        whole(cpu.activity.boot_time?)
    }),
    counter(
        "node_intr",
        Words("Interrupts since boot, those from one CPU to another left out."),
        |cpu| whole(cpu.activity.interrupts?),
    ),
];

pub(super) const FREQUENCY_LIMIT: [Node<f64>; 1] = [gauge(
    "node_cpu_scaling_frequency_max_hertz",
    Metric("cpu.frequency_limit_mhz"),
    // The kernel tells kHz.
    |mhz| Some(Number((mhz * 1000.0).round() as u64, -3)),
)];

pub(super) const CORE_THROTTLES: [Node<Throttled>; 1] = [counter(
    "node_cpu_core_throttles",
    Words("How often a core was slowed down because it was too hot."),
    |throttled| whole(throttled.count?),
)];

pub(super) const PACKAGE_THROTTLES: [Node<Throttled>; 1] = [counter(
    "node_cpu_package_throttles",
    Words("How often a package was slowed down because it was too hot."),
    |throttled| whole(throttled.count?),
)];

pub(super) const SCHEDULER: [Node<HostScheduler>; 7] = [
    counter("node_context_switches", Metric("scheduler.context_switches"), |scheduler| {
        whole(scheduler.context_switches?)
    }),
    counter("node_forks", Metric("scheduler.forks"), |scheduler| whole(scheduler.forks?)),
    gauge("node_load1", Metric("scheduler.load1"), |scheduler| hundredths(scheduler.load1?)),
    gauge("node_load15", Metric("scheduler.load15"), |scheduler| hundredths(scheduler.load15?)),
    gauge("node_load5", Metric("scheduler.load5"), |scheduler| hundredths(scheduler.load5?)),
    gauge("node_procs_blocked", Metric("scheduler.blocked"), |scheduler| whole(scheduler.blocked?)),
    gauge("node_procs_running", Metric("scheduler.running"), |scheduler| whole(scheduler.running?)),
];

pub(super) const RUN_QUEUES: [Node<RunQueue>; 3] = [
    counter("node_schedstat_running_seconds", Words("Time that tasks ran on a CPU."), |queue| {
        nanos(queue.running_ns)
    }),
    counter("node_schedstat_timeslices", Words("How often a task was put on a CPU."), |queue| {
        whole(queue.timeslices)
    }),
    counter(
        "node_schedstat_waiting_seconds",
        Words("Time that tasks were ready to run on a CPU and did not."),
        |queue| nanos(queue.waiting_ns),
    ),
];

/// There is none for `full` of cpu, so the metrics of the catalog are told as well.
pub(super) const PRESSURE: [Node<PressureMetrics>; 6] = [
    counter("node_pressure_cpu_waiting_seconds", Words("Time some waited for a CPU."), |all| {
        micros(all.resources.get("cpu")?.some_us?)
    }),
    counter("node_pressure_io_stalled_seconds", Words("Time all waited for I/O."), |all| {
        micros(all.resources.get("io")?.full_us?)
    }),
    counter("node_pressure_io_waiting_seconds", Words("Time some waited for I/O."), |all| {
        micros(all.resources.get("io")?.some_us?)
    }),
    counter(
        "node_pressure_irq_stalled_seconds",
        Words("Time all waited while interrupts were served."),
        |all| micros(all.resources.get("irq")?.full_us?),
    ),
    counter("node_pressure_memory_stalled_seconds", Words("Time all waited for memory."), |all| {
        micros(all.resources.get("memory")?.full_us?)
    }),
    counter("node_pressure_memory_waiting_seconds", Words("Time some waited for memory."), |all| {
        micros(all.resources.get("memory")?.some_us?)
    }),
];

pub(super) const VMSTAT: [Node<HostMemory>; 7] = [
    unknown("node_vmstat_oom_kill", Metric("memory.oom_kills"), |memory| whole(memory.oom_kills?)),
    unknown("node_vmstat_pgfault", Metric("memory.pgfault"), |memory| whole(memory.pgfault?)),
    unknown("node_vmstat_pgmajfault", Metric("memory.pgmajfault"), |memory| {
        whole(memory.pgmajfault?)
    }),
    unknown("node_vmstat_pgpgin", Metric("memory.pgpgin"), |memory| whole(memory.pgpgin?)),
    unknown("node_vmstat_pgpgout", Metric("memory.pgpgout"), |memory| whole(memory.pgpgout?)),
    unknown("node_vmstat_pswpin", Metric("memory.pswpin"), |memory| whole(memory.pswpin?)),
    unknown("node_vmstat_pswpout", Metric("memory.pswpout"), |memory| whole(memory.pswpout?)),
];

/// Of each NUMA node. node_exporter has more of them, where it is told to.
pub(super) const NODES: [Node<NodeMetrics>; 5] = [
    gauge("node_memory_numa_MemFree", Metric("memory.nodes.free_bytes"), |node| {
        whole(node.free_bytes)
    }),
    gauge("node_memory_numa_MemTotal", Metric("memory.nodes.total_bytes"), |node| {
        whole(node.total_bytes)
    }),
    counter("node_memory_numa_numa_foreign", Metric("memory.nodes.foreign"), |node| {
        whole(node.foreign?)
    }),
    counter("node_memory_numa_numa_hit", Metric("memory.nodes.hit"), |node| whole(node.hit?)),
    counter("node_memory_numa_numa_miss", Metric("memory.nodes.miss"), |node| whole(node.miss?)),
];

/// Lines of /proc/meminfo that are metrics of the catalog.
pub(super) const MEMINFO: [(&str, &str); 19] = [
    ("MemTotal", "memory.total_bytes"),
    ("MemFree", "memory.free_bytes"),
    ("Buffers", "memory.buffers_bytes"),
    ("SwapTotal", "memory.swap_total_bytes"),
    ("SwapFree", "memory.swap_free_bytes"),
    ("HugePages_Total", "memory.hugepages_total"),
    ("HugePages_Free", "memory.hugepages_free"),
    ("HugePages_Rsvd", "memory.hugepages_reserved"),
    ("Active", "memory.active_bytes"),
    ("Inactive", "memory.inactive_bytes"),
    ("Dirty", "memory.dirty_bytes"),
    ("Writeback", "memory.writeback_bytes"),
    ("SReclaimable", "memory.slab_reclaimable_bytes"),
    ("SUnreclaim", "memory.slab_unreclaimable_bytes"),
    ("Shmem", "memory.shmem_bytes"),
    ("CommitLimit", "memory.commit_limit_bytes"),
    ("Committed_AS", "memory.committed_bytes"),
    ("Zswap", "memory.zswap_pool_bytes"),
    ("Zswapped", "memory.zswap_stored_bytes"),
];

pub(super) const NETWORK: [Node<InterfaceMetrics>; 19] = [
    counter(
        "node_network_carrier_changes",
        Metric("network.interfaces.carrier_changes"),
        |interface| whole(interface.carrier_changes?),
    ),
    counter("node_network_receive_bytes", Metric("network.interfaces.bytes_recv"), |interface| {
        whole(interface.bytes_recv)
    }),
    counter(
        "node_network_receive_compressed",
        Words("Compressed packets received."),
        |interface| whole(interface.receive_rest[2]),
    ),
    counter("node_network_receive_drop", Metric("network.interfaces.drops_in"), |interface| {
        whole(interface.drops_in)
    }),
    counter("node_network_receive_errs", Metric("network.interfaces.errors_in"), |interface| {
        whole(interface.errors_in)
    }),
    counter(
        "node_network_receive_fifo",
        Words("Packets lost because a receive buffer of the device was full."),
        |interface| whole(interface.receive_rest[0]),
    ),
    counter(
        "node_network_receive_frame",
        Words("Packets received with a bad length, checksum or alignment."),
        |interface| whole(interface.receive_rest[1]),
    ),
    counter("node_network_receive_multicast", Words("Multicast packets received."), |interface| {
        whole(interface.receive_rest[3])
    }),
    counter(
        "node_network_receive_packets",
        Metric("network.interfaces.packets_recv"),
        |interface| whole(interface.packets_recv),
    ),
    gauge(
        "node_network_speed_bytes",
        Metric("network.interfaces.link_bytes_per_sec"),
        |interface| whole(interface.link_bytes_per_sec?),
    ),
    counter("node_network_transmit_bytes", Metric("network.interfaces.bytes_sent"), |interface| {
        whole(interface.bytes_sent)
    }),
    counter(
        "node_network_transmit_carrier",
        Words("Packets not sent because the link was lost."),
        |interface| whole(interface.transmit_rest[2]),
    ),
    counter("node_network_transmit_colls", Words("Collisions while sending."), |interface| {
        whole(interface.transmit_rest[1])
    }),
    counter("node_network_transmit_compressed", Words("Compressed packets sent."), |interface| {
        whole(interface.transmit_rest[3])
    }),
    counter("node_network_transmit_drop", Metric("network.interfaces.drops_out"), |interface| {
        whole(interface.drops_out)
    }),
    counter("node_network_transmit_errs", Metric("network.interfaces.errors_out"), |interface| {
        whole(interface.errors_out)
    }),
    counter(
        "node_network_transmit_fifo",
        Words("Packets lost because a send buffer of the device ran empty."),
        |interface| whole(interface.transmit_rest[0]),
    ),
    counter(
        "node_network_transmit_packets",
        Metric("network.interfaces.packets_sent"),
        |interface| whole(interface.packets_sent),
    ),
    gauge("node_network_up", Words("1 when the operational state is up."), |interface| {
        whole(u64::from(interface.operstate? == "up"))
    }),
];

pub(super) const TCP: [Node<TcpMetrics>; 7] = [
    unknown("node_netstat_TcpExt_ListenDrops", Metric("network.tcp.listen_drops"), |tcp| {
        whole(tcp.listen_drops?)
    }),
    unknown("node_netstat_TcpExt_ListenOverflows", Metric("network.tcp.listen_overflows"), |tcp| {
        whole(tcp.listen_overflows?)
    }),
    unknown("node_netstat_TcpExt_SyncookiesSent", Metric("network.tcp.syn_cookies_sent"), |tcp| {
        whole(tcp.syn_cookies_sent?)
    }),
    unknown(
        "node_netstat_Tcp_CurrEstab",
        Words("TCP connections in ESTABLISHED or CLOSE_WAIT."),
        |tcp| whole(tcp.established?),
    ),
    unknown("node_netstat_Tcp_OutRsts", Metric("network.tcp.resets_sent"), |tcp| {
        whole(tcp.resets_sent?)
    }),
    unknown("node_netstat_Tcp_OutSegs", Metric("network.tcp.segments_sent"), |tcp| {
        whole(tcp.segments_sent?)
    }),
    unknown("node_netstat_Tcp_RetransSegs", Metric("network.tcp.retransmits"), |tcp| {
        whole(tcp.retransmits?)
    }),
];

macro_rules! udp {
    ($protocol:literal) => {
        [
            unknown(
                concat!("node_netstat_", $protocol, "_InDatagrams"),
                Words("UDP datagrams that programs took."),
                |udp| whole(udp.datagrams_in?),
            ),
            unknown(
                concat!("node_netstat_", $protocol, "_InErrors"),
                Words("UDP datagrams that could not be delivered."),
                |udp| whole(udp.in_errors?),
            ),
            unknown(
                concat!("node_netstat_", $protocol, "_NoPorts"),
                Words("UDP datagrams for ports on which no socket is bound."),
                |udp| whole(udp.no_ports?),
            ),
            unknown(
                concat!("node_netstat_", $protocol, "_OutDatagrams"),
                Words("UDP datagrams sent."),
                |udp| whole(udp.datagrams_out?),
            ),
            unknown(
                concat!("node_netstat_", $protocol, "_RcvbufErrors"),
                Words("UDP datagrams thrown away because the socket's buffer was full."),
                |udp| whole(udp.receive_buffer_errors?),
            ),
            unknown(
                concat!("node_netstat_", $protocol, "_SndbufErrors"),
                Words("UDP datagrams that were not sent for want of room."),
                |udp| whole(udp.send_buffer_errors?),
            ),
        ]
    };
}

/// Of IPv4 and of IPv6: the catalog has their sums.
pub(super) const UDP: [[Node<UdpCounters>; 6]; 2] = [udp!("Udp"), udp!("Udp6")];

pub(super) const SOFTNET: [Node<SoftnetCpu>; 3] = [
    counter(
        "node_softnet_dropped",
        Words("Packets thrown away because the CPU's queue of received packets was full."),
        |cpu| whole(cpu.dropped.into()),
    ),
    counter("node_softnet_processed", Words("Packets taken in by the CPU."), |cpu| {
        whole(cpu.processed.into())
    }),
    counter(
        "node_softnet_times_squeezed",
        Words("How often the CPU had more packets to take in than one go allows."),
        |cpu| whole(cpu.squeezed.into()),
    ),
];

pub(super) const CONNTRACK: [Node<ConntrackMetrics>; 2] = [
    gauge("node_nf_conntrack_entries", Metric("network.conntrack.entries"), |conntrack| {
        whole(conntrack.entries)
    }),
    gauge("node_nf_conntrack_entries_limit", Metric("network.conntrack.limit"), |conntrack| {
        whole(conntrack.limit?)
    }),
];

pub(super) const SOCKETS: [Node<SocketMetrics>; 4] = [
    gauge("node_sockstat_TCP_mem_bytes", Metric("network.sockets.tcp_memory_bytes"), |sockets| {
        whole(sockets.tcp_memory_bytes?)
    }),
    gauge("node_sockstat_TCP_orphan", Metric("network.sockets.orphaned"), |sockets| {
        whole(sockets.orphaned?)
    }),
    gauge("node_sockstat_UDP_mem_bytes", Metric("network.sockets.udp_memory_bytes"), |sockets| {
        whole(sockets.udp_memory_bytes?)
    }),
    gauge("node_sockstat_sockets_used", Metric("network.sockets.used"), |sockets| {
        whole(sockets.used?)
    }),
];

pub(super) const KERNEL: [Node<KernelMetrics>; 4] = [
    gauge("node_entropy_available_bits", Metric("kernel.entropy_bits"), |kernel| {
        whole(kernel.entropy_bits?)
    }),
    gauge("node_filefd_allocated", Metric("kernel.open_files"), |kernel| whole(kernel.open_files?)),
    gauge("node_filefd_maximum", Metric("kernel.open_files_limit"), |kernel| {
        whole(kernel.open_files_limit?)
    }),
    gauge("node_timex_sync_status", Metric("kernel.clock_synchronized"), |kernel| {
        whole(kernel.clock_synchronized?.into())
    }),
];

/// Of each memory controller.
pub(super) const CONTROLLER: [Node<[u64; 2]>; 2] = [
    counter(
        "node_edac_correctable_errors",
        Words("Errors of the controller's memory that were put right."),
        |[corrected, _]| whole(*corrected),
    ),
    counter(
        "node_edac_uncorrectable_errors",
        Words("Errors of the controller's memory that could not be put right."),
        |[_, uncorrected]| whole(*uncorrected),
    ),
];

pub(super) const DISK: [Node<DeviceMetrics>; 17] = [
    counter("node_disk_discard_time_seconds", Metric("disk.devices.discard_time_ms"), |device| {
        millis(device.discard_time_ms?)
    }),
    counter("node_disk_discarded_sectors", Words("Sectors of 512 bytes discarded."), |device| {
        whole(device.discard_bytes? / 512)
    }),
    counter("node_disk_discards_completed", Metric("disk.devices.discards"), |device| {
        whole(device.discards?)
    }),
    counter(
        "node_disk_discards_merged",
        Words("Discards merged with a neighbour before they were issued."),
        |device| whole(device.discards_merged?),
    ),
    counter("node_disk_flush_requests", Metric("disk.devices.flushes"), |device| {
        whole(device.flushes?)
    }),
    counter(
        "node_disk_flush_requests_time_seconds",
        Metric("disk.devices.flush_time_ms"),
        |device| millis(device.flush_time_ms?),
    ),
    gauge("node_disk_io_now", Metric("disk.devices.in_flight"), |device| whole(device.in_flight?)),
    counter("node_disk_io_time_seconds", Metric("disk.devices.io_time_ms"), |device| {
        millis(device.io_time_ms?)
    }),
    counter(
        "node_disk_io_time_weighted_seconds",
        Metric("disk.devices.weighted_io_time_ms"),
        |device| millis(device.weighted_io_time_ms?),
    ),
    counter("node_disk_read_bytes", Metric("disk.devices.read_bytes"), |device| {
        whole(device.read_bytes)
    }),
    counter("node_disk_read_time_seconds", Metric("disk.devices.read_time_ms"), |device| {
        millis(device.reads_merged.map(|_| device.read_time_ms)?)
    }),
    counter("node_disk_reads_completed", Metric("disk.devices.read_count"), |device| {
        whole(device.read_count)
    }),
    counter("node_disk_reads_merged", Metric("disk.devices.reads_merged"), |device| {
        whole(device.reads_merged?)
    }),
    counter("node_disk_write_time_seconds", Metric("disk.devices.write_time_ms"), |device| {
        millis(device.writes_merged.map(|_| device.write_time_ms)?)
    }),
    counter("node_disk_writes_completed", Metric("disk.devices.write_count"), |device| {
        whole(device.write_count)
    }),
    counter("node_disk_writes_merged", Metric("disk.devices.writes_merged"), |device| {
        whole(device.writes_merged?)
    }),
    counter("node_disk_written_bytes", Metric("disk.devices.write_bytes"), |device| {
        whole(device.write_bytes)
    }),
];

pub(super) const FILESYSTEM: [Node<PartitionMetrics>; 7] = [
    gauge("node_filesystem_avail_bytes", Metric("disk.partitions.free_bytes"), |partition| {
        whole(partition.free_bytes?)
    }),
    gauge(
        "node_filesystem_device_error",
        Words("1 when the file system did not say how full it is."),
        |partition| whole(u64::from(partition.total_bytes.is_none())),
    ),
    gauge("node_filesystem_files", Metric("disk.partitions.inodes_total"), |partition| {
        whole(partition.inodes?[0])
    }),
    gauge("node_filesystem_files_free", Words("Free inodes."), |partition| {
        whole(partition.inodes?[1])
    }),
    gauge("node_filesystem_free_bytes", Words("Free space, for root."), |partition| {
        whole(partition.total_bytes?.checked_sub(partition.used_bytes?)?)
    }),
    gauge("node_filesystem_readonly", Metric("disk.partitions.read_only"), |partition| {
        whole(u64::from(partition.read_only))
    }),
    gauge("node_filesystem_size_bytes", Metric("disk.partitions.total_bytes"), |partition| {
        whole(partition.total_bytes?)
    }),
];

/// What the labels of `node_filesystem_*` say.
const FILESYSTEM_LABELS: [&str; 3] =
    ["disk.partitions.device", "disk.partitions.fstype", "disk.partitions.mountpoint"];

/// The metrics of the catalog that families here stand for, and what carries their values.
pub(in crate::prometheus) fn stood_for() -> HashMap<&'static str, String> {
    fn of<T>(nodes: &'static [Node<T>]) -> impl Iterator<Item = (&'static str, String)> {
        nodes.iter().filter_map(|node| match node.about {
            Metric(id) => {
                let total = if node.kind == Type::Counter { "_total" } else { "" };
                Some((id, format!("{}{total}", node.name)))
            }
            Words(_) => None,
        })
    }
    let of_network = of(&NETWORK).chain(of(&TCP)).chain(of(&CONNTRACK)).chain(of(&SOCKETS));
    let of_disk = of(&DISK).chain(of(&FILESYSTEM));
    let of_memory = of(&VMSTAT).chain(of(&NODES));
    let families = of_memory.chain(of_network).chain(of_disk).chain(of(&KERNEL));
    let meminfo = MEMINFO.map(|(line, id)| {
        let unit = if line.starts_with("HugePages_") { "" } else { "_bytes" };
        (id, format!("node_memory_{line}{unit}"))
    });
    let labels = FILESYSTEM_LABELS.map(|id| (id, "node_filesystem_size_bytes".to_owned()));
    let families = families.chain(of(&SCHEDULER)).chain(of(&FREQUENCY_LIMIT));
    families.chain(meminfo).chain(labels).collect()
}
