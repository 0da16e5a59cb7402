//! What TCP and UDP count: /proc/net/snmp, snmp6 and netstat.
//!
//! snmp and netstat come in pairs of lines, names and values: `Udp: InDatagrams NoPorts …` and `Udp: 13244 0 …`. snmp6 has a
//! name and a value on each line. Counters are found by their names, for kernels add columns in between. The kernel
//! counts TCP over IPv6 in the same `Tcp:` and `TcpExt:` as TCP over IPv4, and UDP apart.

use std::time::Duration;

use perfwatch_metrics::network::{TcpMetrics, UdpCounters, UdpMetrics};

use crate::error::Malformed;
use crate::parse::{lines, number, shown, words};
use crate::rate::{increase, per_second, percent};

/// What is read of /proc/net/snmp. None where the kernel has no such column.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Snmp {
    /// `CurrEstab`: connections in ESTABLISHED and CLOSE_WAIT.
    pub established: Option<u64>,
    /// `OutSegs`: segments sent, those that were sent again too.
    pub segments_sent: Option<u64>,
    /// `RetransSegs`: segments sent again.
    pub retransmits: Option<u64>,
    /// `OutRsts`: segments with RST sent.
    pub resets_sent: Option<u64>,
    /// Of IPv4.
    pub udp: UdpCounters,
}

/// Where a counter of UDP goes, by the name that it has in both files.
fn udp_slot<'a>(counters: &'a mut UdpCounters, name: &[u8]) -> Option<&'a mut Option<u64>> {
    Some(match name {
        b"InDatagrams" => &mut counters.datagrams_in,
        b"OutDatagrams" => &mut counters.datagrams_out,
        b"NoPorts" => &mut counters.no_ports,
        b"InErrors" => &mut counters.in_errors,
        b"RcvbufErrors" => &mut counters.receive_buffer_errors,
        b"SndbufErrors" => &mut counters.send_buffer_errors,
        _ => return None,
    })
}

/// What is read of `TcpExt` in /proc/net/netstat. None where the kernel has no such column.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct TcpExt {
    /// `ListenOverflows`: connections that found the accept queue full.
    pub listen_overflows: Option<u64>,
    /// `ListenDrops`: SYNs that a listener threw away, for that reason or any other.
    pub listen_drops: Option<u64>,
    /// `TCPBacklogDrop`: segments for which there was no room while a program held the socket.
    pub backlog_drops: Option<u64>,
    /// `SyncookiesSent`: SYNs answered with a cookie, for the queue of half-open connections was full.
    pub syn_cookies_sent: Option<u64>,
    /// `TCPMemoryPressures`: how often TCP's memory went above its pressure mark.
    pub memory_pressures: Option<u64>,
}

/// Of what is counted now and before. None when /proc/net/snmp could not be read.
pub(super) fn tcp_metrics(
    before: Option<((&Snmp, &TcpExt), Duration)>,
    now: Option<(&Snmp, &TcpExt)>,
) -> Option<TcpMetrics> {
    let (snmp, netstat) = now?;
    type Of = fn(&Snmp, &TcpExt) -> Option<u64>;
    let counters = |of: Of| {
        let ((snmp_before, netstat_before), elapsed) = before?;
        Some((of(snmp_before, netstat_before)?, of(snmp, netstat)?, elapsed))
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
    } = *netstat;
    Some(TcpMetrics {
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
    })
}

