//! What is asked back equals what the snapshots said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::strs;
use crate::answers::{Recording, STEP_MS, ask, encoded, now_ms, recorded, step_of, time_ms};
use crate::process::Server;
use crate::restless_host::RestlessHost;

/// Metrics that are asked for at once: of 512 interfaces and as many disks, no more than an answer may have.
const METRICS_PER_QUESTION: usize = 3;

/// Writes to a disk and a socket while something else is done.
fn under_load<T>(work: impl FnOnce() -> T) -> T {
    struct End<'a>(&'a AtomicBool);
    impl Drop for End<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when the work fails.
        let _end = End(&over);
        scope.spawn(|| {
            let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let mut streams = Vec::new();
            let mut file = File::create(dir.path().join("load")).unwrap();
            while !over.load(Ordering::Relaxed) {
                file.write_all(&[7; 64 << 10]).unwrap();
                file.sync_data().unwrap();
                let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                streams.push((near, listener.accept().unwrap()));
                std::thread::sleep(Duration::from_millis(60));
            }
        });
        work()
    })
}

/// Waits until a server that starts samples in another step than that of the last snapshot.
fn wait_for_the_next_step(snapshots: &[Value]) {
    let step = time_ms(snapshots.last().unwrap()) / STEP_MS;
    while now_ms() / STEP_MS <= step {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_asked_back_equals_what_the_snapshots_said_over_a_restart_too() {
    let server = Server::start(&[]);
    let recording = Recording::start(&server);
    let mut snapshots = under_load(|| {
        recording.wait_for(16);
        let data = server.stopped();
        let mut snapshots = recording.end();
        wait_for_the_next_step(&snapshots);
        let again = Server::start_in(data, &[]);
        let recording = Recording::start(&again);
        recording.wait_for(8);
        snapshots.extend(recording.snapshots());
        // All of it, with the hole between the two.
        let (series, numbers) = assert_history_equals(&again, &snapshots);
        assert!(series > 50 && numbers > 20 * series, "{numbers} of {series} series");
        drop(again);
        snapshots
    });
    // The load was seen, or this compares nothing but zeros.
    let moved = |snapshot: &Value, name: &str| {
        let devices = snapshot["disk"]["devices"].as_object().unwrap();
        devices.values().any(|device| device[name].as_f64().is_some_and(|value| value > 0.0))
    };
    assert!(snapshots.iter().any(|one| moved(one, "write_latency_ms")));
    snapshots.retain(|one| moved(one, "write_bytes_per_sec"));
    assert!(snapshots.len() > 5, "{}", snapshots.len());
}

#[test]
fn what_is_asked_back_equals_what_was_said_of_a_host_with_thousands_of_series() {
    let host = recorded("server128");
    let server = Server::start(&strs(&host));
    let recording = Recording::start(&server);
    recording.wait_for(6);
    let data = server.stopped();
    let mut snapshots = recording.end();
    let server = Server::start_in(data, &strs(&host));
    let recording = Recording::start(&server);
    recording.wait_for(4);
    snapshots.extend(recording.snapshots());
    let (series, numbers) = assert_history_equals(&server, &snapshots);
    assert!(series > 500 && numbers > 8 * 500, "{numbers} of {series}");
}

#[test]
fn what_is_asked_back_equals_what_was_said_of_resets_failures_and_things_that_come_and_go() {
    let host = RestlessHost::new();
    let server = Server::start(&strs(&host.arguments()));
    let recording = Recording::start(&server);
    for number in 0..24 {
        recording.wait_for(1);
        host.turn(number);
    }
    recording.wait_for(1);
    let snapshots = recording.snapshots();
    let states = |section: &str| {
        snapshots.iter().filter(|one| one["status"][section]["state"] != "ok").count()
    };
    let failed = ["cpu", "memory"].map(states);
    assert!(failed.iter().all(|count| *count > 0), "{failed:?}");
    assert_history_equals(&server, &snapshots);
    let data = server.stopped();
    wait_for_the_next_step(&snapshots);
    let server = Server::start_in(data, &strs(&host.arguments()));
    assert_history_equals(&server, &snapshots);
}

/// The metrics that are numbers, with their labels.
struct Metrics(BTreeMap<String, Vec<String>>);

/// A series: the metric and the values of its labels.
type Key = (String, Vec<String>);

impl Metrics {
    fn of(server: &Server) -> Self {
        let catalog = ask(server, "catalog");
        let numbers =
            catalog["metrics"].as_array().unwrap().iter().filter(|one| one["kind"] != "info");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let entry = |one: &Value| {
            (text(&one["id"]), one["labels"].as_array().unwrap().iter().map(text).collect())
        };
        Self(numbers.map(entry).collect())
    }

    /// The series of a value by its path in the snapshot: one step of it may be an object's name, and the last one
    /// the position in a list.
    fn key(&self, path: &[String]) -> Option<Key> {
        let without = |left_out: &[usize]| {
            let left_out: Vec<usize> =
                left_out.iter().filter_map(|from_end| path.len().checked_sub(*from_end)).collect();
            let kept = path.iter().enumerate().filter(|(at, _)| !left_out.contains(at));
            let id = kept.map(|(_, step)| step.as_str()).collect::<Vec<_>>().join(".");
            let labels = left_out.iter().rev().map(|at| path[*at].clone()).collect::<Vec<_>>();
            self.0.get(&id).filter(|known| known.len() == labels.len()).map(|_| (id, labels))
        };
        without(&[])
            .or_else(|| without(&[2]))
            .or_else(|| without(&[1]))
            .or_else(|| without(&[1, 3]))
    }

    /// Every number of a snapshot by its series.
    fn numbers(&self, snapshot: &Value) -> BTreeMap<Key, Value> {
        let mut numbers = BTreeMap::new();
        for (section, _) in snapshot["status"].as_object().unwrap() {
            self.walk(&mut vec![section.clone()], &snapshot[section], &mut numbers);
        }
        numbers
    }

    fn walk(&self, path: &mut Vec<String>, value: &Value, into: &mut BTreeMap<Key, Value>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), value)).collect()
            }
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
            }
            Value::Number(_) => {
                let key = self.key(path).unwrap_or_else(|| panic!("not in the catalog: {path:?}"));
                assert!(into.insert(key, value.clone()).is_none(), "twice: {path:?}");
                return;
            }
            // Kept as 0 or 1.
            Value::Bool(flag) => {
                into.extend(self.key(path).map(|key| (key, u8::from(*flag).into())));
                return;
            }
            _ => return,
        };
        for (step, value) in children {
            path.push(step);
            self.walk(path, value, into);
            path.pop();
        }
    }
}

