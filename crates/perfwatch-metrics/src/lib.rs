//! What PerfWatch measures.
//!
//! Every metric is described once, in a [`metrics!`](mod@catalog) block of the module of its subsystem: its
//! name, title, meaning, kind, unit, labels and source. From that one description come the typed struct of
//! the snapshot, its JSON, the [`catalog()`], and [`Snapshot::visit`], which every consumer walks instead of
//! naming metrics again.
//!
//! This crate does no I/O and reads no clock: how the values are obtained is the business of
//! `perfwatch-collect`.

pub mod catalog;
pub mod cgroups;
pub mod cpu;
pub mod disk;
pub mod kernel;
pub mod memory;
pub mod memory_bandwidth;
pub mod network;
pub mod own;
pub mod perf;
pub mod power;
pub mod pressure;
pub mod resctrl;
pub mod scheduler;
pub mod series;
pub mod snapshot;

pub use catalog::{Better, Kept, Kind, MetricDef, Unit, Value, Zone, catalog};
pub use series::SeriesKey;
pub use snapshot::{Part, Section, Snapshot, State, Status};
