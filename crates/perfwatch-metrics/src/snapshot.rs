//! One moment of one host, and why a part of it is missing.
//!
//! The snapshot's JSON is public: it is added to, never renamed. A section that could not be collected is
//! null, and [`Status`] says why.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::catalog::Visitor;
use crate::cgroups::CgroupMetrics;
use crate::cpu::CpuMetrics;
use crate::disk::DiskMetrics;
use crate::kernel::KernelMetrics;
use crate::memory::MemoryMetrics;
use crate::memory_bandwidth::MemoryBandwidthMetrics;
use crate::network::NetworkMetrics;
use crate::own::OwnMetrics;
use crate::perf::PerfEvents;
use crate::power::PowerMetrics;
use crate::pressure::PressureMetrics;
use crate::resctrl::ResctrlMetrics;
use crate::scheduler::SchedulerMetrics;

/// Makes of the list of sections the snapshot and the status, which have a field for each. What its name in the JSON
/// cannot be in Rust stands behind `as`.
macro_rules! sections {
    ($( $(#[doc = $doc:literal])+ $section:ident $(as $name:literal)?: $metrics:ty, )+) => {
        /// Everything that was measured at one tick. Made once, never changed.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct Snapshot {
            /// Wall-clock time at which collecting began, in UTC to the millisecond. Rates do not depend on it.
            pub timestamp: Timestamp,
            /// Number of the tick since PerfWatch started, from 0. A missed tick leaves a hole.
            pub tick: u64,
            /// The interval that was asked for. What elapsed between two readings is what rates are divided by.
            pub interval_ms: u64,
            /// How much later than planned collecting began: the host was overloaded or asleep.
            pub lateness_ms: f64,
            /// Whose numbers these are.
            pub host: HostInfo,
            $(
                $(#[doc = $doc])+
                ///
                /// Null as its status says.
                $(#[serde(rename = $name)])?
                pub $section: Option<$metrics>,
            )+
            /// How each section came about.
            pub status: Status,
        }

        impl Snapshot {
            /// Shows every value that is not null, in the order of the catalog.
            pub fn visit(&self, each: &mut Visitor<'_>) {
                $(
                    if let Some(section) = &self.$section {
                        section.visit(each);
                    }
                )+
            }
        }

        /// How each section of a snapshot came about.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        pub struct Status {
            $(
                $(#[doc = $doc])+
                $(#[serde(rename = $name)])?
                pub $section: Section,
            )+
        }

        impl Status {
            /// The sections by name, in the order of the snapshot.
            pub fn sections(&self) -> impl Iterator<Item = (&'static str, &Section)> {
                [$((sections!(@name $section $($name)?), &self.$section)),+].into_iter()
            }
        }
    };
    (@name $section:ident $name:literal) => { $name };
    (@name $section:ident) => { stringify!($section) };
}

sections! {
    /// Processors.
    cpu: CpuMetrics,
    /// Who runs, who waits to run, and what interrupts them.
    scheduler: SchedulerMetrics,
    /// Time in which work stood still for want of a resource.
    pressure: PressureMetrics,
    /// CPU time of control groups.
    cgroups: CgroupMetrics,
    /// Memory.
    memory: MemoryMetrics,
    /// Network.
    network: NetworkMetrics,
    /// Disks.
    disk: DiskMetrics,
    /// The kernel and the host as a whole.
    kernel: KernelMetrics,
    /// Performance counters.
    perf_events: PerfEvents,
    /// Energy and power.
    power: PowerMetrics,
    /// Traffic of the memory controllers.
    memory_bandwidth: MemoryBandwidthMetrics,
    /// Cache and memory bandwidth by group of tasks.
    resctrl: ResctrlMetrics,
    /// PerfWatch itself.
    own as "self": OwnMetrics,
}

impl Snapshot {
    /// Shows every value that is kept and not reported, in the order of [`crate::catalog::hidden`].
    pub fn visit_hidden(&self, each: &mut Visitor<'_>) {
        if let Some(memory) = &self.memory {
            memory.visit_hidden(each);
        }
    }
}

/// Whose numbers a snapshot holds, as read when sampling began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostInfo {
    /// The kernel's host name. Null when it could not be read.
    pub hostname: Option<String>,
    /// The kernel's release, such as 6.1.0-28-amd64. Null when it could not be read.
    pub kernel: Option<String>,
    /// What uname(2) says. None for a recording.
    #[serde(skip)]
    pub uname: Option<Uname>,
}

/// The answer of uname(2), bytes that are not UTF-8 replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the system's own")]
pub struct Uname {
    pub sysname: String,
    pub nodename: String,
    pub release: String,
    pub version: String,
    pub machine: String,
    pub domainname: String,
}

/// How one section came about.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Section {
    /// The section as a whole. `ok` means that it is there, maybe with some parts missing.
    pub state: State,
    /// Why it is not `ok`. Null when it is.
    pub reason: Option<String>,
    /// What to do about it. Null when it is `ok` or when there is nothing to be done.
    pub fix: Option<String>,
    /// Since when it has been in this state.
    pub since: Timestamp,
    /// How long collecting it took, by the monotonic clock. Null when it did not end in time.
    pub duration_ms: Option<f64>,
    /// Time between this reading and the one before, to the microsecond: what rates are divided by. Null when there is
    /// none before.
    pub elapsed_ms: Option<f64>,
    /// It is collected at every so many ticks, for it costs more than its share of `budget.cpu_percent`. Null when at every
    /// one.
    pub every_ticks: Option<u64>,
    /// True when there was more than PerfWatch's limits allow, and the rest was summed up as "all others".
    pub truncated: bool,
    /// The parts that are missing or old, by their path below the section: `partitions./mnt/backup`.
    pub parts: BTreeMap<String, Part>,
}

impl Section {
    /// Why a section that is collected at every so many ticks is null between them.
    pub fn paced_reason(every_ticks: u64) -> String {
        format!(
            "collected once every {every_ticks} ticks, for it costs more than its share of budget.cpu_percent"
        )
    }
}

/// Why one part of a section is missing or old.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Never `ok`: a part that is well is not listed.
    pub state: State,
    /// Why.
    pub reason: String,
    /// What to do about it. Null when there is nothing to be done.
    pub fix: Option<String>,
    /// Since when it has been in this state.
    pub since: Timestamp,
}

/// The state of a section or of a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Collected.
    Ok,
    /// Asked for and refused, or the answer made no sense.
    Failed,
    /// Asked for, and this user may not have it.
    Denied,
    /// This host has no such thing.
    Unavailable,
    /// Asked for and not answered in time.
    Late,
    /// Not asked for.
    Disabled,
    /// Not asked for at this tick, as [`Section::every_ticks`] says.
    Paced,
}

impl State {
    /// The word that stands in the JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Late => "late",
            Self::Disabled => "disabled",
            Self::Paced => "paced",
        }
    }
}
