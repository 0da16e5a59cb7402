//! Hardware and software performance counters.

use serde::{Serialize, Serializer};

/// How many [`Event`]s there are.
pub const EVENTS: usize = 17;

/// What is counted, named as `perf stat` does, in the order of the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "what they count stands in the catalog")]
pub enum Event {
    CpuClock,
    ContextSwitches,
    CpuMigrations,
    PageFaults,
    Cycles,
    Instructions,
    Branches,
    BranchMisses,
    L1DcacheLoads,
    L1DcacheLoadMisses,
    LlcLoads,
    LlcLoadMisses,
    L1IcacheLoads,
    DtlbLoads,
    DtlbLoadMisses,
    ItlbLoads,
    ItlbLoadMisses,
}

impl Event {
    /// Every one, in order.
    pub const ALL: [Self; EVENTS] = [
        Self::CpuClock,
        Self::ContextSwitches,
        Self::CpuMigrations,
        Self::PageFaults,
        Self::Cycles,
        Self::Instructions,
        Self::Branches,
        Self::BranchMisses,
        Self::L1DcacheLoads,
        Self::L1DcacheLoadMisses,
        Self::LlcLoads,
        Self::LlcLoadMisses,
        Self::L1IcacheLoads,
        Self::DtlbLoads,
        Self::DtlbLoadMisses,
        Self::ItlbLoads,
        Self::ItlbLoadMisses,
    ];

    /// Its name: `L1-dcache-load-misses`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuClock => "cpu-clock",
            Self::ContextSwitches => "context-switches",
            Self::CpuMigrations => "cpu-migrations",
            Self::PageFaults => "page-faults",
            Self::Cycles => "cycles",
            Self::Instructions => "instructions",
            Self::Branches => "branches",
            Self::BranchMisses => "branch-misses",
            Self::L1DcacheLoads => "L1-dcache-loads",
            Self::L1DcacheLoadMisses => "L1-dcache-load-misses",
            Self::LlcLoads => "LLC-loads",
            Self::LlcLoadMisses => "LLC-load-misses",
            Self::L1IcacheLoads => "L1-icache-loads",
            Self::DtlbLoads => "dTLB-loads",
            Self::DtlbLoadMisses => "dTLB-load-misses",
            Self::ItlbLoads => "iTLB-loads",
            Self::ItlbLoadMisses => "iTLB-load-misses",
        }
    }

    /// Its unit in the snapshot: that of time. None for what is a plain number.
    pub const fn unit(self) -> Option<&'static str> {
        match self {
            Self::CpuClock => Some("msec"),
            _ => None,
        }
    }

    /// Whether the kernel counts it by itself, without hardware.
    pub const fn is_software(self) -> bool {
        matches!(
            self,
            Self::CpuClock | Self::ContextSwitches | Self::CpuMigrations | Self::PageFaults
        )
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// The `perf_events` section. It has no value: nothing collects it, so a snapshot holds null and its status
/// says `disabled`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum PerfEvents {}
