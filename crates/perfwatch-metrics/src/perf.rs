//! Hardware and software performance counters.

use serde::Serialize;

/// The `perf_events` section. It has no value: nothing collects it, so a snapshot holds null and its status
/// says `disabled`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum PerfEvents {}
