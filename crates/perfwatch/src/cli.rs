//! The command line. Help, man page and completions all come from here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::config::{Interval, LogLevel, duration};

/// Performance monitor for a Linux host.
///
/// Samples CPU, memory, network and disk, and streams every snapshot over WebSocket. Needs no root, no cloud and
/// no second service. Without a command it serves.
#[derive(Debug, Parser)]
#[command(version, after_long_help = EXAMPLES)]
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
  perfwatch doctor                       what works here, what does not, and what to do

Settings are taken from the command line, then the environment, then the configuration file
(/etc/perfwatch/perfwatch.toml unless --config says otherwise), then the defaults:
  interval = \"5s\"
  listen = \"127.0.0.1:9909\"
  log = \"info\"
  path.procfs = \"/proc\"
  path.sysfs = \"/sys\"
  path.rootfs = \"/\"";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Sample and serve until SIGTERM (the default)
    ///
    /// GET /api/v1/snapshot is the newest snapshot, GET /api/v1/live streams every one over WebSocket, GET
    /// /api/v1/catalog describes the metrics, GET /healthz answers `ok`.
    Serve,
    /// Print one snapshot, with rates
    ///
    /// Samples twice and prints the second sample. Needs no server and writes nothing.
    Snapshot(SnapshotArgs),
    /// Print every snapshot as a line of JSON
    Watch,
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
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Overrides {
    /// Configuration file
    #[arg(long, global = true, value_name = "FILE", env = "PERFWATCH_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Time between samples, 500ms to 60s
    #[arg(long, global = true, value_name = "DURATION", env = "PERFWATCH_INTERVAL")]
    pub(crate) interval: Option<Interval>,
    /// Address and port to listen on
    #[arg(long, global = true, value_name = "ADDR:PORT", env = "PERFWATCH_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// What to log to standard error
    #[arg(long, global = true, value_name = "LEVEL", value_enum, env = "PERFWATCH_LOG")]
    pub(crate) log: Option<LogLevel>,
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
