//! Network: traffic and link of each interface, sockets by state, and what the protocols had to drop.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `network` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkMetrics {
    /// By name. Loopback is left out. Null when the table could not be read.
    pub interfaces: Option<BTreeMap<String, InterfaceMetrics>>,
    /// Null when the kernel would not say.
    pub connections: Option<ConnectionMetrics>,
    /// Null when /proc/net/softnet_stat could not be read.
    pub softnet: Option<SoftnetMetrics>,
    /// Null when /proc/net/snmp could not be read.
    pub tcp: Option<TcpMetrics>,
    /// Null when /proc/net/snmp could not be read.
    pub udp: Option<UdpMetrics>,
    /// Null on a host that does not track connections.
    pub conntrack: Option<ConntrackMetrics>,
    /// Null when /proc/net/sockstat could not be read.
    pub sockets: Option<SocketMetrics>,
}

impl NetworkMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        for (name, interface) in self.interfaces.iter().flatten() {
            interface.visit(name, each);
        }
        if let Some(connections) = &self.connections {
            connections.visit(each);
        }
        if let Some(softnet) = &self.softnet {
            softnet.visit(each);
        }
        if let Some(tcp) = &self.tcp {
            tcp.visit(each);
        }
        if let Some(udp) = &self.udp {
            udp.visit(each);
        }
        if let Some(conntrack) = &self.conntrack {
            conntrack.visit(each);
        }
        if let Some(sockets) = &self.sockets {
            sockets.visit(each);
        }
    }
}

