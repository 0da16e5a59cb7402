//! The description of a metric, and the macro that writes it down once.
//!
//! `metrics!` takes a struct whose doc comments are the titles (first line) and the help (the rest), and
//! makes of it the struct itself (serde names are the field names), `DEFS`, and `visit()`. A metric's id is
//! its path in the snapshot's JSON without the keys that vary from host to host; those are its labels:
//! `network.interfaces.bytes_recv{interface="eth0"}`.
//!
//! It says as well how history is kept: what `as` says, else a counter as it stands and a gauge with the decimals
//! it is reported with. Fields in a `kept` block are not reported at all: they are the counters that reported rates come
//! from, and history has them instead. Fields in a `raw` block are what else the kernel said in the same lines, for
//! exporters of raw counters: neither reported nor kept, and no metrics of their own.
//!
//! At the end of a line, `better lower` or `better higher` says which way is better where that is beyond doubt, and
//! `zones { 0.0 "waiting", 1.0 "computing" }` what values mean.

use std::io::Write;

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

/// The unit of a value, as the specification writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Hundredths, 0 to 100.
    Percent,
    /// Octets.
    Bytes,
    /// Octets per second.
    BytesPerSecond,
    /// Units of 1,024 bytes per second, the unit of the kernel's pgpgin and pgpgout.
    KilobytesPerSecond,
    /// A plain number of things.
    Count,
    /// Network packets per second.
    PacketsPerSecond,
    /// I/O requests per second.
    OperationsPerSecond,
    /// Pages of the kernel's page size per second.
    PagesPerSecond,
    /// Page faults per second.
    FaultsPerSecond,
    /// Millionths of a second.
    Microseconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Seconds.
    Seconds,
    /// Millions of cycles per second.
    Megahertz,
    /// Billions of cycles per second.
    Gigahertz,
    /// So many for each cycle.
    PerCycle,
    /// So many for 1,000 instructions.
    PerThousandInstructions,
    /// Things that happen, per second.
    EventsPerSecond,
    /// 1 for yes, 0 for no.
    Flag,
    /// Degrees Celsius.
    Celsius,
    /// Units of energy: a watt for a second.
    Joules,
    /// Units of power: a joule per second.
    Watts,
    /// Not a number.
    Text,
}

impl Unit {
    /// The unit as people write it: `bytes/s`.
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Bytes => "bytes",
            Self::BytesPerSecond => "bytes/s",
            Self::KilobytesPerSecond => "KB/s",
            Self::Count => "count",
            Self::PacketsPerSecond => "pkts/s",
            Self::OperationsPerSecond => "ops/s",
            Self::PagesPerSecond => "pages/s",
            Self::FaultsPerSecond => "faults/s",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Megahertz => "MHz",
            Self::Gigahertz => "GHz",
            Self::PerCycle => "per cycle",
            Self::PerThousandInstructions => "per 1,000 instructions",
            Self::EventsPerSecond => "events/s",
            Self::Flag => "0 or 1",
            Self::Celsius => "°C",
            Self::Joules => "J",
            Self::Watts => "W",
            Self::Text => "string",
        }
    }
}

/// One value on its way to a consumer. Integers stay integers: a counter above 2^53 keeps its low bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// Counters, sizes and counts.
    Integer(u64),
    /// Shares, rates and readings of sensors. Always finite.
    Float(f64),
    /// Descriptions.
    Text(&'a str),
}

/// Takes each value of a snapshot: its description, its labels' values in the order of
/// [`MetricDef::labels`], and the value. A metric that is null is not shown.
pub type Visitor<'v> = dyn FnMut(&'static MetricDef, &[&str], Value<'_>) + 'v;

/// A field of a metrics struct: shows each value it holds, with its position if it is a list.
#[doc(hidden)]
pub trait Field {
    /// Digits after the point: every float is rounded to thousandths.
    const DECIMALS: u32;
    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>));
}

impl Field for u64 {
    const DECIMALS: u32 = 0;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Integer(*self));
    }
}

impl Field for bool {
    const DECIMALS: u32 = 0;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Integer((*self).into()));
    }
}

impl Field for f64 {
    const DECIMALS: u32 = 3;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Float(*self));
    }
}

impl Field for &'static str {
    const DECIMALS: u32 = 0;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Text(self));
    }
}

impl Field for String {
    const DECIMALS: u32 = 0;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        each(None, Value::Text(self));
    }
}

