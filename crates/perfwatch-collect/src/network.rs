//! Network: /proc/net/dev and the links, the sockets by state, and what the protocols count.

mod links;
mod protocols;
mod sockets;
mod softnet;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use perfwatch_metrics::network::{
    ConnectionMetrics, ConntrackMetrics, InterfaceMetrics, NetworkMetrics, SocketMetrics,
    SoftnetCpu, SoftnetMetrics, TcpMetrics, UdpCounters, UdpMetrics,
};

use crate::collector::{Collector, Report};
use crate::errand::Lasting;
use crate::error::{Error, Malformed, Problem};
use crate::hardware::Hardware;
use crate::host::{Host, KernelFile};
use crate::limit::{ALL_OTHERS, fold_beyond, sum_rates};
use crate::parse::{fill, lines, set_text, shown, single_number, words};
use crate::rate::{increase, per_second, per_second_32, percent, thousandths};
use crate::rows::{Matcher, Named, Rows};
use crate::seldom::Seldom;

pub use links::{Link, LinkFiles, parse_links};
use links::{LinkReader, Links};
pub use protocols::{Snmp, TcpExt, parse_netstat, parse_snmp, parse_snmp6};
use sockets::{SocketReading, Sockets};
pub use sockets::{Sockstat, StateCounts, count_dump, parse_sockstat, parse_tcp_table};
pub use softnet::parse_softnet;
use softnet::{SoftnetCounts, SoftnetTotals};

/// Most interfaces that are reported by name. Of more, the busiest since boot are, and the rest is summed up as
/// "all others".
pub const MAX_INTERFACES: usize = 512;

/// What the kernel said of the network.
#[derive(Debug, Default)]
pub struct NetworkReading {
    /// Without loopback.
    pub interfaces: Rows<InterfaceReading>,
    /// Whether the table could be read.
    pub interfaces_known: bool,
    /// None when nobody would say.
    links: Option<Arc<Links>>,
    /// /proc/net/softnet_stat. Empty when it could not be read.
    pub softnet: Vec<SoftnetCpu>,
    /// The sum of all CPUs, those that are offline by now included.
    softnet_total: SoftnetCounts,
    /// /proc/net/snmp. None when it could not be read.
    pub snmp: Option<Snmp>,
    /// UDP of /proc/net/snmp6. All None without IPv6; None when it could not be read.
    pub udp6: Option<UdpCounters>,
    /// /proc/net/netstat. All None when it could not be read.
    pub netstat: TcpExt,
    /// Tracked connections. None where none are tracked.
    conntrack: Option<u64>,
    conntrack_limit: Option<u64>,
    sockstat: Option<Sockstat>,
    sockets: Option<SocketReading>,
    page_bytes: u64,
    problems: Vec<Problem>,
}

/// One line of /proc/net/dev.
#[derive(Debug, Default)]
pub struct InterfaceReading {
    /// Of the interface; bytes that are not UTF-8 as `\xNN`.
    pub name: String,
    /// bytes, packets, errs, drop, fifo, frame, compressed, multicast.
    pub receive: [u64; 8],
    /// bytes, packets, errs, drop, fifo, colls, carrier, compressed.
    pub transmit: [u64; 8],
}

impl Named for InterfaceReading {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Collects [`NetworkMetrics`].
#[derive(Debug)]
pub struct Network {
    dev: KernelFile,
    links: Lasting<Arc<Links>>,
    softnet: KernelFile,
    softnet_totals: SoftnetTotals,
    snmp: KernelFile,
    snmp6: KernelFile,
    netstat: KernelFile,
    conntrack: Hardware<KernelFile>,
    conntrack_limit: Seldom,
    sockstat: KernelFile,
    sockets: Sockets,
    host: Arc<Host>,
}

impl Collector for Network {
    const NAME: &'static str = "network";
    type Reading = NetworkReading;
    type Metrics = NetworkMetrics;

