//! Counters of the kernel's PMUs: those of the running kernel, or those that a recording holds.

mod recorded;

use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;

use crate::perf::sys::{self, Attr, Target};

pub(super) use recorded::{Kept, Recorded, Written};

/// What to count, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// The PMU's name below /sys/bus/event_source/devices.
    pub pmu: String,
    /// The event's name. For people and recordings: the kernel goes by the codes.
    pub event: String,
    /// The CPU on which the PMU wants to be asked.
    pub cpu: u32,
    /// `type`, `config`, `config1` and `config2` of perf_event_open(2).
    pub code: EventCode,
}

/// How the kernel names an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventCode {
    /// `type`: the PMU.
    pub kind: u32,
    /// `config`, `config1` and `config2`.
    pub config: [u64; 3],
}

/// What reading a counter gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// What was counted while it ran.
    pub value: u64,
    /// Time in which it should have counted, in ns.
    pub enabled_ns: u64,
    /// Time in which it did, in ns: less when counters had to take turns.
    pub running_ns: u64,
}

/// Opens counters.
pub trait Counters: fmt::Debug + Send + Sync {
    /// Starts one, on all of the PMU and not for one process. Fails as perf_event_open(2) does.
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Counter>>;
}

/// A counter that runs until it is dropped.
pub trait Counter: fmt::Debug + Send {
    /// What it counted since it was opened. `UnexpectedEof` when the kernel gave it up, as when its PMU went away.
    fn read(&mut self) -> io::Result<Count>;
}

/// Those of the running kernel.
#[derive(Debug)]
pub(super) struct Running;

impl Counters for Running {
    fn open(&self, wanted: &Wanted) -> io::Result<Box<dyn Counter>> {
        let EventCode { kind, config: [config, config1, config2] } = wanted.code;
        // Without flags: the PMUs of packages and memory controllers refuse to leave anything out.
        let attr = Attr {
            kind,
            config,
            config1,
            config2,
            read_format: sys::FORMAT_TOTAL_TIME_ENABLED | sys::FORMAT_TOTAL_TIME_RUNNING,
            flags: 0,
        };
        let target = Target { pid: None, cpu: Some(wanted.cpu) };
        Ok(Box::new(RunningCounter(sys::open(&attr, target, None)?)))
    }
}

#[derive(Debug)]
struct RunningCounter(OwnedFd);

impl Counter for RunningCounter {
    fn read(&mut self) -> io::Result<Count> {
        let mut words = [[0; 8]; 3];
        let length = rustix::io::read(&self.0, words.as_flattened_mut())?;
        // The kernel gives nothing of a counter that it had to give up.
        if length < size_of_val(&words) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let [value, enabled_ns, running_ns] = words.map(u64::from_ne_bytes);
        Ok(Count { value, enabled_ns, running_ns })
    }
}
