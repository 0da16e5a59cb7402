//! What the native source asks of the kernel, so that a scripted one can take its place.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::cpus::CpuList;
use super::sys::{self, Attr, Target};
use crate::error::Error;
use crate::host::{Host, KernelFile};

/// The kernel.
pub trait Kernel: fmt::Debug + Send + Sync + 'static {
    /// An open counter. Dropped, it is closed.
    type Counter: fmt::Debug + Send + 'static;

    /// Opens a counter of whatever runs on a CPU, in a group if that has a leader.
    fn open(
        &self,
        attr: &Attr,
        cpu: u32,
        leader: Option<&Self::Counter>,
    ) -> io::Result<Self::Counter>;

    /// Lets a group count.
    fn enable(&self, leader: &Self::Counter) -> io::Result<()>;

    /// Reads a group, and says how many bytes: how many values, time enabled, time running, the values.
    fn read(&self, leader: &Self::Counter, into: &mut [u8]) -> io::Result<usize>;

    /// Shows the text of /sys/devices/system/cpu/online.
    fn online(&self, show: &mut dyn FnMut(&[u8])) -> Result<(), Error>;

    /// The PMUs of the CPU's cores, where the kernel knows several kinds of cores or may. Empty: all cores are alike.
    fn pmus(&self) -> Vec<Pmu>;

    /// Whether the kernel knows any PMU of the CPU.
    fn has_pmu(&self) -> bool;

    /// kernel.perf_event_paranoid.
    fn paranoid(&self) -> Option<i32>;

    /// /proc/stat, for the time that CPUs were busy.
    fn stat(&self) -> Option<KernelFile>;

    /// Time by a clock that only goes forward.
    fn now(&self) -> Duration;

    /// Sees to it that so many more files may be open, as far as it may.
    fn make_room(&self, files: usize);

    /// Does something that takes long on a thread of its own.
    fn in_background(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()>;
}

/// The PMU of some of the cores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pmu {
    /// Its name in sysfs: `cpu_atom`.
    pub name: Arc<str>,
    /// Its number, where a generic event must name it.
    pub kind: Option<u32>,
    /// Its cores.
    pub cpus: CpuList,
}

/// The kernel this runs on.
#[derive(Debug)]
pub struct Live {
    host: Arc<Host>,
    online: Mutex<KernelFile>,
    began: Instant,
}

impl Live {
    /// None of a recording: the counters of the machine that reads it are none of its.
    pub fn of(host: &Arc<Host>) -> Option<Self> {
        let online = Mutex::new(host.sysfs("devices/system/cpu/online"));
        host.is_live().then(|| Self { host: Arc::clone(host), online, began: Instant::now() })
    }
}

/// Where sysfs lists the kernel's PMUs.
const PMUS: &str = "bus/event_source/devices";

/// Name of the PMU of x86 and others where all cores are alike.
const ONLY_PMU: &str = "cpu";

/// Stack of a thread that opens counters.
const STACK_BYTES: usize = 256 << 10;

impl Kernel for Live {
    type Counter = OwnedFd;

    fn open(&self, attr: &Attr, cpu: u32, leader: Option<&OwnedFd>) -> io::Result<OwnedFd> {
        sys::open(attr, Target { pid: None, cpu: Some(cpu) }, leader.map(AsFd::as_fd))
    }

    fn enable(&self, leader: &OwnedFd) -> io::Result<()> {
        sys::enable(leader)
    }

    fn read(&self, leader: &OwnedFd, into: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(leader, into)?)
    }

    fn online(&self, show: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let mut online = self.online.lock().unwrap_or_else(PoisonError::into_inner);
        online.read().map(show)
    }

    fn pmus(&self) -> Vec<Pmu> {
        let pmu = |name: String| {
            let text = |file: &str| self.host.sysfs_text(&format!("{PMUS}/{name}/{file}"));
            let cpus = text("cpus")?.parse().ok()?;
            // Those of Arm know their cores by the CPU that is asked for, and on older kernels do not take the number.
            let kind = if name.starts_with("cpu_") { text("type")?.parse().ok() } else { None };
            Some(Pmu { name: name.into(), kind, cpus })
        };
        self.host.sysfs_names(PMUS).unwrap_or_default().into_iter().filter_map(pmu).collect()
    }

    fn has_pmu(&self) -> bool {
        let names = self.host.sysfs_names(PMUS).unwrap_or_default();
        names.iter().any(|name| name == ONLY_PMU) || !self.pmus().is_empty()
    }

    fn paranoid(&self) -> Option<i32> {
        let mut file = self.host.procfs("sys/kernel/perf_event_paranoid");
        std::str::from_utf8(file.read().ok()?).ok()?.trim().parse().ok()
    }

    fn stat(&self) -> Option<KernelFile> {
        Some(self.host.procfs("stat"))
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn make_room(&self, files: usize) {
        let limit = getrlimit(Resource::Nofile);
        let Some(current) = limit.current else { return };
        let wanted = current.saturating_add(files as u64);
        let current = Some(limit.maximum.map_or(wanted, |maximum| wanted.min(maximum)));
        // What does not fit is refused when it is opened, and said then.
        let _ = setrlimit(Resource::Nofile, Rlimit { current, ..limit });
    }

    fn in_background(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        let thread = thread::Builder::new().name("perf".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(job).map(drop)
    }
}
