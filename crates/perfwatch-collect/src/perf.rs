//! Performance counters of the CPUs and of the kernel.

pub mod absence;
pub mod collector;
pub mod cpus;
pub mod kernel;
pub mod layout;
pub mod native;
pub mod source;
pub mod stat;
pub mod sys;

mod busy;
mod opening;

use std::fmt;
use std::str::FromStr;

pub use absence::Absence;
pub use collector::Perf;
pub use cpus::{CpuList, Cpus};
pub use source::{Source, Total, Totals};

/// What to count, and by what means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Whether to count at all.
    pub enabled: bool,
    /// Where.
    pub cpus: Cpus,
    /// By what means.
    pub source: Means,
}

impl Default for Settings {
    fn default() -> Self {
        Self { enabled: true, cpus: Cpus::All, source: Means::Native }
    }
}

/// By what means to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Means {
    /// perf_event_open, `native`.
    Native,
    /// The program `perf stat`, `perf-stat`.
    PerfStat,
}

impl FromStr for Means {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "native" => Ok(Self::Native),
            "perf-stat" => Ok(Self::PerfStat),
            _ => {
                // It may come from anybody, over HTTP.
                let shown: String = text.chars().take(32).flat_map(char::escape_default).collect();
                Err(format!("`{shown}` is neither native nor perf-stat"))
            }
        }
    }
}

impl fmt::Display for Means {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::PerfStat => "perf-stat",
        })
    }
}
