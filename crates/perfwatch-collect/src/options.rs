//! What to collect. May change from tick to tick.

use std::collections::BTreeSet;

use crate::perf;

/// What to collect. By default, everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Names of sections that are not collected: null, with the state `disabled`.
    pub disabled: BTreeSet<String>,
    /// How performance counters are read.
    pub perf: perf::Settings,
}
