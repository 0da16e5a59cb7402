//! What a server streamed, what its history answers, and whether the two are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use tungstenite::{Message, client};

use crate::process::{Server, fixture, perfwatch, stdout};

/// Milliseconds between two ticks of a [`Server`]: each has a step of its own.
pub(crate) const STEP_MS: i64 = 500;

/// Metrics that are asked for at once: of 512 interfaces and as many disks, no more than an answer may have.
const METRICS_PER_QUESTION: usize = 3;

/// Every snapshot that a server streams, as it comes.
pub(crate) struct Recording {
    messages: Arc<Mutex<Vec<Value>>>,
    stream: TcpStream,
    thread: JoinHandle<()>,
}

impl Recording {
    pub(crate) fn start(server: &Server) -> Self {
        let stream = server.connect();
        let also = stream.try_clone().unwrap();
        let mut live = client(format!("ws://{}/api/v1/live", server.address), stream).unwrap().0;
        let messages = Arc::new(Mutex::new(Vec::new()));
        let into = Arc::clone(&messages);
        let thread = std::thread::spawn(move || {
            while let Ok(message) = live.read() {
                let Message::Text(text) = message else { continue };
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["type"] == "snapshot" {
                    into.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                }
            }
        });
        Self { messages, stream: also, thread }
    }

    /// What came so far.
    pub(crate) fn snapshots(&self) -> Vec<Value> {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.iter().map(|message| message["data"].clone()).collect()
    }

    /// How many came so far.
    pub(crate) fn count(&self) -> usize {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Time of the newest.
    pub(crate) fn newest_ms(&self) -> i64 {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.last().map_or(0, |message| time_ms(&message["data"]))
    }

    /// Waits until so many more came.
    pub(crate) fn wait_for(&self, more: usize) {
        let count = self.count() + more;
        let patience = Duration::from_secs(15) + Duration::from_secs(more as u64);
        within(patience, "the snapshots that were waited for", || self.count() >= count);
    }

    /// What came until the server closed the stream, or until now.
    pub(crate) fn end(self) -> Vec<Value> {
        // The server may have closed it.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.thread.join().unwrap();
        Arc::into_inner(self.messages)
            .unwrap()
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .into_iter()
            .map(|mut message| message["data"].take())
            .collect()
    }

    /// Fails when the stream or the ticks have a hole.
    pub(crate) fn assert_without_holes(&self) {
        let messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = |message: &Value| message["data"]["tick"].as_u64().unwrap();
        for pair in messages.windows(2) {
            assert_eq!(pair[1]["missed"], 0);
            let late = &pair[1]["data"]["lateness_ms"];
            assert_eq!(tick(&pair[1]), tick(&pair[0]) + 1, "late by {late} ms");
        }
    }
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn within(patience: Duration, what: &str, mut so: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    start.elapsed()
}

/// Milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// When a snapshot was taken, in milliseconds since the epoch.
pub(crate) fn time_ms(snapshot: &Value) -> i64 {
    let text = snapshot["timestamp"].as_str().unwrap();
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// When the step begins that a snapshot is in.
pub(crate) fn step_of(snapshot: &Value) -> i64 {
    time_ms(snapshot) / STEP_MS * STEP_MS
}

/// Percent-encodes everything but letters and digits.
pub(crate) fn encoded(text: impl AsRef<[u8]>) -> String {
    let mut encoded = String::new();
    for byte in text.as_ref() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(*byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
    }
    encoded
}

/// The answer of a question about history, which must be one.
#[track_caller]
pub(crate) fn ask(server: &Server, path_and_query: &str) -> Value {
    let (status, head, body) = server.get(&format!("/api/v1/{path_and_query}"));
    assert_eq!(status, 200, "{path_and_query}: {body}");
    assert!(head.contains("content-type: application/json"), "{head}");
    serde_json::from_str(&body).unwrap()
}

/// Arguments for a host that was recorded.
pub(crate) fn recorded(host: &str) -> Vec<String> {
    let tree = fixture(host).join("t0");
    roots(&tree.join("proc"), &tree)
}

/// Arguments for a host with this /proc, and the rest as recorded.
pub(crate) fn roots(procfs: &Path, tree: &Path) -> Vec<String> {
    vec![
        format!("--path.procfs={}", procfs.display()),
        format!("--path.sysfs={}", tree.join("sys").display()),
        format!("--path.rootfs={}", tree.display()),
    ]
}

/// A configuration file.
pub(crate) fn config(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// `perfwatch query` on the files.
pub(crate) fn query(data: &Path, arguments: &[&str]) -> Output {
    perfwatch().arg("query").arg("--data").arg(data).args(arguments).output().unwrap()
}

/// How many rows the files have in each second of a range, from the beginning of the second that `from` is in.
pub(crate) fn rows_on_disk(data: &Path, from: i64, to: i64) -> BTreeMap<i64, u64> {
    let (from, to) = (from / 1000 * 1000, to / 1000 * 1000 + 1000);
    let (from, to) = (from.to_string(), to.to_string());
    let range = ["memory.total_bytes", "--from", &from, "--to", &to, "--format", "csv"];
    let printed = stdout(perfwatch().arg("export").arg("--data").arg(data).args(range));
    let mut rows = BTreeMap::new();
    // After two lines of header.
    for line in printed.lines().skip(2) {
        let time: jiff::Timestamp = line.split(',').next().unwrap().parse().unwrap();
        *rows.entry(time.as_millisecond().div_euclid(1000) * 1000).or_default() += 1;
    }
    rows
}

/// How many snapshots there are in each second.
pub(crate) fn per_second(snapshots: &[Value]) -> BTreeMap<i64, u64> {
    let mut seconds = BTreeMap::new();
    for snapshot in snapshots {
        *seconds.entry(time_ms(snapshot) / 1000 * 1000).or_default() += 1;
    }
    seconds
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
pub(crate) fn assert_history_equals(server: &Server, snapshots: &[Value]) -> (usize, usize) {
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
