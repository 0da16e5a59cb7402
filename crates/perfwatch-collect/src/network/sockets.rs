//! How many sockets are in which state, at a fraction of what /proc/net/tcp costs.
//!
//! - ESTABLISHED = `CurrEstab` of /proc/net/snmp (ESTABLISHED and CLOSE_WAIT, IPv4 and IPv6) − CLOSE_WAIT
//! - TIME_WAIT = `tw` of /proc/net/sockstat − those of its small sockets that still are in FIN_WAIT2
//! - LISTEN, CLOSE_WAIT and the small FIN_WAIT2 ones by NETLINK_SOCK_DIAG, which copies these states alone
//! - UDP = `inuse` of sockstat and sockstat6
//!
//! Where netlink is refused, the TCP states are counted in /proc/net/tcp and tcp6. The figures are those of
//! psutil.net_connections, which reads these two.

use std::io;
use std::sync::Arc;

use crate::error::{Error, Malformed};
use crate::host::{Host, KernelFile, Progress, SockDiag, broken, messages};
use crate::parse::{lines, number, shown, words};

/// States of include/net/tcp_states.h.
const ESTABLISHED: u8 = 1;
const FIN_WAIT2: u8 = 5;
const TIME_WAIT: u8 = 6;
const CLOSE_WAIT: u8 = 8;
const LISTEN: u8 = 10;

/// What the snapshot says of sockets.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct SocketReading {
    pub(super) established: u64,
    pub(super) time_wait: u64,
    pub(super) close_wait: u64,
    pub(super) listen: u64,
    pub(super) udp: u64,
}

/// Sockets by state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the states'")]
pub struct StateCounts {
    pub established: u64,
    pub time_wait: u64,
    pub close_wait: u64,
    pub listen: u64,
    /// Closed connections that the kernel keeps as TIME_WAIT sockets while they wait for the other side's
    /// FIN: `tw` counts them, the state tables call them FIN_WAIT2.
    pub fin_wait2_small: u64,
}

/// The files and the netlink socket.
#[derive(Debug)]
pub(super) struct Sockets {
    sock_diag: Option<SockDiag>,
    sockstat6: KernelFile,
    tcp: KernelFile,
    tcp6: KernelFile,
}

impl Sockets {
    pub(super) fn new(host: &Arc<Host>) -> Self {
        Self {
            sock_diag: host.sock_diag(),
            sockstat6: host.procfs("net/sockstat6"),
            tcp: host.procfs("net/tcp"),
            tcp6: host.procfs("net/tcp6"),
        }
    }

    /// With what /proc/net/sockstat says, and `CurrEstab` of /proc/net/snmp if that could be read.
    pub(super) fn read(
        &mut self,
        sockstat: &Sockstat,
        established: Option<u64>,
    ) -> Result<SocketReading, Error> {
        // Absent on a kernel without IPv6.
        let udp6 = self.sockstat6.parse(parse_sockstat).map_or(0, |sockstat6| sockstat6.udp_inuse);
        let counts = match self.by_netlink(sockstat.tcp_time_wait.unwrap_or_default(), established)
        {
            Ok(counts) => counts,
            Err(first) => self.by_tables().map_err(|second| match first {
                Some(first) => Error::Both { first: Box::new(first), second: Box::new(second) },
                None => second,
            })?,
        };
        Ok(SocketReading {
            established: counts.established,
            time_wait: counts.time_wait,
            close_wait: counts.close_wait,
            listen: counts.listen,
            udp: sockstat.udp_inuse.saturating_add(udp6),
        })
    }

