//! Network: /proc/net/dev, and the sockets by state.

mod sockets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perfwatch_metrics::network::{ConnectionMetrics, InterfaceMetrics, NetworkMetrics};

use crate::collector::{Collector, Report};
use crate::error::{Error, Malformed, Problem};
use crate::host::{Host, KernelFile};
use crate::limit::{ALL_OTHERS, fold_beyond, sum_rates};
use crate::parse::{fill, lines, set_text, shown, words};
use crate::rate::per_second;
use crate::rows::{Matcher, Named, Rows};

use sockets::{SocketReading, Sockets};
pub use sockets::{
    StateCounts, count_dump, parse_snmp_established, parse_sockstat, parse_tcp_table,
};

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
    sockets: Option<SocketReading>,
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
    sockets: Sockets,
}

impl Collector for Network {
    const NAME: &'static str = "network";
    type Reading = NetworkReading;
    type Metrics = NetworkMetrics;

    fn new(host: &Arc<Host>) -> Self {
        Self { dev: host.procfs("net/dev"), sockets: Sockets::new(host) }
    }

    /// The two halves fail apart; the section as a whole does when both do.
    fn read(&mut self, into: &mut NetworkReading) -> Result<(), Error> {
        into.problems.clear();
        let interfaces = self.dev.parse(|text| parse_net_dev(text, &mut into.interfaces));
        into.interfaces_known = interfaces.is_ok();
        let interfaces = interfaces.inspect_err(|error| {
            into.interfaces.clear();
            into.problems.push(Problem::new("interfaces", error));
        });
        match (interfaces, self.sockets.read()) {
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
            let metrics = interface_metrics(earlier.find(&interface.name), elapsed, interface);
            interfaces.insert(interface.name.clone(), metrics);
        }
        let traffic =
            |metrics: &InterfaceMetrics| metrics.bytes_recv.saturating_add(metrics.bytes_sent);
        let truncated =
            fold_beyond(&mut interfaces, MAX_INTERFACES, ALL_OTHERS, traffic, add_interface);
        let connections = now.sockets.as_ref().map(|sockets| ConnectionMetrics {
            tcp_established: sockets.established,
            tcp_time_wait: sockets.time_wait,
            tcp_close_wait: sockets.close_wait,
            tcp_listen: sockets.listen,
            udp_count: sockets.udp,
        });
        let metrics =
            NetworkMetrics { interfaces: now.interfaces_known.then_some(interfaces), connections };
        Report { metrics, problems: now.problems.clone(), truncated }
    }
}

fn interface_metrics(
    before: Option<&InterfaceReading>,
    elapsed: Duration,
    now: &InterfaceReading,
) -> InterfaceMetrics {
    let [bytes_recv, packets_recv, errors_in, drops_in, receive_rest @ ..] = now.receive;
    let [bytes_sent, packets_sent, errors_out, drops_out, transmit_rest @ ..] = now.transmit;
    let rate = |of: fn(&InterfaceReading) -> u64| per_second(of(before?), of(now), elapsed);
    InterfaceMetrics {
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
        receive_rest,
        transmit_rest,
    }
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
