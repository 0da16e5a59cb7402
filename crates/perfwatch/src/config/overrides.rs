//! Settings as the command line and the environment give them.

use std::path::PathBuf;

use clap::Args;

use super::LogLevel;
use super::layers::Given;
use super::listen::Listen;
use super::perf::PerfOverrides;
use super::values::{ByteCount, CpuPercent, Interval, KeepRaw};

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