metrics! {
    /// One network interface. Loopback is left out.
    pub struct InterfaceMetrics("network.interfaces" by "interface") {
        /// Sent
        ///
        /// Bytes transmitted since the interface was made.
        bytes_sent: u64 = Counter(Bytes) from "/proc/net/dev",
        /// Received
        ///
        /// Bytes received since the interface was made.
        bytes_recv: u64 = Counter(Bytes) from "/proc/net/dev",
        /// Send rate
        ///
        /// Null on the first sample of an interface and after its counter went backwards.
        bytes_sent_per_sec: Option<f64> = Gauge(BytesPerSecond) from "/proc/net/dev" as rate(bytes_sent),
        /// Receive rate
        ///
        /// Null on the first sample of an interface and after its counter went backwards.
        bytes_recv_per_sec: Option<f64> = Gauge(BytesPerSecond) from "/proc/net/dev" as rate(bytes_recv),
        /// Packets sent
        ///
        /// Packets transmitted since the interface was made.
        packets_sent: u64 = Counter(Count) from "/proc/net/dev",
        /// Packets received
        ///
        /// Packets received since the interface was made.
        packets_recv: u64 = Counter(Count) from "/proc/net/dev",
        /// Packet send rate
        ///
        /// Null on the first sample of an interface and after its counter went backwards.
        packets_sent_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/dev" as rate(packets_sent),
        /// Packet receive rate
        ///
        /// Null on the first sample of an interface and after its counter went backwards.
        packets_recv_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/dev" as rate(packets_recv),
        /// Receive errors
        ///
        /// Packets that arrived damaged, such as with a bad checksum or length. A cable, a port or a driver
        /// is at fault.
        errors_in: u64 = Counter(Count) from "/proc/net/dev" better lower,
        /// Transmit errors
        ///
        /// Packets that could not be sent.
        errors_out: u64 = Counter(Count) from "/proc/net/dev" better lower,
        /// Receive drops
        ///
        /// Packets that arrived whole and were thrown away, for want of buffers or of a protocol that would
        /// take them.
        drops_in: u64 = Counter(Count) from "/proc/net/dev" better lower,
        /// Transmit drops
        ///
        /// Packets thrown away before they were sent, such as from a full queue.
        drops_out: u64 = Counter(Count) from "/proc/net/dev" better lower,
        /// Receive error rate
        ///
        /// Packets per second that arrived damaged.
        errors_in_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/dev" as rate(errors_in) better lower,
        /// Transmit error rate
        ///
        /// Packets per second that could not be sent.
        errors_out_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/dev" as rate(errors_out)
            better lower,
        /// Receive drop rate
        ///
        /// Packets per second that arrived whole and were thrown away.
        drops_in_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/dev" as rate(drops_in) better lower,
        /// Transmit drop rate
        ///
        /// Packets per second that were thrown away before they were sent.
        drops_out_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/dev" as rate(drops_out) better lower,
        /// Link up
        ///
        /// Whether packets can pass: the operational state is up, or unknown with a carrier, as of interfaces whose
        /// driver keeps no state. Null when neither netlink nor /sys/class/net tells.
        link_up: Option<bool> = Gauge(Flag) from "IFLA_OPERSTATE of RTM_GETLINK, else operstate of /sys/class/net",
        /// Operational state
        ///
        /// The kernel's word, after RFC 2863: up, down, dormant, lowerlayerdown, notpresent, testing, unknown.
        operstate: Option<&'static str> = Info(Text)
            from "IFLA_OPERSTATE of RTM_GETLINK, else operstate of /sys/class/net",
        /// Link speed
        ///
        /// What the link carries in one direction at most, in bytes per second. Null where the driver does not know,
        /// as of most virtual machines, and of a link that is down. Virtual interfaces such as veth name a speed that
        /// limits nothing.
        link_bytes_per_sec: Option<u64> = Gauge(BytesPerSecond) from "speed of /sys/class/net × 125,000",
        /// Duplex
        ///
        /// full, or half where sending and receiving take turns. Null where the driver does not know.
        duplex: Option<&'static str> = Info(Text) from "duplex of /sys/class/net",
        /// Link utilisation
        ///
        /// Of the direction that carries more, the share of the link's speed; of half duplex, of both together. Null
        /// without a speed, and of interfaces that are neither a device nor a bond: their speed is no limit.
        link_utilization_percent: Option<f64> = Gauge(Percent)
            from "max(bytes_sent_per_sec, bytes_recv_per_sec) / link_bytes_per_sec" better lower,
        /// Carrier changes
        ///
        /// How often the link came or went since the interface was made. One that grows is a cable or a port that
        /// wavers. Null before kernel 3.15.
        carrier_changes: Option<u64> = Counter(Count)
            from "IFLA_CARRIER_CHANGES of RTM_GETLINK, else carrier_changes of /sys/class/net" better lower,
    }
    raw {
        /// The rest of what /proc/net/dev has of receiving: fifo, frame, compressed, multicast.
        receive_rest: [u64; 4],
        /// And of transmitting: fifo, colls, carrier, compressed.
        transmit_rest: [u64; 4],
        /// Whether it is a device, rather than a thought of the kernel's. None where its files were not asked.
        hardware: Option<bool>,
    }
}

metrics! {
    /// Sockets of this network namespace, IPv4 and IPv6 together.
    pub struct ConnectionMetrics("network.connections") {
        /// Established
        ///
        /// TCP connections in state ESTABLISHED.
        tcp_established: u64 = Gauge(Count) from "CurrEstab of /proc/net/snmp - tcp_close_wait",
        /// Time wait
        ///
        /// TCP connections in state TIME_WAIT: closed, and kept for a minute lest late packets confuse the
        /// next one.
        tcp_time_wait: u64 = Gauge(Count) from "tw of /proc/net/sockstat - FIN_WAIT2 of sock_diag",
        /// Close wait
        ///
        /// TCP connections that the other side has closed and this host's program has not. A number that
        /// only grows is a leak in that program.
        tcp_close_wait: u64 = Gauge(Count) from "NETLINK_SOCK_DIAG",
        /// Listening
        ///
        /// TCP sockets that accept connections.
        tcp_listen: u64 = Gauge(Count) from "NETLINK_SOCK_DIAG",
        /// UDP sockets
        ///
        /// Bound UDP sockets.
        udp_count: u64 = Gauge(Count) from "UDP inuse of /proc/net/sockstat + UDP6 of sockstat6",
    }
}

