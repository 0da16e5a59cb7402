//! Network: traffic of each interface, and how many sockets are in which state.

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
        errors_in: u64 = Counter(Count) from "/proc/net/dev",
        /// Transmit errors
        ///
        /// Packets that could not be sent.
        errors_out: u64 = Counter(Count) from "/proc/net/dev",
        /// Receive drops
        ///
        /// Packets that arrived whole and were thrown away, for want of buffers or of a protocol that would
        /// take them.
        drops_in: u64 = Counter(Count) from "/proc/net/dev",
        /// Transmit drops
        ///
        /// Packets thrown away before they were sent, such as from a full queue.
        drops_out: u64 = Counter(Count) from "/proc/net/dev",
    }
    raw {
        /// The rest of what /proc/net/dev has of receiving: fifo, frame, compressed, multicast.
        receive_rest: [u64; 4],
        /// And of transmitting: fifo, colls, carrier, compressed.
        transmit_rest: [u64; 4],
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
