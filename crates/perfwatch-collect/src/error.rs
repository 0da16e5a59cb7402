//! What can go wrong between PerfWatch and the kernel, in a form that says what to do about it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use perfwatch_metrics::State;

use crate::perf::Absence;
use crate::perf::stat::Trouble;

/// Why something could not be collected. Always names what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the kernel's could not be opened or read.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file was read and makes no sense.
    #[error("{}:{malformed}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and how.
        malformed: Malformed,
    },
    /// A file is larger than any kernel would write.
    #[error("reading {}: more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// [`crate::host::MAX_FILE_BYTES`].
        limit: usize,
    },
    /// The kernel refused to list its sockets.
    #[error("asking NETLINK_SOCK_DIAG for the TCP sockets: {0}")]
    SockDiag(io::Error),
    /// The kernel refused to list its links.
    #[error("asking NETLINK_ROUTE for the links: {0}")]
    Links(io::Error),
    /// The kernel refused to say how its clock is.
    #[error("asking adjtimex for the state of the clock: {0}")]
    Clock(io::Error),
    /// A counter of a PMU could not be opened.
    #[error("{counter}: {}", absence.reason())]
    Counter {
        /// `power/energy-pkg/ on CPU 0`.
        counter: String,
        /// What the kernel's answer means.
        absence: Absence,
    },
    /// A counter that ran does not any more.
    #[error("{counter}: {source}")]
    CounterLost {
        /// `power/energy-pkg/ on CPU 0`.
        counter: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Only root may ask, as the kernel is set up.
    #[error("{what}: {source}")]
    RootOnly {
        /// What was asked.
        what: String,
        /// The kernel's answer.
        source: io::Error,
        /// What to do about it.
        fix: &'static str,
    },
    /// This kernel does not have it, as it was built or booted.
    #[error("{what}")]
    NotInKernel {
        /// What there is not.
        what: String,
        /// What to do about it.
        fix: &'static str,
    },
    /// What was found when it was last looked for.
    #[error("{0}")]
    Before(Arc<Error>),
    /// Two ways to the same figures were tried, and both are closed.
    #[error("{first}; {second}")]
    Both {
        /// The better way.
        first: Box<Error>,
        /// The fallback.
        second: Box<Error>,
    },
    /// Nothing at all is counted.
    #[error("{}", .0.reason())]
    Counters(Absence),
    /// perf does not count.
    #[error(transparent)]
    PerfStat(#[from] Trouble),
    /// This host has no such thing. Normal, and nothing to repair.
    #[error("{0}")]
    Unavailable(String),
}

impl Error {
    /// How the section or part that needed it is to be shown.
    pub fn state(&self) -> State {
        match self {
            Self::Unavailable(_) => State::Unavailable,
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                State::Unavailable
            }
            Self::Counter { absence, .. } => absence.state(),
            Self::Clock(error) if error.kind() == io::ErrorKind::PermissionDenied => State::Denied,
            Self::RootOnly { .. } => State::Denied,
            Self::NotInKernel { .. } => State::Unavailable,
            Self::Before(error) => error.state(),
            Self::Both { second, .. } => second.state(),
            Self::Counters(absence) => absence.state(),
            Self::PerfStat(trouble) => trouble.state(),
            _ => State::Failed,
        }
    }

    /// What the reader can do. None where there is nothing to be done, or nothing that is known to help.
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Read { path, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!(
                    "let this user read {} (in a container or a systemd unit: check ProcSubset, ProtectProc and masked paths)",
                    path.display()
                ))
            }
            Self::Read { path, source } if source.kind() == io::ErrorKind::NotFound => {
                Some(format!(
                    "mount the kernel's file system that holds {} here, or say where it is with --path.procfs or --path.sysfs",
                    path.display()
                ))
            }
            Self::Parse { path, .. } | Self::TooLarge { path, .. } => Some(format!(
                "run `perfwatch capture DIR` and report DIR with what {} holds",
                path.display()
            )),
            Self::SockDiag(_) | Self::Links(_) => {
                Some("allow AF_NETLINK sockets (RestrictAddressFamilies, seccomp)".to_owned())
            }
            Self::Clock(_) => Some(
                "allow the system call clock_adjtime, which sets nothing without CAP_SYS_TIME (seccomp; systemd: ProtectClock=no)"
                    .to_owned(),
            ),
            Self::Counter { absence, .. } => absence.fix(),
            Self::RootOnly { fix, .. } | Self::NotInKernel { fix, .. } => Some((*fix).to_owned()),
            Self::Before(error) => error.fix(),
            Self::Both { second, .. } => second.fix(),
            Self::Counters(absence) => absence.fix(),
            Self::PerfStat(trouble) => trouble.fix(),
            _ => None,
        }
    }

    /// Whether what was asked is not there any more: its files that are still open say ENODEV.
    pub(crate) fn is_gone(&self) -> bool {
        let errno = match self {
            Self::Read { source, .. } => rustix::io::Errno::from_io_error(source),
            _ => None,
        };
        matches!(errno, Some(rustix::io::Errno::NODEV | rustix::io::Errno::NOENT))
    }

    /// Whether the file that was asked for is not there.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Where a text stopped making sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}: {what}")]
pub struct Malformed {
    /// Line, from 1.
    pub line: usize,
    /// `expected 16 counters, found 9`.
    pub what: String,
}

impl Malformed {
    /// At a line counted from 0, as `enumerate` does.
    pub(crate) fn at(index: usize, what: impl Into<String>) -> Self {
        Self { line: index.saturating_add(1), what: what.into() }
    }
}

/// One part of a section that is missing or old, while the rest of the section is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Path below the section: `connections`, `partitions./mnt/backup`.
    pub part: String,
    /// How it is to be shown. Never `Ok`.
    pub state: State,
    /// Why.
    pub reason: String,
    /// What to do about it, if anything.
    pub fix: Option<String>,
}

impl Problem {
    /// What an error means for the part that needed its answer.
    pub fn new(part: impl Into<String>, error: &Error) -> Self {
        Self {
            part: part.into(),
            state: error.state(),
            reason: error.to_string(),
            fix: error.fix(),
        }
    }
}
