//! The command line. Help, man page and completions all come from here.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::access::Role;
use crate::config::{
    ByteCount, CpuPercent, Given, Interval, KeepRaw, Listen, LogLevel, PerfOverrides, SETTINGS,
    duration,
};
use crate::history::Threshold;
use crate::selector::Selector;

/// Performance monitor for a Linux host.
///
/// Samples CPU, memory, network, disk and performance counters, and streams every snapshot over WebSocket. Needs no root, no cloud and
/// no second service. Without a command it serves.
#[derive(Debug, Parser)]
#[command(version, after_long_help = examples())]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) settings: Overrides,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  perfwatch                              serve this host at http://127.0.0.1:9909
  perfwatch --interval 1s                the same, sampling every second
  perfwatch snapshot                     one look at everything, with rates over a second
  perfwatch snapshot --json | jq .cpu    the same for a script
  perfwatch watch | jq .memory.used_bytes
  perfwatch query cpu.usage_percent 'disk.devices.*.write_bytes_per_sec' --from now-15m
  perfwatch query 'network.interfaces.*{interface=\"eth0\"}' --from 03:12 --to 03:30 --format csv
  perfwatch compare 'disk.devices.*.write_latency_ms' --from now/d --vs -1d
  perfwatch explain --at 03:12           what stood out then, and what proves it
  perfwatch doctor                       what works here, what does not, and what to do

Settings are taken from the command line, then the environment, then the configuration file
(/etc/perfwatch/perfwatch.toml unless --config says otherwise), then what was saved in the dashboard, then the
defaults:
";

