//! Where to listen: `127.0.0.1:9909`, `[::1]:9909` or `unix:/run/perfwatch.sock`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// One address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Listen {
    /// With TLS if there is a certificate.
    Tcp(SocketAddr),
    /// A socket in the file system, never with TLS.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(format!("`{text}` has no absolute path, such as unix:/run/perfwatch.sock"))
            };
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!("`{text}` is no address with a port, such as 127.0.0.1:9909, and no unix:/path")
        })
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// In the configuration file: one address or a list of them.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "an address such as \"127.0.0.1:9909\" or \"unix:/run/perfwatch.sock\", or a list of them"
)]
pub(super) enum OneOrMore {
    One(Listen),
    More(Vec<Listen>),
}

impl From<OneOrMore> for Vec<Listen> {
    fn from(given: OneOrMore) -> Self {
        match given {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written_alike() {
        for text in ["127.0.0.1:9909", "[::1]:80", "0.0.0.0:0", "unix:/run/perfwatch.sock"] {
            assert_eq!(text.parse::<Listen>().unwrap().to_string(), text);
        }
        for text in
            ["localhost", "localhost:80", "127.0.0.1", "unix:", "unix:perfwatch.sock", "/run/x"]
        {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }
}
