//! What is said of the time when PerfWatch did not run: events at start and stop. Whether the host was booted meanwhile, or
//! the kernel or PerfWatch changed, is what the last start said compared with this one.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use perfwatch_store::{Event, Found, Reader};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::recorder::{event, gap};
use crate::terminal::printable;

/// One run of PerfWatch, as told to the history.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    started: Timestamp,
    interval: Duration,
    /// Of the running kernel: another after every boot. Null when it cannot be read.
    boot_id: Option<String>,
    /// Release of the running kernel. Null when it cannot be read.
    kernel: Option<String>,
}

impl Run {
    /// The run that begins now.
    pub(crate) fn begin(interval: Duration, procfs: &Path) -> Self {
        let text = |path: &str| {
            let text = fs::read_to_string(procfs.join("sys/kernel").join(path)).ok()?;
            Some(text.trim().to_owned())
        };
        // To the millisecond, as snapshots: it comes before the first of them.
        let started = Timestamp::from_millisecond(Timestamp::now().as_millisecond());
        let (boot_id, kernel) = (text("random/boot_id"), text("osrelease"));
        Self { started: started.unwrap_or_default(), interval, boot_id, kernel }
    }

    /// What there is to say when the files of an earlier run are open.
    pub(crate) fn opened(&self, found: &Found, reader: &Reader) -> Vec<Event> {
        // Events tell only what is known; without any, it is not known.
        let earlier = reader.events((i64::MIN, i64::MAX)).unwrap_or_default().0;
        let mut events = self.since(&earlier);
        let mut say = |kind, detail: Value| events.push(event(self.started, kind, &detail));
        for name in &found.set_aside {
            warn!(file = printable(name), "nothing in this file could be read: set aside");
            say("store", json!({ "problem": "set aside", "file": name }));
        }
        if found.damaged_bytes > 0 {
            warn!(bytes = found.damaged_bytes, "parts of the history cannot be read");
            say("store", json!({ "problem": "damaged", "bytes": found.damaged_bytes }));
        }
        let newest = found.newest.and_then(|time| Timestamp::from_nanosecond(time.into()).ok());
        if let Some(newest) = newest {
            let length = self.started.duration_since(newest);
            let interval = self.interval.as_secs_f64();
            if length.as_secs_f64() > interval * 2.5 {
                let reason = self.why(&earlier);
                info!(seconds = length.as_secs(), reason, "nothing was recorded before this start");
                say("gap", gap(newest, self.started, reason));
            }
        }
        let (version, interval_ms) = (env!("CARGO_PKG_VERSION"), self.interval.as_millis() as u64);
        say(
            "start",
            json!({
                "version": version,
                "interval_ms": interval_ms,
                "boot_id": self.boot_id,
                "kernel": self.kernel,
            }),
        );
        events
    }

    /// What is not as it was at the last start.
    fn since(&self, earlier: &[Event]) -> Vec<Event> {
        let mut events = Vec::new();
        let Some(last) = earlier.iter().rfind(|event| event.kind == "start") else { return events };
        let last: Value = serde_json::from_str(&last.detail).unwrap_or_default();
        let before = |name: &str| last.get(name).and_then(Value::as_str);
        if let (Some(then), Some(now)) = (before("boot_id"), self.boot_id.as_deref())
            && then != now
        {
            let at = booted(self.started);
            events.push(event(at, "boot", &json!({ "boot_id": now, "at": at.as_millisecond() })));
        }
        let version = Some(env!("CARGO_PKG_VERSION"));
        for (what, name, now) in
            [("kernel", "kernel", self.kernel.as_deref()), ("perfwatch", "version", version)]
        {
            if let (Some(from), Some(to)) = (before(name), now)
                && from != to
            {
                let detail = json!({ "what": what, "from": from, "to": to });
                events.push(event(self.started, "upgrade", &detail));
            }
        }
        events
    }

    /// Why nothing was recorded before this run.
    fn why(&self, earlier: &[Event]) -> &'static str {
        let last = earlier.iter().rfind(|event| matches!(event.kind.as_str(), "start" | "stop"));
        let Some(last) = last else { return "PerfWatch was not running" };
        let detail: Value = serde_json::from_str(&last.detail).unwrap_or_default();
        let boot_id = detail.get("boot_id").and_then(Value::as_str);
        match (last.kind.as_str(), boot_id, self.boot_id.as_deref()) {
            ("stop", ..) => "PerfWatch was stopped",
            (_, Some(then), Some(now)) if then != now => {
                "the host went down without PerfWatch being stopped first"
            }
            _ => "PerfWatch was killed or crashed",
        }
    }
}

/// When the host was booted, by the clock of now.
fn booted(now: Timestamp) -> Timestamp {
    let uptime = clock_gettime(ClockId::Boottime);
    let uptime = Duration::new(uptime.tv_sec.unsigned_abs(), 0);
    now.checked_sub(uptime).unwrap_or(now)
}

/// What there is to say at an orderly end.
pub(crate) fn stopped(reason: &str) -> Event {
    event(Timestamp::now(), "stop", &json!({ "reason": reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(detail: &Value) -> Event {
        event(Timestamp::UNIX_EPOCH, "start", detail)
    }

    fn since(earlier: &[Event]) -> Vec<(String, Value)> {
        let run = Run {
            started: Timestamp::now(),
            interval: Duration::from_secs(5),
            boot_id: Some("b".to_owned()),
            kernel: Some("6.2".to_owned()),
        };
        let detail = |event: &Event| serde_json::from_str(&event.detail).unwrap();
        run.since(earlier).iter().map(|event| (event.kind.clone(), detail(event))).collect()
    }

    #[test]
    fn what_changed_since_the_last_start_is_told() {
        let version = env!("CARGO_PKG_VERSION");
        let same = json!({ "version": version, "boot_id": "b", "kernel": "6.2" });
        let other = json!({ "version": "0.0.1", "boot_id": "a", "kernel": "6.1" });
        assert_eq!(since(&[start(&other), start(&same)]), []);
        let told = since(&[start(&same), start(&other), stopped("SIGTERM")]);
        let kinds: Vec<_> = told.iter().map(|(kind, _)| kind.as_str()).collect();
        assert_eq!(kinds, ["boot", "upgrade", "upgrade"]);
        let at = told[0].1["at"].as_i64().unwrap();
        assert!(at > 0 && at <= Timestamp::now().as_millisecond());
        assert_eq!(told[1].1, json!({ "what": "kernel", "from": "6.1", "to": "6.2" }));
        assert_eq!(told[2].1, json!({ "what": "perfwatch", "from": "0.0.1", "to": version }));
    }

    #[test]
    fn what_was_not_said_is_not_guessed() {
        assert_eq!(since(&[]), []);
        let silent = json!({ "version": env!("CARGO_PKG_VERSION"), "boot_id": null });
        assert_eq!(since(&[start(&silent), start(&json!("nonsense"))]), []);
    }
}
