//! Hands every snapshot to the store, and tells it what happened between two of them.

mod clocks;
mod rows;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use perfwatch_metrics::{Snapshot, State};
use perfwatch_store::{Event, Row, Store};
use serde_json::{Value, json};
use tracing::{info, warn};

pub(crate) use rows::{Sections, decimals, kind};

use clocks::Clocks;

use crate::journal::Change;

/// Most events of collectors in an hour. A part that comes and goes at every tick must not fill the events' files;
/// the log has them all.
const MAX_COLLECTOR_EVENTS: u32 = 120;
const BUDGET_PERIOD: Duration = Duration::from_secs(3600);

/// Turns snapshots into rows and what happened into events.
#[derive(Debug)]
pub(crate) struct Recorder {
    store: Arc<Store>,
    sections: Sections,
    clocks: Clocks,
    /// Events of collectors that may still be recorded, and since when they are counted.
    budget: (u32, Instant),
    /// Why history could not be written at the last snapshot.
    trouble: Option<String>,
}

impl Recorder {
    /// Nothing recorded yet.
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let budget = (MAX_COLLECTOR_EVENTS, Instant::now());
        let trouble = store.health().trouble.map(|(_, reason)| reason);
        Self { store, sections: Sections::default(), clocks: Clocks::default(), budget, trouble }
    }

    /// Hands over a snapshot. Never waits.
    pub(crate) fn record(&mut self, snapshot: &Snapshot) {
        for (kind, detail) in self.clocks.look(snapshot) {
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
            if self.budget.1.elapsed() >= BUDGET_PERIOD {
                self.budget = (MAX_COLLECTOR_EVENTS, Instant::now());
            }
            let Some(left) = self.budget.0.checked_sub(1) else { return };
            self.budget.0 = left;
            let Change { part, state, reason } = change;
            let detail = json!({ "part": part, "state": state.word(), "reason": reason });
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
