//! Series: which are chosen, in what steps, and that JSON, CSV and the command line say the same.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::{quiet_history, strs};
use crate::answers::{Recording, ask, encoded, recorded, rows_on_disk, step_of, time_ms, within};
use crate::process::{Server, perfwatch, stdout};

#[test]
fn an_answer_has_whole_steps_and_says_how_long_they_are() {
    let (server, snapshots) = quiet_history(6);
    let (first, last) = (time_ms(&snapshots[0]), time_ms(&snapshots[snapshots.len() - 1]));
    let from = last - 12_000;
    for (how, step) in
        [("points=300", 1000), ("points=4", 5000), ("step=2s", 2000), ("step=250ms", 250)]
    {
        let answer =
            ask(&server, &format!("series?select=memory.*&from={from}&to={}&{how}", last + 1));
        assert_eq!(answer["step_ms"], step, "{how}");
        let resolution = answer["resolution_ms"].as_i64().unwrap();
        assert!((400..=600).contains(&resolution), "{how}: {resolution}");
        let t: Vec<i64> =
            answer["t"].as_array().unwrap().iter().map(|t| t.as_i64().unwrap()).collect();
        assert!(t.iter().all(|t| t % step == 0), "{how}: {t:?}");
        assert!(t.windows(2).all(|pair| pair[1] - pair[0] == step), "{how}: {t:?}");
        assert!(
            t[0] <= from
                && t[0] > from - step
                && *t.last().unwrap() <= last
                && *t.last().unwrap() > last - step
        );
        for series in answer["series"].as_array().unwrap() {
            let is_null = |at: usize, of: &str| series[of][at].is_null();
            let columns = if series["last"].is_null() {
                &["avg", "min", "max"][..]
            } else {
                // A counter.
                &["last"]
            };
            for of in columns.iter().chain(&["count"]) {
                assert_eq!(series[of].as_array().unwrap().len(), t.len());
            }
            for at in 0..t.len() {
                let none = series["count"][at] == 0;
                assert!(columns.iter().all(|of| is_null(at, of) == none), "{series}");
                // Nothing was measured before the start.
                assert!(none || t[at] + step > first - 1000, "{series}");
            }
        }
    }
    let nothing = ask(&server, "series?select=memory.*&from=0&to=3600000");
    assert_eq!((&nothing["series"], &nothing["resolution_ms"]), (&json!([]), &Value::Null));
}

#[test]
fn series_are_chosen_by_pattern_and_by_label() {
    let (server, _) = quiet_history(3);
    let ids = |select: &str| -> Vec<(String, Value)> {
        let answer = ask(&server, &format!("series?select={}", encoded(select)));
        let series = answer["series"].as_array().unwrap().iter();
        series.map(|one| (one["id"].as_str().unwrap().to_owned(), one["labels"].clone())).collect()
    };
    let all = ids("*");
    assert!(all.len() > 50, "{}", all.len());
    let interfaces = ids("network.interfaces.bytes_recv");
    let names: Vec<&str> =
        interfaces.iter().map(|one| one.1["interface"].as_str().unwrap()).collect();
    // A pattern's star stands for dots as well: eth0.* is of eth0.100 too.
    let is_alone =
        |name: &&&str| names.iter().filter(|other| other.starts_with(**name)).count() == 1;
    let name = *names.iter().find(is_alone).unwrap();
    let of_one = ids(&format!("network.interfaces.*{{interface=\"{name}\"}}"));
    let of_others = ids(&format!("network.interfaces.*{{interface!=\"{name}\"}}"));
    assert!(!of_one.is_empty() && of_one.iter().all(|(_, labels)| labels["interface"] == name));
    assert!(of_others.iter().all(|(_, labels)| labels["interface"] != name));
    assert_eq!(of_one.len() + of_others.len(), ids("network.interfaces.*").len());
    assert_eq!(ids(&format!("network.interfaces.{name}.*")), of_one);
    let core = ids("cpu.frequency_mhz.7");
    assert_eq!(core, [("cpu.frequency_mhz".to_owned(), json!({ "core": "7" }))]);
    assert_eq!(ids("no.such"), []);
    // What is kept for itself is not shown.
    assert!(all.iter().all(|(id, _)| id != "memory.pgpgin"), "{all:?}");
}