    fn new(host: &Arc<Host>) -> Self {
        let mut links = LinkReader::new(Arc::clone(host));
        Self {
            dev: host.procfs("net/dev"),
            links: Lasting::new(host, "links", move || links.read()),
            softnet: host.procfs("net/softnet_stat"),
            softnet_totals: SoftnetTotals::default(),
            snmp: host.procfs("net/snmp"),
            snmp6: host.procfs("net/snmp6"),
            netstat: host.procfs("net/netstat"),
            conntrack: Hardware::unknown(),
            conntrack_limit: Seldom::new(host.procfs("sys/net/netfilter/nf_conntrack_max")),
            sockstat: host.procfs("net/sockstat"),
            sockets: Sockets::new(host),
            host: Arc::clone(host),
        }
    }

    /// The parts fail apart; the section as a whole does when neither interfaces nor connections are there.
    fn read(&mut self, into: &mut NetworkReading) -> Result<(), Error> {
        into.problems.clear();
        into.page_bytes = self.host.page_bytes();
        let interfaces = self.dev.parse(|text| parse_net_dev(text, &mut into.interfaces));
        into.interfaces_known = interfaces.is_ok();
        let interfaces = interfaces.inspect_err(|error| {
            into.interfaces.clear();
            into.problems.push(Problem::new("interfaces", error));
        });
        into.links = self.links.look(&mut into.problems);
        self.read_protocols(into);
        let sockstat = self.sockstat.parse(parse_sockstat);
        into.sockstat = sockstat.as_ref().ok().copied();
        let established = into.snmp.and_then(|snmp| snmp.established);
        let sockets = sockstat.and_then(|sockstat| self.sockets.read(&sockstat, established));
        match (interfaces, sockets) {
            (_, Ok(sockets)) => into.sockets = Some(sockets),
            (Ok(()), Err(error)) => {
                into.problems.push(Problem::new("connections", &error));
                into.sockets = None;
            }
            (Err(first), Err(second)) => {
                return Err(Error::Both { first: Box::new(first), second: Box::new(second) });
            }
        }
        Ok(())
    }

    fn derive(
        before: Option<(&NetworkReading, Duration)>,
        now: &NetworkReading,
    ) -> Report<NetworkMetrics> {
        let mut earlier = Matcher::new(before.map_or(&[][..], |(reading, _)| &reading.interfaces));
        let elapsed = before.map_or(Duration::ZERO, |(_, elapsed)| elapsed);
        let mut interfaces = BTreeMap::new();
        for interface in now.interfaces.iter() {
            let link = now.links.as_ref().and_then(|links| links.get(&interface.name));
            let metrics =
                interface_metrics(earlier.find(&interface.name), elapsed, interface, link);
            interfaces.insert(interface.name.clone(), metrics);
        }
        let traffic =
            |metrics: &InterfaceMetrics| metrics.bytes_recv.saturating_add(metrics.bytes_sent);
        let truncated =
            fold_beyond(&mut interfaces, MAX_INTERFACES, ALL_OTHERS, traffic, add_interface);
        if truncated && let Some(others) = interfaces.get_mut(ALL_OTHERS) {
            // Many links have no state in common.
            set_link(others, None);
        }
        let connections = now.sockets.as_ref().map(|sockets| ConnectionMetrics {
            tcp_established: sockets.established,
            tcp_time_wait: sockets.time_wait,
            tcp_close_wait: sockets.close_wait,
            tcp_listen: sockets.listen,
            udp_count: sockets.udp,
        });
        let metrics = NetworkMetrics {
            interfaces: now.interfaces_known.then_some(interfaces),
            connections,
            softnet: softnet_metrics(before, now),
            tcp: now.snmp.as_ref().map(|snmp| tcp_metrics(before, now, snmp)),
            udp: udp_metrics(before, now),
            conntrack: now.conntrack.map(|entries| ConntrackMetrics {
                entries,
                limit: now.conntrack_limit,
                usage_percent: now.conntrack_limit.and_then(|limit| percent(entries, limit)),
            }),
            sockets: now.sockstat.as_ref().map(|sockstat| SocketMetrics {
                used: sockstat.used,
                orphaned: sockstat.orphaned,
                tcp_memory_bytes: bytes(sockstat.tcp_pages, now.page_bytes),
                udp_memory_bytes: bytes(sockstat.udp_pages, now.page_bytes),
            }),
        };
        Report { metrics, problems: now.problems.clone(), truncated }
    }
}

impl Network {
    /// Each of these files may be missing alone.
    fn read_protocols(&mut self, into: &mut NetworkReading) {
        let NetworkReading { problems, softnet, .. } = into;
        let mut said = |part, error| problems.push(Problem::new(part, &error));
        if let Err(error) = self.softnet.parse(|text| parse_softnet(text, softnet)) {
            softnet.clear();
            said("softnet", error);
        }
        into.softnet_total = self.softnet_totals.add(softnet);
        let snmp = self.snmp.parse(parse_snmp);
        into.snmp = snmp.as_ref().ok().copied();
        if let Err(error) = snmp {
            // Of UDP as well.
            said("tcp", error);
        }
        // Absent on a kernel without IPv6.
        into.udp6 = match self.snmp6.parse(parse_snmp6) {
            Err(error) if error.is_absent() => Some(UdpCounters::default()),
            Err(error) => {
                said("udp", error);
                None
            }
            Ok(udp6) => Some(udp6),
        };
        let netstat = self.netstat.parse(parse_netstat);
        into.netstat = *netstat.as_ref().unwrap_or(&TcpExt::default());
        if let Err(error) = netstat {
            said("tcp.listen_overflows", error);
        }
        let now = Instant::now();
        let conntrack = self.read_conntrack(now);
        into.conntrack = conntrack.as_ref().ok().copied();
        if let Err(error) = conntrack {
            said("conntrack", error);
        }
        into.conntrack_limit = None;
        if into.conntrack.is_some() {
            let limit = self.conntrack_limit.get(now);
            into.conntrack_limit = limit.map_err(|error| said("conntrack.limit", error)).ok();
        }
    }

