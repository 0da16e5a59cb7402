//! Settings: the command line, then the environment, then the file, then the defaults.

mod perf;

use std::env;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::{SignedDuration, Span};
use perfwatch_collect::{Options as Collect, Roots};
use perfwatch_store::Options;
use rustix::process::geteuid;
use serde::Deserialize;

use crate::cli::Overrides;

pub(crate) use perf::PerfOverrides;

/// Read when `--config` names no other. Its absence is normal.
const DEFAULT_FILE: &str = "/etc/perfwatch/perfwatch.toml";

/// A configuration file has a dozen lines; something larger is not one.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What the program runs with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Time between samples.
    pub(crate) interval: Duration,
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// What to log.
    pub(crate) log: LogLevel,
    /// Where the kernel's file systems are.
    pub(crate) roots: Roots,
    /// What to collect.
    pub(crate) collect: Arc<Collect>,
    /// Where history is kept, if it was said.
    pub(crate) data: Option<PathBuf>,
    /// How much of it.
    pub(crate) storage: Options,
}

impl Settings {
    /// Puts the settings together. Fails on a file that cannot be read or holds what is not a setting; a file
    /// that was not named and is not there is no failure.
    pub(crate) fn load(overrides: &Overrides) -> anyhow::Result<Self> {
        let file = match &overrides.config {
            Some(path) => read(path).with_context(|| format!("reading {}", path.display()))?,
            None => match read(Path::new(DEFAULT_FILE)) {
                Err(error) if is_absent(&error) => File::default(),
                other => other.with_context(|| format!("reading {DEFAULT_FILE}"))?,
            },
        };
        Ok(Self::merge(overrides, file))
    }

    /// The settings without the file, for when it cannot be used.
    pub(crate) fn without_file(overrides: &Overrides) -> Self {
        Self::merge(overrides, File::default())
    }

    fn merge(overrides: &Overrides, file: File) -> Self {
        let defaults = Roots::default();
        let path = |given: &Option<PathBuf>, filed: Option<PathBuf>, default: PathBuf| {
            given.clone().or(filed).unwrap_or(default)
        };
        Self {
            interval: overrides
                .interval
                .or(file.interval)
                .map_or(Duration::from_secs(5), |interval| interval.0),
            listen: overrides.listen.or(file.listen).unwrap_or((Ipv4Addr::LOCALHOST, 9909).into()),
            log: overrides.log.or(file.log).unwrap_or(LogLevel::Info),
            roots: Roots {
                procfs: path(&overrides.path_procfs, file.path.procfs, defaults.procfs),
                sysfs: path(&overrides.path_sysfs, file.path.sysfs, defaults.sysfs),
                rootfs: path(&overrides.path_rootfs, file.path.rootfs, defaults.rootfs),
            },
            collect: Arc::new(Collect {
                perf: file.perf.settings(&overrides.perf),
                ..Collect::default()
            }),
            data: overrides.data.clone().or(file.storage.dir.clone()),
            storage: file.storage.options(overrides),
        }
    }

    /// Where history is kept: as was said; else where systemd says; else /var/lib/perfwatch for root, and the state
    /// directory of anybody else.
    pub(crate) fn data_dir(&self) -> anyhow::Result<PathBuf> {
        let from_env = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        if let Some(dir) = &self.data {
            return Ok(dir.clone());
        }
        if let Some(first) =
            from_env("STATE_DIRECTORY").as_deref().and_then(|all| env::split_paths(all).next())
        {
            return Ok(first);
        }
        if geteuid().is_root() {
            return Ok(PathBuf::from("/var/lib/perfwatch"));
        }
        let home = || from_env("HOME").map(|home| Path::new(&home).join(".local/state"));
        let state = from_env("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
        let state =
            state.context("neither --data, XDG_STATE_HOME nor HOME says where history is kept")?;
        Ok(state.join("perfwatch"))
    }
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    interval: Option<Interval>,
    listen: Option<SocketAddr>,
    log: Option<LogLevel>,
    path: FilePaths,
    perf: perf::Perf,
    storage: Storage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Storage {
    dir: Option<PathBuf>,
    keep_raw: Option<KeepRaw>,
    keep_1m: Option<Keep>,
    keep_1h: Option<Keep>,
    max_bytes: Option<ByteCount>,
    min_free_bytes: Option<ByteCount>,
    commit_interval: Option<CommitInterval>,
}

impl Storage {
    fn options(&self, overrides: &Overrides) -> Options {
        let mut options = Options::default();
        let [raw, minutes, hours] = &mut options.keep;
        for (slot, keep) in [
            (raw, overrides.keep_raw.or(self.keep_raw).map(|keep| keep.0)),
            (minutes, self.keep_1m),
            (hours, self.keep_1h),
        ] {
            *slot = keep.map_or(*slot, |keep| keep.0);
        }
        if let Some(ByteCount(bytes)) = overrides.max_bytes.or(self.max_bytes) {
            options.max_bytes = bytes;
        }
        options.min_free_bytes = self.min_free_bytes.map(|bytes| bytes.0);
        if let Some(CommitInterval(interval)) = self.commit_interval {
            options.commit_interval = interval;
        }
        options
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FilePaths {
    procfs: Option<PathBuf>,
    sysfs: Option<PathBuf>,
    rootfs: Option<PathBuf>,
}

/// How much to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogLevel {
    /// Only what keeps PerfWatch from working
    Error,
    /// What is missing as well
    Warn,
    /// Start, stop and recovery as well
    Info,
    /// Every connection as well
    Debug,
}

impl From<LogLevel> for tracing::Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

/// Time between samples: 500ms to 60s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Interval(pub(crate) Duration);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let interval = duration(text)?;
        let allowed = Duration::from_millis(500)..=Duration::from_secs(60);
        if allowed.contains(&interval) {
            Ok(Self(interval))
        } else {
            Err("must be from 500ms to 60s".to_owned())
        }
    }
}

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|error| format!("interval `{text}`: {error}"))
    }
}

