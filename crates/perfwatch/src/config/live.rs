//! Settings that change while PerfWatch runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::Settings;
use super::layers::{Configuration, SettingValue, Wrong};

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// They could not be written down, and so do not hold.
    #[error("the settings could not be saved: {0}")]
    NotSaved(String),
}

/// The settings in force.
#[derive(Debug)]
pub(crate) struct LiveSettings {
    current: Mutex<Arc<Configuration>>,
    /// Held by who changes them.
    changing: tokio::sync::Mutex<()>,
    settings: watch::Sender<Settings>,
}

impl LiveSettings {
    /// Begins with these.
    pub(crate) fn new(configuration: Configuration) -> Self {
        let settings = watch::Sender::new(configuration.settings().clone());
        let current = Mutex::new(Arc::new(configuration));
        Self { current, changing: tokio::sync::Mutex::default(), settings }
    }

    /// Those in force, and where they come from.
    pub(crate) fn current(&self) -> Arc<Configuration> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells of every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Settings> {
        self.settings.subscribe()
    }

    /// Saves changes and puts them in force: all of them or none.
    pub(crate) async fn change(
        &self,
        changes: &BTreeMap<String, Option<SettingValue>>,
    ) -> Result<Arc<Configuration>, Refused> {
        let _changing = self.changing.lock().await;
        let changed = Arc::new(self.current().with(changes)?);
        let to_save = Arc::clone(&changed);
        let saved = tokio::task::spawn_blocking(move || to_save.save()).await;
        let failed = |error: String| Err(Refused::NotSaved(error));
        match saved {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failed(error.to_string()),
            Err(error) => return failed(error.to_string()),
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&changed);
        self.settings.send_replace(changed.settings().clone());
        Ok(changed)
    }
}
