//! Netlink: the kernel's own tables, without their text.
//!
//! **Sockets.** The old request `TCPDIAG_GETSOCK` (linux/inet_diag.h, `inet_diag_req`) with family 0 walks the socket table
//! once for IPv4 and IPv6 together and copies only the states that were asked for. /proc/net/tcp and tcp6
//! walk it twice and print every socket.
//!
//! **Links.** `RTM_GETLINK` lists the interfaces, at 3 µs each. Their group tells when one of them changes, so the list is
//! asked for when there is news, and an ordinary look costs one empty read.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, netlink, recv,
    send, socket_with,
};

/// A dump that takes longer than this is given up. 100,000 sockets take 80 ms.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What the kernel puts into one answer at most (netlink_dump: 32 KiB).
const ANSWER_BYTES: usize = 32 << 10;

/// Most answers of one dump: over 20 million sockets.
const MAX_ANSWERS: usize = 100_000;

/// Most pieces of news that are taken at a time. More are taken at the next look, for which they are news as well.
const MAX_NEWS: usize = 4096;

/// NLM_F_REQUEST | NLM_F_DUMP.
const REQUEST_DUMP: u16 = 0x1 | 0x300;

/// Bytes of `struct nlmsghdr`, with which every message begins.
const HEADER_BYTES: usize = 16;

/// A netlink socket that lists TCP sockets, opened at its first use.
#[derive(Debug, Default)]
pub struct SockDiag(Dumps);

impl SockDiag {
    /// Asks for the TCP sockets of the states in `states` (bit n for state n of include/net/tcp_states.h) and
    /// gives each answer to `each` until it says that the list has ended.
    pub fn dump(
        &mut self,
        states: u32,
        each: impl FnMut(&[u8]) -> io::Result<Progress>,
    ) -> io::Result<()> {
        const TCPDIAG_GETSOCK: u16 = 18;
        /// struct nlmsghdr and struct inet_diag_req (60 bytes).
        const REQUEST_BYTES: usize = HEADER_BYTES + 60;
        /// Offset of `idiag_states`: the header, four bytes of family, lengths and extensions, the 48 of the socket id.
        const STATES_OFFSET: usize = HEADER_BYTES + 4 + 48;
        let mut request = [0; REQUEST_BYTES];
        put(&mut request, STATES_OFFSET, &states.to_ne_bytes());
        self.0.dump(Some(netlink::SOCK_DIAG), TCPDIAG_GETSOCK, &mut request, each)
    }
}

/// A netlink socket that lists links, and one on which the kernel tells of their changes.
#[derive(Debug, Default)]
pub struct LinkTable {
    dumps: Dumps,
    /// None before the first look, and after an error.
    news: Option<OwnedFd>,
}

impl LinkTable {
    /// Whether anything may have changed since this was asked last: true at first.
    pub fn changed(&mut self) -> io::Result<bool> {
        /// Bit of the group RTNLGRP_LINK.
        const GROUP_LINK: u32 = 1;
        let Some(news) = &self.news else {
            let socket = open(None)?;
            bind(&socket, &SocketAddrNetlink::new(0, GROUP_LINK))?;
            self.news = Some(socket);
            return Ok(true);
        };
        // What it says is left alone: the rest of a message that does not fit is dropped.
        let mut some = [0; HEADER_BYTES];
        let mut changed = false;
        for _ in 0..MAX_NEWS {
            match recv(news, some.as_mut_slice(), RecvFlags::DONTWAIT) {
                // ENOBUFS: there was more than the socket holds.
                Ok(_) | Err(Errno::NOBUFS) => changed = true,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => {
                    self.news = None;
                    return Err(error.into());
                }
            }
        }
        Ok(changed)
    }

