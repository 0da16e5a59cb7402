//! Hardware and software performance counters.

use serde::{Serialize, Serializer};

use crate::catalog::{Field, Value, Visitor, metrics};

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

/// The `perf_events` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerfEvents {
    /// What is there and what is not.
    #[serde(flatten)]
    pub overview: Overview,
    /// Every event; none at all unless something is counted or about to be.
    #[serde(serialize_with = "events_as_map")]
    pub events: Vec<(Event, EventMetrics)>,
    /// Of the events that were counted.
    #[serde(serialize_with = "running_as_map")]
    pub running_pct: Vec<(Event, Running)>,
    /// What the counts say. Null unless something is counted.
    pub derived: Option<Derived>,
}

impl PerfEvents {
    /// What is reported when nothing is counted: `denied`, `unavailable` or `disabled`, and why.
    pub fn absent(status: &str, why: &str) -> Self {
        let overview = Overview {
            available: false,
            status: status.to_owned(),
            error: Some(why.to_owned()),
            source: None,
            cpu_cores: None,
            interval_ms: None,
            unsupported_events: Vec::new(),
            missing_events: Vec::new(),
        };
        Self { overview, events: Vec::new(), running_pct: Vec::new(), derived: None }
    }

    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        self.overview.visit(each);
        for (event, metrics) in &self.events {
            metrics.visit(event.name(), each);
        }
        for (event, running) in &self.running_pct {
            running.visit(event.name(), each);
        }
        if let Some(derived) = &self.derived {
            derived.visit(each);
        }
    }
}

fn events_as_map<S: Serializer>(
    events: &[(Event, EventMetrics)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(events.iter().map(|(event, metrics)| (event.name(), metrics)))
}

fn running_as_map<S: Serializer>(
    events: &[(Event, Running)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(events.iter().map(|(event, one)| (event.name(), one.running_pct)))
}

/// How much an event was counted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Amount {
    /// So many times.
    Count(u64),
    /// `cpu-clock`.
    Milliseconds(f64),
}

impl Field for Amount {
    const DECIMALS: u32 = f64::DECIMALS;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        match self {
            Self::Count(count) => count.show(each),
            Self::Milliseconds(time) => time.show(each),
        }
    }
}

metrics! {
    /// What of the section is there, and what is not.
    pub struct Overview("perf_events") {
        /// All 17 events counted
        ///
        /// True when every event of the specification was counted in this interval. That takes hardware that has them all,
        /// which few have: the events that there are, are reported all the same.
        available: bool = Gauge(Flag) from "perf_event_open",
        /// State of the counters
        ///
        /// full, partial, warming_up (being opened, or not open for an interval yet), denied, unavailable or disabled.
        status: String = Info(Text) from "perf_event_open",
        /// Why not all are counted
        ///
        /// In one sentence. status.perf_events.parts has the reason for each event. Null when all are counted.
        error: Option<String> = Info(Text) from "perf_event_open",
        /// Source of the counts
        ///
        /// perf_event_open, or the program perf-stat. Null when nothing is counted.
        source: Option<String> = Info(Text) from "perf.source",
        /// CPUs counted on
        ///
        /// all, or the list of the settings. Null when nothing is counted.
        cpu_cores: Option<String> = Info(Text) from "perf.cpus",
        /// Interval of the counts
        ///
        /// Time in which the events of this snapshot were counted. Null when none were.
        interval_ms: Option<f64> = Gauge(Milliseconds) from "CLOCK_MONOTONIC",
        /// Unsupported events
        ///
        /// Events that this CPU or its kernel does not have.
        unsupported_events: Vec<String> = Info(Text) by "position" from "perf_event_open",
        /// Missing events
        ///
        /// Events that could be counted and were not in this interval, such as for want of a free counter of the CPU.
        missing_events: Vec<String> = Info(Text) by "position" from "perf_event_open",
    }
}

metrics! {
    /// One event, on all CPUs together.
    pub struct EventMetrics("perf_events.events" by "event") {
        /// Counted
        ///
        /// How often the event happened since the last sample, in user space and in the kernel, not in guests;
        /// cpu-clock in milliseconds, which pass on each CPU whether it works or not. More events than the CPU has counters
        /// take turns: then each CPU's count is scaled up by the time for which it did not run, and is an estimate, as exact
        /// as perf_events.running_pct is high. Null when it did not run at all, and on the first sample. cycles are those that
        /// were not slept through. What LLC and TLB events count is up to the vendor: a load that a hardware prefetch
        /// began, a walk of a second-level TLB may be in it or not. Compare them over time, not between vendors.
        value: Option<Amount> = Gauge(Count) from "perf_event_open: Σ over CPUs of Δvalue × Δenabled / Δrunning" as amount,
        /// Unit
        ///
        /// msec of cpu-clock; null of what is a plain number.
        unit: Option<String> = Info(Text) from "the specification",
    }
}