    fn read_conntrack(&mut self, now: Instant) -> Result<u64, Error> {
        let count = self.conntrack.find(now, || {
            let mut file = self.host.procfs("sys/net/netfilter/nf_conntrack_count");
            match file.read() {
                Ok(_) => Ok(file),
                Err(error) if error.is_absent() => {
                    Err(Error::Unavailable("connections are not tracked here".to_owned()))
                }
                Err(error) => Err(error),
            }
        })?;
        let entries = count.parse(single_number);
        if entries.as_ref().is_err_and(Error::is_absent) {
            self.conntrack.lose();
        }
        entries
    }
}

fn interface_metrics(
    before: Option<&InterfaceReading>,
    elapsed: Duration,
    now: &InterfaceReading,
    link: Option<&Link>,
) -> InterfaceMetrics {
    let [bytes_recv, packets_recv, errors_in, drops_in, receive_rest @ ..] = now.receive;
    let [bytes_sent, packets_sent, errors_out, drops_out, transmit_rest @ ..] = now.transmit;
    let rate = |of: fn(&InterfaceReading) -> u64| per_second(of(before?), of(now), elapsed);
    let mut metrics = InterfaceMetrics {
        bytes_sent,
        bytes_recv,
        bytes_sent_per_sec: rate(|row| row.transmit[0]),
        bytes_recv_per_sec: rate(|row| row.receive[0]),
        packets_sent,
        packets_recv,
        packets_sent_per_sec: rate(|row| row.transmit[1]),
        packets_recv_per_sec: rate(|row| row.receive[1]),
        errors_in,
        errors_out,
        drops_in,
        drops_out,
        errors_in_per_sec: rate(|row| row.receive[2]),
        errors_out_per_sec: rate(|row| row.transmit[2]),
        drops_in_per_sec: rate(|row| row.receive[3]),
        drops_out_per_sec: rate(|row| row.transmit[3]),
        link_up: None,
        operstate: None,
        link_bytes_per_sec: None,
        duplex: None,
        link_utilization_percent: None,
        carrier_changes: None,
        receive_rest,
        transmit_rest,
        hardware: None,
    };
    set_link(&mut metrics, link);
    metrics
}

/// What there is to say of an interface's link.
fn set_link(metrics: &mut InterfaceMetrics, link: Option<&Link>) {
    metrics.link_up = link.map(|link| link.up);
    metrics.operstate = link.and_then(|link| link.operstate);
    metrics.link_bytes_per_sec = link.and_then(|link| link.files.bytes_per_second);
    metrics.duplex = link.and_then(|link| link.files.duplex);
    metrics.carrier_changes = link.and_then(|link| link.carrier_changes);
    metrics.hardware = link.map(|link| link.files.hardware);
    metrics.link_utilization_percent = link.and_then(|link| {
        let speed = link.files.bytes_per_second.filter(|_| link.files.is_limit)?;
        let (sent, received) = (metrics.bytes_sent_per_sec?, metrics.bytes_recv_per_sec?);
        let half = link.files.duplex == Some("half");
        let used = if half { sent + received } else { sent.max(received) };
        Some(thousandths(used / speed as f64 * 100.0))
    });
}

fn softnet_metrics(
    before: Option<(&NetworkReading, Duration)>,
    now: &NetworkReading,
) -> Option<SoftnetMetrics> {
    let rate = |of: fn(&SoftnetCounts) -> u32| {
        let (before, elapsed) = before?;
        let then = Some(of(&before.softnet_total)).filter(|_| !before.softnet.is_empty())?;
        per_second_32(then.into(), of(&now.softnet_total).into(), elapsed)
    };
    let [processed, dropped, squeezed] = now.softnet_total.map(u64::from);
    (!now.softnet.is_empty()).then(|| SoftnetMetrics {
        processed,
        processed_per_sec: rate(|[processed, ..]| *processed),
        dropped,
        dropped_per_sec: rate(|[_, dropped, _]| *dropped),
        squeezed,
        squeezed_per_sec: rate(|[.., squeezed]| *squeezed),
        cpus: now.softnet.clone(),
    })
}

fn tcp_metrics(
    before: Option<(&NetworkReading, Duration)>,
    now: &NetworkReading,
    snmp: &Snmp,
) -> TcpMetrics {
    type Of = fn(&Snmp, &TcpExt) -> Option<u64>;
    let counters = |of: Of| {
        let (before, elapsed) = before?;
        Some((of(before.snmp.as_ref()?, &before.netstat)?, of(snmp, &now.netstat)?, elapsed))
    };
    let rate =
        |of: Of| counters(of).and_then(|(then, now, elapsed)| per_second(then, now, elapsed));
    let grown = |of: Of| counters(of).and_then(|(then, now, _)| increase(then, now));
    let share = || {
        let sent = grown(|snmp, _| snmp.segments_sent)?;
        let again = grown(|snmp, _| snmp.retransmits)?;
        // Counted apart: one may be ahead.
        percent(again.min(sent), sent)
    };
    let TcpExt {
        listen_overflows,
        listen_drops,
        backlog_drops,
        syn_cookies_sent,
        memory_pressures,
    } = now.netstat;
    TcpMetrics {
        segments_sent: snmp.segments_sent,
        segments_sent_per_sec: rate(|snmp, _| snmp.segments_sent),
        retransmits: snmp.retransmits,
        retransmits_per_sec: rate(|snmp, _| snmp.retransmits),
        retransmit_percent: share(),
        resets_sent: snmp.resets_sent,
        resets_sent_per_sec: rate(|snmp, _| snmp.resets_sent),
        listen_overflows,
        listen_overflows_per_sec: rate(|_, netstat| netstat.listen_overflows),
        listen_drops,
        listen_drops_per_sec: rate(|_, netstat| netstat.listen_drops),
        backlog_drops,
        backlog_drops_per_sec: rate(|_, netstat| netstat.backlog_drops),
        syn_cookies_sent,
        syn_cookies_sent_per_sec: rate(|_, netstat| netstat.syn_cookies_sent),
        memory_pressures,
        memory_pressures_per_sec: rate(|_, netstat| netstat.memory_pressures),
        established: snmp.established,
    }
}

fn udp_metrics(
    before: Option<(&NetworkReading, Duration)>,
    now: &NetworkReading,
) -> Option<UdpMetrics> {
    type Of = fn(&UdpCounters) -> Option<u64>;
    let sum = |reading: &NetworkReading, of: Of| {
        let (ipv4, ipv6) = (reading.snmp?.udp, reading.udp6?);
        Some(of(&ipv4)?.saturating_add(of(&ipv6).unwrap_or_default()))
    };
    let total = |of: Of| sum(now, of);
    let rate = |of: Of| {
        let (before, elapsed) = before?;
        per_second(sum(before, of)?, total(of)?, elapsed)
    };
    let (ipv4, ipv6) = (now.snmp?.udp, now.udp6?);
    Some(UdpMetrics {
        datagrams_in: total(|udp| udp.datagrams_in),
        datagrams_in_per_sec: rate(|udp| udp.datagrams_in),
        datagrams_out: total(|udp| udp.datagrams_out),
        datagrams_out_per_sec: rate(|udp| udp.datagrams_out),
        no_ports: total(|udp| udp.no_ports),
        no_ports_per_sec: rate(|udp| udp.no_ports),
        in_errors: total(|udp| udp.in_errors),
        in_errors_per_sec: rate(|udp| udp.in_errors),
        receive_buffer_errors: total(|udp| udp.receive_buffer_errors),
        receive_buffer_errors_per_sec: rate(|udp| udp.receive_buffer_errors),
        send_buffer_errors: total(|udp| udp.send_buffer_errors),
        send_buffer_errors_per_sec: rate(|udp| udp.send_buffer_errors),
        ipv4,
        ipv6,
    })
}

fn bytes(pages: Option<u64>, page_bytes: u64) -> Option<u64> {
    Some(pages?.saturating_mul(page_bytes))
}

fn add_interface(sum: &mut InterfaceMetrics, one: &InterfaceMetrics) {
    let add = |sum: &mut u64, one: u64| *sum = sum.saturating_add(one);
    add(&mut sum.bytes_sent, one.bytes_sent);
    add(&mut sum.bytes_recv, one.bytes_recv);
    add(&mut sum.packets_sent, one.packets_sent);
    add(&mut sum.packets_recv, one.packets_recv);
    add(&mut sum.errors_in, one.errors_in);
    add(&mut sum.errors_out, one.errors_out);
    add(&mut sum.drops_in, one.drops_in);
    add(&mut sum.drops_out, one.drops_out);
    sum.receive_rest.iter_mut().zip(one.receive_rest).for_each(|(sum, one)| add(sum, one));
    sum.transmit_rest.iter_mut().zip(one.transmit_rest).for_each(|(sum, one)| add(sum, one));
    sum_rates(&mut sum.bytes_sent_per_sec, one.bytes_sent_per_sec);
    sum_rates(&mut sum.bytes_recv_per_sec, one.bytes_recv_per_sec);
    sum_rates(&mut sum.packets_sent_per_sec, one.packets_sent_per_sec);
    sum_rates(&mut sum.packets_recv_per_sec, one.packets_recv_per_sec);
    sum_rates(&mut sum.errors_in_per_sec, one.errors_in_per_sec);
    sum_rates(&mut sum.errors_out_per_sec, one.errors_out_per_sec);
    sum_rates(&mut sum.drops_in_per_sec, one.drops_in_per_sec);
    sum_rates(&mut sum.drops_out_per_sec, one.drops_out_per_sec);
}

/// Reads /proc/net/dev: two lines of headings, then
/// `  eth0: 9013369     229    0    0    0     0          0         0    11811     127    0 …`.
/// A name may hold a colon (an alias), so the last colon ends it. Loopback is left out.
pub fn parse_net_dev(text: &[u8], into: &mut Rows<InterfaceReading>) -> Result<(), Malformed> {
    const HEADING_LINES: usize = 2;
    into.clear();
    if lines(text).count() < HEADING_LINES {
        return Err(Malformed::at(0, "no headings"));
    }
    for (index, line) in lines(text).skip(HEADING_LINES) {
        let Some(colon) = memchr::memrchr(b':', line) else {
            return Err(Malformed::at(index, format!("no interface: {}", shown(line))));
        };
        let name = line.get(..colon).unwrap_or_default().trim_ascii();
        if name == b"lo" {
            continue;
        }
        let mut counters = words(line.get(colon.saturating_add(1)..).unwrap_or_default());
        let row = into.next_row();
        set_text(&mut row.name, name);
        fill(&mut row.receive, counters.by_ref(), index)?;
        fill(&mut row.transmit, counters, index)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: &str = "Inter-|   Receive\n face |bytes\n";

    fn dev(lines: &str) -> Result<NetworkReading, Malformed> {
        let mut reading = NetworkReading { interfaces_known: true, ..NetworkReading::default() };
        parse_net_dev(format!("{HEADINGS}{lines}").as_bytes(), &mut reading.interfaces)?;
        Ok(reading)
    }

    fn line(name: &str, bytes_recv: u64) -> String {
        format!("{name}: {bytes_recv} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n")
    }

    #[test]
    fn loopback_is_left_out_and_aliases_keep_their_colon() {
        let reading = dev(&(line("    lo", 1) + &line("eth0:1", 5) + &line("  wlan0", 6))).unwrap();
        let names: Vec<_> = reading.interfaces.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["eth0:1", "wlan0"]);
        assert_eq!(reading.interfaces[0].receive[0], 5);
        assert_eq!(reading.interfaces[0].transmit[0], 8);
    }

    #[test]
    fn rates_follow_the_name_when_interfaces_come_and_go() {
        let before = dev(&(line("a", 100) + &line("b", 200) + &line("c", 300))).unwrap();
        let now = dev(&(line("new", 7) + &line("c", 310) + &line("a", 50))).unwrap();
        let report = Network::derive(Some((&before, Duration::from_secs(1))), &now);
        let interfaces = report.metrics.interfaces.unwrap();
        let rate = |name: &str| interfaces[name].bytes_recv_per_sec;
        assert_eq!((rate("new"), rate("c"), rate("a")), (None, Some(10.0), None));
        assert!(!interfaces.contains_key("b"));
    }

    #[test]
    fn beyond_the_limit_the_busiest_keep_their_names() {
        let many = MAX_INTERFACES as u64 + 10;
        let text =
            |more: u64| (0..many).map(|n| line(&format!("veth{n}"), n + more)).collect::<String>();
        let before = dev(&text(0)).unwrap();
        let report =
            Network::derive(Some((&before, Duration::from_secs(1))), &dev(&text(5)).unwrap());
        let interfaces = report.metrics.interfaces.unwrap();
        assert!(report.truncated);
        assert_eq!(interfaces.len(), MAX_INTERFACES + 1);
        assert!(
            interfaces.contains_key(&format!("veth{}", many - 1))
                && !interfaces.contains_key("veth0")
        );
        let others = &interfaces[ALL_OTHERS];
        assert_eq!(others.bytes_recv, (0..10).map(|n| n + 5).sum::<u64>());
        assert_eq!(others.bytes_recv_per_sec, Some(50.0));
    }

    #[test]
    fn a_link_is_used_by_the_direction_that_carries_more_or_by_both_in_turns() {
        let before = dev(&line("eth0", 0)).unwrap();
        let before = &before.interfaces[0];
        let usage = |sent, duplex, is_limit| {
            let mut now =
                InterfaceReading { name: "eth0".to_owned(), ..InterfaceReading::default() };
            (now.receive[0], now.transmit[0]) = (200, 8_u64 + sent);
            let files = LinkFiles {
                bytes_per_second: Some(1000),
                duplex,
                is_limit,
                ..LinkFiles::default()
            };
            let link = Link { up: true, files, ..Link::default() };
            let second = Duration::from_secs(1);
            interface_metrics(Some(before), second, &now, Some(&link)).link_utilization_percent
        };
        assert_eq!(usage(100, Some("full"), true), Some(20.0));
        assert_eq!(usage(300, None, true), Some(30.0));
        assert_eq!(usage(300, Some("half"), true), Some(50.0));
        assert_eq!(usage(300, Some("full"), false), None);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        for (text, says) in [
            ("garbage\n", "3: no interface: garbage"),
            ("eth0: 1 2 3 4 5 6 7 8 9\n", "3: expected 8 counters, found 1"),
            ("eth0: 1 2 3 4 5 6 7 x\n", "3: not a number: x"),
        ] {
            assert_eq!(dev(text).unwrap_err().to_string(), says);
        }
        assert!(parse_net_dev(b"", &mut Rows::default()).is_err());
    }
}