/// Of what is counted now and before, over IPv4 and over IPv6. None when either could not be read.
pub(super) fn udp_metrics(
    before: Option<((UdpCounters, UdpCounters), Duration)>,
    now: Option<(UdpCounters, UdpCounters)>,
) -> Option<UdpMetrics> {
    type Of = fn(&UdpCounters) -> Option<u64>;
    let sum = |(ipv4, ipv6): (UdpCounters, UdpCounters), of: Of| {
        Some(of(&ipv4)?.saturating_add(of(&ipv6).unwrap_or_default()))
    };
    let (ipv4, ipv6) = now?;
    let total = |of: Of| sum((ipv4, ipv6), of);
    let rate = |of: Of| {
        let (before, elapsed) = before?;
        per_second(sum(before, of)?, total(of)?, elapsed)
    };
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

/// Reads /proc/net/snmp. `Tcp` must be there.
pub fn parse_snmp(text: &[u8]) -> Result<Snmp, Malformed> {
    let mut found = Snmp::default();
    pairs(text, &[b"Tcp:", b"Udp:"], |protocol, name, value| {
        let slot = match (protocol, name) {
            (b"Udp:", _) => udp_slot(&mut found.udp, name),
            (_, b"CurrEstab") => Some(&mut found.established),
            (_, b"OutSegs") => Some(&mut found.segments_sent),
            (_, b"RetransSegs") => Some(&mut found.retransmits),
            (_, b"OutRsts") => Some(&mut found.resets_sent),
            _ => None,
        };
        store(slot, value)
    })?;
    Ok(found)
}

/// Reads /proc/net/netstat. `TcpExt` must be there.
pub fn parse_netstat(text: &[u8]) -> Result<TcpExt, Malformed> {
    let mut found = TcpExt::default();
    pairs(text, &[b"TcpExt:"], |_, name, value| {
        let slot = match name {
            b"ListenOverflows" => Some(&mut found.listen_overflows),
            b"ListenDrops" => Some(&mut found.listen_drops),
            b"TCPBacklogDrop" => Some(&mut found.backlog_drops),
            b"SyncookiesSent" => Some(&mut found.syn_cookies_sent),
            b"TCPMemoryPressures" => Some(&mut found.memory_pressures),
            _ => None,
        };
        store(slot, value)
    })?;
    Ok(found)
}

/// Reads /proc/net/snmp6: `Udp6InDatagrams 0`. `Udp6` must be there.
pub fn parse_snmp6(text: &[u8]) -> Result<UdpCounters, Malformed> {
    let mut found = UdpCounters::default();
    for (index, line) in lines(text) {
        let Some(rest) = line.strip_prefix(b"Udp6") else { continue };
        let mut words = words(rest);
        let name = words.next().unwrap_or_default();
        let value = words.next().unwrap_or_default();
        if !store(udp_slot(&mut found, name), value) {
            return Err(no_number(index, value));
        }
    }
    let known = found.datagrams_in.is_some();
    if known { Ok(found) } else { Err(Malformed::at(0, "no Udp6InDatagrams")) }
}

/// Shows the columns of the `wanted` protocols: protocol, name, value. `each` says whether the value makes sense. The
/// first protocol must be there.
fn pairs(
    text: &[u8],
    wanted: &[&[u8]],
    mut each: impl FnMut(&[u8], &[u8], &[u8]) -> bool,
) -> Result<(), Malformed> {
    let mut lines = lines(text);
    let mut first_found = false;
    while let (Some((_, names)), Some((index, values))) = (lines.next(), lines.next()) {
        let end = memchr::memchr(b' ', names).unwrap_or(names.len());
        let (protocol, names) = names.split_at(end);
        if !wanted.contains(&protocol) {
            continue;
        }
        let Some(values) = values.strip_prefix(protocol) else {
            return Err(Malformed::at(index, format!("no values of {}", shown(protocol))));
        };
        first_found |= wanted.first() == Some(&protocol);
        for (name, value) in words(names).zip(words(values)) {
            if !each(protocol, name, value) {
                return Err(no_number(index, value));
            }
        }
    }
    if first_found {
        return Ok(());
    }
    let first = wanted.first().copied().unwrap_or_default();
    Err(Malformed::at(0, format!("no {}", shown(first).trim_end_matches(':'))))
}

/// Puts a value where it goes, if anywhere. False when it is no number.
fn store(slot: Option<&mut Option<u64>>, value: &[u8]) -> bool {
    let Some(slot) = slot else { return true };
    *slot = number(value);
    slot.is_some()
}

fn no_number(index: usize, value: &[u8]) -> Malformed {
    Malformed::at(index, format!("not a number: {}", shown(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_names() {
        let text = b"Ip: A\nIp: 1\nTcp: Max CurrEstab OutSegs RetransSegs New OutRsts\nTcp: -1 7 9 3 0 2\n\
            Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\nUdp: 1 2 3 4 5\n\
            UdpLite: InDatagrams\nUdpLite: 99\n";
        let found = parse_snmp(text).unwrap();
        assert_eq!((found.established, found.segments_sent), (Some(7), Some(9)));
        assert_eq!((found.retransmits, found.resets_sent), (Some(3), Some(2)));
        let udp = UdpCounters {
            datagrams_in: Some(1),
            no_ports: Some(2),
            in_errors: Some(3),
            datagrams_out: Some(4),
            receive_buffer_errors: Some(5),
            send_buffer_errors: None,
        };
        assert_eq!(found.udp, udp);
    }

    #[test]
    fn what_ipv6_counts_is_a_line_each() {
        let text = b"Ip6InReceives                   \t9\nUdp6InDatagrams                 \t4\nUdp6RcvbufErrors \t2\nUdpLite6InDatagrams \t8\n";
        let found = parse_snmp6(text).unwrap();
        assert_eq!((found.datagrams_in, found.receive_buffer_errors), (Some(4), Some(2)));
        assert_eq!(found.no_ports, None);
    }

    #[test]
    fn listen_queues_are_in_netstat() {
        let text = b"TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPBacklogDrop TCPMemoryPressures\n\
            TcpExt: 5 4 3 2 1\nIpExt: InNoRoutes\nIpExt: x\n";
        let found = parse_netstat(text).unwrap();
        assert_eq!(
            [found.syn_cookies_sent, found.listen_overflows, found.listen_drops],
            [Some(5), Some(4), Some(3)]
        );
        assert_eq!([found.backlog_drops, found.memory_pressures], [Some(2), Some(1)]);
    }

    #[test]
    fn nonsense_is_refused_with_its_line() {
        for (text, says) in [
            (&b""[..], "1: no Tcp"),
            (b"Tcp: CurrEstab\n", "1: no Tcp"),
            (b"Udp: InErrors\nUdp: 1\n", "1: no Tcp"),
            (b"Tcp: CurrEstab\nTcp: x\n", "2: not a number: x"),
            (b"Tcp: CurrEstab\nUdp: 1\n", "2: no values of Tcp:"),
        ] {
            assert_eq!(parse_snmp(text).unwrap_err().to_string(), says);
        }
        assert!(parse_netstat(b"IpExt: A\nIpExt: 1\n").is_err());
        assert!(parse_snmp6(b"Ip6InReceives 1\n").is_err());
        assert!(parse_snmp6(b"Udp6InDatagrams -1\n").is_err());
    }
}