#[test]
fn csv_has_the_numbers_of_the_json() {
    let (server, snapshots) = quiet_history(4);
    let to = step_of(&snapshots[snapshots.len() - 1]);
    let question =
        format!("/api/v1/series?select=*&from={}&to={to}&step=500ms", step_of(&snapshots[0]));
    let headers = format!("Host: {}\r\nAccept: text/csv\r\n", server.address);
    let (status, head, csv) = server.request("GET", &question, &headers);
    assert!(status == 200 && head.contains("content-type: text/csv"), "{head}");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("time,series,avg,min,max,last,increase,count"));
    let answer: Value = serde_json::from_str(&server.get(&question).2).unwrap();
    let mut expected = 0;
    for series in answer["series"].as_array().unwrap() {
        for (at, t) in answer["t"].as_array().unwrap().iter().enumerate() {
            if series["count"][at] == 0 {
                continue;
            }
            expected += 1;
            let line = lines.next().unwrap();
            let (time, rest) = line.split_once(',').unwrap();
            assert_eq!(
                time.parse::<jiff::Timestamp>().unwrap().as_millisecond(),
                t.as_i64().unwrap()
            );
            let cells: Vec<&str> = rest.rsplitn(7, ',').collect();
            for (cell, of) in cells.iter().zip(["count", "increase", "last", "max", "min", "avg"]) {
                let number = &series[of][at];
                let same =
                    number.is_null() && cell.is_empty() || number.as_f64() == cell.parse().ok();
                assert!(same, "{of} {number}: {line}");
            }
            assert!(cells[6].contains(series["id"].as_str().unwrap()), "{line}");
        }
    }
    assert!(expected > 100 && lines.next().is_none());
}

/// What stands beside an answer of CSV.
fn csv_warnings(server: &Server, question: &str) -> Vec<String> {
    let headers = format!("Host: {}\r\nAccept: text/csv\r\n", server.address);
    let (status, head, csv) = server.request("GET", &format!("/api/v1/{question}"), &headers);
    assert!(status == 200 && csv.starts_with("time,series,"), "{status} {head}: {csv}");
    let warnings = head.lines().filter_map(|line| line.strip_prefix("perfwatch-warning: "));
    warnings.map(str::to_owned).collect()
}

#[test]
fn csv_is_warned_of_beside_it() {
    let (server, snapshots) = quiet_history(4);
    let to = step_of(&snapshots[snapshots.len() - 1]);
    let range = format!("from={}&to={to}&step=500ms", step_of(&snapshots[0]));
    let question = |select: &str| format!("series?select={}&{range}", encoded(select));
    assert_eq!(csv_warnings(&server, &question("memory.*")), [""; 0]);
    let both = format!("{}&select=no.such", question("memory.used"));
    assert_eq!(
        csv_warnings(&server, &both),
        ["memory.used: no such metric; did you mean memory.used_bytes?", "no.such: no such metric"]
    );
    // What would end a header or is no letter of one.
    assert_eq!(
        csv_warnings(&server, &question("é.such\r\nx: y")),
        ["?.such??x: y: no such metric"]
    );
    let data = server.stopped();
    let hot = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path());
    for path in hot.filter(|path| path.extension().is_some_and(|kind| kind == "hot")) {
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let server = Server::start_in(data, &strs(&recorded("server128")));
    let all = question("*");
    let warnings = csv_warnings(&server, &all);
    assert!(warnings.iter().any(|one| one.ends_with("damaged pieces of the files were left out")));
    assert_eq!(ask(&server, &all)["warnings"], json!(warnings));
}

#[test]
fn the_command_line_says_beside_the_server_what_the_server_says() {
    let server = Server::start(&strs(&recorded("server128")));
    let recording = Recording::start(&server);
    recording.wait_for(4);
    let (from, to) = (step_of(&recording.snapshots()[0]), recording.newest_ms() / 1000 * 1000);
    let data = server.data.path();
    within(Duration::from_secs(10), "the range on disk", || {
        rows_on_disk(data, from, to + 6000).keys().any(|second| *second > to)
    });
    let range = ["--from", &from.to_string(), "--to", &to.to_string()].map(str::to_owned);
    let print = |format: &str, select: &str| {
        stdout(
            perfwatch()
                .args(["query", "--data"])
                .arg(data)
                .arg(select)
                .args(&range)
                .args(["--format", format]),
        )
    };
    for select in
        ["*_bytes", "cpu.*", "network.*", "disk.devices.*_latency_ms", "disk.*{device=\"sda\"}"]
    {
        let mut printed: Value = serde_json::from_str(&print("json", select)).unwrap();
        let question = format!("series?select={}&from={from}&to={to}&points=60", encoded(select));
        let mut answered = ask(&server, &question);
        for side in [&mut printed, &mut answered] {
            let resolution = side["resolution_ms"].take().as_i64().unwrap();
            assert!((400..=600).contains(&resolution));
        }
        assert_eq!(printed, answered, "{select}");
        assert!(!answered["series"].as_array().unwrap().is_empty(), "{select}");
    }
    let csv = print("csv", "memory.*");
    let headers = format!("Host: {}\r\nAccept: text/csv\r\n", server.address);
    let question = format!("/api/v1/series?select=memory.*&from={from}&to={to}&points=60");
    assert_eq!(csv, server.request("GET", &question, &headers).2);
    let table = print("table", "memory.total_bytes");
    assert!(table.starts_with("memory.total_bytes  in bytes, steps of 1 s"), "{table}");
    let line = print("sparkline", "memory.total_bytes");
    assert!(line.starts_with("memory.total_bytes") && line.contains('▁'), "{line}");
    assert_eq!(line.lines().count(), 1);
    let none = print("table", "disk.devices.sdz.read_iops");
    assert!(none.starts_with("no such series in this range"), "{none}");
}
