//! Where settings come from, one layer over the other: what was saved by HTTP, the configuration file, the
//! environment, the command line. Each says of a setting what it says, so that people can be told which one wins.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::table::{Fallback, Kind, SETTINGS, Setting, setting};
use super::{DEFAULT_FILE, File, Overrides, Settings, is_absent, read};
use crate::files;

/// What was saved, in the data directory.
const SAVED_FILE: &str = "settings.json";

/// There are a few dozen settings.
const MAX_SAVED_BYTES: u64 = 64 << 10;

/// Longest value that is taken, in bytes.
const MAX_VALUE_BYTES: usize = 256;

/// Who says so, the weakest first.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(as = SettingSource))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    Default,
    Saved,
    File,
    Environment,
    #[serde(rename = "command line")]
    CommandLine,
}

impl Source {
    /// In a sentence.
    fn words(self) -> &'static str {
        match self {
            Self::Default => "the default",
            Self::Saved => "what was saved",
            Self::File => "the configuration file",
            Self::Environment => "the environment",
            Self::CommandLine => "the command line",
        }
    }
}

/// A value as JSON has it.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SettingValue {
    Bool(bool),
    Text(String),
}

impl SettingValue {
    fn of(setting: &Setting, text: &str) -> Self {
        match (setting.kind, text.parse()) {
            (Kind::Bool, Ok(value)) => Self::Bool(value),
            _ => Self::Text(text.to_owned()),
        }
    }

    fn toml(&self) -> toml::Value {
        match self {
            Self::Bool(value) => toml::Value::Boolean(*value),
            Self::Text(value) => toml::Value::String(value.clone()),
        }
    }
}

impl std::fmt::Display for SettingValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Text(value) => value.escape_debug().fmt(f),
        }
    }
}

/// What the command line and the environment say, by key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(BTreeMap<&'static str, (Source, String)>);

impl Given {
    /// From the matches of the command line.
    pub(crate) fn of(matches: &clap::ArgMatches) -> Self {
        let given = |setting: &'static Setting| {
            let argument = setting.argument?;
            let source = match matches.value_source(argument)? {
                clap::parser::ValueSource::CommandLine => Source::CommandLine,
                clap::parser::ValueSource::EnvVariable => Source::Environment,
                _ => return None,
            };
            let values = matches.get_raw(argument)?.map(|value| value.to_string_lossy());
            let text: Vec<_> = values.map(String::from).collect();
            Some((setting.key, (source, text.join(", "))))
        };
        Self(SETTINGS.iter().filter_map(given).collect())
    }
}

/// Why settings were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Wrong {
    /// Another layer wins.
    #[error("{key} is set by {} and cannot be changed here", wins.words())]
    Overridden { key: String, wins: Source },
    /// No such setting, or no such value.
    #[error("{key}: {why}")]
    Bad { key: String, why: String },
}

/// A setting and what it is.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) setting: &'static Setting,
    /// None: what the setting's help says of nothing being said.
    pub(crate) value: Option<SettingValue>,
    pub(crate) default: Option<SettingValue>,
    pub(crate) source: Source,
}

impl Described {
    /// Whether it may be changed by HTTP.
    pub(crate) fn is_editable(&self) -> bool {
        self.setting.is_live && matches!(self.source, Source::Default | Source::Saved)
    }
}

/// What was saved, by key.
pub(crate) type Saved = BTreeMap<String, SettingValue>;

/// Every layer.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    overrides: Overrides,
    file: Table,
    saved: Saved,
    /// Where that is. None: there is no data directory.
    saved_path: Option<PathBuf>,
    /// What people should know.
    warnings: Vec<String>,
    settings: Settings,
}

