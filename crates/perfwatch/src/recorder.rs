//! Hands every snapshot to the store, and tells it what happened between two of them.

mod budget;
mod clocks;
mod host;
mod rows;

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use perfwatch_metrics::{Snapshot, State};
use perfwatch_store::{Event, Row, Store};
use serde_json::{Value, json};
use tracing::{info, warn};

pub(crate) use rows::{Sections, decimals, kind};

use budget::{Budget, Leave};
use clocks::Clocks;
use host::HostEvents;

use crate::journal::Change;

/// Turns snapshots into rows and what happened into events.
#[derive(Debug)]
pub(crate) struct Recorder {
    store: Arc<Store>,
    sections: Sections,
    clocks: Clocks,
    host: HostEvents,
    /// Of events of collectors; the log has them all.
    budget: Budget,
    /// Why history could not be written at the last snapshot.
    trouble: Option<String>,
}

impl Recorder {
    /// Nothing recorded yet.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let trouble = store.health().trouble.map(|(_, reason)| reason);
        Self {
            store,
            sections: Sections::default(),
            clocks: Clocks::default(),
            host: HostEvents::default(),
            budget: Budget::default(),
            trouble,
        }
    }

    /// Hands over a snapshot. Never waits.
    pub(crate) fn record(&mut self, snapshot: &Snapshot) {
        let of_host = self.host.look(snapshot, Instant::now());
        for (kind, detail) in self.clocks.look(snapshot).into_iter().chain(of_host) {
            self.store.event(event(snapshot.timestamp, kind, &detail));
        }
        self.look_at_store(snapshot.timestamp);
        let groups = self.sections.rows(snapshot);
        self.store.append(Row { time: nanoseconds(snapshot.timestamp), groups });
    }

    /// Says when history cannot be written any more, and when it can again: in the log, and in itself.
    fn look_at_store(&mut self, time: Timestamp) {
        let health = self.store.health();
        let trouble = health.trouble.map(|(_, reason)| reason);
        if trouble.is_some() == self.trouble.is_some() {
            return;
        }
        let detail = match &trouble {
            Some(reason) => {
                warn!(reason, "history is kept in memory until it can be written");
                json!({ "problem": reason })
            }
            None => {
                let lost_rows = health.lost_rows;
                info!(lost_rows, "history is written again");
                json!({ "problem": null, "lost_rows": lost_rows })
            }
        };
        self.store.event(event(time, "store", &detail));
        self.trouble = trouble;
    }

    /// Hands over what began to be missing at a snapshot, or is there again.
    pub(crate) fn changes(&mut self, time: Timestamp, changes: &[Change]) {
        // What this host does not have, or not for this user, is no event.
        let absent = |change: &&Change| matches!(change.state, State::Unavailable | State::Denied);
        for change in changes.iter().filter(|change| !absent(change)) {
            let Change { part, state, reason } = change;
            let mut detail = json!({ "part": part, "state": state.word(), "reason": reason });
            match self.budget.ask(Instant::now(), "collector", part) {
                Leave::Given => {}
                Leave::Last => detail["last_of_hour"] = true.into(),
                Leave::Refused => continue,
            }
            self.store.event(event(time, "collector", &detail));
        }
    }
}

/// An event as the store keeps it.
pub(crate) fn event(time: Timestamp, kind: &str, detail: &Value) -> Event {
    Event { time: nanoseconds(time), kind: kind.to_owned(), detail: detail.to_string() }
}

/// A gap in the rows.
pub(crate) fn gap(from: Timestamp, to: Timestamp, reason: &str) -> Value {
    let (from_ms, to_ms) = (from.as_millisecond(), to.as_millisecond());
    json!({ "from": from_ms, "to": to_ms, "reason": reason })
}

/// Nanoseconds since the epoch; beyond the years that those can tell, the last that they can.
pub(crate) fn nanoseconds(time: Timestamp) -> i64 {
    let last = if time.as_second() < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(time.as_nanosecond()).unwrap_or(last)
}
