//! What history keeps from one run to the next, and what it tells of starts, stops and kills.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::equality::assert_history_equals;
use super::{numbers, quiet_history};
use crate::answers::{
    COMMIT_EVERY_SECOND, Recording, STEP_MS, ask, assert_on_disk, config, now_ms, time_ms,
};
use crate::process::{Server, perfwatch};

/// At most so much is then lost to a kill: what was measured in the last commit interval, the tick after it, and the
/// time that writing takes on a busy machine.
const MOST_LOST_MS: i64 = 1000 + 500 + 1000;

#[test]
fn a_start_is_told_with_version_and_interval() {
    let (server, snapshots) = quiet_history(1);
    let answer = ask(&server, "events");
    let start = &answer["events"][0];
    assert_eq!((&start["kind"], &start["detail"]["interval_ms"]), (&"start".into(), &500.into()));
    assert_eq!(start["detail"]["version"], env!("CARGO_PKG_VERSION"));
    assert!((start["t"].as_i64().unwrap() - time_ms(&snapshots[0])).abs() < 5000);
    assert_eq!(ask(&server, "events?from=0&to=1000"), json!({ "events": [], "warnings": [] }));
}

#[test]
fn killed_again_and_again_it_loses_no_more_than_the_last_commit_interval() {
    let mut data = tempfile::tempdir().unwrap();
    let mut kept: Vec<Value> = Vec::new();
    let begin = now_ms();
    // At different moments between two commits.
    let config = config(COMMIT_EVERY_SECOND);
    for run in 0..4 {
        let server = Server::start_in(data, &["--config", config.path().to_str().unwrap()]);
        let recording = Recording::start(&server);
        recording.wait_for(7 + run);
        let killed_at = now_ms();
        data = server.killed();
        let mut snapshots = recording.end();
        snapshots.retain(|one| time_ms(one) < killed_at - MOST_LOST_MS);
        assert!(!snapshots.is_empty());
        assert_on_disk(data.path(), &snapshots);
        kept.extend(snapshots);
        // Long enough for a gap.
        std::thread::sleep(Duration::from_millis(1500));
    }
    let server = Server::start_in(data, &[]);
    let recording = Recording::start(&server);
    recording.wait_for(2);
    kept.extend(recording.snapshots());
    // All runs at once, and between them nothing but what was measured after the last that must be there.
    for run in kept.chunk_by(|one, next| one["tick"].as_u64() < next["tick"].as_u64()) {
        assert_history_equals(&server, run);
    }
    let events = ask(&server, &format!("events?from={begin}"));
    let of = |kind: &str| -> Vec<Value> {
        let events = events["events"].as_array().unwrap().iter();
        events.filter(|event| event["kind"] == kind).cloned().collect()
    };
    assert_eq!(of("start").len(), 5, "{events}");
    assert_eq!(of("stop").len(), 0, "{events}");
    let gaps = of("gap");
    assert!(!gaps.is_empty(), "{events}");
    for gap in &gaps {
        let (from, to) =
            (gap["detail"]["from"].as_i64().unwrap(), gap["detail"]["to"].as_i64().unwrap());
        assert!(gap["detail"]["reason"].as_str().unwrap().contains("killed"), "{gap}");
        assert!(
            from < to
                && to - from < MOST_LOST_MS + 5000
                && (gap["t"].as_i64().unwrap() - to).abs() <= 1,
            "{gap}"
        );
        let (from, to) = ((from / STEP_MS + 1) * STEP_MS, to / STEP_MS * STEP_MS);
        let answer = ask(
            &server,
            &format!("series?select=memory.total_bytes&from={from}&to={to}&step=500ms"),
        );
        let mut counts =
            answer["series"].as_array().unwrap().iter().flat_map(|one| numbers(&one["count"]));
        assert!(counts.all(|count| count == 0.0), "rows within {gap}: {answer}");
    }
}

#[test]
fn stopped_in_good_order_it_loses_nothing_and_says_so() {
    let mut data = tempfile::tempdir().unwrap();
    let mut all: Vec<Value> = Vec::new();
    let begin = now_ms();
    for run in 0..3 {
        let server = Server::start_in(data, &[]);
        let recording = Recording::start(&server);
        // Between two commits, which are five seconds apart.
        recording.wait_for(2 + 2 * run);
        data = server.stopped();
        all.extend(recording.end());
        assert_on_disk(data.path(), &all);
    }
    // Long enough for a gap.
    std::thread::sleep(Duration::from_millis(1500));
    let server = Server::start_in(data, &[]);
    server.snapshot();
    assert_history_equals(&server, &all);
    let events = ask(&server, &format!("events?from={begin}"));
    let kinds: Vec<(&str, &str)> = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["kind"].as_str().unwrap(),
                event["detail"]["reason"].as_str().unwrap_or_default(),
            )
        })
        .filter(|(kind, _)| *kind != "collector")
        .collect();
    let (start, stop) = (("start", ""), ("stop", "SIGTERM"));
    let gap = ("gap", "PerfWatch was stopped");
    let without_gaps: Vec<_> = kinds.iter().copied().filter(|one| one.0 != "gap").collect();
    assert_eq!(without_gaps, [start, stop, start, stop, start, stop, start]);
    assert!(
        kinds.ends_with(&[stop, gap, start]) || kinds.ends_with(&[stop, start, gap]),
        "{kinds:?}"
    );
}

#[test]
fn a_second_instance_leaves_at_once_and_names_the_first() {
    let server = Server::start(&[]);
    let recording = Recording::start(&server);
    recording.wait_for(1);
    let before = Instant::now();
    let output = perfwatch()
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(server.data.path())
        .output()
        .unwrap();
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let holder = format!("in use by process {}", server.process.0.id());
    assert!(
        said.contains(&holder) && said.contains(&*server.data.path().to_string_lossy()),
        "{said}"
    );
    recording.wait_for(3);
    recording.assert_without_holes();
    let snapshots = recording.snapshots();
    let data = server.stopped();
    assert_on_disk(data.path(), &snapshots);
    // A lock that a killed process held is nobody's.
    let server = Server::start_in(data, &[]);
    server.snapshot();
    drop(Server::start_in(server.killed(), &[]).stopped());
}
