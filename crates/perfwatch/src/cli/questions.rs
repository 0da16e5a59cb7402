//! What can be asked of history, and how the answer is printed.

use clap::Args;

use crate::history::Threshold;
use crate::selector::Selector;

#[derive(Debug, Args)]
pub(crate) struct RangeArgs {
    /// Where the range begins [default: now-1h]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Where it ends [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Metrics: by id, or by path with `*` for any characters, or with labels in braces
    #[arg(required = true, value_name = "SELECT")]
    pub(crate) select: Vec<Selector>,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
    /// Most points of each series
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) points: u64,
    /// How to print them
    #[arg(long, value_enum, default_value_t = QueryFormat::Table)]
    pub(crate) format: QueryFormat,
}

/// How a history is printed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum QueryFormat {
    /// For people, with what happened
    Table,
    /// A line for each value
    Csv,
    /// What GET /api/v1/series answers
    Json,
    /// A line for each series
    Sparkline,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Metrics, as of `perfwatch query`; what --fail-if names is compared as well
    #[arg(value_name = "SELECT")]
    pub(crate) select: Vec<Selector>,
    #[command(flatten)]
    pub(crate) range: RangeArgs,
    /// With what: -1d and -7d (the same local time), -36h, prev (the time just before), FROM..TO
    #[arg(long, value_name = "SHIFT", default_value = "-1d", allow_hyphen_values = true)]
    pub(crate) vs: String,
    /// Most points of each series in JSON
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) points: u64,
    /// Exit with 3 when the mean (or :median, :p95, :p99, :min, :max) changed by more: cpu.usage_percent:p95:+50%
    #[arg(long, value_name = "SELECT:CHANGE")]
    pub(crate) fail_if: Vec<Threshold>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = CompareFormat::Table)]
    pub(crate) format: CompareFormat,
}

/// How a comparison is printed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum CompareFormat {
    /// For people
    Table,
    /// A line for each side of each series
    Csv,
    /// What GET /api/v1/compare answers
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// The moment, such as 03:12, yesterday 14:00 or -2h [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) at: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ExplainFormat::Text)]
    pub(crate) format: ExplainFormat,
}

/// How a verdict is printed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum ExplainFormat {
    /// For people
    Text,
    /// What GET /api/v1/verdict answers
    Json,
}

pub(super) const EXPORT_SHAPES: &str = "\
Shapes, the first two with a line that tells their version:
  ndjson       {\"perfwatch_export\":1}
               {\"time\":\"2026-11-23T03:12:05.123Z\",\"section\":\"cpu\",\"covered_ns\":5000000000,
                \"values\":{\"cpu.usage_percent\":12.3}}          a line for each section of each sample
  csv          perfwatch_export,1
               time,section,covered_ns,series,value             a line for each value
  openmetrics  # TYPE perfwatch_cpu_usage_percent gauge         for `promtool tsdb create-blocks-from openmetrics`
               perfwatch_cpu_usage_percent 12.3 1795403525.123  a counter's name ends in _total

covered_ns is the time since the sample before, by a clock that runs evenly; 0 where there is none, as at the first.";

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Metrics, as of `perfwatch query` [default: all]
    #[arg(value_name = "SELECT")]
    pub(crate) select: Vec<Selector>,
    /// Where the range begins [default: with the oldest sample]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// Where it ends [default: with the newest sample]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    /// In which shape
    #[arg(long, value_enum, default_value_t = ExportFormat::Ndjson)]
    pub(crate) format: ExportFormat,
}

/// In which shape samples leave and come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExportFormat {
    /// A line of JSON for each section of each sample
    Ndjson,
    /// A line for each value
    Csv,
    /// For Prometheus
    Openmetrics,
}
