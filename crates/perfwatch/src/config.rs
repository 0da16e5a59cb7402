//! Settings: the command line, then the environment, then the file, then what was saved, then the defaults.

mod file;
mod layers;
mod listen;
mod live;
mod overrides;
mod perf;
mod table;
mod values;

use std::env;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use perfwatch_collect::{Options as Collect, Roots};
use perfwatch_store::Options;
use rustix::process::geteuid;
use serde::Deserialize;

use crate::exposure::Words;

use file::{File, Tls, read};
pub(crate) use layers::{Configuration, Described, Given, SettingValue, Source, Wrong};
pub(crate) use listen::Listen;
use listen::OneOrMore;
pub(crate) use live::{LiveSettings, Refused};
pub(crate) use overrides::Overrides;
pub(crate) use table::{Kind, SETTINGS};
pub(crate) use values::duration;

/// Read when `--config` names no other. Its absence is normal.
const DEFAULT_FILE: &str = "/etc/perfwatch/perfwatch.toml";

/// What the program runs with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Time between samples.
    pub(crate) interval: Duration,
    /// Where to listen; at one address at least.
    pub(crate) listen: Vec<Listen>,
    /// What to encrypt with, if it was said.
    tls: Tls,
    /// What was said about who can reach it.
    pub(crate) words: Words,
    /// Names of this host beside its own, as browsers use them.
    pub(crate) allowed_hosts: Vec<String>,
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
    /// Whether `/metrics` has node_exporter's names.
    pub(crate) node_names: bool,
}

impl Settings {
    /// What the program runs with: see [`Configuration::load`].
    pub(crate) fn load(overrides: &Overrides) -> anyhow::Result<Self> {
        Ok(Configuration::load(overrides)?.settings().clone())
    }

