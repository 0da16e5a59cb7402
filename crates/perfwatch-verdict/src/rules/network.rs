//! Network: what is dropped, sent again, or does not fit.

use crate::rule::{Rule, above, below, must, one_of, told};
use crate::sentence::Kind::{Errors, Saturation, Utilisation};
use crate::sentence::Resource::Network;
use crate::sentence::Severity::{Critical, Notice, Warning};

pub(crate) const RULES: &[Rule] = &[
    Rule::new(
        "listen-overflow",
        (Network, Errors, Warning),
        "Connections are refused because a server does not accept them fast enough",
        &[
            must("network.tcp.listen_overflows", above(5.0, 1.0), "an accept queue overflowed {} time{s}").events(),
            told("network.tcp.listen_drops", "{} connection attempt{s} dropped").events(),
            told("network.tcp.syn_cookies_sent", "{} SYN cookie{s} sent").events(),
        ],
        "TcpExt ListenOverflows (RFC 9293 leaves the SYN unanswered): the client waits a second and tries again. Five within a minute are no accident; \
         see which server with ss -ltn, where Recv-Q reaches Send-Q.",
    )
    .at_once(),
    Rule::new(
        "udp-receive-errors",
        (Network, Errors, Warning),
        "UDP datagrams are lost because programs do not read them fast enough",
        &[
            must("network.udp.receive_buffer_errors", above(10.0, 1.0), "{} lost").events(),
            told("network.udp.datagrams_in_per_sec", "{} a second arrive"),
        ],
        "RcvbufErrors of /proc/net/snmp and snmp6: the socket's buffer was full. Ten within a minute.",
    )
    .at_once(),
    Rule::new(
        "interface-errors",
        (Network, Errors, Warning),
        "Interface {} has errors",
        &[
            one_of("network.interfaces.errors_in", above(10.0, 1.0), "{} packet{s} received with errors").events(),
            one_of("network.interfaces.errors_out", above(10.0, 1.0), "{} not sent").events(),
        ],
        "/proc/net/dev. A frame in error is a bad cable, port or driver; ten within a minute are told.",
    )
    .each("interface")
    .at_once(),
    Rule::new(
        "interface-drops",
        (Network, Errors, Notice),
        "Interface {} drops packets",
        &[
            one_of("network.interfaces.drops_in_per_sec", above(50.0, 10.0), "{} received packets a second"),
            one_of("network.interfaces.drops_out_per_sec", above(50.0, 10.0), "{} packets a second to be sent"),
        ],
        "/proc/net/dev. Some are harmless (protocols that nobody here speaks), so fifty a second are told, as a notice.",
    )
    .each("interface"),
    Rule::new(
        "softnet-drops",
        (Network, Saturation, Warning),
        "Packets are dropped before a CPU takes them",
        &[
            must("network.softnet.dropped", above(10.0, 1.0), "{} dropped").events(),
            told("network.softnet.squeezed_per_sec", "out of time {} times a second"),
            told("cpu.softirq", "soft interrupts take {} of the CPU time"),
        ],
        "/proc/net/softnet_stat, second column: the backlog (net.core.netdev_max_backlog) was full.",
    )
    .at_once(),
    Rule::new(
        "retransmits",
        (Network, Errors, Warning),
        "TCP sends a lot again",
        &[
            must("network.tcp.retransmit_percent", above(5.0, 2.0), "{} of the segments"),
            must("network.tcp.segments_sent_per_sec", above(50.0, 20.0), "of {} a second"),
        ],
        "RetransSegs by OutSegs. Above 1 % throughput suffers (Mathis et al. 1997); 5 % of at least fifty segments a second are no chance.",
    ),
    Rule::new(
        "link-saturated",
        (Network, Saturation, Warning),
        "Link {} is saturated",
        &[
            must("network.interfaces.link_utilization_percent", above(90.0, 75.0), "{} of its speed"),
            told("network.interfaces.bytes_recv_per_sec", "{} in"),
            told("network.interfaces.bytes_sent_per_sec", "{} out"),
        ],
        "The busier direction by the speed that the driver tells. Headers and gaps take some 5 % of an Ethernet.",
    )
    .each("interface"),
    Rule::new(
        "link-flaps",
        (Network, Errors, Warning),
        "Link {} goes up and down",
        &[must("network.interfaces.carrier_changes", above(3.0, 1.0), "{} change{s}").events()],
        "sysfs carrier_changes. A restart of a switch is two changes; three within a minute are a bad cable or port.",
    )
    .each("interface")
    .at_once()
    .hides(&["link-down"]),
    Rule::new(
        "link-down",
        (Network, Errors, Critical),
        "Link {} went down",
        &[must("network.interfaces.link_up", below(0.5, 0.5), "").level()],
        "sysfs carrier. Told when it was up in the last half hour, or usually is.",
    )
    .each("interface")
    .at_once()
    .news(),
    Rule::new(
        "conntrack-full",
        (Network, Utilisation, Warning),
        "The table of tracked connections is nearly full",
        &[
            must("network.conntrack.usage_percent", above(80.0, 70.0), "{} used").level(),
            told("network.conntrack.entries", "{} entries").level(),
        ],
        "nf_conntrack_count by nf_conntrack_max. When it is full, new connections are dropped.",
    )
    .at_once()
    .critical(95.0),
];