metrics! {
    /// Received packets on their way from the devices' drivers, all CPUs together.
    pub struct SoftnetMetrics("network.softnet") {
        /// Packets processed
        ///
        /// Packets taken in by soft interrupts, loopback and forwarded ones included. The kernel keeps 32 bits of it for each
        /// CPU, and so does this sum: it starts again from 0 after 4,294,967,296.
        processed: u64 = Counter(Count) from "/proc/net/softnet_stat, column 1" as counter32,
        /// Packets processed per second
        ///
        /// Packets per second taken in by soft interrupts.
        processed_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/softnet_stat, column 1" as rate(processed),
        /// Backlog drops
        ///
        /// Packets thrown away because a CPU's queue of received packets was full (net.core.netdev_max_backlog). 32 bits, as
        /// network.softnet.processed.
        dropped: u64 = Counter(Count) from "/proc/net/softnet_stat, column 2" as counter32 better lower,
        /// Backlog drop rate
        ///
        /// Packets per second thrown away because a CPU's queue of received packets was full.
        dropped_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/softnet_stat, column 2" as rate(dropped)
            better lower,
        /// Time squeezes
        ///
        /// How often a CPU had more packets to take in than one go allows (net.core.netdev_budget and netdev_budget_usecs) and
        /// had to come back for the rest. 32 bits, as network.softnet.processed.
        squeezed: u64 = Counter(Count) from "/proc/net/softnet_stat, column 3" as counter32 better lower,
        /// Time squeezes per second
        ///
        /// How often per second a CPU had more packets to take in than one go allows.
        squeezed_per_sec: Option<f64> = Gauge(EventsPerSecond) from "/proc/net/softnet_stat, column 3" as rate(squeezed)
            better lower,
    }
    raw {
        /// CPU by CPU.
        cpus: Vec<SoftnetCpu>,
    }
}

/// A line of /proc/net/softnet_stat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SoftnetCpu {
    /// The kernel's number of the CPU.
    pub cpu: u32,
    /// Packets taken in.
    pub processed: u32,
    /// Packets thrown away.
    pub dropped: u32,
    /// How often it had to come back for the rest.
    pub squeezed: u32,
}

