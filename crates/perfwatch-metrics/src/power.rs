//! Power: the energy that processors and memory use, as their own meters count it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::catalog::{Visitor, metrics};

/// The `power` section.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PowerMetrics {
    /// The host as a whole.
    #[serde(flatten)]
    pub host: HostPower,
    /// By name. Domains are nested: `package-0/cores` is a part of `package-0`, and `psys` is all of it.
    pub domains: BTreeMap<String, DomainPower>,
}

impl PowerMetrics {
    /// Shows every value that is not null.
    pub fn visit(&self, each: &mut Visitor<'_>) {
        self.host.visit(each);
        for (name, domain) in &self.domains {
            domain.visit(name, each);
        }
    }
}

metrics! {
    /// The meters of the host together.
    pub struct HostPower("power") {
        /// Source
        ///
        /// Where the figures come from: `power PMU` (perf_event_open) or `powercap`. One of the two at a time.
        source: String = Info(Text) from "/sys/bus/event_source/devices/power, else /sys/class/powercap",
        /// Power of all packages
        ///
        /// Sum over the processor packages. Memory on servers, disks, fans and the losses of the power supply are not in it.
        /// psys and the domains inside a package are never added. Null while one of the packages has no figure.
        packages_watts: Option<f64> = Gauge(Watts) from "Σ power.domains.watts of the packages",
    }
}

metrics! {
    /// One meter: `package-N` is a processor package, `package-N/cores` its cores, `package-N/gpu` the graphics in it,
    /// `package-N/dram` the memory at it (on servers beside, not inside, what the package counts), and `psys` the platform.
    pub struct DomainPower("power.domains" by "domain") {
        /// Energy
        ///
        /// In whole joules; from a start that is not told, so only its increase means something. Wraps of the hardware's
        /// 32 bits are undone. Null for a meter that has not counted, as that of a virtual machine.
        energy_joules: Option<u64> = Counter(Joules) from "energy-* of the power PMU; energy_uj of powercap",
        /// Power
        ///
        /// Mean over the time between two samples. Some processors measure it, others estimate it from activity:
        /// good for comparing a host with itself, less so for comparing hosts. Null on the first sample and after the meter
        /// was reset.
        watts: Option<f64> = Gauge(Watts) from "Δenergy / Δtime",
    }
}