/// How long something is kept: `36h`, `30d`, `6w`, `5y`. A month has 30 days and a year 365.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Keep(pub(crate) Duration);

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a duration such as 36h, 30d or 5y");
        let span: Span = text.parse().map_err(|_| wrong())?;
        let days = i64::from(span.get_years()) * 365
            + i64::from(span.get_months()) * 30
            + i64::from(span.get_weeks()) * 7
            + i64::from(span.get_days());
        let seconds = days * 86_400
            + i64::from(span.get_hours()) * 3600
            + span.get_minutes() * 60
            + span.get_seconds();
        let parts = span.get_milliseconds() + span.get_microseconds() + span.get_nanoseconds();
        let seconds = u64::try_from(seconds).ok().filter(|_| parts == 0).ok_or_else(wrong)?;
        Ok(Self(Duration::from_secs(seconds)))
    }
}

impl TryFrom<String> for Keep {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// As [`Keep`], of what is never kept for less than an hour: what was a moment ago is always asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct KeepRaw(Keep);

impl FromStr for KeepRaw {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let keep: Keep = text.parse()?;
        let long = keep.0 >= Duration::from_secs(3600);
        long.then_some(Self(keep)).ok_or_else(|| format!("`{text}` is less than the least, 1h"))
    }
}

impl TryFrom<String> for KeepRaw {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A size as people write it: `500MB`, `2GiB`, `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ByteCount(pub(crate) u64);

impl FromStr for ByteCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const UNITS: [(&str, u64); 8] = [
            ("", 1),
            ("B", 1),
            ("KiB", 1 << 10),
            ("MiB", 1 << 20),
            ("GiB", 1 << 30),
            ("TiB", 1 << 40),
            ("MB", 1_000_000),
            ("GB", 1_000_000_000),
        ];
        let wrong = || format!("`{text}` is not a size such as 500MB or 2GiB");
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(wrong)?.1;
        let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        let bytes = bytes.ok_or_else(wrong)?;
        if bytes < MIN_STORE_BYTES {
            return Err(format!("`{text}` is less than the least, 1MiB"));
        }
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for ByteCount {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Below this, segments would be too small to be worth their headers.
const MIN_STORE_BYTES: u64 = 1 << 20;

/// At most how long a row may be lost to a power cut: 1s to 5m.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct CommitInterval(Duration);

impl TryFrom<String> for CommitInterval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let interval = duration(&text)?;
        let allowed = Duration::from_secs(1)..=Duration::from_secs(300);
        let error = || format!("commit_interval `{text}`: must be from 1s to 5m");
        allowed.contains(&interval).then_some(Self(interval)).ok_or_else(error)
    }
}

/// A length of time as people write it: `5s`, `500ms`, `1m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    // It may come from anybody, over HTTP.
    let shown = || text.chars().take(32).flat_map(char::escape_default).collect::<String>();
    let parsed: SignedDuration =
        text.parse().map_err(|_| format!("`{}` is not a duration such as 5s or 500ms", shown()))?;
    Duration::try_from(parsed).map_err(|_| format!("`{}` is negative", shown()))
}

fn read(path: &Path) -> anyhow::Result<File> {
    if fs::metadata(path)?.len() > MAX_FILE_BYTES {
        bail!("more than {MAX_FILE_BYTES} bytes");
    }
    Ok(toml::from_str(&fs::read_to_string(path)?)?)
}

fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<File, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn without_anything_there_are_defaults() {
        let settings = Settings::merge(&Overrides::default(), File::default());
        assert_eq!(settings.interval, Duration::from_secs(5));
        assert_eq!(settings.listen.to_string(), "127.0.0.1:9909");
        assert_eq!(settings.roots, Roots::default());
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let text =
            "interval = '2s'\nlisten = '[::1]:80'\nlog = 'warn'\npath.procfs = '/host/proc'\n";
        let overrides = Overrides { interval: Some("1s".parse().unwrap()), ..Overrides::default() };
        let settings = Settings::merge(&overrides, file(text).unwrap());
        assert_eq!(settings.interval, Duration::from_secs(1));
        assert_eq!(settings.listen.to_string(), "[::1]:80");
        assert_eq!(settings.log, LogLevel::Warn);
        assert_eq!(settings.roots.procfs, Path::new("/host/proc"));
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (text, says) in [
            ("intervall = '5s'", "unknown field `intervall`"),
            ("interval = '5 parsecs'", "interval `5 parsecs`: `5 parsecs` is not a duration"),
            ("interval = '100ms'", "must be from 500ms to 60s"),
            ("interval = '-5s'", "`-5s` is negative"),
            ("listen = 'localhost'", "invalid socket address"),
            ("path.root = '/'", "unknown field `root`"),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