    /// Asks for all links, and gives each answer to `each` until it says that the list has ended. **May wait** for
    /// whoever configures links at the moment, such as a driver that resets its device.
    pub fn dump(&mut self, each: impl FnMut(&[u8]) -> io::Result<Progress>) -> io::Result<()> {
        const RTM_GETLINK: u16 = 18;
        const IFLA_EXT_MASK: u16 = 29;
        /// Leaves the counters out, which are a quarter of an answer.
        const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
        /// struct nlmsghdr, struct ifinfomsg, and an attribute with a u32.
        const REQUEST_BYTES: usize = HEADER_BYTES + 16 + 8;
        let mut request = [0; REQUEST_BYTES];
        put(&mut request, HEADER_BYTES + 16, &8_u16.to_ne_bytes());
        put(&mut request, HEADER_BYTES + 18, &IFLA_EXT_MASK.to_ne_bytes());
        put(&mut request, HEADER_BYTES + 20, &RTEXT_FILTER_SKIP_STATS.to_ne_bytes());
        // NETLINK_ROUTE is 0, the protocol that need not be said.
        self.dumps.dump(None, RTM_GETLINK, &mut request, each)
    }
}

/// A socket that asks for whole tables.
#[derive(Debug, Default)]
struct Dumps {
    socket: Option<OwnedFd>,
    answer: Vec<u8>,
    sequence: u32,
}

impl Dumps {
    /// Sends a request, whose header is filled in here.
    fn dump(
        &mut self,
        protocol: Option<Protocol>,
        kind: u16,
        request: &mut [u8],
        mut each: impl FnMut(&[u8]) -> io::Result<Progress>,
    ) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        put(request, 0, &(request.len() as u32).to_ne_bytes());
        put(request, 4, &kind.to_ne_bytes());
        put(request, 6, &REQUEST_DUMP.to_ne_bytes());
        put(request, 8, &self.sequence.to_ne_bytes());
        // The rest of a dump that broke off would be taken for the answer to the next request, so its socket is closed.
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open(protocol)?,
        };
        self.answer.resize(ANSWER_BYTES, 0);
        send(&socket, request, SendFlags::empty())?;
        for _ in 0..MAX_ANSWERS {
            let length = match recv(&socket, self.answer.as_mut_slice(), RecvFlags::empty()) {
                Ok((_, length)) => length,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) => return Err(error.into()),
            };
            if let Progress::Ended = each(self.answer.get(..length).unwrap_or_default())? {
                self.socket = Some(socket);
                return Ok(());
            }
        }
        Err(io::Error::other(format!("more than {MAX_ANSWERS} answers")))
    }
}

/// Whether a dump goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There are more answers.
    More,
    /// The last answer was read.
    Ended,
}

/// Shows the type and the body of each message of an answer to a dump: a run of `struct nlmsghdr` with what follows it.
pub(crate) fn messages(
    answer: &[u8],
    mut each: impl FnMut(u16, &[u8]) -> io::Result<()>,
) -> io::Result<Progress> {
    const NLMSG_ERROR: u16 = 2;
    const NLMSG_DONE: u16 = 3;
    let mut rest = answer;
    while !rest.is_empty() {
        let (header, _) = rest.split_first_chunk::<HEADER_BYTES>().ok_or_else(broken)?;
        let [l0, l1, l2, l3, t0, t1, ..] = *header;
        let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let body = rest.get(HEADER_BYTES..length).ok_or_else(broken)?;
        match u16::from_ne_bytes([t0, t1]) {
            // A dump that failed ends with a negative errno too: where the module tcp_diag is missing, for one.
            kind @ (NLMSG_DONE | NLMSG_ERROR) => {
                let code = body.first_chunk::<4>().map_or(0, |code| i32::from_ne_bytes(*code));
                return match code {
                    ..0 => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                    _ if kind == NLMSG_DONE => Ok(Progress::Ended),
                    _ => Err(broken()),
                };
            }
            kind => each(kind, body)?,
        }
        // Messages are aligned to four bytes.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Progress::More)
}

/// What is wrong with an answer that is shorter than it says.
pub(crate) fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the answer breaks off")
}

#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn open(protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, protocol)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    Ok(socket)
}

fn put(into: &mut [u8], offset: usize, bytes: &[u8]) {
    for (slot, byte) in into.iter_mut().skip(offset).zip(bytes) {
        *slot = *byte;
    }
}
