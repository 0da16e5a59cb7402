//! NETLINK_SOCK_DIAG: the kernel's list of TCP sockets, without its text.
//!
//! The old request `TCPDIAG_GETSOCK` (linux/inet_diag.h, `inet_diag_req`) with family 0 walks the socket table
//! once for IPv4 and IPv6 together and copies only the states that were asked for. /proc/net/tcp and tcp6
//! walk it twice and print every socket.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// A dump that takes longer than this is given up. 100,000 sockets take 80 ms.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// What the kernel puts into one answer at most (netlink_dump: 32 KiB).
const ANSWER_BYTES: usize = 32 << 10;

/// Most answers of one dump: over 20 million sockets.
const MAX_ANSWERS: usize = 100_000;

const TCPDIAG_GETSOCK: u16 = 18;
/// NLM_F_REQUEST | NLM_F_DUMP.
const REQUEST_DUMP: u16 = 0x1 | 0x300;
/// struct nlmsghdr (16 bytes) and struct inet_diag_req (60 bytes).
const REQUEST_BYTES: usize = 76;
/// Offset of `idiag_states`: the header, four bytes of family, lengths and extensions, the 48 of the socket id.
const STATES_OFFSET: usize = 16 + 4 + 48;

/// A netlink socket that lists sockets, opened at its first use.
#[derive(Debug, Default)]
pub struct SockDiag {
    socket: Option<OwnedFd>,
    answer: Vec<u8>,
    sequence: u32,
}

impl SockDiag {
    /// Asks for the TCP sockets of the states in `states` (bit n for state n of include/net/tcp_states.h) and
    /// gives each answer to `each` until it says that the list has ended.
    pub fn dump(
        &mut self,
        states: u32,
        mut each: impl FnMut(&[u8]) -> io::Result<Progress>,
    ) -> io::Result<()> {
        let outcome = self.try_dump(states, &mut each);
        if outcome.is_err() {
            // The rest of a broken dump would be taken for the answer to the next request.
            self.socket = None;
        }
        outcome
    }

    fn try_dump(
        &mut self,
        states: u32,
        each: &mut impl FnMut(&[u8]) -> io::Result<Progress>,
    ) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => open()?,
        };
        self.answer.resize(ANSWER_BYTES, 0);
        self.sequence = self.sequence.wrapping_add(1);
        send(&socket, &request(states, self.sequence), SendFlags::empty())?;
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

#[allow(clippy::disallowed_methods, reason = "this is the door")]
fn open() -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    Ok(socket)
}

fn request(states: u32, sequence: u32) -> [u8; REQUEST_BYTES] {
    let mut request = [0; REQUEST_BYTES];
    let mut put = |offset: usize, bytes: &[u8]| {
        for (slot, byte) in request.iter_mut().skip(offset).zip(bytes) {
            *slot = *byte;
        }
    };
    put(0, &(REQUEST_BYTES as u32).to_ne_bytes());
    put(4, &TCPDIAG_GETSOCK.to_ne_bytes());
    put(6, &REQUEST_DUMP.to_ne_bytes());
    put(8, &sequence.to_ne_bytes());
    put(STATES_OFFSET, &states.to_ne_bytes());
    request
}
