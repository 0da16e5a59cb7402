//! What systemd is told (sd_notify(3)): that PerfWatch serves, that it stops, and at every sample that it goes on.
//!
//! Without `NOTIFY_SOCKET` nobody is told anything. The watchdog is fed by the sampling loop alone, so that a sampler that
//! is stuck is seen while everything else still answers.

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

/// Time beyond three intervals that a sample may take before the watchdog acts.
const SLACK: Duration = Duration::from_secs(10);

/// The way to systemd, if there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Notify(Option<Arc<Channel>>);

#[derive(Debug)]
struct Channel {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long it waits for a sign of life. None: it does not.
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says. A socket that cannot be used is logged.
    pub(crate) fn from_env() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == process::id().to_string());
        let micros = env::var("WATCHDOG_USEC").ok().and_then(|micros| micros.parse().ok());
        let watchdog = micros.filter(|_| ours).map(Duration::from_micros);
        match Channel::open(name.as_bytes(), watchdog) {
            Ok(channel) => Self(Some(Arc::new(channel))),
            Err(error) => {
                warn!(%error, "NOTIFY_SOCKET cannot be used");
                Self::default()
            }
        }
    }

    /// It serves, and samples at this interval.
    pub(crate) fn ready(&self, interval: Duration) {
        if let Some(channel) = &self.0 {
            channel.send(&format!("READY=1{}", channel.patience(interval)));
        }
    }

    /// It was asked to stop.
    pub(crate) fn stopping(&self) {
        if let Some(channel) = &self.0 {
            channel.send("STOPPING=1");
        }
    }

    /// It took a sample, and takes the next after this interval.
    pub(crate) fn alive(&self, interval: Duration) {
        if let Some(channel) = &self.0
            && channel.watchdog.is_some()
        {
            channel.send(&format!("WATCHDOG=1{}", channel.patience(interval)));
        }
    }
}

impl Channel {
    fn open(name: &[u8], watchdog: Option<Duration>) -> io::Result<Self> {
        let address = match name {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
            _ => return Err(io::Error::other("it is neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        // Sampling waits for nobody, systemd included.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, watchdog })
    }

    /// What to wait for the next sign of life: what the unit says, or longer if the interval is.
    fn patience(&self, interval: Duration) -> String {
        self.watchdog.map_or_else(String::new, |watchdog| {
            let patience = watchdog.max(interval.saturating_mul(3).saturating_add(SLACK));
            format!("\nWATCHDOG_USEC={}", patience.as_micros())
        })
    }

    /// A message that is not taken is lost: the next one is due soon, and systemd acts when none comes.
    fn send(&self, message: &str) {
        if let Err(error) = self.socket.send_to_addr(message.as_bytes(), &self.address) {
            tracing::debug!(%error, message, "systemd was not told");
        }
    }
}