impl Configuration {
    /// Puts the settings together. Fails on a file that cannot be read or holds what is not a setting; a file
    /// that was not named and is not there is no failure. What was saved is never a reason to fail.
    pub(crate) fn load(overrides: &Overrides) -> anyhow::Result<Self> {
        let (parsed, file) = match &overrides.config {
            Some(path) => read(path).with_context(|| format!("reading {}", path.display()))?,
            None => match read(Path::new(DEFAULT_FILE)) {
                Err(error) if is_absent(&error) => Default::default(),
                other => other.with_context(|| format!("reading {DEFAULT_FILE}"))?,
            },
        };
        let settings = Settings::merge(overrides, parsed);
        let mut configuration = Self {
            overrides: overrides.clone(),
            file,
            saved: Saved::new(),
            saved_path: settings.data_dir().ok().map(|data| data.join(SAVED_FILE)),
            warnings: Vec::new(),
            settings,
        };
        configuration.load_saved();
        Ok(configuration)
    }

    /// The settings without any file, for when they cannot be used.
    pub(crate) fn without_files(overrides: &Overrides) -> Self {
        let settings = Settings::merge(overrides, File::default());
        Self {
            overrides: overrides.clone(),
            file: Table::new(),
            saved: Saved::new(),
            saved_path: None,
            warnings: Vec::new(),
            settings,
        }
    }

    /// Takes in what was saved, but what makes no sense.
    fn load_saved(&mut self) {
        let Some(path) = &self.saved_path else { return };
        let nothing = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        };
        let found = files::read(path, MAX_SAVED_BYTES)
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        let found: Saved = match found {
            Ok(found) => found,
            Err(error) if nothing(&error) => return,
            Err(error) => {
                self.warnings
                    .push(format!("what was saved is not used: {}: {error}", path.display()));
                return;
            }
        };
        for (key, value) in found {
            match alone(&key, &value) {
                Ok(()) => {
                    self.saved.insert(key, value);
                }
                Err(wrong) => self.warnings.push(format!("what was saved is not used: {wrong}")),
            }
        }
        match self.merged(&self.saved) {
            Ok(settings) => self.settings = settings,
            Err(wrong) => {
                self.warnings.push(format!("what was saved is not used: {wrong}"));
                self.saved.clear();
            }
        }
    }

    /// What the program runs with.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The layers with something saved or, with None, not saved any more: all of it or nothing.
    pub(crate) fn with(
        &self,
        changes: &BTreeMap<String, Option<SettingValue>>,
    ) -> Result<Self, Wrong> {
        let mut saved = self.saved.clone();
        for (key, value) in changes {
            let bad = |why: &str| Wrong::Bad { key: shown(key), why: why.to_owned() };
            let setting = setting(key).ok_or_else(|| bad("there is no such setting"))?;
            if !setting.is_live {
                return Err(bad(
                    "it holds from the next start on, and is set in the configuration file",
                ));
            }
            let source = self.source(setting);
            if source > Source::Saved {
                return Err(Wrong::Overridden { key: key.clone(), wins: source });
            }
            match value {
                Some(value) => {
                    alone(key, value)?;
                    saved.insert(key.clone(), value.clone());
                }
                None => {
                    saved.remove(key);
                }
            }
        }
        let settings = self.merged(&saved)?;
        Ok(Self { saved, settings, ..self.clone() })
    }

    /// Writes down what is saved.
    pub(crate) fn save(&self) -> io::Result<()> {
        let no_directory = || io::Error::new(io::ErrorKind::NotFound, "there is no data directory");
        let path = self.saved_path.as_ref().ok_or_else(no_directory)?;
        files::replace(path, &serde_json::to_vec_pretty(&self.saved)?)
    }

    fn merged(&self, saved: &Saved) -> Result<Settings, Wrong> {
        let mut table = Table::new();
        for (key, value) in saved {
            insert(&mut table, key, value.toml());
        }
        overlay(&mut table, &self.file);
        let file: Result<File, _> = table.try_into();
        // Each was looked at alone, and no two depend on each other.
        let file = file
            .map_err(|error| Wrong::Bad { key: "settings".to_owned(), why: error.to_string() })?;
        Ok(Settings::merge(&self.overrides, file))
    }

    /// Every setting, what it is, and why.
    pub(crate) fn describe(&self) -> impl Iterator<Item = Described> {
        SETTINGS.iter().map(|setting| {
            let default = match setting.fallback {
                Fallback::Value(text) => Some(SettingValue::of(setting, text)),
                Fallback::Otherwise(_) => None,
            };
            let source = self.source(setting);
            let value = match source {
                Source::Default if setting.key == "storage.dir" => {
                    let dir = self.settings.data_dir().ok();
                    dir.map(|dir| SettingValue::Text(dir.display().to_string()))
                }
                Source::Default => default.clone(),
                Source::Saved => self.saved.get(setting.key).cloned(),
                Source::File => find(&self.file, setting.key).map(|value| plain(setting, value)),
                Source::Environment | Source::CommandLine => {
                    let given = self.overrides.given.0.get(setting.key);
                    given.map(|(_, text)| SettingValue::of(setting, text))
                }
            };
            Described { setting, value, default, source }
        })
    }

    fn source(&self, setting: &Setting) -> Source {
        if let Some((source, _)) = self.overrides.given.0.get(setting.key) {
            return *source;
        }
        if find(&self.file, setting.key).is_some() {
            return Source::File;
        }
        if self.saved.contains_key(setting.key) { Source::Saved } else { Source::Default }
    }

    /// What people should know: what was saved and is not in force.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let overridden = self.saved.iter().filter_map(|(key, value)| {
            let source = self.source(setting(key)?);
            let wins = source > Source::Saved;
            wins.then(|| format!("{key} was saved as {value}, but {} wins", source.words()))
        });
        self.warnings.iter().cloned().chain(overridden).collect()
    }
}

