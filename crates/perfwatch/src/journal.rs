//! Logs what is missing when it begins and when it ends, and not in between.

use std::collections::BTreeMap;

use perfwatch_metrics::{Section, State, Status};
use tracing::{info, warn};

use crate::groups::{grouped, is_part};
use crate::terminal::printable;

/// Something that is missing from now on, or is there again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The section, or `section.part`.
    pub(crate) part: String,
    /// `ok` when it is there again.
    pub(crate) state: State,
    /// Why it is missing.
    pub(crate) reason: String,
}

/// What was missing at the last tick.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    missing: BTreeMap<String, State>,
}

impl Journal {
    /// Compares a snapshot's status with the last one's, logs the difference and returns it.
    pub(crate) fn note(&mut self, status: &Status) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut missing = BTreeMap::new();
        for (name, section) in status.sections() {
            if let Some(pace) = section.every_ticks {
                let reason = Section::paced_reason(pace);
                changes.extend(self.begins(name, State::Paced, &reason));
                missing.insert(name.to_owned(), State::Paced);
                if section.state == State::Paced {
                    // What was missing in it is not there yet.
                    let parts = self.missing.iter().filter(|(part, _)| is_part(part, name));
                    missing.extend(parts.map(|(part, state)| (part.clone(), *state)));
                }
            } else if !matches!(section.state, State::Ok | State::Disabled) {
                let reason = section.reason.as_deref().unwrap_or_default();
                changes.extend(self.begins(name, section.state, reason));
                missing.insert(name.to_owned(), section.state);
            }
            for (part, why) in &section.parts {
                let name = format!("{name}.{part}");
                changes.extend(self.begins(&name, why.state, &why.reason));
                missing.insert(name, why.state);
            }
        }
        for group in grouped(&changes, |change| (&change.part, (change.state, &change.reason))) {
            log(&group);
        }
        for (name, state) in self.missing.iter().filter(|(name, _)| !missing.contains_key(*name)) {
            info!(section = printable(name), "collected again");
            if *state != State::Unavailable {
                changes.push(Change {
                    part: name.clone(),
                    state: State::Ok,
                    reason: String::new(),
                });
            }
        }
        self.missing = missing;
        changes
    }

    fn begins(&self, name: &str, state: State, reason: &str) -> Option<Change> {
        let is_new = self.missing.get(name) != Some(&state);
        is_new.then(|| Change { part: name.to_owned(), state, reason: reason.to_owned() })
    }
}

/// Logs in a line what is missing for one reason.
fn log(missing: &[&Change]) {
    let Some(Change { state, reason, .. }) = missing.first() else { return };
    let names: Vec<_> = missing.iter().map(|change| printable(&change.part)).collect();
    let (section, reason) = (names.join(", "), printable(reason));
    match state {
        State::Unavailable | State::Denied => {
            info!(section, state = state.word(), reason, "not collected");
        }
        _ => warn!(section, state = state.word(), reason, "not collected"),
    }
}
