//! Types of other crates, as they serialize.

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// Whose numbers these are.
#[derive(ToSchema)]
pub(in crate::http) struct HostInfo {
    hostname: Option<String>,
    kernel: Option<String>,
}

/// How one section of the snapshot came about.
#[derive(ToSchema)]
pub(in crate::http) struct Section {
    state: State,
    /// Why it is not `ok`. Null when it is.
    reason: Option<String>,
    /// What to do about it. Null when there is nothing to be done.
    fix: Option<String>,
    /// Since when it has been in this state.
    since: String,
    /// How long collecting it took. Null when it did not end in time.
    duration_ms: Option<f64>,
    /// Time between this reading and the one before. Null when there is none before.
    elapsed_ms: Option<f64>,
    /// It is collected at every so many ticks, to stay within `budget.cpu_percent`. Null when at every one.
    every_ticks: Option<u64>,
    /// Whether there was more than the limits allow.
    truncated: bool,
    /// The parts that are missing or old, by their path below the section.
    parts: BTreeMap<String, Part>,
}

/// Why a part of a section is missing or old.
#[derive(ToSchema)]
pub(in crate::http) struct Part {
    state: State,
    reason: String,
    /// What to do about it. Null when there is nothing to be done.
    fix: Option<String>,
    /// Since when it has been in this state.
    since: String,
}

/// The state of a section or of a part of one.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::http) enum State {
    Ok,
    Failed,
    Denied,
    Unavailable,
    Late,
    Disabled,
    Paced,
}

/// A metric, described.
#[derive(ToSchema)]
pub(in crate::http) struct Metric {
    /// Path in the snapshot, without labels. Never renamed.
    id: String,
    title: String,
    help: String,
    kind: MetricKind,
    unit: String,
    labels: Vec<String>,
    source: String,
    /// Which way is better, whatever the host does. Null where that depends.
    better: Option<MetricBetter>,
    /// What its values mean, from the least up. None but where thresholds hold on every host.
    zones: Vec<MetricZone>,
}

/// Which way a metric is better.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::http) enum MetricBetter {
    Lower,
    Higher,
}

/// Values with a meaning of their own, up to where the next zone begins.
#[derive(ToSchema)]
pub(in crate::http) struct MetricZone {
    /// The least value in it.
    from: f64,
    /// In a word or two.
    name: String,
}

/// How a metric behaves over time.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::http) enum MetricKind {
    Counter,
    Gauge,
    Info,
}

/// What stands out at a moment.
#[derive(ToSchema)]
pub(in crate::http) struct Verdict {
    /// The moment, in whole steps of ten seconds.
    at_ms: i64,
    /// How much before it is spoken of.
    window_ms: i64,
    /// At most five, the worst first.
    #[schema(max_items = 5)]
    sentences: Vec<Sentence>,
    /// That nothing stands out. Null when there are sentences, and when nothing can be said.
    quiet: Option<String>,
    /// Why nothing can be said. Null when something can.
    unsure: Option<String>,
}

/// One thing that stands out.
#[derive(ToSchema)]
pub(in crate::http) struct Sentence {
    /// The rule that says so, as in docs/verdict.md.
    rule: String,
    resource: Resource,
    kind: VerdictKind,
    severity: Severity,
    /// In words.
    text: String,
    /// Null when it began before what was looked at, and for what is to come.
    since_ms: Option<i64>,
    /// Label and name of the object it is about. Empty when it is about the host.
    object: BTreeMap<String, String>,
    /// What proves it, the deciding series first.
    evidence: Vec<Evidence>,
}

/// What is in trouble.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::http) enum Resource {
    Cpu,
    Memory,
    Disk,
    Network,
    Kernel,
    Perfwatch,
}

/// In which way.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::http) enum VerdictKind {
    Errors,
    Saturation,
    Utilisation,
    Forecast,
    Unusual,
}

/// How bad it is.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in crate::http) enum Severity {
    Critical,
    Warning,
    Notice,
}

/// A series and a stretch of time that prove a sentence.
#[derive(ToSchema)]
pub(in crate::http) struct Evidence {
    /// As /api/v1/series takes it.
    select: String,
    from_ms: i64,
    to_ms: i64,
    /// Of events their number, of a level the last value, else the mean. Null when what is wrong is that there is none.
    value: Option<f64>,
    unit: String,
    usual: Option<UsualBand>,
}

/// What is usual at this hour: a tenth of the minutes of the last seven days were below `low`, a tenth above `high`.
#[derive(ToSchema)]
pub(in crate::http) struct UsualBand {
    low: f64,
    high: f64,
}