impl<T: Field> Field for Option<T> {
    const DECIMALS: u32 = T::DECIMALS;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        if let Some(value) = self {
            value.show(each);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    const DECIMALS: u32 = T::DECIMALS;

    fn show(&self, each: &mut dyn FnMut(Option<usize>, Value<'_>)) {
        for (position, item) in self.iter().enumerate() {
            item.show(&mut |_, value| each(Some(position), value));
        }
    }
}

/// Shows the values of one field under its object's label.
#[doc(hidden)]
pub fn show_field(
    def: &'static MetricDef,
    object: Option<&str>,
    field: &impl Field,
    each: &mut Visitor<'_>,
) {
    field.show(&mut |position, value| {
        let mut digits = [0; MAX_DIGITS];
        match (object, position.and_then(|position| decimal(position, &mut digits))) {
            (Some(object), Some(position)) => each(def, &[object, position], value),
            (Some(one), None) | (None, Some(one)) => each(def, &[one], value),
            (None, None) => each(def, &[], value),
        }
    });
}

/// Digits of the largest position.
const MAX_DIGITS: usize = 20;

/// A number in writing, without asking for memory: this runs for each core at every tick.
fn decimal(number: usize, digits: &mut [u8; MAX_DIGITS]) -> Option<&str> {
    let mut rest = &mut digits[..];
    write!(rest, "{number}").ok()?;
    let left = rest.len();
    std::str::from_utf8(digits.get(..MAX_DIGITS - left)?).ok()
}

/// Describes the metrics of one JSON object, once. See the module's documentation.
macro_rules! metrics {
    (
        $(#[doc = $struct_doc:literal])+
        pub struct $name:ident($prefix:literal $(by $object:literal)?) {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $kind:ident($unit:ident) $(by $index:literal)? from $source:literal
                    $(as $how:ident $(($($args:tt)+))?)?
                    $(better $better:ident)?
                    $(zones { $($least:literal $zone:literal),+ })?,
            )+
        }
        $(kept {
            $(
                $(#[doc = $hidden_doc:literal])+
                $hidden:ident: $hidden_type:ty = $hidden_kind:ident($hidden_unit:ident)
                    from $hidden_source:literal,
            )+
        })?
        $(raw {
            $(
                $(#[doc = $raw_doc:literal])+
                $raw:ident: $raw_type:ty,
            )+
        })?
    ) => {
        $(#[doc = $struct_doc])+
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                pub $field: $type,
            )+
            $($(
                $(#[doc = $hidden_doc])+
                #[serde(skip)]
                pub $hidden: $hidden_type,
            )+)?
            $($(
                $(#[doc = $raw_doc])+
                #[serde(skip)]
                pub $raw: $raw_type,
            )+)?
        }

        impl $name {
            const OBJECT_LABEL: Option<&'static str> = $crate::catalog::metrics!(@optional $($object)?);

            /// The descriptions, in the order of the fields.
            pub const DEFS: &'static [$crate::catalog::MetricDef] = &[
                $($crate::catalog::MetricDef::new(
                    concat!($prefix, ".", stringify!($field)),
                    &[$($doc),+],
                    ($crate::catalog::Kind::$kind, $crate::catalog::Unit::$unit),
                    (Self::OBJECT_LABEL, $crate::catalog::metrics!(@optional $($index)?)),
                    ($source, $crate::catalog::metrics!(@kept $prefix $kind $type $(, $how $($($args)+)?)?)),
                ).judged(
                    $crate::catalog::metrics!(@better $($better)?),
                    &[$($($crate::catalog::Zone { from: $least, name: $zone }),+)?],
                )),+
            ];

            $crate::catalog::metrics!(@visit visit DEFS ($($field)+) $($object)?);

            $(
                /// The descriptions of what is kept and not reported.
                pub const HIDDEN_DEFS: &'static [$crate::catalog::MetricDef] = &[
                    $($crate::catalog::MetricDef::new(
                        concat!($prefix, ".", stringify!($hidden)),
                        &[$($hidden_doc),+],
                        ($crate::catalog::Kind::$hidden_kind, $crate::catalog::Unit::$hidden_unit),
                        (Self::OBJECT_LABEL, None),
                        ($hidden_source, $crate::catalog::metrics!(@kept $prefix $hidden_kind $hidden_type)),
                    )),+
                ];

                $crate::catalog::metrics!(@visit visit_hidden HIDDEN_DEFS ($($hidden)+));
            )?
        }
    };
    (@visit $visit:ident $defs:ident ($($field:ident)+) $object:literal) => {
        /// Shows every value that is not null. `object` is the value of the label that tells objects apart.
        pub fn $visit(&self, object: &str, each: &mut $crate::catalog::Visitor<'_>) {
            let mut defs = Self::$defs.iter();
            $(
                if let Some(def) = defs.next() {
                    $crate::catalog::show_field(def, Some(object), &self.$field, each);
                }
            )+
        }
    };
    (@visit $visit:ident $defs:ident ($($field:ident)+)) => {
        /// Shows every value that is not null.
        pub fn $visit(&self, each: &mut $crate::catalog::Visitor<'_>) {
            let mut defs = Self::$defs.iter();
            $(
                if let Some(def) = defs.next() {
                    $crate::catalog::show_field(def, None, &self.$field, each);
                }
            )+
        }
    };
    (@optional $value:literal) => { Some($value) };
    (@optional) => { None };
    (@better lower) => { Some($crate::catalog::Better::Lower) };
    (@better higher) => { Some($crate::catalog::Better::Higher) };
    (@better) => { None };
    (@kept $prefix:literal $kind:ident $type:ty) => {
        $crate::catalog::Kept::default_of(
            $crate::catalog::Kind::$kind,
            <$type as $crate::catalog::Field>::DECIMALS,
        )
    };
    (@kept $prefix:literal $kind:ident $type:ty, counter32) => { $crate::catalog::Kept::Counter32 };
    (@kept $prefix:literal $kind:ident $type:ty, amount) => {
        $crate::catalog::Kept::Amount { decimals: <$type as $crate::catalog::Field>::DECIMALS }
    };
    (@kept $prefix:literal $kind:ident $type:ty, rate $of:ident) => {
        $crate::catalog::metrics!(@kept $prefix $kind $type, rate $of * 1.0)
    };
    (@kept $prefix:literal $kind:ident $type:ty, rate $of:ident * $scale:literal) => {
        $crate::catalog::Kept::Rate { of: concat!($prefix, ".", stringify!($of)), scale: $scale }
    };
    (@kept $prefix:literal $kind:ident $type:ty, ratio $of:ident / $per:ident) => {
        $crate::catalog::Kept::Ratio {
            of: concat!($prefix, ".", stringify!($of)),
            per: concat!($prefix, ".", stringify!($per)),
        }
    };
}
pub(crate) use metrics;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique() {
        let ids: BTreeSet<_> = catalog().map(|def| def.id).collect();
        assert_eq!(ids.len(), catalog().count());
    }

    /// The ids are the public API. This list only grows: a changed line is a broken promise.
    #[test]
    fn no_id_was_ever_renamed() {
        let ids: Vec<_> = catalog().map(|def| def.id).collect();
        for golden in include_str!("../golden_ids.txt").lines() {
            assert!(ids.contains(&golden), "{golden} was renamed or removed");
        }
        assert_eq!(
            ids.len(),
            include_str!("../golden_ids.txt").lines().count(),
            "a new metric gets a line in golden_ids.txt"
        );
    }

    #[test]
    fn what_is_derived_comes_from_counters_that_are_kept() {
        let kept =
            |id: &str| catalog().chain(hidden()).find(|def| def.id == id).map(|def| def.kept);
        for def in catalog() {
            let from = match def.kept {
                Kept::Rate { of, .. } => vec![of],
                Kept::Ratio { of, per } => vec![of, per],
                _ => continue,
            };
            for id in from {
                let counter = matches!(kept(id), Some(Kept::Counter | Kept::Counter32));
                assert!(counter, "{}: {id}", def.id);
            }
        }
    }

    #[test]
    fn every_metric_says_what_it_is() {
        for def in catalog().chain(hidden()) {
            assert!(!def.title().is_empty() && !def.title().ends_with('.'), "{}: title", def.id);
            assert!(!def.help().is_empty() && def.help().ends_with('.'), "{}: help", def.id);
            assert!(!def.source.is_empty(), "{}: source", def.id);
        }
    }

    #[test]
    fn names_say_their_unit() {
        for def in catalog().filter(|def| def.kind != Kind::Info) {
            let name = def.id.rsplit('.').next().unwrap();
            let said = match name {
                _ if name.ends_with("_percent") => Unit::Percent,
                _ if name.ends_with("bytes_per_sec") => Unit::BytesPerSecond,
                "pgpgin_per_sec" | "pgpgout_per_sec" => Unit::KilobytesPerSecond,
                "pswpin_per_sec" | "pswpout_per_sec" => Unit::PagesPerSecond,
                _ if name.ends_with("fault_per_sec") || name == "page_faults_per_sec" => {
                    Unit::FaultsPerSecond
                }
                "hit_per_sec" | "miss_per_sec" | "refaults_per_sec" => Unit::PagesPerSecond,
                "direct_reclaims_per_sec" | "compact_stalls_per_sec" => Unit::EventsPerSecond,
                "reads_merged_per_sec" | "writes_merged_per_sec" => Unit::OperationsPerSecond,
                "read_only" => Unit::Flag,
                "running_pct" => Unit::Percent,
                "available" | "late" | "link_up" | "clock_synchronized" => Unit::Flag,
                "ipc" => Unit::PerCycle,
                _ if name.ends_with("_ghz") => Unit::Gigahertz,
                _ if name.ends_with("_mpki") => Unit::PerThousandInstructions,
                "context_switches_per_sec"
                | "cpu_migrations_per_sec"
                | "forks_per_sec"
                | "per_sec" => Unit::EventsPerSecond,
                _ if name.starts_with("bytes_") && name.ends_with("_per_sec") => {
                    Unit::BytesPerSecond
                }
                _ if name.ends_with("_iops") => Unit::OperationsPerSecond,
                _ if name.ends_with("_per_sec") => {
                    let packets = [
                        "packets_",
                        "errors_",
                        "drops_",
                        "segments_",
                        "datagrams_",
                        "processed_",
                        "dropped_",
                    ];
                    let of_packets = packets.iter().any(|word| name.starts_with(word));
                    if of_packets { Unit::PacketsPerSecond } else { Unit::EventsPerSecond }
                }
                _ if name.ends_with("_bytes") || name.starts_with("bytes_") => Unit::Bytes,
                "store_bytes_per_sample" => Unit::Bytes,
                _ if name.ends_with("_us") => Unit::Microseconds,
                _ if name.ends_with("_ms") => Unit::Milliseconds,
                _ if name.ends_with("_seconds") => Unit::Seconds,
                _ if name.ends_with("_mhz") => Unit::Megahertz,
                _ if name.ends_with("_celsius") => Unit::Celsius,
                _ if name.ends_with("_joules") => Unit::Joules,
                _ if name.ends_with("watts") => Unit::Watts,
                "per_core" | "user" | "system" | "idle" | "iowait" | "irq" | "softirq" | "nice"
                | "steal" | "guest" => Unit::Percent,
                "per_core_wait" => Unit::Count,
                _ if name.starts_with("per_core_") => Unit::Percent,
                _ => Unit::Count,
            };
            assert_eq!(def.unit, said, "{}", def.id);
        }
    }

    #[test]
    fn zones_begin_at_nothing_and_go_up() {
        for def in catalog().filter(|def| !def.zones.is_empty()) {
            assert!(def.zones[0].from == 0.0, "{}: below the first zone", def.id);
            assert!(def.zones.is_sorted_by(|a, b| a.from < b.from), "{}: order", def.id);
        }
    }

    #[test]
    fn what_is_good_is_in_the_entry() {
        let entry = |id| serde_json::to_value(catalog().find(|def| def.id == id).unwrap()).unwrap();
        assert_eq!(entry("disk.devices.read_latency_ms")["better"], "lower");
        assert_eq!(entry("memory.available_bytes")["better"], "higher");
        let ipc = entry("perf_events.derived.ipc");
        assert_eq!(
            (&ipc["better"], &ipc["zones"][1]["from"]),
            (&serde_json::Value::Null, &1.0.into())
        );
    }

    #[test]
    fn a_description_becomes_a_catalog_entry() {
        let def = catalog().find(|def| def.id == "cpu.per_core").unwrap();
        let entry = serde_json::to_value(def).unwrap();
        assert_eq!(entry["title"], "CPU utilisation per core");
        assert_eq!(entry["kind"], "gauge");
        assert_eq!(entry["unit"], "%");
        assert_eq!(entry["labels"], serde_json::json!(["core"]));
    }
}
