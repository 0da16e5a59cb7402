//! What is known of a metric, and the list of them all.

mod macros;
mod unit;
mod value;

use serde::{Serialize, Serializer};

use crate::cgroups::SliceMetrics;
use crate::cpu::CpuMetrics;
use crate::disk::{DeviceMetrics, PartitionMetrics};
use crate::kernel::KernelMetrics;
use crate::memory::{HostMemory, NodeMetrics, ZramMetrics};
use crate::memory_bandwidth::{HostTraffic, SocketTraffic};
use crate::network::{
    ConnectionMetrics, ConntrackMetrics, InterfaceMetrics, SocketMetrics, SoftnetMetrics,
    TcpMetrics, UdpMetrics,
};
use crate::own::{CollectorCost, OwnProcess};
use crate::perf::{Derived, EventMetrics, Overview, Running};
use crate::power::{DomainPower, HostPower};
use crate::pressure::ResourcePressure;
use crate::resctrl::MonitorMetrics;
use crate::scheduler::{HostScheduler, InterruptMetrics, SoftirqMetrics};

pub(crate) use macros::metrics;
pub use unit::Unit;
#[doc(hidden)]
pub use value::{Field, show_field};
pub use value::{Value, Visitor};

/// Every metric PerfWatch knows, in the order of the specification.
pub fn catalog() -> impl Iterator<Item = &'static MetricDef> {
    [
        CpuMetrics::DEFS,
        HostMemory::DEFS,
        NodeMetrics::DEFS,
        ZramMetrics::DEFS,
        HostScheduler::DEFS,
        InterruptMetrics::DEFS,
        SoftirqMetrics::DEFS,
        ResourcePressure::DEFS,
        SliceMetrics::DEFS,
        InterfaceMetrics::DEFS,
        ConnectionMetrics::DEFS,
        SoftnetMetrics::DEFS,
        TcpMetrics::DEFS,
        UdpMetrics::DEFS,
        ConntrackMetrics::DEFS,
        SocketMetrics::DEFS,
        DeviceMetrics::DEFS,
        PartitionMetrics::DEFS,
        KernelMetrics::DEFS,
        Overview::DEFS,
        EventMetrics::DEFS,
        Running::DEFS,
        Derived::DEFS,
        HostPower::DEFS,
        DomainPower::DEFS,
        HostTraffic::DEFS,
        SocketTraffic::DEFS,
        MonitorMetrics::DEFS,
        OwnProcess::DEFS,
        CollectorCost::DEFS,
    ]
    .into_iter()
    .flatten()
}

/// What is kept and not reported: counters that reported metrics are derived from.
pub fn hidden() -> impl Iterator<Item = &'static MetricDef> {
    HostMemory::HIDDEN_DEFS.iter()
}

/// What is known of one metric before any value of it is seen.
#[derive(Debug)]
pub struct MetricDef {
    /// Path in the snapshot's JSON, without labels: `cpu.usage_percent`. Never renamed.
    pub id: &'static str,
    /// The lines of its doc comment: the title, then the help.
    doc: &'static [&'static str],
    /// Counter, gauge or text.
    pub kind: Kind,
    /// The unit of its value.
    pub unit: Unit,
    /// Name of the label that tells objects apart: `interface`. None for what a host has once.
    pub object_label: Option<&'static str>,
    /// Name of the label of a list's positions: `core`. None unless the value is a list.
    pub index_label: Option<&'static str>,
    /// The kernel's file, or the formula and what it is computed from.
    pub source: &'static str,
    /// What history has of it.
    pub kept: Kept,
    /// Which way is better whatever the host does. None where that depends.
    pub better: Option<Better>,
    /// What its values mean, from the least up. None but where thresholds hold on every host; the help says whose they are.
    pub zones: &'static [Zone],
}

impl MetricDef {
    #[doc(hidden)]
    pub const fn new(
        id: &'static str,
        doc: &'static [&'static str],
        (kind, unit): (Kind, Unit),
        (object_label, index_label): (Option<&'static str>, Option<&'static str>),
        (source, kept): (&'static str, Kept),
    ) -> Self {
        let (better, zones): (_, &[Zone]) = (None, &[]);
        Self { id, doc, kind, unit, object_label, index_label, source, kept, better, zones }
    }

    /// The same, with what is good and what is bad of it.
    #[doc(hidden)]
    pub const fn judged(self, better: Option<Better>, zones: &'static [Zone]) -> Self {
        Self { better, zones, ..self }
    }

    /// The section of the snapshot that it is in: the first word of its id.
    pub fn section(&self) -> &'static str {
        self.id.split('.').next().unwrap_or(self.id)
    }

    /// A few words for a chart's or a column's heading.
    pub fn title(&self) -> &'static str {
        self.doc.first().map_or("", |line| line.trim())
    }

    /// What the number means, what it does not, and when it is null. Sentences; may be empty.
    pub fn help(&self) -> String {
        let lines = self.doc.iter().skip(1).map(|line| line.trim());
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Names of the labels its series carry, outermost first.
    pub fn labels(&self) -> impl Iterator<Item = &'static str> {
        self.object_label.into_iter().chain(self.index_label)
    }
}

impl Serialize for MetricDef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut entry = serializer.serialize_struct("MetricDef", 9)?;
        entry.serialize_field("id", self.id)?;
        entry.serialize_field("title", self.title())?;
        entry.serialize_field("help", &self.help())?;
        entry.serialize_field("kind", &self.kind)?;
        entry.serialize_field("unit", self.unit.symbol())?;
        entry.serialize_field("labels", &self.labels().collect::<Vec<_>>())?;
        entry.serialize_field("source", self.source)?;
        entry.serialize_field("better", &self.better)?;
        entry.serialize_field("zones", self.zones)?;
        entry.end()
    }
}

/// How a metric behaves over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only grows, until what it counts is made anew; its increase is what matters.
    Counter,
    /// Goes up and down; its value is what matters.
    Gauge,
    /// A text that describes the object, such as a file system's type.
    Info,
}

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Less of it: of errors, of waiting.
    Lower,
    /// More of it: of what is free.
    Higher,
}

/// Values with a meaning of their own, up to where the next zone begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Zone {
    /// The least value in it.
    pub from: f64,
    /// In a word or two.
    pub name: &'static str,
}

/// What history has of a metric. What is asked back equals what was reported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kept {
    /// A counter as it stands.
    Counter,
    /// A counter that the kernel keeps in 32 bits and lets wrap.
    Counter32,
    /// Values, times ten to the power of `decimals`, which makes them integers.
    Gauge {
        /// Digits after the point with which it is reported.
        decimals: u32,
    },
    /// What was counted since the sample before: values as those of a gauge, whose sum over any time is what was counted in
    /// it.
    Amount {
        /// Digits after the point with which it is reported.
        decimals: u32,
    },
    /// Not its values: they are the increase of a counter per second, times a scale.
    Rate {
        /// Id of the counter, of the same object.
        of: &'static str,
        /// What makes of the counter's unit the metric's: 10^-4 of microseconds per second a share of time in percent.
        scale: f64,
    },
    /// Not its values: they are the increase of one counter for each one of another.
    Ratio {
        /// Id of the counter above the line, of the same object.
        of: &'static str,
        /// Id of the counter below.
        per: &'static str,
    },
    /// Nothing: it is no number.
    Nothing,
}

impl Kept {
    #[doc(hidden)]
    pub const fn default_of(kind: Kind, decimals: u32) -> Self {
        match kind {
            Kind::Counter => Self::Counter,
            Kind::Gauge => Self::Gauge { decimals },
            Kind::Info => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests;
