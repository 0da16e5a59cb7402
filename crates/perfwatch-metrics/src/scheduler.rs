//! Scheduler: who runs, who waits to run, and what interrupts them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `scheduler` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SchedulerMetrics {
    /// The host as a whole.
    #[serde(flatten)]
    pub host: HostScheduler,
    /// By number and device, or by the kernel's short name and what it means: `36: virtio1-req.0`, `LOC: Local timer interrupts`.
    /// Those that never fired are left out. Null as the part `interrupts` says.
    pub interrupts: Option<BTreeMap<String, InterruptMetrics>>,
    /// By vector: NET_RX, TIMER. Null as the part `softirqs` says.
    pub softirqs: Option<BTreeMap<String, SoftirqMetrics>>,
}

impl SchedulerMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        self.host.visit(each);
        for (name, interrupt) in self.interrupts.iter().flatten() {
            interrupt.visit(name, each);
        }
        for (name, softirq) in self.softirqs.iter().flatten() {
            softirq.visit(name, each);
        }
    }
}

metrics! {
    /// The scheduler of the host.
    pub struct HostScheduler("scheduler") {
        /// Load, 1 minute
        ///
        /// Threads that run, are ready to run, or wait for a disk, on a mean that halves every 42 s. Waiting for a disk counts, so it is no measure
        /// of the CPUs alone; compare pressure.resources and scheduler.run_queue_wait.
        load1: Option<f64> = Gauge(Count) from "/proc/loadavg",
        /// Load, 5 minutes
        ///
        /// As scheduler.load1, over five minutes.
        load5: Option<f64> = Gauge(Count) from "/proc/loadavg",
        /// Load, 15 minutes
        ///
        /// As scheduler.load1, over fifteen minutes.
        load15: Option<f64> = Gauge(Count) from "/proc/loadavg",
        /// Running
        ///
        /// Threads that run or are ready to at the moment of the sample. PerfWatch itself is one of them.
        running: Option<u64> = Gauge(Count) from "/proc/stat: procs_running",
        /// Blocked
        ///
        /// Threads that wait for a disk at the moment of the sample.
        blocked: Option<u64> = Gauge(Count) from "/proc/stat: procs_blocked" better lower,
        /// Context switches
        ///
        /// Since boot, on all CPUs.
        context_switches: Option<u64> = Counter(Count) from "/proc/stat: ctxt",
        /// Context switch rate
        ///
        /// Null on the first sample.
        context_switches_per_sec: Option<f64> = Gauge(EventsPerSecond) from "/proc/stat: ctxt" as rate(context_switches),
        /// Forks
        ///
        /// Processes and threads made since boot.
        forks: Option<u64> = Counter(Count) from "/proc/stat: processes",
        /// Fork rate
        ///
        /// Processes and threads made per second. Null on the first sample.
        forks_per_sec: Option<f64> = Gauge(EventsPerSecond) from "/proc/stat: processes" as rate(forks),
        /// Time waited for a CPU
        ///
        /// Time that threads were ready to run and had no CPU, added up over all threads and CPUs since boot. The time of a CPU
        /// that has gone offline stays in it. Null where the kernel has no /proc/schedstat (CONFIG_SCHEDSTATS).
        run_queue_wait_us: Option<u64> = Counter(Microseconds) from "/proc/schedstat: field 8 of the CPUs",
        /// Waiting for a CPU
        ///
        /// Threads that were ready to run and had no CPU, on average since the last sample: 1 is one thread all of the time.
        /// A wait counts when it ends. Null on the first sample.
        run_queue_wait: Option<f64> = Gauge(Count) from "Δrun_queue_wait_us / Δtime" as rate(run_queue_wait_us * 1e-6)
            better lower,
        /// Waiting for a CPU per core
        ///
        /// As scheduler.run_queue_wait, for each logical CPU by its number in the kernel. Null for a CPU that is offline or came online since the last sample.
        per_core_wait: Option<Vec<Option<f64>>> = Gauge(Count) by "core" from "/proc/schedstat: field 8" better lower,
    }
    raw {
        /// By the kernel's number of the CPU; None for one that is offline.
        run_queues: Vec<Option<RunQueue>>,
    }
}

/// What /proc/schedstat counts of one CPU's tasks since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunQueue {
    /// Field 7: ns that they ran.
    pub running_ns: u64,
    /// Field 8: ns that they were ready to run and did not.
    pub waiting_ns: u64,
    /// Field 9: how often one was put on the CPU.
    pub timeslices: u64,
}

metrics! {
    /// Interrupts of one line. The 64 lines with the most since the last sample are told by name, the rest together as "all others".
    pub struct InterruptMetrics("scheduler.interrupts" by "irq") {
        /// Interrupts
        ///
        /// Since boot, on all CPUs; wraps of the kernel's 32 bits are undone. It begins anew at 0 when a CPU goes on- or offline, with which its part of the
        /// kernel's count comes or goes.
        count: u64 = Counter(Count) from "/proc/interrupts",
        /// Interrupt rate
        ///
        /// Null on the first sample of a line, and when a CPU went on- or offline.
        per_sec: Option<f64> = Gauge(EventsPerSecond) from "/proc/interrupts" as rate(count),
    }
}

metrics! {
    /// Soft interrupts of one kind: work that interrupts leave to be done right after them.
    pub struct SoftirqMetrics("scheduler.softirqs" by "vector") {
        /// Soft interrupts
        ///
        /// Since boot, on all CPUs.
        count: u64 = Counter(Count) from "/proc/softirqs",
        /// Soft interrupt rate
        ///
        /// Null on the first sample.
        per_sec: Option<f64> = Gauge(EventsPerSecond) from "/proc/softirqs" as rate(count),
    }
}