/// Whether a value makes sense for a setting.
fn alone(key: &str, value: &SettingValue) -> Result<(), Wrong> {
    let bad = |why: String| Wrong::Bad { key: shown(key), why };
    if !setting(key).is_some_and(|setting| setting.is_live) {
        return Err(bad("there is no such setting, or none that can be saved".to_owned()));
    }
    if let SettingValue::Text(text) = value
        && text.len() > MAX_VALUE_BYTES
    {
        return Err(bad(format!("a value has at most {MAX_VALUE_BYTES} bytes")));
    }
    let mut table = Table::new();
    insert(&mut table, key, value.toml());
    let parsed: Result<File, _> = table.try_into();
    parsed.map(|_| ()).map_err(|error| bad(error.message().to_owned()))
}

/// A key from anywhere as an error may repeat it.
fn shown(key: &str) -> String {
    key.chars().take(48).flat_map(char::escape_debug).collect()
}

/// Puts a value at a path such as `storage.keep_raw`.
fn insert(table: &mut Table, key: &str, value: toml::Value) {
    match key.split_once('.') {
        None => {
            table.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let below = table.entry(first).or_insert_with(|| Table::new().into());
            if let Some(below) = below.as_table_mut() {
                insert(below, rest, value);
            }
        }
    }
}

/// The value at a path.
fn find<'a>(table: &'a Table, key: &str) -> Option<&'a toml::Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => find(table.get(first)?.as_table()?, rest),
    }
}

/// Puts one table over another.
fn overlay(below: &mut Table, above: &Table) {
    for (key, value) in above {
        match (below.get_mut(key).and_then(toml::Value::as_table_mut), value) {
            (Some(below), toml::Value::Table(above)) => overlay(below, above),
            _ => {
                below.insert(key.clone(), value.clone());
            }
        }
    }
}

/// A value of the file.
fn plain(setting: &Setting, value: &toml::Value) -> SettingValue {
    let text = |value: &toml::Value| match value {
        toml::Value::Boolean(value) => value.to_string(),
        // There are no others in a file that was understood.
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    match value {
        toml::Value::Array(all) => {
            SettingValue::Text(all.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        other => SettingValue::of(setting, &text(other)),
    }
}
