//! Why an event is not counted, by what the kernel answered, and what can be done.

use std::io;
use std::sync::Arc;

use perfwatch_metrics::State;
use rustix::io::Errno;

/// Why an event is not counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Absence {
    /// The CPU or the kernel has no such event.
    Unsupported {
        /// ENOENT, EINVAL, EOPNOTSUPP or ENXIO.
        errno: Errno,
        /// Whether the kernel knows a PMU of the CPU at all. A virtual machine often has none.
        has_pmu: bool,
    },
    /// Some of the host's cores have no such event, so that a sum would not be that of the host.
    NotOnAll {
        /// Those cores' PMU: `cpu_atom`.
        pmu: Arc<str>,
    },
    /// `perf stat` could not open it, and does not say why.
    NotSupported,
    /// `perf stat` counts it in user space alone, for a user who may not count the kernel: another event.
    UserOnly,
    /// This user may not count it.
    Denied {
        /// EACCES or EPERM.
        errno: Errno,
        /// What kernel.perf_event_paranoid is. None when that cannot be read.
        paranoid: Option<i32>,
    },
    /// ENOSYS: the system call is not there, or is filtered.
    NoSuchCall,
    /// EMFILE or ENFILE: no more files may be open.
    Files {
        /// Which of the two.
        errno: Errno,
    },
    /// ENODEV: the CPU went offline.
    CpuGone,
    /// Anything else.
    Other {
        /// The kernel's answer.
        errno: Errno,
    },
}

impl Absence {
    /// What the kernel's answer means.
    pub fn of(error: &io::Error, has_pmu: bool, paranoid: Option<i32>) -> Self {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        match errno {
            Errno::NOENT | Errno::INVAL | Errno::OPNOTSUPP | Errno::NXIO => {
                Self::Unsupported { errno, has_pmu }
            }
            Errno::ACCESS | Errno::PERM => Self::Denied { errno, paranoid },
            Errno::NOSYS => Self::NoSuchCall,
            Errno::MFILE | Errno::NFILE => Self::Files { errno },
            Errno::NODEV => Self::CpuGone,
            _ => Self::Other { errno },
        }
    }

    /// How it is to be shown.
    pub fn state(&self) -> State {
        match self {
            Self::Unsupported { .. }
            | Self::NotOnAll { .. }
            | Self::NotSupported
            | Self::CpuGone => State::Unavailable,
            Self::Denied { .. } | Self::UserOnly => State::Denied,
            Self::NoSuchCall | Self::Files { .. } | Self::Other { .. } => State::Failed,
        }
    }

    /// Why, with the kernel's answer.
    pub fn reason(&self) -> String {
        match self {
            Self::Unsupported { errno, has_pmu: true } => {
                format!("this CPU or its kernel has no such event ({})", name(*errno))
            }
            Self::Unsupported { errno, has_pmu: false } => {
                format!(
                    "the kernel sees no PMU here, as in most virtual machines ({})",
                    name(*errno)
                )
            }
            Self::NotOnAll { pmu } => {
                format!(
                    "the cores of {pmu} have no such event, and those of the others are not the host"
                )
            }
            Self::NotSupported => {
                "perf stat says <not supported>: no such event on this CPU or kernel".to_owned()
            }
            Self::UserOnly => "this user may count it in user space only".to_owned(),
            Self::Denied { errno, paranoid } => {
                let stands = match paranoid {
                    Some(level) => format!("; kernel.perf_event_paranoid is {level}"),
                    None => String::new(),
                };
                format!("this user may not count what all processes do ({}){stands}", name(*errno))
            }
            Self::NoSuchCall => {
                "perf_event_open is not there: filtered by seccomp, or a kernel without it (ENOSYS)"
                    .to_owned()
            }
            Self::Files { errno } => {
                format!(
                    "a counter for each event and CPU is more than may be open ({})",
                    name(*errno)
                )
            }
            Self::CpuGone => "the CPU went offline (ENODEV)".to_owned(),
            Self::Other { errno } => format!("perf_event_open: {errno}"),
        }
    }

    /// What to do. None where nothing can be done, or nothing needs to be.
    pub fn fix(&self) -> Option<String> {
        let fix = match self {
            Self::Unsupported { has_pmu: false, .. } => {
                "have the hypervisor give this machine a virtual PMU, if it can"
            }
            Self::Denied { .. } | Self::UserOnly => {
                "give it CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), or set kernel.perf_event_paranoid to 0; in a container, \
                 seccomp must let perf_event_open through as well"
            }
            Self::NoSuchCall => {
                "let seccomp allow perf_event_open (SystemCallFilter, the container's profile)"
            }
            Self::Files { errno: Errno::NFILE } => "raise fs.file-max",
            Self::Files { .. } => "raise the limit on open files (LimitNOFILE, ulimit -n)",
            Self::Unsupported { .. }
            | Self::NotOnAll { .. }
            | Self::NotSupported
            | Self::CpuGone
            | Self::Other { .. } => return None,
        };
        Some(fix.to_owned())
    }
}

/// The errno's name, as in errno(3).
fn name(errno: Errno) -> &'static str {
    match errno {
        Errno::NOENT => "ENOENT",
        Errno::INVAL => "EINVAL",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        Errno::NXIO => "ENXIO",
        Errno::ACCESS => "EACCES",
        Errno::PERM => "EPERM",
        Errno::MFILE => "EMFILE",
        Errno::NFILE => "ENFILE",
        _ => "another errno",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_has_its_meaning() {
        for (errno, state, reason, fix) in [
            (Errno::NOENT, State::Unavailable, "no such event (ENOENT)", None),
            (Errno::INVAL, State::Unavailable, "no such event (EINVAL)", None),
            (Errno::OPNOTSUPP, State::Unavailable, "no such event (EOPNOTSUPP)", None),
            (Errno::NXIO, State::Unavailable, "no such event (ENXIO)", None),
            (
                Errno::ACCESS,
                State::Denied,
                "(EACCES); kernel.perf_event_paranoid is 2",
                Some("CAP_PERFMON"),
            ),
            (
                Errno::PERM,
                State::Denied,
                "(EPERM); kernel.perf_event_paranoid is 2",
                Some("CAP_PERFMON"),
            ),
            (Errno::NOSYS, State::Failed, "(ENOSYS)", Some("seccomp")),
            (Errno::MFILE, State::Failed, "(EMFILE)", Some("LimitNOFILE")),
            (Errno::NFILE, State::Failed, "(ENFILE)", Some("fs.file-max")),
            (Errno::NODEV, State::Unavailable, "(ENODEV)", None),
            (Errno::BUSY, State::Failed, "os error 16", None),
        ] {
            let absence = Absence::of(&errno.into(), true, Some(2));
            assert_eq!(absence.state(), state, "{errno:?}");
            assert!(absence.reason().contains(reason), "{}", absence.reason());
            assert_eq!(absence.fix().is_some(), fix.is_some(), "{errno:?}");
            assert!(
                absence.fix().unwrap_or_default().contains(fix.unwrap_or_default()),
                "{errno:?}"
            );
        }
        let absence = Absence::of(&Errno::NOENT.into(), false, None);
        assert!(
            absence.reason().contains("no PMU here")
                && absence.fix().unwrap().contains("hypervisor")
        );
    }
}
