//! What to collect. May change from tick to tick.

use std::collections::BTreeSet;

use crate::perf;

/// What to collect. By default, everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    /// Names of sections that are not collected: null, with the state `disabled`.
    pub disabled: BTreeSet<String>,
    /// How performance counters are read.
    pub perf: perf::Settings,
    /// Share of one CPU, in percent, that all collectors together may take. Those that exceed their share of it are run
    /// less often. None: any amount.
    pub cpu_percent: Option<f64>,
}
