//! What a server streams, what its history answers, and what is on disk.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
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

/// Commits, and with them failures, follow each other so fast that a test need not wait long.
pub(crate) const COMMIT_EVERY_SECOND: &str = "storage.commit_interval = '1s'\n";

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
    fs::write(file.path(), text).unwrap();
    file
}

/// Copies a directory and all that is below it.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
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

/// Fails unless the files have every snapshot, and not one row too many in the seconds between.
#[track_caller]
pub(crate) fn assert_on_disk(data: &Path, snapshots: &[Value]) {
    let expected = per_second(snapshots);
    let (first, last) = (time_ms(&snapshots[0]), time_ms(&snapshots[snapshots.len() - 1]));
    let found = rows_on_disk(data, first, last);
    for (second, count) in &expected {
        let has = found.get(second).copied().unwrap_or_default();
        // Of the first and the last second there may be rows that came before the stream or after it.
        let whole = *second != first / 1000 * 1000 && *second != last / 1000 * 1000;
        assert!(
            has >= *count && (!whole || has == *count),
            "{second}: {found:?}, not {expected:?}"
        );
    }
}

/// How many snapshots there are in each second.
fn per_second(snapshots: &[Value]) -> BTreeMap<i64, u64> {
    let mut seconds = BTreeMap::new();
    for snapshot in snapshots {
        *seconds.entry(time_ms(snapshot) / 1000 * 1000).or_default() += 1;
    }
    seconds
}
