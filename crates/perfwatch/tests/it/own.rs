//! What PerfWatch says of itself, beside what the kernel says of it.

use serde_json::Value;

use crate::process::Server;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn it_takes_what_the_kernel_says() {
    let server = Server::start(&[]);
    server.snapshot();
    let process = server.process.0.id();
    let cpu_us = |file: &str| {
        // utime and stime of proc_pid_stat(5), in hundredths of a second.
        let fields: Vec<_> = file.rsplit(')').next().unwrap().split_whitespace().collect();
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10_000.0
    };
    let stat = || std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let before = cpu_us(&stat());
    // One that was begun after that.
    let tick = number(&server.snapshot()["tick"]);
    let snapshot = server.snapshot_that(|snapshot| number(&snapshot["tick"]) > tick + 1.0);
    let own = &snapshot["self"];
    let after = cpu_us(&stat());
    let cpu = number(&own["cpu_us"]);
    assert!((before - 10_000.0..=after + 20_000.0).contains(&cpu), "{before} {cpu} {after}");
    assert!(number(&own["cpu_percent"]) > 0.0);
    let rss = server.process.memory_kib("VmRSS") as f64 * 1024.0;
    assert!((0.5..2.0).contains(&(number(&own["rss_bytes"]) / rss)), "{own} {rss}");
    let threads = server.process.count("task") as f64;
    assert!((number(&own["threads"]) - threads).abs() <= 4.0, "{own} {threads}");
    let descriptors = server.process.count("fd") as f64;
    assert!((number(&own["descriptors"]) - descriptors).abs() <= 4.0, "{own} {descriptors}");
    assert_eq!((&own["clients"], &own["frames_skipped"]), (&Value::from(0), &Value::from(0)));
    let cpu = &own["collectors"]["cpu"];
    assert!(number(&cpu["cpu_ms"]) > 0.0 && number(&cpu["duration_ms"]) > 0.0, "{cpu}");
    let stat = std::fs::read("/proc/stat").unwrap().len() as f64;
    assert!(number(&cpu["read_bytes"]) > stat / 2.0, "{cpu}");
    assert_eq!(cpu["late"], false);
}

#[test]
fn a_budget_that_is_exceeded_is_kept_and_told() {
    let server = Server::start(&["--budget.cpu-percent", "0.01"]);
    let snapshot = server.snapshot_that(|snapshot| {
        let mut sections = snapshot["status"].as_object().unwrap().values();
        sections.any(|section| section["state"] == "paced")
    });
    let sections = snapshot["status"].as_object().unwrap();
    for (name, section) in sections {
        if section["state"] == "paced" {
            assert!(number(&section["every_ticks"]) >= 2.0, "{name}: {section}");
            assert!(
                section["reason"].as_str().unwrap().contains("budget.cpu_percent"),
                "{section}"
            );
        }
    }
    let (_, _, events) = server.get("/api/v1/events?from=now-5m&to=now");
    let events: Value = serde_json::from_str(&events).unwrap();
    let paced = |event: &&Value| event["detail"]["state"] == "paced";
    let told = events["events"].as_array().unwrap().iter().filter(paced).count();
    assert!((1..=sections.len()).contains(&told), "told once for each: {events}");
}
