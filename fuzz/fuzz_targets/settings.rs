//! The program's own files, and settings as HTTP changes them: the configuration file, what was saved, accounts.

#![no_main]
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the program has more uses for these modules"
)]

// Modules of the program, which is no library.
#[path = "../../crates/perfwatch/src"]
mod program {
    pub(crate) mod access;
    pub(crate) mod config;
    pub(crate) mod exposure;
    pub(crate) mod files;
    pub(crate) mod source;
}

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fs, process};

use access::{AccountsError, AccountsFile, Found};
use config::{Configuration, Overrides, SettingValue};
use libfuzzer_sys::fuzz_target;
use program::*;

/// A data directory, with the configuration file in it.
static DATA: LazyLock<PathBuf> = LazyLock::new(|| {
    let dir = env::temp_dir().join(format!("perfwatch-fuzz-settings-{}", process::id()));
    files::make_directory(&dir).unwrap();
    dir
});

fn load(data: &Path, file: &[u8], saved: &[u8]) -> anyhow::Result<Configuration> {
    let config = data.join("perfwatch.toml");
    fs::write(&config, file).unwrap();
    fs::write(data.join("settings.json"), saved).unwrap();
    again(data)
}

fn again(data: &Path) -> anyhow::Result<Configuration> {
    let config = Some(data.join("perfwatch.toml"));
    let data = Some(data.to_owned());
    Configuration::load(&Overrides { config, data, ..Overrides::default() })
}

fuzz_target!(|input: &[u8]| {
    if let Ok(configuration) = load(&DATA, input, b"{}") {
        assert!(configuration.warnings().is_empty());
        configuration.describe().for_each(drop);
        let _ = configuration.settings().tls_files();
    }

    let configuration = load(&DATA, b"", input).unwrap();
    configuration.describe().for_each(drop);
    let changes: Option<BTreeMap<String, Option<SettingValue>>> =
        serde_json::from_slice(input).ok();
    if let Some(Ok(changed)) = changes.map(|changes| configuration.with(&changes)) {
        changed.save().unwrap();
        let loaded = again(&DATA).unwrap();
        assert_eq!(loaded.settings(), changed.settings(), "what was saved comes back");
    }

    fs::write(DATA.join("accounts.json"), input).unwrap();
    let file = AccountsFile::of(&DATA);
    if let Found::Accounts(found) = file.load().unwrap() {
        file.change(|_| Ok::<_, AccountsError>(())).unwrap();
        let Found::Accounts(written) = file.load().unwrap() else { panic!("they are there") };
        let text = |accounts| serde_json::to_string(accounts).unwrap();
        assert_eq!(text(&found), text(&written));
    }
});
