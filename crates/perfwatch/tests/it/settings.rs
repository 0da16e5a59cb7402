//! Settings that change while PerfWatch runs, and what it says of itself.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::Message;

use crate::access::{ask, live};
use crate::process::{Server, perfwatch, stdout};

const SETTINGS: &str = "/api/v1/settings";

fn put(server: &Server, changes: &Value) -> (u16, Value) {
    let answer = ask(server, "PUT", SETTINGS, "", Some(changes));
    (answer.status, answer.body)
}

fn setting(server: &Server, key: &str) -> Value {
    let answer = ask(server, "GET", SETTINGS, "", None);
    let all = answer.body["settings"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key}"))
}

#[test]
fn a_section_that_is_switched_off_is_null_and_comes_back() {
    let server = Server::start(&[]);
    server.snapshot_that(|snapshot| snapshot["network"].is_object());
    let (status, answer) = put(&server, &json!({ "collectors.network": false }));
    assert_eq!(status, 200, "{answer}");
    let off = server.snapshot_that(|snapshot| snapshot["network"].is_null());
    assert_eq!(off["status"]["network"]["state"], "disabled");
    assert!(off["memory"].is_object());
    let saved = setting(&server, "collectors.network");
    assert_eq!((&saved["value"], &saved["source"]), (&false.into(), &"saved".into()));

    let server = Server::start_in(server.stopped(), &[]);
    let off = server.snapshot_that(|snapshot| snapshot["tick"] != 0);
    assert_eq!(off["status"]["network"]["state"], "disabled", "after a restart as well");
    assert_eq!(put(&server, &json!({ "collectors.network": null })).0, 200);
    server.snapshot_that(|snapshot| snapshot["network"].is_object());
    assert_eq!(setting(&server, "collectors.network")["source"], "default");
}

#[test]
fn the_interval_is_followed_at_once_and_streams_are_told() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("settings.json"), r#"{"interval":"60s","storage.keep_1m":"9d"}"#)
        .unwrap();
    let config = data.path().join("perfwatch.toml");
    fs::write(&config, "storage.keep_1h = \"1y\"\n").unwrap();
    let config = config.to_str().unwrap().to_owned();
    let server = Server::start_saved(data, &["--config", &config, "--keep-raw", "2d"]);
    let mut stream = live(&server, "");
    let next = |stream: &mut tungstenite::WebSocket<_>| loop {
        if let Message::Text(text) = stream.read().unwrap() {
            return serde_json::from_str::<Value>(&text).unwrap();
        }
    };
    assert_eq!(next(&mut stream)["interval_ms"], 60_000);
    assert_eq!(next(&mut stream)["type"], "snapshot");
    let before = Instant::now();
    assert_eq!(put(&server, &json!({ "interval": "500ms" })).0, 200);
    let hello = next(&mut stream);
    assert_eq!((&hello["type"], &hello["interval_ms"]), (&"hello".into(), &500.into()));
    assert_eq!(next(&mut stream)["data"]["interval_ms"], 500);
    assert!(before.elapsed() < Duration::from_secs(20), "{:?}", before.elapsed());

    // Which layer wins, and all or nothing.
    for (key, source, flag) in [
        ("storage.keep_raw", "command line", true),
        ("storage.keep_1h", "file", true),
        ("storage.keep_1m", "saved", false),
        ("storage.max_bytes", "default", false),
    ] {
        let one = setting(&server, key);
        assert_eq!((&one["source"], &one["editable"]), (&source.into(), &(!flag).into()), "{one}");
        let (status, answer) = put(&server, &json!({ "interval": "1s", key: null }));
        assert_eq!(status, if flag { 409 } else { 200 }, "{answer}");
        if flag {
            assert_eq!(answer["code"], "overridden");
            assert!(answer["detail"].as_str().unwrap().contains(key), "{answer}");
        }
    }
    let (status, answer) = put(&server, &json!({ "interval": "2s", "perf.cpus": "x" }));
    assert_eq!((status, &answer["code"]), (422, &"bad-setting".into()));
    assert_eq!(setting(&server, "interval")["value"], "1s");
    for body in [json!([1]), json!({ "interval": 5 }), json!({ "interval": { "a": 1 } })] {
        assert_eq!(put(&server, &body).0, 400, "{body}");
    }
}

#[test]
fn what_cannot_be_saved_does_not_hold() {
    let server = Server::start(&[]);
    let file = server.data.path().join("settings.json");
    fs::create_dir(&file).unwrap();
    let (status, answer) = put(&server, &json!({ "collectors.disk": false }));
    assert_eq!((status, &answer["code"]), (503, &"settings-not-saved".into()));
    assert_eq!(setting(&server, "collectors.disk")["value"], true);
    assert_eq!(setting(&server, "collectors.disk")["source"], "default");
}

#[test]
fn status_says_what_doctor_says_and_what_serving_takes() {
    let server = Server::start(&[]);
    server.snapshot();
    let _stream = live(&server, "");
    let status = ask(&server, "GET", "/api/v1/status", "", None).body;
    let snapshot = server.snapshot();
    for (name, section) in snapshot["status"].as_object().unwrap() {
        assert_eq!(status["sections"][name]["state"], section["state"], "{name}");
        // Every section has a switch.
        match name.as_str() {
            "perf_events" => setting(&server, "perf.enabled"),
            other => setting(&server, &format!("collectors.{other}")),
        };
    }
    assert_eq!(status["host"], snapshot["host"]);
    let said = stdout(&mut perfwatch_doctor());
    let names: BTreeSet<_> =
        said.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    for capability in status["capabilities"].as_array().unwrap() {
        let name = capability["name"].as_str().unwrap();
        assert!(names.contains(name) || name.contains('.'), "{name}: {said}");
    }
    assert!(status["now_ms"].as_i64() >= status["started_ms"].as_i64());
    let (takes, store) = (&status["self"], &status["store"]);
    let rss = server.process.memory_kib("VmRSS") * 1024;
    let reported = takes["rss_bytes"].as_u64().unwrap();
    assert!(reported.abs_diff(rss) < rss / 2, "{reported} and {rss}");
    assert!(takes["threads"].as_u64().unwrap().abs_diff(server.process.count("task") as u64) <= 4);
    assert!(takes["descriptors"].as_u64().unwrap() > 10);
    assert_eq!(store["dir"], server.data.path().to_str().unwrap());
    assert_eq!(store["max_bytes"], 2_u64 << 30);
    assert!(store["free_bytes"].as_u64() > Some(0));
    assert_eq!(store["trouble"], Value::Null);
    let keeps: Vec<_> =
        store["tiers"].as_array().unwrap().iter().map(|tier| &tier["keep"]).collect();
    assert_eq!(keeps, ["30d", "180d", "5y"]);
    assert_eq!(status["clients"]["live"], 1);
    assert!(status["clients"]["connections"].as_u64() >= Some(2));
}

/// It may find something wrong here.
fn perfwatch_doctor() -> std::process::Command {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "\"$0\" doctor || true"]).arg(perfwatch().get_program());
    command
}
