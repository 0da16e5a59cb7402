//! What the clocks say of the time between two snapshots: a gap, a sleep, a clock that was set.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use perfwatch_metrics::Snapshot;
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use super::gap;

/// A clock that was set by less is not worth an event: NTP corrects that much without one.
const SMALLEST_STEP: SignedDuration = SignedDuration::from_millis(500);

/// The three clocks at one snapshot.
#[derive(Debug, Clone, Copy)]
struct Reading {
    /// What people read.
    wall: Timestamp,
    /// Runs evenly, also while the host sleeps.
    boot: Duration,
    /// Runs evenly while the host is awake.
    awake: Duration,
}

/// The clocks at the snapshot before.
#[derive(Debug, Default)]
pub(crate) struct Clocks {
    before: Option<Reading>,
}

impl Clocks {
    /// What happened since the snapshot before: kinds of events and what there is to say of them.
    pub(crate) fn look(&mut self, snapshot: &Snapshot) -> Vec<(&'static str, Value)> {
        let now = Reading {
            wall: Timestamp::now(),
            boot: clock(ClockId::Boottime),
            awake: clock(ClockId::Monotonic),
        };
        let before = self.before.replace(now);
        before.map(|before| happened(&before, &now, snapshot.interval_ms)).unwrap_or_default()
    }
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn happened(before: &Reading, now: &Reading, interval_ms: u64) -> Vec<(&'static str, Value)> {
    let mut events = Vec::new();
    let interval = Duration::from_millis(interval_ms);
    let passed = now.boot.saturating_sub(before.boot);
    let asleep = passed.saturating_sub(now.awake.saturating_sub(before.awake));
    let passed_signed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
    let step = now.wall.duration_since(before.wall) - passed_signed;
    if step.abs() >= SMALLEST_STEP {
        let by_ms = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
        events.push(("clock_step", json!({ "by_ms": by_ms })));
    }
    if passed > interval * 5 / 2 {
        let reason = if asleep > interval {
            "the host was suspended"
        } else {
            "PerfWatch was stopped or the host overloaded"
        };
        // By the clock of now: the one of then may have been wrong.
        let from = now.wall.checked_sub(passed_signed).unwrap_or(before.wall);
        events.push(("gap", gap(from, now.wall, reason)));
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Reading = Reading {
        wall: Timestamp::UNIX_EPOCH,
        boot: Duration::from_secs(1000),
        awake: Duration::from_secs(900),
    };

    /// After so many seconds by each clock, at an interval of 5 s.
    fn after(wall: i64, boot: u64, awake: u64) -> Vec<(&'static str, Value)> {
        let now = Reading {
            wall: Timestamp::from_second(wall).unwrap(),
            boot: START.boot + Duration::from_secs(boot),
            awake: START.awake + Duration::from_secs(awake),
        };
        happened(&START, &now, 5000)
    }

    #[test]
    fn nothing_happened_at_an_ordinary_tick() {
        assert!(after(5, 5, 5).is_empty() && after(10, 10, 10).is_empty());
    }

    #[test]
    fn a_clock_that_was_set_is_no_gap() {
        assert_eq!(after(3605, 5, 5), [("clock_step", json!({ "by_ms": 3_600_000 }))]);
        assert_eq!(after(-3595, 5, 5), [("clock_step", json!({ "by_ms": -3_600_000 }))]);
    }

    #[test]
    fn a_gap_says_why() {
        let gap = |reason| ("gap", json!({ "from": 0, "to": 60_000, "reason": reason }));
        assert_eq!(after(60, 60, 5), [gap("the host was suspended")]);
        assert_eq!(after(60, 60, 60), [gap("PerfWatch was stopped or the host overloaded")]);
    }

    #[test]
    fn a_gap_while_the_clock_was_set_is_told_by_the_new_clock() {
        let events = after(7200, 3600, 3600);
        assert_eq!(events[0], ("clock_step", json!({ "by_ms": 3_600_000 })));
        assert_eq!(
            (&events[1].1["from"], &events[1].1["to"]),
            (&json!(3_600_000), &json!(7_200_000))
        );
    }
}
