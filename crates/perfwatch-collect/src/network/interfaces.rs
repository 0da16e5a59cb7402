//! Interfaces: what each carried, of /proc/net/dev, and its link.

use std::collections::BTreeMap;
use std::time::Duration;

use perfwatch_metrics::network::InterfaceMetrics;

use super::links::{Link, Links};
use crate::error::Malformed;
use crate::limit::{ALL_OTHERS, fold_beyond, sum_rates};
use crate::parse::{fill, lines, set_text, shown, words};
use crate::rate::{per_second, thousandths};
use crate::rows::{Matcher, Named, Rows};

/// Most interfaces that are reported by name. Of more, the busiest since boot are, and the rest is summed up as
/// "all others".
pub const MAX_INTERFACES: usize = 512;

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

/// Of each interface by name, and whether there were too many.
pub(super) fn metrics(
    before: Option<(&[InterfaceReading], Duration)>,
    now: &[InterfaceReading],
    links: Option<&Links>,
) -> (BTreeMap<String, InterfaceMetrics>, bool) {
    let (before, elapsed) = before.unwrap_or_default();
    let mut earlier = Matcher::new(before);
    let mut interfaces = BTreeMap::new();
    for interface in now {
        let link = links.and_then(|links| links.get(&interface.name));
        let metrics = interface_metrics(earlier.find(&interface.name), elapsed, interface, link);
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
    (interfaces, truncated)
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
    use super::super::links::LinkFiles;
    use super::*;

    const HEADINGS: &str = "Inter-|   Receive\n face |bytes\n";

    fn dev(lines: &str) -> Result<Rows<InterfaceReading>, Malformed> {
        let mut rows = Rows::default();
        parse_net_dev(format!("{HEADINGS}{lines}").as_bytes(), &mut rows)?;
        Ok(rows)
    }

    fn line(name: &str, bytes_recv: u64) -> String {
        format!("{name}: {bytes_recv} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n")
    }

    #[test]
    fn loopback_is_left_out_and_aliases_keep_their_colon() {
        let rows = dev(&(line("    lo", 1) + &line("eth0:1", 5) + &line("  wlan0", 6))).unwrap();
        let names: Vec<_> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["eth0:1", "wlan0"]);
        assert_eq!(rows[0].receive[0], 5);
        assert_eq!(rows[0].transmit[0], 8);
    }

    #[test]
    fn rates_follow_the_name_when_interfaces_come_and_go() {
        let before = dev(&(line("a", 100) + &line("b", 200) + &line("c", 300))).unwrap();
        let now = dev(&(line("new", 7) + &line("c", 310) + &line("a", 50))).unwrap();
        let (interfaces, _) = metrics(Some((&before, Duration::from_secs(1))), &now, None);
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
        let now = dev(&text(5)).unwrap();
        let (interfaces, truncated) = metrics(Some((&before, Duration::from_secs(1))), &now, None);
        assert!(truncated);
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
        let before = &before[0];
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