/// Steps in which there may be a row that was not streamed: between two runs, and where the stream skipped some.
fn unknown_steps(snapshots: &[Value]) -> BTreeSet<i64> {
    let mut unknown = BTreeSet::new();
    for pair in snapshots.windows(2) {
        let tick = |at: usize| pair[at]["tick"].as_u64().unwrap();
        let (first, second) = (step_of(&pair[0]), step_of(&pair[1]));
        if tick(1) != tick(0) + 1 {
            unknown.extend((first + STEP_MS..second).step_by(STEP_MS as usize));
        }
        // The last of a run and the first of the next.
        if first == second {
            unknown.insert(first);
        }
    }
    unknown
}

/// Fails unless history has every number of these snapshots, exactly, and no other. Returns how many series and
/// how many numbers those were.
pub(super) fn assert_history_equals(server: &Server, snapshots: &[Value]) -> (usize, usize) {
    let metrics = Metrics::of(server);
    let mut expected: BTreeMap<i64, BTreeMap<Key, Value>> = BTreeMap::new();
    let mut elapsed = BTreeMap::new();
    let unknown = unknown_steps(snapshots);
    for snapshot in snapshots {
        let step = step_of(snapshot);
        if unknown.contains(&step) {
            continue;
        }
        assert!(expected.insert(step, metrics.numbers(snapshot)).is_none(), "two in a step");
        elapsed.insert(step, snapshot["status"].clone());
    }
    let (first, last) = (step_of(&snapshots[0]), step_of(&snapshots[snapshots.len() - 1]));
    let mut missing: BTreeSet<&Key> = expected.values().flat_map(BTreeMap::keys).collect();
    let all = missing.len();
    let mut equal = 0;
    let ids: Vec<&String> = metrics.0.keys().collect();
    for ids in ids.chunks(METRICS_PER_QUESTION) {
        let select = ids.iter().map(|id| format!("select={}&", encoded(id))).collect::<String>();
        let answer =
            ask(server, &format!("series?{select}from={first}&to={}&step=500ms", last + STEP_MS));
        assert_eq!(
            (&answer["step_ms"], &answer["warnings"]),
            (&STEP_MS.into(), &Value::Array(Vec::new()))
        );
        let steps: Vec<i64> =
            answer["t"].as_array().unwrap().iter().map(|t| t.as_i64().unwrap()).collect();
        assert_eq!(steps, (first..=last).step_by(STEP_MS as usize).collect::<Vec<_>>());
        for series in answer["series"].as_array().unwrap() {
            let id = series["id"].as_str().unwrap().to_owned();
            let labels = metrics.0[&id]
                .iter()
                .map(|label| series["labels"][label].as_str().unwrap().to_owned());
            let key: Key = (id, labels.collect());
            missing.remove(&key);
            let value = |step: &i64| {
                expected.get(step).and_then(|numbers| numbers.get(&key)).unwrap_or(&Value::Null)
            };
            for (at, step) in steps.iter().enumerate().filter(|(_, step)| !unknown.contains(step)) {
                let value = value(step);
                let place = || {
                    let section = key.0.split('.').next().unwrap();
                    let statuses: Vec<_> = elapsed
                        .range(step - 4 * STEP_MS..=step + 2 * STEP_MS)
                        .map(|(step, status)| format!("{step}: {}", status[section]))
                        .collect();
                    format!("{key:?} at {step}: {series}, while {statuses:#?}")
                };
                equal += usize::from(!value.is_null());
                if series["last"].is_array() {
                    assert_eq!(&series["last"][at], value, "{}", place());
                    assert_eq!(series["count"][at], u64::from(!value.is_null()), "{}", place());
                    // The row before in which the section was collected: it may be paced, or have been late without being read.
                    let section = key.0.split('.').next().unwrap();
                    let was_there = |before: &i64| elapsed[before][section]["state"] == "ok";
                    let row_before = expected
                        .range(..step)
                        .rfind(|(before, _)| was_there(before))
                        .filter(|(before, _)| unknown.range(**before..*step).next().is_none());
                    let before = row_before
                        .and_then(|(_, numbers)| numbers.get(&key))
                        .unwrap_or(&Value::Null);
                    let timed = elapsed
                        .get(step)
                        .is_some_and(|status| status[section]["elapsed_ms"].is_number());
                    let grown = value
                        .as_u64()
                        .zip(before.as_u64())
                        .and_then(|(now, before)| now.checked_sub(before));
                    // What the kernel keeps in 32 bits may have wrapped; the first step has a row before that is not seen.
                    if row_before.is_some()
                        && (grown.is_some() || !key.0.ends_with("_time_ms"))
                        && !key.1.iter().any(|label| label == "all others")
                    {
                        assert_eq!(
                            series["increase"][at].as_u64(),
                            grown.filter(|_| timed),
                            "{}",
                            place()
                        );
                    }
                    continue;
                }
                for of in ["avg", "min", "max"] {
                    assert_eq!(series[of][at].as_f64(), value.as_f64(), "{of} of {}", place());
                }
                assert_eq!(series["count"][at].as_u64() == Some(0), value.is_null(), "{}", place());
            }
        }
    }
    assert!(missing.is_empty(), "not in history: {missing:?}");
    (all, equal)
}
