//! Where connections and requests come from.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A host, or a way that leads only from this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// Another host. Of IPv6 its network of 64 bits, in which a host takes what addresses it likes.
    Remote(IpAddr),
    /// This host, over TCP.
    Loopback,
    /// This host, over a UNIX socket.
    Local,
}

impl From<Option<IpAddr>> for Source {
    fn from(address: Option<IpAddr>) -> Self {
        let Some(address) = address else { return Self::Local };
        match address.to_canonical() {
            address if address.is_loopback() => Self::Loopback,
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                Self::Remote(Ipv6Addr::from(network).into())
            }
            address => Self::Remote(address),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(address) => address.fmt(f),
            Self::Loopback => Ipv4Addr::LOCALHOST.fmt(f),
            Self::Local => f.write_str("local"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(address: &str) -> Source {
        Some(address.parse::<IpAddr>().unwrap()).into()
    }

    #[test]
    fn sources_are_hosts_not_addresses() {
        assert_eq!(source("::ffff:10.0.0.7"), source("10.0.0.7"));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(source(address), Source::Loopback);
        }
        let shown =
            [source("2001:db8::1"), source("::1"), Source::Local].map(|one| one.to_string());
        assert_eq!(shown, ["2001:db8::", "127.0.0.1", "local"]);
    }
}
