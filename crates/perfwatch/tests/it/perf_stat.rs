//! Both sources of performance counters beside each other, while this machine is kept busy.

use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use perfwatch_collect::perf::stat::PROGRAMS;
use serde_json::Value;

use crate::process::{Running, noise, perfwatch, skipped};

/// Samples that are compared. The two sources end their intervals at different times, which matters the less the more there are.
const SAMPLES: usize = 12;

/// Other load of this machine changes from one interval to the next, and then others are waited for.
const DEADLINE: Duration = Duration::from_secs(60);

/// How far the two may be apart.
const TOLERANCE: f64 = 0.02;

const COMPARED: [&str; 3] = ["cpu-clock", "context-switches", "page-faults"];

/// `perfwatch watch` with one of the sources.
struct Watch {
    /// Killed when dropped.
    _process: Running,
    lines: Receiver<Value>,
    /// Of samples in which something was counted.
    counted: Vec<Value>,
}

impl Watch {
    fn start(source: &str) -> Self {
        let mut command = perfwatch();
        command.args(["watch", "--interval", "500ms", "--perf.source", source]);
        let mut process = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let output = BufReader::new(process.0.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let mut snapshot: Value = serde_json::from_str(&line).unwrap();
                if sender.send(snapshot["perf_events"].take()).is_err() {
                    return;
                }
            }
        });
        Self { _process: process, lines, counted: Vec::new() }
    }

    /// Takes the next sample. What it says of the section when nothing was counted.
    fn tick(&mut self) -> Option<Value> {
        let section = self.lines.recv_timeout(DEADLINE).unwrap();
        if section["interval_ms"].is_null() {
            return Some(section);
        }
        self.counted.push(section);
        None
    }

    /// Events in a second, over the last samples.
    fn rate(&self, event: &str) -> f64 {
        let last = || self.counted.iter().rev().take(SAMPLES);
        let count: f64 =
            last().filter_map(|section| section["events"][event]["value"].as_f64()).sum();
        let time: f64 = last().filter_map(|section| section["interval_ms"].as_f64()).sum();
        count * 1000.0 / time
    }
}

/// Switches threads and touches new pages until told to stop.
fn load(stop: &AtomicBool) {
    thread::scope(|scope| {
        let (ping, pinged) = mpsc::sync_channel::<()>(0);
        let (pong, ponged) = mpsc::sync_channel::<()>(0);
        scope.spawn(move || while pinged.recv().is_ok() && pong.send(()).is_ok() {});
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..1000 {
                ping.send(()).unwrap();
                ponged.recv().unwrap();
            }
            drop(black_box(vec![1_u8; 8 << 20]));
        }
        drop(ping);
    });
}

#[test]
fn both_sources_say_the_same() {
    if !PROGRAMS.iter().any(|program| Path::new(program).exists()) {
        return skipped("parity with perf stat", "there is no perf (Debian: linux-perf)");
    }
    let _alone = noise();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| load(&stop));
        // Also when the comparison fails: the scope waits for the load.
        let _stopped = Stopped(&stop);
        compare();
    });
}

/// Says stop when dropped.
struct Stopped<'a>(&'a AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn compare() {
    let (mut native, mut perf_stat) = (Watch::start("native"), Watch::start("perf-stat"));
    let begun = Instant::now();
    loop {
        for watch in [&mut native, &mut perf_stat] {
            let nothing = watch.tick();
            if nothing.is_some_and(|section| section["status"] == "denied") {
                return skipped("parity with perf stat", "this user may not count");
            }
        }
        let rates = COMPARED.map(|event| (event, native.rate(event), perf_stat.rate(event)));
        let enough = native.counted.len().min(perf_stat.counted.len()) >= SAMPLES;
        let alike = |(_, native, stat): &(_, f64, f64)| (native / stat - 1.0).abs() <= TOLERANCE;
        if enough && rates.iter().all(alike) {
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "event, native, perf stat: {rates:?}");
    }
    let (native, perf_stat) = (native.counted.last().unwrap(), perf_stat.counted.last().unwrap());
    for same in ["available", "status", "error", "unsupported_events", "cpu_cores"] {
        assert_eq!(native[same], perf_stat[same], "{same}");
    }
    assert_eq!(
        (&native["source"], &perf_stat["source"]),
        (&"perf_event_open".into(), &"perf-stat".into())
    );
}