metrics! {
    /// What TCP counts in this network namespace, IPv4 and IPv6 together.
    pub struct TcpMetrics("network.tcp") {
        /// Segments sent
        ///
        /// TCP segments sent, those that were sent again included.
        segments_sent: Option<u64> = Counter(Count) from "/proc/net/snmp: Tcp OutSegs",
        /// Segments sent per second
        ///
        /// TCP segments per second, those that were sent again included.
        segments_sent_per_sec: Option<f64> = Gauge(PacketsPerSecond) from "/proc/net/snmp: Tcp OutSegs" as rate(segments_sent),
        /// Retransmits
        ///
        /// Segments that were sent again because nothing acknowledged them: the network lost them or the other side is slow.
        retransmits: Option<u64> = Counter(Count) from "/proc/net/snmp: Tcp RetransSegs" better lower,
        /// Retransmits per second
        ///
        /// Segments per second that were sent again.
        retransmits_per_sec: Option<f64> = Gauge(EventsPerSecond) from "/proc/net/snmp: Tcp RetransSegs" as rate(retransmits)
            better lower,
        /// Retransmit share
        ///
        /// Of the segments sent since the last sample, those that were sent again. Null when none was sent.
        retransmit_percent: Option<f64> = Gauge(Percent) from "Δretransmits / Δsegments_sent" better lower,
        /// Resets sent
        ///
        /// Segments that refuse or break off a connection: to a port where nobody listens, or of a program that closed its
        /// socket with data unread.
        resets_sent: Option<u64> = Counter(Count) from "/proc/net/snmp: Tcp OutRsts",
        /// Resets sent per second
        ///
        /// Segments per second that refuse or break off a connection.
        resets_sent_per_sec: Option<f64> = Gauge(EventsPerSecond) from "/proc/net/snmp: Tcp OutRsts" as rate(resets_sent),
        /// Listen overflows
        ///
        /// Connections that found the accept queue of a listening socket full: its program does not accept fast enough, or its
        /// backlog is too small.
        listen_overflows: Option<u64> = Counter(Count) from "/proc/net/netstat: TcpExt ListenOverflows" better lower,
        /// Listen overflows per second
        ///
        /// Connections per second that found an accept queue full.
        listen_overflows_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "/proc/net/netstat: TcpExt ListenOverflows" as rate(listen_overflows) better lower,
        /// Listen drops
        ///
        /// Connections that a listening socket threw away, for a full accept queue or any other reason.
        listen_drops: Option<u64> = Counter(Count) from "/proc/net/netstat: TcpExt ListenDrops" better lower,
        /// Listen drops per second
        ///
        /// Connections per second that listening sockets threw away.
        listen_drops_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "/proc/net/netstat: TcpExt ListenDrops" as rate(listen_drops) better lower,
        /// Backlog drops
        ///
        /// Segments thrown away because a program held their socket and as much as may wait for it was waiting already.
        backlog_drops: Option<u64> = Counter(Count) from "/proc/net/netstat: TcpExt TCPBacklogDrop" better lower,
        /// Backlog drops per second
        ///
        /// Segments per second thrown away because too many waited for a socket that a program held.
        backlog_drops_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "/proc/net/netstat: TcpExt TCPBacklogDrop" as rate(backlog_drops) better lower,
        /// SYN cookies sent
        ///
        /// Connections answered with a cookie because the queue of half-open ones was full: a flood, or a backlog that is too
        /// small.
        syn_cookies_sent: Option<u64> = Counter(Count) from "/proc/net/netstat: TcpExt SyncookiesSent" better lower,
        /// SYN cookies sent per second
        ///
        /// Connections per second answered with a cookie.
        syn_cookies_sent_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "/proc/net/netstat: TcpExt SyncookiesSent" as rate(syn_cookies_sent) better lower,
        /// Memory pressures
        ///
        /// How often the buffers of all TCP sockets together grew above the mark (the second figure of net.ipv4.tcp_mem) from
        /// which the kernel keeps them small.
        memory_pressures: Option<u64> = Counter(Count) from "/proc/net/netstat: TcpExt TCPMemoryPressures"
            better lower,
        /// Memory pressures per second
        ///
        /// How often per second TCP's buffers grew above the mark.
        memory_pressures_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "/proc/net/netstat: TcpExt TCPMemoryPressures" as rate(memory_pressures) better lower,
    }
    raw {
        /// `CurrEstab` of Tcp: connections in ESTABLISHED and CLOSE_WAIT.
        established: Option<u64>,
    }
}