    /// The error is None where there is no netlink to ask, or no `CurrEstab` beside it.
    fn by_netlink(
        &mut self,
        time_wait: u64,
        established: Option<u64>,
    ) -> Result<StateCounts, Option<Error>> {
        let established = established.ok_or(None)?;
        let sock_diag = self.sock_diag.as_mut().ok_or(None)?;
        let mut counts = StateCounts::default();
        sock_diag
            .dump(1 << LISTEN | 1 << CLOSE_WAIT | 1 << FIN_WAIT2, |answer| {
                count_dump(answer, &mut counts)
            })
            .map_err(Error::SockDiag)?;
        Ok(StateCounts {
            // Sockets change state between the two looks.
            established: established.saturating_sub(counts.close_wait),
            time_wait: time_wait.saturating_sub(counts.fin_wait2_small),
            ..counts
        })
    }

    fn by_tables(&mut self) -> Result<StateCounts, Error> {
        let mut counts = StateCounts::default();
        self.tcp.parse(|text| parse_tcp_table(text, &mut counts))?;
        match self.tcp6.parse(|text| parse_tcp_table(text, &mut counts)) {
            // A kernel without IPv6 has no such table.
            Err(Error::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(counts)
            }
            other => other.map(|()| counts),
        }
    }
}

/// Counts the sockets of one answer to a dump: messages with a `struct inet_diag_msg`, whose first bytes are family, state
/// and timer.
pub fn count_dump(answer: &[u8], counts: &mut StateCounts) -> io::Result<Progress> {
    /// `idiag_timer` of a small TIME_WAIT socket (inet_twsk_diag_fill); no full socket has it.
    const TIME_WAIT_TIMER: u8 = 3;
    messages(answer, |_, body| {
        let [_family, state, timer, ..] = *body else { return Err(broken()) };
        let slot = match state {
            LISTEN => &mut counts.listen,
            CLOSE_WAIT => &mut counts.close_wait,
            FIN_WAIT2 if timer == TIME_WAIT_TIMER => &mut counts.fin_wait2_small,
            _ => return Ok(()),
        };
        *slot = slot.saturating_add(1);
        Ok(())
    })
}

/// What PerfWatch reads of /proc/net/sockstat and sockstat6. None where there is no such figure: sockstat6 has `inuse` alone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Sockstat {
    /// `sockets: used`: sockets of every kind.
    pub used: Option<u64>,
    /// `TCP: orphan`: connections that no program has any more.
    pub orphaned: Option<u64>,
    /// `TCP: tw`: small sockets of closed connections.
    pub tcp_time_wait: Option<u64>,
    /// `TCP: mem`: pages that TCP uses for buffers, in all network namespaces.
    pub tcp_pages: Option<u64>,
    /// `UDP: mem`: the same of UDP.
    pub udp_pages: Option<u64>,
    /// `UDP: inuse` or `UDP6: inuse`: bound sockets.
    pub udp_inuse: u64,
}

/// Reads /proc/net/sockstat or sockstat6: `TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 153`.
pub fn parse_sockstat(text: &[u8]) -> Result<Sockstat, Malformed> {
    let mut found = Sockstat::default();
    let mut udp_inuse = None;
    for (index, line) in lines(text) {
        let mut pairs = words(line);
        let protocol = pairs.next().unwrap_or_default();
        while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
            let slot = match (protocol, name) {
                (b"sockets:", b"used") => &mut found.used,
                (b"TCP:", b"orphan") => &mut found.orphaned,
                (b"TCP:", b"tw") => &mut found.tcp_time_wait,
                (b"TCP:", b"mem") => &mut found.tcp_pages,
                (b"UDP:", b"mem") => &mut found.udp_pages,
                (b"UDP:" | b"UDP6:", b"inuse") => &mut udp_inuse,
                _ => continue,
            };
            let value = number(value)
                .ok_or_else(|| Malformed::at(index, format!("not a number: {}", shown(value))))?;
            *slot = Some(value);
        }
    }
    found.udp_inuse = udp_inuse.ok_or_else(|| Malformed::at(0, "no UDP inuse"))?;
    Ok(found)
}

