//! A clock that is set while the real binary samples: libfaketime stands between it and the wall clock alone.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::answers::{Recording, ask, time_ms};
use crate::process::{Server, perfwatch_under, skipped};

/// By how much the clock is off the true one, in turn, as libfaketime has it and in milliseconds.
const STEPS: [(&str, i64); 6] = [
    ("+1s", 1_000),
    ("+0s", 0),
    ("-3600s", -3_600_000),
    ("+3600s", 3_600_000),
    ("+70y", 70 * 365 * 86_400_000),
    ("+0s", 0),
];

/// Where Debian's package faketime has it, for programs with threads.
fn library() -> Option<PathBuf> {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let path = Path::new("/usr/lib").join(triplet).join("faketime/libfaketimeMT.so.1");
    path.exists().then_some(path)
}

#[test]
fn a_clock_that_is_set_costs_no_tick_no_row_and_no_rate_and_is_told() {
    let Some(library) = library() else {
        return skipped("a clock that is set", "libfaketime is not installed (Debian: faketime)");
    };
    let place = tempfile::tempdir().unwrap();
    let offset = place.path().join("offset");
    let set = |text: &str| {
        let draft = place.path().join("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &offset).unwrap();
    };
    set("+0s");
    let under = [
        format!("LD_PRELOAD={}", library.display()),
        format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
        "NO_FAKE_STAT=1".to_owned(),
    ];
    let command = perfwatch_under("env", &under.each_ref().map(String::as_str));
    let server = Server::start_as(command, tempfile::tempdir().unwrap(), &[]);
    let recording = Recording::start(&server);
    recording.wait_for(3);
    for (text, _) in STEPS {
        set(text);
        recording.wait_for(4);
    }
    recording.assert_without_holes();

    let snapshots = recording.snapshots();
    // The first has nothing to compare with.
    for snapshot in &snapshots[1..] {
        assert!(snapshot["cpu"]["usage_percent"].is_number(), "{snapshot}");
        let elapsed = snapshot["status"]["cpu"]["elapsed_ms"].as_f64().unwrap();
        assert!((240.0..2000.0).contains(&elapsed), "{elapsed} ms by a clock that was set");
    }
    let far = 200 * 365 * 86_400_000_i64;
    let events = ask(&server, &format!("events?from=0&to={far}"));
    let told = events["events"].as_array().unwrap().iter();
    let told: Vec<i64> = told
        .filter(|event| event["kind"] == "clock_step")
        .map(|event| event["detail"]["by_ms"].as_i64().unwrap())
        .collect();
    let mut before = 0;
    let mut expected: Vec<i64> =
        STEPS.iter().map(|(_, at)| at - std::mem::replace(&mut before, *at)).collect();
    let mut found = told.clone();
    // They are told by the time that the clock showed, which is not the order in which they were.
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found.len(), expected.len(), "{events}");
    for (found, expected) in found.iter().zip(&expected) {
        // Seventy years have leap days.
        assert!((found - expected).abs() < 20 * 86_400_000, "{told:?}");
    }
    for snapshot in &snapshots {
        let at = time_ms(snapshot);
        let question =
            format!("series?select=memory.total_bytes&from={at}&to={}&step=500ms", at + 1);
        let answer = ask(&server, &question);
        let values = &answer["series"][0]["avg"];
        assert!(values.as_array().unwrap().iter().any(Value::is_number), "{at}: {answer}");
    }
}
