//! Performance counters of this host, as users with and without the right to them see them.

use perfwatch_metrics::perf::Event;
use rustix::process::geteuid;
use serde_json::Value;

use crate::process::{Server, perfwatch, perfwatch_under, skipped, stdout};

/// A snapshot as some user with some rights.
fn snapshot_as(arguments: &[&str]) -> Value {
    let mut command = perfwatch_under("setpriv", arguments);
    serde_json::from_str(&stdout(command.args(["snapshot", "--json", "--over", "200ms"]))).unwrap()
}

const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

/// Every event that was not counted has its reason, and every one that was has a value.
fn is_whole(snapshot: &Value) -> usize {
    let section = &snapshot["perf_events"];
    let parts = snapshot["status"]["perf_events"]["parts"].as_object().unwrap();
    let events = section["events"].as_object().unwrap();
    let names: Vec<_> = events.keys().map(String::as_str).collect();
    let mut all = Event::ALL.map(Event::name);
    all.sort_unstable();
    assert_eq!(names, all);
    for (event, metrics) in events {
        assert_eq!(metrics["value"].is_null(), parts.contains_key(event), "{event}");
        assert_eq!(metrics["unit"].as_str(), (event == "cpu-clock").then_some("msec"));
        assert_eq!(section["running_pct"].get(event).is_none(), metrics["value"].is_null());
    }
    for (event, part) in parts {
        assert!(part["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{event}");
    }
    events.values().filter(|metrics| metrics["value"].is_number()).count()
}

#[test]
fn root_counts_what_there_is_and_says_why_the_rest_is_not() {
    if !geteuid().is_root() {
        return skipped("counters as root", "this is not root");
    }
    let snapshot = snapshot_as(&[]);
    let section = &snapshot["perf_events"];
    if section["status"] == "unavailable" || section["status"] == "denied" {
        return skipped("counters as root", &section["error"]);
    }
    let counted = is_whole(&snapshot);
    assert!(counted >= 4, "the kernel's own events are always there: {section}");
    assert_eq!(section["available"], Value::Bool(counted == 17));
    assert_eq!(section["status"], if counted == 17 { "full" } else { "partial" });
    assert_eq!(
        (&section["source"], &section["cpu_cores"]),
        (&"perf_event_open".into(), &"all".into())
    );
    // Time passes on every CPU: the sum is that of the interval.
    let cpus = snapshot["cpu"]["per_core"].as_array().unwrap().len() as f64;
    let clock = section["events"]["cpu-clock"]["value"].as_f64().unwrap();
    let interval = section["interval_ms"].as_f64().unwrap();
    assert!(
        (clock / (interval * cpus) - 1.0).abs() < 0.05,
        "{clock} ms in {interval} ms on {cpus}"
    );
    let doctor = String::from_utf8(perfwatch().arg("doctor").output().unwrap().stdout).unwrap();
    let word = if counted == 17 { "ok    " } else { "partly" };
    assert!(doctor.contains(&format!("{word}       perf_events  ")), "{doctor}");
    assert_eq!(doctor.matches(" perf_events.").count(), 17 - counted, "{doctor}");
}

#[test]
fn without_the_right_it_is_denied_and_with_it_alone_it_is_as_root() {
    let level = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
    if !geteuid().is_root() || level.trim().parse::<i32>().unwrap_or_default() < 1 {
        return skipped(
            "counters without a right to them",
            "it takes root and kernel.perf_event_paranoid of 1 or more",
        );
    }
    let root = snapshot_as(&[]);
    let denied = snapshot_as(&NOBODY);
    let section = &denied["perf_events"];
    assert_eq!(
        (&section["available"], &section["status"]),
        (&Value::Bool(false), &"denied".into())
    );
    assert_eq!(section["events"], serde_json::json!({}));
    let error = section["error"].as_str().unwrap();
    assert!(error.contains(&format!("perf_event_paranoid is {}", level.trim())), "{error}");
    let status = &denied["status"]["perf_events"];
    assert_eq!(status["state"], "denied");
    assert!(status["fix"].as_str().unwrap().contains("CAP_PERFMON"));
    assert!(denied["cpu"]["usage_percent"].is_number(), "everything else goes on");
    let doctor = perfwatch_under("setpriv", &NOBODY)
        .args(["doctor", "--listen=127.0.0.1:0"])
        .output()
        .unwrap();
    let said = String::from_utf8(doctor.stdout).unwrap();
    assert!(said.contains("denied       perf_events") && said.contains("CAP_PERFMON"), "{said}");
    assert!(doctor.status.success(), "a right that is not there is no fault: {said}");
    let perfmon = [&NOBODY[..], &["--inh-caps=+perfmon", "--ambient-caps=+perfmon"]].concat();
    let allowed = snapshot_as(&perfmon);
    for field in ["status", "available", "error", "unsupported_events"] {
        assert_eq!(allowed["perf_events"][field], root["perf_events"][field], "{field}");
    }
    assert_eq!(is_whole(&allowed), is_whole(&root));
}

#[test]
fn settings_say_whether_and_where_to_count() {
    let snapshot = |arguments: &[&str]| -> Value {
        let mut command = perfwatch();
        command.args(["snapshot", "--json", "--over", "100ms"]).args(arguments);
        serde_json::from_str(&stdout(&mut command)).unwrap()
    };
    let off = snapshot(&["--perf.enabled=false"]);
    assert_eq!(off["perf_events"]["status"], "disabled");
    assert_eq!(off["perf_events"]["events"], serde_json::json!({}));
    assert_eq!(off["status"]["perf_events"]["state"], "disabled");
    let one = snapshot(&["--perf.cpus=0"]);
    if one["perf_events"]["cpu_cores"].is_null() {
        return skipped("counters on a list of CPUs", &one["perf_events"]["error"]);
    }
    let section = &one["perf_events"];
    assert_eq!(section["cpu_cores"], "0");
    let clock = section["events"]["cpu-clock"]["value"].as_f64().unwrap();
    assert!((clock / section["interval_ms"].as_f64().unwrap() - 1.0).abs() < 0.05, "{section}");
    let none = snapshot(&["--perf.cpus=8000"]);
    assert_eq!(none["perf_events"]["status"], "unavailable");
    assert!(none["perf_events"]["error"].as_str().unwrap().contains("none of the CPUs 8000"));
    let wrong = perfwatch().args(["snapshot", "--perf.cpus=0-3,x"]).output().unwrap();
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(!wrong.status.success() && said.contains("`x` is not the number of a CPU"), "{said}");
}

#[test]
fn history_has_what_was_counted_and_its_sum() {
    let server = Server::start(&[]);
    let counted =
        |snapshot: &Value| snapshot["perf_events"]["events"]["cpu-clock"]["value"].as_f64();
    let mut snapshots: Vec<Value> = Vec::new();
    while snapshots.iter().filter(|snapshot| counted(snapshot).is_some()).count() < 3 {
        let snapshot = server.snapshot();
        if matches!(snapshot["perf_events"]["status"].as_str(), Some("denied" | "unavailable")) {
            return skipped("history of counters", &snapshot["perf_events"]["error"]);
        }
        if snapshots.last().is_none_or(|last| last["tick"] != snapshot["tick"]) {
            snapshots.push(snapshot);
        }
    }
    let first = snapshots.iter().find(|snapshot| counted(snapshot).is_some()).unwrap();
    let last = snapshots.last().unwrap();
    let ms = |snapshot: &Value| {
        let time: jiff::Timestamp = snapshot["timestamp"].as_str().unwrap().parse().unwrap();
        time.as_millisecond()
    };
    let path = format!(
        "/api/v1/series?select=perf_events.events.*&from={}&to={}&step=500ms",
        ms(first),
        ms(last) + 1
    );
    let (status, _, body) = server.get(&path);
    assert_eq!(status, 200, "{body}");
    let answer: Value = serde_json::from_str(&body).unwrap();
    for event in ["cpu-clock", "context-switches", "page-faults"] {
        let series = answer["series"].as_array().unwrap();
        let one = series.iter().find(|one| one["labels"]["event"] == event).unwrap();
        let sum: f64 = one["increase"].as_array().unwrap().iter().filter_map(Value::as_f64).sum();
        let values = || one["avg"].as_array().unwrap().iter().filter_map(Value::as_f64);
        assert!((values().sum::<f64>() - sum).abs() < 1e-3, "{one}");
        for snapshot in [first, last] {
            let said = snapshot["perf_events"]["events"][event]["value"].as_f64().unwrap();
            assert!(values().any(|value| value == said), "{event} {said}: {one}");
        }
    }
}
