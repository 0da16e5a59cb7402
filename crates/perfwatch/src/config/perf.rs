//! Settings of the performance counters.

use std::str::FromStr;

use clap::Args;
use perfwatch_collect::perf::{Cpus, Means, Settings};
use serde::{Deserialize, Deserializer};

/// As given on the command line or in the environment. None: not given there.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PerfOverrides {
    /// Whether performance counters are read [default: true]
    #[arg(
        long = "perf.enabled",
        global = true,
        value_name = "BOOL",
        env = "PERFWATCH_PERF_ENABLED"
    )]
    perf_enabled: Option<bool>,
    /// CPUs they are read on: all, or a list such as 0-3,8 [default: all]
    #[arg(long = "perf.cpus", global = true, value_name = "CPUS", env = "PERFWATCH_PERF_CPUS")]
    perf_cpus: Option<Cpus>,
    /// What reads them: native, or the program perf-stat [default: native]
    #[arg(
        long = "perf.source",
        global = true,
        value_name = "SOURCE",
        env = "PERFWATCH_PERF_SOURCE"
    )]
    perf_source: Option<Means>,
}

/// As given in the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Perf {
    enabled: Option<bool>,
    #[serde(deserialize_with = "parsed")]
    cpus: Option<Cpus>,
    #[serde(deserialize_with = "parsed")]
    source: Option<Means>,
}

impl Perf {
    pub(super) fn settings(&self, overrides: &PerfOverrides) -> Settings {
        let defaults = Settings::default();
        Settings {
            enabled: overrides.perf_enabled.or(self.enabled).unwrap_or(defaults.enabled),
            cpus: overrides
                .perf_cpus
                .clone()
                .or_else(|| self.cpus.clone())
                .unwrap_or(defaults.cpus),
            source: overrides.perf_source.or(self.source).unwrap_or(defaults.source),
        }
    }
}

fn parsed<'de, D: Deserializer<'de>, T: FromStr<Err = String>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(file: &str, overrides: &PerfOverrides) -> Result<Settings, String> {
        let file: Perf = toml::from_str(file).map_err(|error| error.to_string())?;
        Ok(file.settings(overrides))
    }

    #[test]
    fn the_command_line_goes_before_the_file_and_that_before_the_defaults() {
        let none = PerfOverrides::default();
        assert_eq!(settings("", &none), Ok(Settings::default()));
        let file = "enabled = false\ncpus = '0-3,8'\nsource = 'perf-stat'\n";
        let filed = settings(file, &none).unwrap();
        assert_eq!(
            (filed.enabled, &*filed.cpus.to_string(), filed.source),
            (false, "0-3,8", Means::PerfStat)
        );
        let overrides = PerfOverrides { perf_cpus: Some("1".parse().unwrap()), ..none };
        assert_eq!(settings(file, &overrides).unwrap().cpus.to_string(), "1");
    }

    #[test]
    fn a_wrong_setting_is_refused_with_what_is_wrong_in_it() {
        for (file, says) in [
            ("cpus = '0-3,x'", "`x` is not the number of a CPU"),
            ("cpus = '5-2'", "`5-2` ends before it begins"),
            ("source = 'ebpf'", "`ebpf` is neither native nor perf-stat"),
            ("enabled = 'yes'", "expected a boolean"),
            ("pinned = true", "unknown field `pinned`"),
        ] {
            let error = settings(file, &PerfOverrides::default()).unwrap_err();
            assert!(error.contains(says), "{file}: {error}");
        }
    }
}
