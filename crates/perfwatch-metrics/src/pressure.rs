//! Pressure: the time in which work stood still for want of a resource, as the kernel's pressure stall information (PSI) counts it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `pressure` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PressureMetrics {
    /// By resource: cpu, memory, io, and irq on kernels that account for the time of interrupts (6.1 and later).
    pub resources: BTreeMap<&'static str, ResourcePressure>,
}

impl PressureMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        for (name, resource) in &self.resources {
            resource.visit(name, each);
        }
    }
}

metrics! {
    /// What waiting for one resource cost. Shares come from the kernel's sums of microseconds, not from its averages, so they are exact
    /// over any time.
    pub struct ResourcePressure("pressure.resources" by "resource") {
        /// Time some waited
        ///
        /// Time since boot in which at least one task waited for the resource, in microseconds. Null for irq, whose kernel
        /// tells only when all waited.
        some_us: Option<u64> = Counter(Microseconds) from "/proc/pressure/*: some total=",
        /// Time all waited
        ///
        /// Time since boot in which all tasks that were not idle waited for the resource at once, in microseconds: nothing was done.
        /// For cpu it means nothing on a whole host, where some task always has the CPU: kernels since 5.13 show 0, older ones nothing, which is null.
        full_us: Option<u64> = Counter(Microseconds) from "/proc/pressure/*: full total=",
        /// Some waited
        ///
        /// Share of time in which at least one task waited for the resource. For cpu: something was ready to run and had no CPU.
        /// Null on the first sample.
        some_percent: Option<f64> = Gauge(Percent) from "Δsome_us / Δtime" as rate(some_us * 1e-4) better lower,
        /// All waited
        ///
        /// Share of time in which all tasks that were not idle waited for the resource at once: time that was lost whole.
        /// Null on the first sample. For cpu it is 0 by definition.
        full_percent: Option<f64> = Gauge(Percent) from "Δfull_us / Δtime" as rate(full_us * 1e-4) better lower,
    }
}
