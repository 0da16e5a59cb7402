//! What is said, in the shape that the API answers.

use std::collections::BTreeMap;

use serde::Serialize;

/// Most sentences of a verdict.
pub const MAX_SENTENCES: usize = 5;

/// What stands out at a moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The moment in question, in milliseconds since the epoch.
    pub at_ms: i64,
    /// How much before it is spoken of.
    pub window_ms: i64,
    /// At most [`MAX_SENTENCES`], the worst first. Empty when nothing stands out, and when nothing can be said.
    pub sentences: Vec<Sentence>,
    /// That nothing stands out. None when there are sentences, and when nothing can be said.
    pub quiet: Option<String>,
    /// Why nothing can be said. None when something can.
    pub unsure: Option<String>,
}

/// One thing that stands out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sentence {
    /// Which rule says so.
    pub rule: &'static str,
    /// What is in trouble.
    pub resource: Resource,
    /// In which way.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// In words. Names in it are shortened, and nothing in them talks to a terminal.
    pub text: String,
    /// Since when, in milliseconds since the epoch. None when it began before what was looked at.
    pub since_ms: Option<i64>,
    /// Label and name of the object it is about. Empty when it is about the host.
    pub object: BTreeMap<String, String>,
    /// What proves it, the deciding series first.
    pub evidence: Vec<Evidence>,
}

/// A series and a stretch of time that prove a sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evidence {
    /// How the series is asked for.
    pub select: String,
    /// When the stretch begins, in milliseconds since the epoch.
    pub from_ms: i64,
    /// When it ends.
    pub to_ms: i64,
    /// The value in that stretch: of events their number, of a level the last one, else the mean. None when what is
    /// wrong is that there is none.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: String,
    /// What is usual at this hour. None when that is not known.
    pub usual: Option<Band>,
}

/// What is usual.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Band {
    /// A tenth of the minutes were below.
    pub low: f64,
    /// A tenth of the minutes were above.
    pub high: f64,
}

/// What is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// CPUs and what waits for them.
    Cpu,
    /// Memory and swap.
    Memory,
    /// Block devices and file systems.
    Disk,
    /// Interfaces, protocols and sockets.
    Network,
    /// Tables of the kernel, its clock, its hardware.
    Kernel,
    /// PerfWatch itself.
    Perfwatch,
}

/// In which way it is in trouble: the USE method's columns, what is far from usual, and what is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something fails.
    Errors,
    /// Work waits.
    Saturation,
    /// It is used up, or nearly.
    Utilisation,
    /// It will be used up.
    Forecast,
    /// It is far from what is usual at this hour.
    Unusual,
}

/// How bad it is. The worst is the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something fails, or is about to.
    Critical,
    /// Something suffers.
    Warning,
    /// Worth knowing.
    Notice,
}

impl Severity {
    /// One less, for what is usual.
    pub(crate) fn lowered(self) -> Self {
        match self {
            Self::Critical => Self::Warning,
            Self::Warning | Self::Notice => Self::Notice,
        }
    }
}