/// Counts the sockets of /proc/net/tcp or tcp6 by their fourth column, the state in hexadecimal:
/// `   0: 0100007F:26B5 00000000:0000 0A 00000000:00000000 …`.
pub fn parse_tcp_table(text: &[u8], counts: &mut StateCounts) -> Result<(), Malformed> {
    if text.is_empty() {
        return Err(Malformed::at(0, "no heading"));
    }
    for (index, line) in lines(text).skip(1) {
        let state = words(line).nth(3).and_then(|state| std::str::from_utf8(state).ok());
        let state = state.and_then(|state| u8::from_str_radix(state, 16).ok());
        let slot = match state {
            Some(ESTABLISHED) => &mut counts.established,
            Some(TIME_WAIT) => &mut counts.time_wait,
            Some(CLOSE_WAIT) => &mut counts.close_wait,
            Some(LISTEN) => &mut counts.listen,
            Some(_) => continue,
            None => return Err(Malformed::at(index, format!("no socket: {}", shown(line)))),
        };
        *slot = slot.saturating_add(1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend([0; 10]);
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    #[test]
    fn a_dump_is_counted_by_state() {
        let mut answer = Vec::new();
        for (state, timer) in
            [(LISTEN, 0), (CLOSE_WAIT, 2), (FIN_WAIT2, 3), (FIN_WAIT2, 2), (LISTEN, 0)]
        {
            answer.extend(message(18, &[2, state, timer, 0, 9]));
        }
        let mut counts = StateCounts::default();
        assert_eq!(count_dump(&answer, &mut counts).unwrap(), Progress::More);
        assert_eq!((counts.listen, counts.close_wait, counts.fin_wait2_small), (2, 1, 1));
        assert_eq!(count_dump(&message(3, &[0; 4]), &mut counts).unwrap(), Progress::Ended);
    }

    #[test]
    fn a_refusal_carries_its_errno() {
        for kind in [2, 3] {
            let refused =
                count_dump(&message(kind, &(-2_i32).to_ne_bytes()), &mut StateCounts::default());
            assert_eq!(refused.unwrap_err().raw_os_error(), Some(2), "message type {kind}");
        }
    }

    #[test]
    fn a_broken_dump_is_an_error() {
        let mut counts = StateCounts::default();
        let mut short = message(18, &[2, LISTEN, 0, 0]);
        short.truncate(18);
        assert!(count_dump(&short, &mut counts).is_err());
        assert!(count_dump(&[0; 16], &mut counts).is_err(), "a length of 0 must not loop");
        assert!(count_dump(&message(18, &[2]), &mut counts).is_err());
    }

    #[test]
    fn sockstat_is_found_by_its_names() {
        let text = b"sockets: used 9\nTCP: inuse 1 orphan 2 tw 4 alloc 1 mem 153\nUDP: inuse 3 mem 6\nUDPLITE: inuse 8\n";
        let found = Sockstat {
            used: Some(9),
            orphaned: Some(2),
            tcp_time_wait: Some(4),
            tcp_pages: Some(153),
            udp_pages: Some(6),
            udp_inuse: 3,
        };
        assert_eq!(parse_sockstat(text), Ok(found));
        let of_ipv6 = Sockstat { udp_inuse: 2, ..Sockstat::default() };
        assert_eq!(parse_sockstat(b"TCP6: inuse 1\nUDP6: inuse 2\n"), Ok(of_ipv6));
        assert!(parse_sockstat(b"TCP: inuse 1\n").is_err());
        assert!(parse_sockstat(b"UDP: inuse 1 mem x\n").is_err());
    }

    #[test]
    fn a_socket_table_is_counted_by_state() {
        let mut counts = StateCounts::default();
        let text = b"sl local rem st\n 0: 0100007F:26B5 00000000:0000 0A x\n 1: a b 01\n 2: a b 06\n 3: a b 08\n 4: a b 03\n";
        parse_tcp_table(text, &mut counts).unwrap();
        assert_eq!(
            counts,
            StateCounts { established: 1, time_wait: 1, close_wait: 1, listen: 1, ..counts }
        );
        assert!(parse_tcp_table(b"sl\ngarbage\n", &mut counts).is_err());
    }
}
