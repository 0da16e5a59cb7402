//! The configuration file: what may stand in it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use perfwatch_collect::Options as Collect;
use perfwatch_store::Options;
use serde::Deserialize;

use super::listen::OneOrMore;
use super::perf::Perf;
use super::values::{ByteCount, CommitInterval, CpuPercent, Interval, Keep, KeepRaw};
use super::{LogLevel, Overrides, table};

/// A configuration file has a dozen lines; something larger is not one.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) interval: Option<Interval>,
    pub(super) listen: Option<OneOrMore>,
    pub(super) log: Option<LogLevel>,
    pub(super) tls: Tls,
    pub(super) http: Http,
    pub(super) collectors: Collectors,
    pub(super) perf: Perf,
    pub(super) budget: Budget,
    pub(super) metrics: Metrics,
    pub(super) path: FilePaths,
    pub(super) storage: Storage,
}

impl File {
    pub(super) fn collect(&self, overrides: &Overrides) -> Collect {
        let is_off = |(_, wanted): &(&String, &bool)| !**wanted;
        let off = self.collectors.0.iter().filter(is_off);
        let cpu = overrides.budget_cpu_percent.or(self.budget.cpu_percent).unwrap_or_default();
        Collect {
            disabled: off.map(|(name, _)| name.clone()).collect(),
            perf: self.perf.settings(&overrides.perf),
            cpu_percent: Some(cpu.0),
        }
    }
}

/// Which sections are wanted, by name.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "BTreeMap<String, bool>")]
pub(super) struct Collectors(BTreeMap<String, bool>);

impl TryFrom<BTreeMap<String, bool>> for Collectors {
    type Error = String;

    fn try_from(wanted: BTreeMap<String, bool>) -> Result<Self, String> {
        let known = |name: &str| table::setting(&format!("collectors.{name}")).is_some();
        match wanted.keys().find(|name| !known(name)) {
            Some(name) => Err(format!("there is no collector `{name}`")),
            None => Ok(Self(wanted)),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) allowed_hosts: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Budget {
    pub(super) cpu_percent: Option<CpuPercent>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub(super) node_names: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Storage {
    pub(super) dir: Option<PathBuf>,
    pub(super) keep_raw: Option<KeepRaw>,
    pub(super) keep_1m: Option<Keep>,
    pub(super) keep_1h: Option<Keep>,
    pub(super) max_bytes: Option<ByteCount>,
    pub(super) min_free_bytes: Option<ByteCount>,
    pub(super) commit_interval: Option<CommitInterval>,
}

impl Storage {
    pub(super) fn options(&self, overrides: &Overrides) -> Options {
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
pub(super) struct FilePaths {
    pub(super) procfs: Option<PathBuf>,
    pub(super) sysfs: Option<PathBuf>,
    pub(super) rootfs: Option<PathBuf>,
}

/// A file, as it is understood and as it stands.
pub(super) fn read(path: &Path) -> anyhow::Result<(File, toml::Table)> {
    if fs::metadata(path)?.len() > MAX_FILE_BYTES {
        bail!("more than {MAX_FILE_BYTES} bytes");
    }
    let text = fs::read_to_string(path)?;
    Ok((toml::from_str(&text)?, toml::from_str(&text)?))
}