    fn merge(overrides: &Overrides, file: File) -> Self {
        let defaults = Roots::default();
        let collect = Arc::new(file.collect(overrides));
        let path = |given: &Option<PathBuf>, filed: Option<PathBuf>, default: PathBuf| {
            given.clone().or(filed).unwrap_or(default)
        };
        Self {
            interval: overrides
                .interval
                .or(file.interval)
                .map_or(Duration::from_secs(5), |interval| interval.0),
            listen: listen(overrides, file.listen),
            tls: Tls {
                cert: overrides.tls_cert.clone().or(file.tls.cert),
                key: overrides.tls_key.clone().or(file.tls.key),
            },
            words: Words {
                no_auth: overrides.no_auth,
                insecure_plaintext: overrides.insecure_plaintext,
                behind_proxy: overrides.behind_proxy,
            },
            allowed_hosts: file.http.allowed_hosts,
            log: overrides.log.or(file.log).unwrap_or(LogLevel::Info),
            roots: Roots {
                procfs: path(&overrides.path_procfs, file.path.procfs, defaults.procfs),
                sysfs: path(&overrides.path_sysfs, file.path.sysfs, defaults.sysfs),
                rootfs: path(&overrides.path_rootfs, file.path.rootfs, defaults.rootfs),
            },
            collect,
            data: overrides.data.clone().or(file.storage.dir.clone()),
            storage: file.storage.options(overrides),
            node_names: overrides.metrics_node_names.or(file.metrics.node_names).unwrap_or(true),
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

    /// The certificate and its key. None: plain HTTP.
    pub(crate) fn tls_files(&self) -> anyhow::Result<Option<TlsFiles>> {
        match (self.tls.cert.clone(), self.tls.key.clone()) {
            (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
            (None, None) => Ok(None),
            (Some(_), None) => bail!("tls.cert is given without tls.key"),
            (None, Some(_)) => bail!("tls.key is given without tls.cert"),
        }
    }
}

/// Where certificate and key are, as PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The server's certificate, then those that lead to a known authority.
    pub(crate) cert: PathBuf,
    /// The key of the first.
    pub(crate) key: PathBuf,
}

fn listen(overrides: &Overrides, filed: Option<OneOrMore>) -> Vec<Listen> {
    let given = Some(overrides.listen.clone()).filter(|given| !given.is_empty());
    let given = given.or(filed.map(Vec::from)).filter(|given| !given.is_empty());
    given.unwrap_or_else(|| vec![Listen::Tcp((Ipv4Addr::LOCALHOST, 9909).into())])
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

fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    fn file(text: &str) -> Result<File, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_table_has_every_setting_that_a_file_may_have_and_its_defaults_are_those() {
        let document = table::document();
        let lines: Vec<_> = document.lines().filter_map(|line| line.strip_prefix("# ")).collect();
        let is_set = |line: &&str| line.split(' ').nth(1) == Some("=");
        let set: Vec<_> = lines.into_iter().filter(is_set).collect();
        assert_eq!(set.len(), SETTINGS.len(), "{set:#?}");
        let without = Settings::merge(&Overrides::default(), File::default());
        for (line, setting) in set.iter().zip(SETTINGS) {
            let settings = Settings::merge(&Overrides::default(), file(line).unwrap());
            let same = matches!(setting.fallback, table::Fallback::Value(_));
            assert_eq!(settings == without, same, "{line}");
        }
        // What the parser knows, it says when it is asked for something else.
        let known = |text: &str| {
            let error = file(text).unwrap_err().to_string();
            let expected = error.split("expected").nth(1).unwrap().to_owned();
            expected.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
        };
        for name in known("nothing = 1") {
            if SETTINGS.iter().any(|setting| setting.key == name) || name == "collectors" {
                continue;
            }
            for below in known(&format!("{name}.nothing = 1")) {
                let key = format!("{name}.{below}");
                assert!(table::setting(&key).is_some(), "{key} is not in the table");
            }
        }
    }

    fn configuration(file: &str, saved: &str) -> (tempfile::TempDir, Configuration) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("perfwatch.toml");
        fs::write(&path, file).unwrap();
        fs::write(dir.path().join("settings.json"), saved).unwrap();
        let data = Some(dir.path().to_owned());
        let overrides = Overrides { config: Some(path), data, ..Overrides::default() };
        let configuration = Configuration::load(&overrides).unwrap();
        (dir, configuration)
    }

    fn change(key: &str, value: SettingValue) -> BTreeMap<String, Option<SettingValue>> {
        BTreeMap::from([(key.to_owned(), Some(value))])
    }

    #[test]
    fn what_was_saved_holds_below_the_file_and_comes_back_after_a_restart() {
        let text = |text: &str| SettingValue::Text(text.to_owned());
        let (dir, configuration) = configuration("storage.keep_raw = '9d'", "");
        let changed = configuration.with(&change("interval", text("1s"))).unwrap();
        let changed =
            changed.with(&change("collectors.network", SettingValue::Bool(false))).unwrap();
        let changed = changed.with(&change("perf.cpus", text("0-1"))).unwrap();
        changed.save().unwrap();
        let again = Configuration::load(&Overrides {
            config: Some(dir.path().join("perfwatch.toml")),
            data: Some(dir.path().to_owned()),
            ..Overrides::default()
        });
        for configuration in [changed, again.unwrap()] {
            let settings = configuration.settings();
            assert_eq!(settings.interval, Duration::from_secs(1));
            assert!(settings.collect.disabled.contains("network"));
            assert_eq!(settings.collect.perf.cpus.to_string(), "0-1");
            assert_eq!(settings.storage.keep[0].as_secs(), 9 * 86_400);
            let source =
                |key| configuration.describe().find(|one| one.setting.key == key).unwrap().source;
            assert_eq!(source("interval"), Source::Saved);
            assert_eq!(source("storage.keep_raw"), Source::File);
            assert_eq!(source("storage.keep_1m"), Source::Default);
        }
    }

    #[test]
    fn a_change_that_makes_no_sense_changes_nothing() {
        let text = |text: &str| SettingValue::Text(text.to_owned());
        let (_dir, configuration) = configuration("storage.keep_raw = '9d'", "");
        for (key, value, says) in [
            ("interval", text("100ms"), "interval: interval `100ms`: must be from 500ms to 60s"),
            ("interval", SettingValue::Bool(true), "interval: invalid type"),
            ("intervall", text("1s"), "intervall: there is no such setting"),
            (
                "collectors.gpu",
                SettingValue::Bool(true),
                "collectors.gpu: there is no such setting",
            ),
            ("collectors.cpu", text("yes"), "collectors.cpu: invalid type"),
            ("listen", text("[::1]:1"), "listen: it holds from the next start on"),
            ("perf.cpus", text("7-2"), "perf.cpus: `7-2` ends before it begins"),
            ("perf.source", text("magic"), "perf.source: `magic` is neither native nor perf-stat"),
            ("storage.max_bytes", text("1"), "storage.max_bytes: `1` is less than the least, 1MiB"),
            ("storage.keep_1m", text(&"9".repeat(300)), "storage.keep_1m: a value has at most 256"),
            ("storage.keep_raw", text("1d"), "storage.keep_raw is set by the configuration file"),
            ("\u{1b}[2J", text("x"), "\\u{1b}[2J: there is no such setting"),
        ] {
            let mut changes = change(key, value);
            changes.insert("collectors.disk".to_owned(), Some(SettingValue::Bool(false)));
            let wrong = configuration.with(&changes).unwrap_err().to_string();
            assert!(wrong.starts_with(says), "{wrong}");
        }
        let off =
            configuration.with(&change("collectors.disk", SettingValue::Bool(false))).unwrap();
        assert_eq!(off.settings().collect.disabled.len(), 1);
        let on = off.with(&BTreeMap::from([("collectors.disk".to_owned(), None)])).unwrap();
        assert_eq!(on.settings(), configuration.settings());
    }

    #[test]
    fn what_was_saved_and_makes_no_sense_is_told_and_not_used() {
        for (saved, warnings) in [
            ("{", 1),
            ("[1]", 1),
            (
                r#"{"interval":"1h","collectors.gpu":false,"listen":"[::1]:1","storage.keep_1m":"9d"}"#,
                3,
            ),
            (r#"{"storage.keep_raw":"1d","storage.keep_1m":"9d"}"#, 1),
        ] {
            let (_dir, configuration) = configuration("storage.keep_raw = '9d'", saved);
            assert_eq!(configuration.warnings().len(), warnings, "{:?}", configuration.warnings());
            let settings = configuration.settings();
            assert_eq!(settings.storage.keep[0].as_secs(), 9 * 86_400);
            assert_eq!(settings.interval, Duration::from_secs(5));
            let nine_days = settings.storage.keep[1].as_secs() == 9 * 86_400;
            assert_eq!(nine_days, saved.contains("keep_1m"), "{saved}");
        }
    }

    #[test]
    fn without_anything_there_are_defaults() {
        let settings = Settings::merge(&Overrides::default(), File::default());
        assert_eq!(settings.interval, Duration::from_secs(5));
        assert_eq!(settings.listen, ["127.0.0.1:9909".parse().unwrap()]);
        assert_eq!(settings.tls_files().unwrap(), None);
        assert_eq!(settings.roots, Roots::default());
    }

    #[test]
    fn the_command_line_goes_before_the_file() {
        let text =
            "interval = '2s'\nlisten = '[::1]:80'\nlog = 'warn'\npath.procfs = '/host/proc'\n";
        let overrides = Overrides { interval: Some("1s".parse().unwrap()), ..Overrides::default() };
        let settings = Settings::merge(&overrides, file(text).unwrap());
        assert_eq!(settings.interval, Duration::from_secs(1));
        assert_eq!(settings.listen, ["[::1]:80".parse().unwrap()]);
        assert_eq!(settings.log, LogLevel::Warn);
        assert_eq!(settings.roots.procfs, Path::new("/host/proc"));
    }

    #[test]
    fn addresses_are_one_or_more_and_those_of_the_command_line_replace_them() {
        let text = "listen = ['127.0.0.1:1', 'unix:/run/p.sock']";
        let settings = Settings::merge(&Overrides::default(), file(text).unwrap());
        let listen =
            |all: &[&str]| all.iter().map(|one| one.parse().unwrap()).collect::<Vec<Listen>>();
        assert_eq!(settings.listen, listen(&["127.0.0.1:1", "unix:/run/p.sock"]));
        let overrides = Overrides { listen: listen(&["[::1]:2"]), ..Overrides::default() };
        assert_eq!(Settings::merge(&overrides, file(text).unwrap()).listen, listen(&["[::1]:2"]));
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let files = |text| Settings::merge(&Overrides::default(), file(text).unwrap()).tls_files();
        let both = TlsFiles { cert: "/c".into(), key: "/k".into() };
        assert_eq!(files("tls.cert = '/c'\ntls.key = '/k'").unwrap(), Some(both));
        assert_eq!(
            files("tls.cert = '/c'").unwrap_err().to_string(),
            "tls.cert is given without tls.key"
        );
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (text, says) in [
            ("intervall = '5s'", "unknown field `intervall`"),
            ("interval = '5 parsecs'", "interval `5 parsecs`: `5 parsecs` is not a duration"),
            ("interval = '100ms'", "must be from 500ms to 60s"),
            ("interval = '-5s'", "`-5s` is negative"),
            ("listen = 'localhost'", "an address such as"),
            ("listen = ['[::1]:80', '/run/x']", "an address such as"),
            ("path.root = '/'", "unknown field `root`"),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
