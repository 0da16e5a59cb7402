//! PerfWatch's own trouble.

use crate::rule::{Rule, above, must, told};
use crate::sentence::Kind::{Errors, Utilisation};
use crate::sentence::Resource::Perfwatch;
use crate::sentence::Severity::{Critical, Notice, Warning};

/// From events.
pub(crate) static HISTORY_UNWRITTEN: Rule = Rule::new(
    "history-unwritten",
    (Perfwatch, Errors, Critical),
    "PerfWatch cannot write its history",
    &[],
    "The store's own word. What is measured meanwhile is in memory, for some minutes.",
);

/// From events.
pub(crate) static COLLECTOR_MISSING: Rule = Rule::new(
    "collector-missing",
    (Perfwatch, Errors, Warning),
    "PerfWatch cannot measure {}",
    &[],
    "A whole section has failed or been late for half a minute.",
)
.each("section");

pub(crate) const RULES: &[Rule] = &[Rule::new(
    "own-cost",
    (Perfwatch, Utilisation, Notice),
    "PerfWatch itself takes more than it should",
    &[
        must("self.cpu_percent", above(10.0, 5.0), "{} of a CPU"),
        told("self.clients", "{} clients"),
    ],
    "A tenth of a CPU is twenty times what sampling is allowed to take.",
)
.hold(120)];
