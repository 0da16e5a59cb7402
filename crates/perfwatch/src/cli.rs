//! The command line. Help, man page and completions all come from here.

mod questions;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::access::{Role, Scope};
use crate::config::{Overrides, SETTINGS, duration};

use questions::EXPORT_SHAPES;
pub(crate) use questions::{
    CompareArgs, CompareFormat, ExplainArgs, ExplainFormat, ExportArgs, ExportFormat, QueryArgs,
    QueryFormat,
};

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

Settings are taken from the command line, then the environment, then the
configuration file (/etc/perfwatch/perfwatch.toml unless --config says
otherwise), then what was saved in the dashboard, then the defaults:
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
    ///
    /// Exits with 0, with 1 on an error or when there is no such metric.
    Query(QueryArgs),
    /// Compare a range with another, such as yesterday's
    ///
    /// Exits with 0, with 1 on an error or when --fail-if has nothing to compare, with 3 when a change is one that
    /// --fail-if names.
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
    /// Make an API token for a program, and print it: it is not shown again
    Token {
        /// What it is for
        name: String,
        /// What it may do: read what was measured, scrape /metrics alone, or everything
        #[arg(long, value_enum, default_value_t = Scope::Read)]
        scope: Scope,
    },
    /// Remove an API token; what is open with it ends
    Revoke {
        /// The token's number, as `list` shows it
        id: String,
    },
    /// List the users and the API tokens
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

    #[test]
    fn what_the_help_says_of_settings_fits_a_narrow_terminal() {
        let mut sentences = EXAMPLES.lines().filter(|line| !line.starts_with(' '));
        assert_eq!(sentences.find(|line| line.len() > 80), None);
    }

    #[test]
    fn the_help_has_the_exit_codes_of_questions() {
        let mut program = Cli::command();
        for (name, codes) in [("query", &["0", "1"][..]), ("compare", &["0", "1", "3"])] {
            let help = program.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            let said = help.split_once("Exits with ").unwrap().1.split_once("\n\n").unwrap().0;
            let words: Vec<&str> = said.split([' ', ',', '\n']).collect();
            assert!(codes.iter().all(|code| words.contains(code)), "{name}: {said}");
        }
    }
}
