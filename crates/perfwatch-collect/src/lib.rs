//! How PerfWatch measures: the only crate that asks the kernel.
//!
//! A collector has two steps. `read` asks the kernel, through [`Host`] alone, and can fail; `derive` is pure
//! and computes what is reported from two readings. A collector that hangs, fails or panics costs its section and
//! nothing else: one thread runs them all in a row, and another takes over from it when it is stuck.
//! [`sampler::start`] puts the sections together.
//!
//! Sampling is sync: nothing here knows of an async runtime, of HTTP or of the store.

#![deny(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

pub mod cgroups;
pub mod collector;
pub mod cpu;
pub mod disk;
pub mod error;
pub mod host;
pub mod interrupts;
pub mod kernel;
pub mod memory;
pub mod memory_bandwidth;
pub mod network;
pub mod options;
pub mod own;
pub mod perf;
pub mod pmu;
pub mod power;
pub mod pressure;
pub mod rate;
pub mod resctrl;
pub mod rows;
pub mod sampler;
pub mod scheduler;

mod budget;
mod cost;
mod duty;
mod errand;
mod hardware;
mod limit;
mod listing;
mod parse;
mod seldom;

pub use error::Error;
pub use hardware::LOOK_AGAIN;
pub use host::{Host, Roots};
pub use limit::ALL_OTHERS;
pub use options::Options;
pub use sampler::Tick;
