//! Control groups: the CPU time of this host's top-level slices, and how much of it was held back by their limits.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `cgroups` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CgroupMetrics {
    /// By the name of its directory: `system.slice`. Bytes that are not UTF-8 are `\xNN`.
    pub slices: BTreeMap<String, SliceMetrics>,
}

impl CgroupMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        for (name, slice) in &self.slices {
            slice.visit(name, each);
        }
    }
}

metrics! {
    /// One control group directly below the root, with everything in it: version 2, or the cpu controller of version 1 where that has it. Beyond 64 those
    /// that have used the most CPU time are told.
    pub struct SliceMetrics("cgroups.slices" by "slice") {
        /// CPU time
        ///
        /// Time that the group's tasks, those of groups below included, have had on CPUs, in microseconds. Null with version 1 when it has no cpuacct.
        cpu_us: Option<u64> = Counter(Microseconds) from "cpu.stat: usage_usec; cpuacct.usage",
        /// CPU used
        ///
        /// 100 is one CPU all of the time, so it may be more. Null on the first sample of a group.
        cpu_percent: Option<f64> = Gauge(Percent) from "Δcpu_us / Δtime" as rate(cpu_us * 1e-4),
        /// Time throttled
        ///
        /// Time that the group was ready to run and held back because it had used up its quota, added up over CPUs, in microseconds. Only the group's own
        /// limit counts, not those of groups below. Null where the group has no cpu controller.
        throttled_us: Option<u64> = Counter(Microseconds) from "cpu.stat: throttled_usec; throttled_time",
        /// Throttled
        ///
        /// 100 is one CPU's queue of the group held back all of the time, so on several CPUs it may be more. Null on the first sample of a group.
        throttled_percent: Option<f64> = Gauge(Percent) from "Δthrottled_us / Δtime" as rate(throttled_us * 1e-4)
            better lower,
        /// Periods
        ///
        /// Periods of the limit in which the group ran. 0 without a limit.
        periods: Option<u64> = Counter(Count) from "cpu.stat: nr_periods",
        /// Periods throttled
        ///
        /// Periods in which the quota was used up before their end.
        throttled_periods: Option<u64> = Counter(Count) from "cpu.stat: nr_throttled",
    }
}
