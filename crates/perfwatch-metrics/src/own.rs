//! PerfWatch itself: what it takes, and what each collector costs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `self` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OwnMetrics {
    /// The process as a whole.
    #[serde(flatten)]
    pub process: OwnProcess,
    /// By the name of their section.
    pub collectors: BTreeMap<String, CollectorCost>,
}

impl OwnMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        self.process.visit(each);
        for (name, collector) in &self.collectors {
            collector.visit(name, each);
        }
    }
}

metrics! {
    /// The process of PerfWatch.
    pub struct OwnProcess("self") {
        /// PerfWatch's CPU time
        ///
        /// Processor time, user and system, that PerfWatch has used since it started: collecting, storing and answering.
        cpu_us: u64 = Counter(Microseconds) from "clock_gettime(CLOCK_PROCESS_CPUTIME_ID)",
        /// PerfWatch's CPU share
        ///
        /// Of one CPU. Null on the first sample.
        cpu_percent: Option<f64> = Gauge(Percent) from "Δcpu_us / Δtime" as rate(cpu_us * 1e-4) better lower,
        /// PerfWatch's memory
        ///
        /// Resident memory, shared pages included.
        rss_bytes: u64 = Gauge(Bytes) from "rss of /proc/self/stat × page size" better lower,
        /// PerfWatch's threads
        ///
        /// More than usual means that something hangs, such as a file system that does not answer.
        threads: u64 = Gauge(Count) from "num_threads of /proc/self/stat",
        /// PerfWatch's file descriptors
        ///
        /// Open files, sockets and counters. Null where the kernel does not list them.
        descriptors: Option<u64> = Gauge(Count) from "/proc/self/fd",
        /// Live clients
        ///
        /// Open streams of GET /api/v1/live. Null where nothing is served.
        clients: Option<u64> = Gauge(Count) from "PerfWatch",
        /// Frames skipped
        ///
        /// Snapshots that live clients were too slow for, summed over all of them since the start. Null where nothing is served.
        frames_skipped: Option<u64> = Counter(Count) from "PerfWatch" better lower,
        /// Bytes of history
        ///
        /// All files of the history. Null while there is none, and where none is kept.
        store_bytes: Option<u64> = Gauge(Bytes) from "PerfWatch",
        /// Bytes for each sample
        ///
        /// What the finished blocks of single samples take for each of them, all their values together. Null until the first
        /// block is finished, and where no history is kept.
        store_bytes_per_sample: Option<f64> = Gauge(Bytes) from "PerfWatch",
    }
}

metrics! {
    /// What one collector cost at this tick. Absent at ticks at which it was not run.
    pub struct CollectorCost("self.collectors" by "collector") {
        /// Duration
        ///
        /// By the clock, from asking the kernel to the finished section. Null when it did not end in time.
        duration_ms: Option<f64> = Gauge(Milliseconds) from "PerfWatch" better lower,
        /// CPU time
        ///
        /// Of the thread that collected; what the kernel spent on its reads is the most of it. Temperature files and the fill
        /// levels of file systems, which are asked for beside, are not in it. Null when it did not end in time.
        cpu_ms: Option<f64> = Gauge(Milliseconds) from "clock_gettime(CLOCK_THREAD_CPUTIME_ID)" better lower,
        /// Bytes read
        ///
        /// Length of the kernel's files that were read. Null when it did not end in time.
        read_bytes: Option<u64> = Gauge(Bytes) from "PerfWatch",
        /// Late
        ///
        /// 1 when it had not answered when the snapshot went out.
        late: bool = Gauge(Flag) from "PerfWatch",
    }
}