/// What stands below the help: examples, and every setting.
fn examples() -> String {
    SETTINGS
        .iter()
        .fold(EXAMPLES.to_owned(), |text, setting| format!("{text}  {}\n", setting.line()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sample and serve until SIGTERM (the default)
    ///
    /// GET /api/v1/snapshot is the newest snapshot, GET /api/v1/live streams every one over WebSocket, GET
    /// /api/v1/catalog describes the metrics, GET /api/v1/series, compare, events and verdict tell of the past, GET /metrics is for
    /// Prometheus, GET /healthz answers `ok`.
    Serve,
    /// Print one snapshot, with rates
    ///
    /// Samples twice and prints the second sample. Needs no server and writes nothing.
    Snapshot(SnapshotArgs),
    /// Print every snapshot as a line of JSON
    Watch,
    /// Print what was measured, over any range
    ///
    /// Reads the files themselves, beside a running server too. Points in time: now-6h, now/d, 03:12, yesterday,
    /// 2026-11-23T03:12, milliseconds since the epoch.
    Query(QueryArgs),
    /// Compare a range with another, such as yesterday's
    ///
    /// Exits with 3 when a change is one that --fail-if names.
    Compare(CompareArgs),
    /// Say what stands out at a moment, since when, and what proves it
    ///
    /// Looks at the half hour before and speaks of its last five minutes: which resource is saturated, erring, used up or far
    /// from what is usual at this hour, and which file system will be full. docs/verdict.md has the rules. Reads the
    /// files themselves, beside a running server too.
    Explain(ExplainArgs),
    /// Write every kept sample to standard output
    ///
    /// Writes what is kept, not what is shown: counters as they stand (a rate is selected as its counter), gauges with
    /// their decimals, nothing averaged, so that `perfwatch import` gives back the same rows. Reads the files
    /// themselves, beside a running server too.
    #[command(after_long_help = EXPORT_SHAPES)]
    Export(ExportArgs),
    /// Take in what `perfwatch export` wrote
    ///
    /// The format is recognized by itself. Rows that are there already (same section, same time, same values) are
    /// skipped, so that importing twice changes nothing. Needs that no server runs on the same history. At a line that
    /// makes no sense it ends with an error; what stands before that line is in. OpenMetrics does not say how long a
    /// sample covers: the time since the one before is taken, where that is at most 2.5 times as long as usual, else
    /// the sample continues none and its counters have no rate there.
    Import(ImportArgs),
    /// Look after the files of the history
    #[command(subcommand)]
    Db(DbCommand),
    /// Say who may log in
    ///
    /// Works beside a running server, which sees the change within a second: sessions and open streams of who is
    /// removed or has another password end.
    #[command(subcommand)]
    User(UserCommand),
    /// Describe every metric
    Catalog(CatalogArgs),
    /// Record what the kernel says, for a bug report or a test
    ///
    /// Reads everything twice, a second apart, and writes the files to DIR/t0 and DIR/t1 in the layout of the
    /// project's fixtures. Socket tables hold addresses: look before you send them.
    Capture(CaptureArgs),
    /// Say what works here, what does not, and what to do
    ///
    /// Exits with 1 when something that should work does not.
    Doctor,
    /// Look after the certificate of HTTPS
    #[command(subcommand)]
    Tls(TlsCommand),
    /// Print shell completions
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

#[derive(Debug, Args)]
pub(crate) struct SnapshotArgs {
    /// Print the snapshot's JSON, the same that `data` holds in a live message
    #[arg(long, conflicts_with = "table")]
    pub(crate) json: bool,
    /// Print a table (the default)
    #[arg(long)]
    pub(crate) table: bool,
    /// Time between the two samples that rates are computed from, 100ms to 60s
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = snapshot_window)]
    pub(crate) over: Duration,
}

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

const EXPORT_SHAPES: &str = "\
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

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// What `perfwatch export` wrote; `-` is standard input
    pub(crate) file: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DbCommand {
    /// Read everything and say what is damaged
    ///
    /// Verifies every record and every checksum, and prints a line for each damaged spot. Works beside a running
    /// server. --data may be a backup. Exits with 1 when something is damaged.
    Check {
        /// How to print it
        #[arg(long, value_enum, default_value_t = DbFormat::Table)]
        format: DbFormat,
    },
    /// Say how much there is, and how much disk it will need
    ///
    /// What will be needed is estimated from what there is: bytes a day times the days that are kept.
    Info {
        /// How to print it
        #[arg(long, value_enum, default_value_t = DbFormat::Table)]
        format: DbFormat,
    },
    /// Write everything to one file
    ///
    /// Works beside a running server. The file can be read itself: --data FILE of query, compare, export, db check and
    /// db info.
    Backup {
        /// The file to write
        file: PathBuf,
        /// Replace the file if it is there
        #[arg(long)]
        force: bool,
    },
    /// Write a backup's content to --data DIR, which must hold no history yet
    Restore {
        /// A file that `perfwatch db backup` wrote
        file: PathBuf,
    },
    /// Merge small files, and drop what is damaged, there twice or over its time
    ///
    /// Needs that no server runs on the same history.
    Compact,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user
    Add {
        /// The name to log in with
        name: String,
        /// What the user may do
        #[arg(long, value_enum, default_value_t = Role::Admin)]
        role: Role,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Give a user another password
    Password {
        /// The user's name
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Remove a user, and the API tokens the user made
    Remove {
        /// The user's name
        name: String,
    },
    /// List the users
    List,
}

#[derive(Debug, Args)]
pub(crate) struct PasswordArgs {
    /// Take the password from the first line of a file, not from the terminal or standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TlsCommand {
    /// Make a key and a self-signed certificate
    ///
    /// Writes key.pem and cert.pem, for localhost, this host's name and the loopback addresses, and prints the
    /// certificate's fingerprint. What is there is not overwritten.
    Init(TlsInitArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TlsInitArgs {
    /// Where to write [default: the directory tls beside the history]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Another name or address of this host; may be given more than once
    #[arg(long)]
    pub(crate) name: Vec<String>,
}

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum DbFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    /// Print JSON, the same that GET /api/v1/catalog answers (the default)
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,
    /// Print a document for people
    #[arg(long)]
    pub(crate) markdown: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CaptureArgs {
    /// Where to write; must not hold a capture yet
    pub(crate) dir: PathBuf,
}

/// Settings as given on the command line or in the environment. None: not given there.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Overrides {
    /// What of these was given, and by whom.
    #[arg(skip)]
    pub(crate) given: Given,
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", env = "PERFWATCH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Time between samples, 500ms to 60s
    #[arg(long, global = true, value_name = "DURATION", env = "PERFWATCH_INTERVAL")]
    pub(crate) interval: Option<Interval>,
    /// Address and port to listen on, or unix:/PATH; may be given more than once
    #[arg(
        long,
        global = true,
        value_name = "ADDR:PORT",
        env = "PERFWATCH_LISTEN",
        value_delimiter = ','
    )]
    pub(crate) listen: Vec<Listen>,
    /// Certificate to serve HTTPS with, as PEM; read again at SIGHUP
    #[arg(long, global = true, value_name = "FILE", env = "PERFWATCH_TLS_CERT")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of the certificate, as PEM
    #[arg(long, global = true, value_name = "FILE", env = "PERFWATCH_TLS_KEY")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Let everybody do everything; for loopback addresses and UNIX sockets only
    #[arg(long, global = true)]
    pub(crate) no_auth: bool,
    /// Listen where other hosts can reach it without TLS: passwords can be read on their way
    #[arg(long, global = true)]
    pub(crate) insecure_plaintext: bool,
    /// A proxy that speaks TLS stands in front
    #[arg(long, global = true)]
    pub(crate) behind_proxy: bool,
    /// What to log to standard error
    #[arg(long, global = true, value_name = "LEVEL", value_enum, env = "PERFWATCH_LOG")]
    pub(crate) log: Option<LogLevel>,
    /// Directory of the history
    #[arg(long, global = true, value_name = "DIR", env = "PERFWATCH_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// How long every sample is kept
    #[arg(long, global = true, value_name = "DURATION", env = "PERFWATCH_KEEP_RAW")]
    pub(crate) keep_raw: Option<KeepRaw>,
    /// Most bytes of history
    #[arg(long, global = true, value_name = "SIZE", env = "PERFWATCH_MAX_BYTES")]
    pub(crate) max_bytes: Option<ByteCount>,
    /// Share of one CPU that collecting may take, in percent [default: 0.5]
    #[arg(
        long = "budget.cpu-percent",
        global = true,
        value_name = "PERCENT",
        env = "PERFWATCH_BUDGET_CPU_PERCENT"
    )]
    pub(crate) budget_cpu_percent: Option<CpuPercent>,
    /// Whether GET /metrics has node_exporter's names [default: true]
    #[arg(
        long = "metrics.node-names",
        global = true,
        value_name = "BOOL",
        env = "PERFWATCH_METRICS_NODE_NAMES"
    )]
    pub(crate) metrics_node_names: Option<bool>,
    #[command(flatten)]
    pub(crate) perf: PerfOverrides,
    /// Where the host's /proc is mounted
    #[arg(long = "path.procfs", global = true, value_name = "DIR", env = "PERFWATCH_PATH_PROCFS")]
    pub(crate) path_procfs: Option<PathBuf>,
    /// Where the host's /sys is mounted
    #[arg(long = "path.sysfs", global = true, value_name = "DIR", env = "PERFWATCH_PATH_SYSFS")]
    pub(crate) path_sysfs: Option<PathBuf>,
    /// Where the host's / is mounted
    #[arg(long = "path.rootfs", global = true, value_name = "DIR", env = "PERFWATCH_PATH_ROOTFS")]
    pub(crate) path_rootfs: Option<PathBuf>,
}

fn snapshot_window(text: &str) -> Result<Duration, String> {
    let window = duration(text)?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(60);
    if allowed.contains(&window) { Ok(window) } else { Err("must be from 100ms to 60s".to_owned()) }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