metrics! {
    /// How much of the time one event was counted.
    pub struct Running("perf_events" by "event") {
        /// Time counted
        ///
        /// Share of the time of all CPUs in which the event ran on a counter. Below 100, its count is an estimate.
        running_pct: f64 = Gauge(Percent) from "ΣΔrunning / ΣΔenabled",
    }
}

metrics! {
    /// What the counts say. A ratio comes from events that were counted at the same times: of one group, or all the time.
    /// It is null when one of them was not, or ran for less than 5 % of the time. Over a longer time it is the mean of
    /// the samples' ratios; that of all events comes from their sums.
    pub struct Derived("perf_events.derived") {
        /// Instructions per cycle
        ///
        /// Instructions retired for each cycle that was not slept through. Below 1 the CPU mostly waits, for memory above all,
        /// above 1 it mostly computes: Brendan Gregg's rule of thumb (CPU Utilization is Wrong, 2017). A wide core can do 4 to
        /// 6. A spinning lock has a high one too: more is not always better.
        ipc: Option<f64> = Gauge(PerCycle) from "instructions / cycles"
            zones { 0.0 "mostly waiting", 1.0 "mostly computing" },
        /// Effective frequency
        ///
        /// Cycles for each second that a CPU was busy, turbo and throttling included; cpu.frequency_mhz is what the
        /// governor says. Busy is what /proc/stat has as user, nice, system, irq and softirq of the CPUs counted on: not idle, iowait or
        /// steal, and not guests, whose cycles are not counted either. Null when they were busy for less than 50 ms each, for that clock has steps of 10 ms.
        effective_ghz: Option<f64> = Gauge(Gigahertz) from "cycles / busy time of /proc/stat",
        /// Branch misses
        ///
        /// Share of the branches that were predicted wrong. Intel and AMD count retired ones; Arm's misses include those of
        /// branches that were begun and thrown away.
        branch_miss_percent: Option<f64> = Gauge(Percent) from "branch-misses / branches" better lower,
        /// Branch misses per 1,000 instructions
        ///
        /// Each costs 10 to 20 cycles, so 5 of them, 50 to 100 cycles, are a lot. Comparable between vendors as far as branch-misses are.
        branch_mpki: Option<f64> = Gauge(PerThousandInstructions) from "1,000 × branch-misses / instructions"
            better lower zones { 0.0 "few", 5.0 "many" },
        /// L1d misses per 1,000 instructions
        ///
        /// What the first data cache did not have. Intel counts lines brought in or loads that went on to the L2, by
        /// generation; AMD requests of this cache to the L2; Arm refills, on most cores those of stores too.
        l1d_mpki: Option<f64> = Gauge(PerThousandInstructions) from "1,000 × L1-dcache-load-misses / instructions"
            better lower,
        /// LLC misses per 1,000 instructions
        ///
        /// Loads that no cache had, and that went to memory or to another socket. Each costs 200 to 400 cycles unless they
        /// overlap, so 3 of them, about a cycle for each instruction, are many. AMD's kernel driver has no such event; Arm's is
        /// of the last cache that the core knows of, which may not be the last one there is.
        llc_mpki: Option<f64> = Gauge(PerThousandInstructions) from "1,000 × LLC-load-misses / instructions"
            better lower zones { 0.0 "few", 3.0 "many" },
        /// dTLB misses per 1,000 instructions
        ///
        /// Loads whose address had to be looked up. Intel and AMD count walks of the page table, Arm misses of the first
        /// level, which are many more. Many walks: huge pages may help.
        dtlb_mpki: Option<f64> = Gauge(PerThousandInstructions) from "1,000 × dTLB-load-misses / instructions"
            better lower,
        /// iTLB misses per 1,000 instructions
        ///
        /// As dtlb_mpki, of the addresses of code. More than 1 is code too large or too scattered.
        itlb_mpki: Option<f64> = Gauge(PerThousandInstructions) from "1,000 × iTLB-load-misses / instructions"
            better lower zones { 0.0 "few", 1.0 "many" },
        /// Context switches
        ///
        /// How often a CPU went from one thread to another, idle included.
        context_switches_per_sec: Option<f64> = Gauge(EventsPerSecond) from "context-switches / interval_ms",
        /// Migrations
        ///
        /// How often a thread went on on another CPU, where it finds cold caches.
        cpu_migrations_per_sec: Option<f64> = Gauge(EventsPerSecond) from "cpu-migrations / interval_ms",
        /// Page faults
        ///
        /// Faults of programs, as memory.pgfault_per_sec, which also has those that the kernel makes for them.
        page_faults_per_sec: Option<f64> = Gauge(FaultsPerSecond) from "page-faults / interval_ms",
    }
}
