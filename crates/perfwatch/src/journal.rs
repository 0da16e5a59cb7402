//! Logs what is missing when it begins and when it ends, and not in between.

use std::collections::BTreeMap;

use perfwatch_metrics::{State, Status};
use tracing::{info, warn};

use crate::terminal::printable;

/// What was missing at the last tick.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    missing: BTreeMap<String, State>,
}

impl Journal {
    /// Compares a snapshot's status with the last one's and logs the difference.
    pub(crate) fn note(&mut self, status: &Status) {
        let mut missing = BTreeMap::new();
        for (name, section) in status.sections() {
            if !matches!(section.state, State::Ok | State::Disabled) {
                let reason = section.reason.as_deref().unwrap_or_default();
                self.begins(name, section.state, reason);
                missing.insert(name.to_owned(), section.state);
            }
            for (part, why) in &section.parts {
                let name = format!("{name}.{part}");
                self.begins(&name, why.state, &why.reason);
                missing.insert(name, why.state);
            }
        }
        for (name, _) in self.missing.iter().filter(|(name, _)| !missing.contains_key(*name)) {
            info!(section = printable(name), "collected again");
        }
        self.missing = missing;
    }

    fn begins(&self, name: &str, state: State, reason: &str) {
        if self.missing.get(name) == Some(&state) {
            return;
        }
        let (section, reason) = (printable(name), printable(reason));
        match state {
            State::Unavailable => info!(section, state = state.word(), reason, "not collected"),
            _ => warn!(section, state = state.word(), reason, "not collected"),
        }
    }
}