metrics! {
    /// What UDP counts in this network namespace, IPv4 and IPv6 together.
    pub struct UdpMetrics("network.udp") {
        /// Datagrams received
        ///
        /// UDP datagrams that programs took.
        datagrams_in: Option<u64> = Counter(Count) from "InDatagrams of Udp in /proc/net/snmp + of Udp6 in snmp6",
        /// Datagrams received per second
        ///
        /// UDP datagrams per second that programs took.
        datagrams_in_per_sec: Option<f64> = Gauge(PacketsPerSecond)
            from "InDatagrams of Udp in /proc/net/snmp + of Udp6 in snmp6" as rate(datagrams_in),
        /// Datagrams sent
        ///
        /// UDP datagrams sent.
        datagrams_out: Option<u64> = Counter(Count) from "OutDatagrams of Udp in /proc/net/snmp + of Udp6 in snmp6",
        /// Datagrams sent per second
        ///
        /// UDP datagrams sent per second.
        datagrams_out_per_sec: Option<f64> = Gauge(PacketsPerSecond)
            from "OutDatagrams of Udp in /proc/net/snmp + of Udp6 in snmp6" as rate(datagrams_out),
        /// To closed ports
        ///
        /// Datagrams for ports on which no socket is bound.
        no_ports: Option<u64> = Counter(Count) from "NoPorts of Udp in /proc/net/snmp + of Udp6 in snmp6",
        /// To closed ports per second
        ///
        /// Datagrams per second for ports on which no socket is bound.
        no_ports_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "NoPorts of Udp in /proc/net/snmp + of Udp6 in snmp6" as rate(no_ports),
        /// Receive errors
        ///
        /// Datagrams that could not be delivered, for want of room or with a bad checksum. Those of
        /// network.udp.receive_buffer_errors are among them.
        in_errors: Option<u64> = Counter(Count) from "InErrors of Udp in /proc/net/snmp + of Udp6 in snmp6"
            better lower,
        /// Receive errors per second
        ///
        /// Datagrams per second that could not be delivered.
        in_errors_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "InErrors of Udp in /proc/net/snmp + of Udp6 in snmp6" as rate(in_errors) better lower,
        /// Receive buffer errors
        ///
        /// Datagrams thrown away because the socket's buffer was full: its program does not read fast enough, or the buffer is
        /// too small (SO_RCVBUF, net.core.rmem_max).
        receive_buffer_errors: Option<u64> = Counter(Count) from "RcvbufErrors of Udp in /proc/net/snmp + of Udp6 in snmp6"
            better lower,
        /// Receive buffer errors per second
        ///
        /// Datagrams per second thrown away because the socket's buffer was full.
        receive_buffer_errors_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "RcvbufErrors of Udp in /proc/net/snmp + of Udp6 in snmp6" as rate(receive_buffer_errors)
            better lower,
        /// Send buffer errors
        ///
        /// Datagrams that were not sent for want of room.
        send_buffer_errors: Option<u64> = Counter(Count) from "SndbufErrors of Udp in /proc/net/snmp + of Udp6 in snmp6"
            better lower,
        /// Send buffer errors per second
        ///
        /// Datagrams per second that were not sent for want of room.
        send_buffer_errors_per_sec: Option<f64> = Gauge(EventsPerSecond)
            from "SndbufErrors of Udp in /proc/net/snmp + of Udp6 in snmp6" as rate(send_buffer_errors) better lower,
    }
    raw {
        /// Of IPv4 alone.
        ipv4: UdpCounters,
        /// Of IPv6 alone. All None on a kernel without IPv6.
        ipv6: UdpCounters,
    }
}

/// What the kernel counts of UDP over IPv4 or over IPv6. None where it has no such counter.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "as in UdpMetrics")]
pub struct UdpCounters {
    pub datagrams_in: Option<u64>,
    pub datagrams_out: Option<u64>,
    pub no_ports: Option<u64>,
    pub in_errors: Option<u64>,
    pub receive_buffer_errors: Option<u64>,
    pub send_buffer_errors: Option<u64>,
}

metrics! {
    /// The table of tracked connections, of a host that filters or translates statefully.
    pub struct ConntrackMetrics("network.conntrack") {
        /// Tracked connections
        ///
        /// Entries of this network namespace in the table of the connection tracker.
        entries: u64 = Gauge(Count) from "/proc/sys/net/netfilter/nf_conntrack_count",
        /// Most tracked connections
        ///
        /// Beyond it, packets of new connections are dropped. Read once a minute.
        limit: Option<u64> = Gauge(Count) from "/proc/sys/net/netfilter/nf_conntrack_max",
        /// Connection table fill level
        ///
        /// Entries by the limit.
        usage_percent: Option<f64> = Gauge(Percent) from "entries / limit",
    }
}

metrics! {
    /// Sockets of every kind, and the memory of their buffers.
    pub struct SocketMetrics("network.sockets") {
        /// Sockets in use
        ///
        /// Sockets of every kind that programs of this network namespace have open, UNIX sockets included.
        used: Option<u64> = Gauge(Count) from "/proc/net/sockstat: sockets used",
        /// Orphaned connections
        ///
        /// TCP connections that no program has open any more, and that still have something to send. Too many
        /// (net.ipv4.tcp_max_orphans) are broken off.
        orphaned: Option<u64> = Gauge(Count) from "/proc/net/sockstat: TCP orphan",
        /// TCP buffer memory
        ///
        /// Memory that TCP holds for its buffers, in all network namespaces.
        tcp_memory_bytes: Option<u64> = Gauge(Bytes) from "/proc/net/sockstat: TCP mem × page size",
        /// UDP buffer memory
        ///
        /// Memory that UDP holds for its buffers, in all network namespaces.
        udp_memory_bytes: Option<u64> = Gauge(Bytes) from "/proc/net/sockstat: UDP mem × page size",
    }
}
