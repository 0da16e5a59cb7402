//! History: asked over HTTP and on the command line, over restarts and kills.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::answers::{
    Recording, STEP_MS, ask, assert_history_equals, config, encoded, now_ms, per_second, query,
    recorded, roots, rows_on_disk, step_of, time_ms, within,
};
use crate::process::{Server, fixture, perfwatch, stdout};

/// Commits follow each other so fast that a test need not wait long.
const COMMIT_EVERY_SECOND: &str = "storage.commit_interval = '1s'\n";

/// At most so much is then lost to a kill: what was measured in the last commit interval, the tick after it, and the
/// time that writing takes on a busy machine.
const MOST_LOST_MS: i64 = 1000 + 500 + 1000;

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

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
    let step = time_ms(snapshots.last().unwrap()) / 500;
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    while now() / 500 <= step {
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

/// A host whose counters jump forward and fall back, whose devices come and go, and whose files cannot be made sense
/// of now and then.
struct RestlessHost {
    dir: tempfile::TempDir,
}

impl RestlessHost {
    fn new() -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap() };
        copy_tree(&fixture("server128").join("t0/proc"), &host.dir.path().join("proc"));
        host
    }

    fn arguments(&self) -> Vec<String> {
        roots(&self.dir.path().join("proc"), &fixture("server128").join("t0"))
    }

    fn write(&self, file: &str, text: &[u8]) {
        // In place: the files are held open.
        fs::write(self.dir.path().join("proc").join(file), text).unwrap();
    }

    fn recorded(file: &str, time: &str) -> Vec<u8> {
        fs::read(fixture("server128").join(time).join("proc").join(file)).unwrap()
    }

    /// How it stands at one moment. There are 24, which are all different.
    fn turn(&self, number: usize) {
        for (at, file) in ["stat", "net/dev", "diskstats", "vmstat", "meminfo"].iter().enumerate() {
            let mut text = Self::recorded(file, if (number >> at) & 1 == 0 { "t0" } else { "t1" });
            match (number + at) % 12 {
                // Objects go.
                5 if at < 3 => {
                    let half = text.len() / 2;
                    let end = text[..half].iter().rposition(|byte| *byte == b'\n').unwrap();
                    text.truncate(end + 1);
                }
                // Nothing can be read.
                8 => text = b"nonsense\n".to_vec(),
                _ => {}
            }
            self.write(file, &text);
        }
    }
}

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

#[test]
fn questions_that_make_no_sense_are_refused_with_a_reason() {
    let server = Server::start(&[]);
    server.snapshot();
    let s = "series?select=cpu.usage_percent";
    let c = "compare?select=cpu.usage_percent";
    for (question, status, code) in [
        ("series", 400, "bad-parameter"),
        ("series?select=", 400, "bad-parameter"),
        ("series?select=a%7B", 400, "bad-parameter"),
        ("series?select=a%7Bb%3Dc%7D", 400, "bad-parameter"),
        ("compare?from=now-1h", 400, "bad-parameter"),
        (&format!("{s}&what=1"), 400, "bad-parameter"),
        (&format!("{s}&vs=-1d"), 400, "bad-parameter"),
        (&format!("{c}&step=1s"), 400, "bad-parameter"),
        (&format!("{s}&from=now&from=now-1h"), 400, "bad-parameter"),
        (&format!("{s}&from=now&to=now-1h"), 400, "bad-parameter"),
        (&format!("{s}&from=now&to=now"), 400, "bad-parameter"),
        (&format!("{s}&from=soon"), 400, "bad-parameter"),
        (&format!("{s}&to=99999999999999999999"), 400, "bad-parameter"),
        (&format!("{s}&points=0"), 400, "bad-parameter"),
        (&format!("{s}&points=-1"), 400, "bad-parameter"),
        (&format!("{s}&points=many"), 400, "bad-parameter"),
        (&format!("{s}&points=10&step=1s"), 400, "bad-parameter"),
        (&format!("{s}&step=often"), 400, "bad-parameter"),
        (&format!("{s}&step=-1s"), 400, "bad-parameter"),
        (&format!("{s}&step=0s"), 400, "bad-parameter"),
        (&format!("{s}&step=1us"), 400, "bad-parameter"),
        (&format!("{s}&tz=Mars/Phobos"), 400, "bad-parameter"),
        (&format!("{s}&tz=../../../etc/passwd"), 400, "bad-parameter"),
        (&format!("{s}&from=now-1d&step=1s"), 422, "too-much"),
        (&format!("{s}&from=now-1h&step=1ms"), 422, "too-much"),
        (&format!("{c}&vs=1d"), 400, "bad-parameter"),
        (&format!("{c}&vs=-0d"), 400, "bad-parameter"),
        (&format!("{c}&vs=now..now"), 400, "bad-parameter"),
        (&format!("{c}&points=0"), 400, "bad-parameter"),
        ("events?select=cpu", 400, "bad-parameter"),
        ("events?from=now&to=-1h", 400, "bad-parameter"),
    ] {
        let (answered, head, body) = server.get(&format!("/api/v1/{question}"));
        assert_eq!(answered, status, "{question}: {body}");
        assert!(head.contains("content-type: application/problem+json"), "{question}: {head}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{body}");
    }
    let many = "select=cpu.user&".repeat(65);
    assert_eq!(server.get(&format!("/api/v1/series?{many}")).0, 400);
}

#[test]
fn more_series_than_an_answer_may_have_are_refused_with_the_limit() {
    let host = RestlessHost::new();
    let interfaces = (0..400)
        .fold("Inter-|   Receive\n face |bytes\n".to_owned(), |text, number| {
            text + &format!("  if{number}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n")
        });
    host.write("net/dev", interfaces.as_bytes());
    let server = Server::start(&strs(&host.arguments()));
    server.snapshot();
    let (status, _, body) = server.get("/api/v1/series?select=*");
    assert_eq!(status, 422, "{body}");
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(problem["code"], "too-much");
    assert!(problem["detail"].as_str().unwrap().contains("2000"), "{body}");
}

#[test]
fn hostile_text_in_a_question_is_answered_and_never_an_error_of_ours() {
    let server = Server::start(&[]);
    server.snapshot();
    let controls: Vec<u8> = (0..=31).chain([127]).collect();
    let texts: Vec<Vec<u8>> = vec![
        controls,
        b"\x1b]0;owned\x07".to_vec(),
        b"\xff\xfe\x80".to_vec(),
        "\u{202e}\u{0}\u{fffd}".into(),
        b"*".repeat(1000),
        b"*a".repeat(500),
        b"{".repeat(3000),
        b"a{b=\"\\".to_vec(),
        b"now".repeat(1000),
        b"-".repeat(5000),
        b"9".repeat(5000),
        b"1e400".to_vec(),
        b"..".repeat(100),
        "é".repeat(500).into_bytes(),
        b"&=&&=#%".to_vec(),
    ];
    for text in &texts {
        let text = encoded(text);
        for question in [
            format!("series?select={text}"),
            format!("series?{text}={text}"),
            format!("series?select=cpu.user&from={text}"),
            format!("series?select=cpu.user&to={text}"),
            format!("series?select=cpu.user&step={text}"),
            format!("series?select=cpu.user&points={text}"),
            format!("series?select=cpu.user&tz={text}"),
            format!("compare?select=cpu.user&vs={text}"),
            format!("events?from={text}"),
        ] {
            let (status, _, body) = server.get(&format!("/api/v1/{question}"));
            assert!(matches!(status, 200 | 400 | 414 | 422 | 431), "{status} {question}: {body}");
            let answer: Value = serde_json::from_str(&body).unwrap_or_default();
            let detail = answer["detail"].as_str().unwrap_or_default();
            assert!(!detail.chars().any(char::is_control), "{question}: {detail:?}");
            assert!(detail.len() < 2000, "{question}: {detail:?}");
        }
    }
    for raw in ["%", "%zz", "%e2%28", "%00", "select=%", "?", "select=cpu.user&select=%f0%28%8c%28"]
    {
        let (status, _, body) = server.get(&format!("/api/v1/series?{raw}"));
        assert!(matches!(status, 200 | 400), "{status} {raw}: {body}");
    }
    let long = "a".repeat(64 << 10);
    let mut stream = server.connect();
    // The server may close before all is written.
    let _ = write!(stream, "GET /api/v1/series?select={long} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(!answer.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&answer));
    ask(&server, "series?select=cpu.user");
}

/// A server with some seconds of history of a host that stands still, so that the numbers are known.
fn quiet_history(snapshots: usize) -> (Server, Vec<Value>) {
    let server = Server::start(&strs(&recorded("server128")));
    let recording = Recording::start(&server);
    recording.wait_for(snapshots);
    let snapshots = recording.snapshots();
    drop(recording.end());
    (server, snapshots)
}

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
        ["memory.used: no such metric", "no.such: no such metric"]
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
fn a_start_is_told_with_version_and_interval() {
    let (server, snapshots) = quiet_history(1);
    let answer = ask(&server, "events");
    let start = &answer["events"][0];
    assert_eq!((&start["kind"], &start["detail"]["interval_ms"]), (&"start".into(), &500.into()));
    assert_eq!(start["detail"]["version"], env!("CARGO_PKG_VERSION"));
    assert!((start["t"].as_i64().unwrap() - time_ms(&snapshots[0])).abs() < 5000);
    assert_eq!(ask(&server, "events?from=0&to=1000"), json!({ "events": [], "warnings": [] }));
}

/// A host whose memory is doubled half-way, and two ranges of four seconds before and after.
struct Upgraded {
    server: Server,
    before: (i64, i64),
    after: (i64, i64),
    _host: RestlessHost,
}

/// Seconds of each range.
const SIDE_MS: i64 = 4000;

impl Upgraded {
    fn new() -> Self {
        let host = RestlessHost::new();
        let server = Server::start(&strs(&host.arguments()));
        let recording = Recording::start(&server);
        recording.wait_for(2);
        let side = |start: i64| {
            let start = (start + SIDE_MS - 1) / SIDE_MS * SIDE_MS;
            within(Duration::from_secs(20), "the end of a range", || {
                recording.newest_ms() > start + SIDE_MS
            });
            (start, start + SIDE_MS)
        };
        let before = side(recording.newest_ms());
        let memory = String::from_utf8(RestlessHost::recorded("meminfo", "t0")).unwrap();
        let total = memory.lines().find(|line| line.starts_with("MemTotal")).unwrap();
        let kib: u64 = total.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        host.write("meminfo", memory.replace(&kib.to_string(), &(2 * kib).to_string()).as_bytes());
        recording.wait_for(2);
        let after = side(recording.newest_ms());
        recording.wait_for(1);
        drop(recording.end());
        Self { server, before, after, _host: host }
    }

    fn ranges(&self) -> String {
        let ((from, to), (base_from, base_to)) = (self.after, self.before);
        format!("from={from}&to={to}&vs={base_from}..{base_to}")
    }
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().filter_map(Value::as_f64).collect()
}

fn quantile(values: &Value, share: f64) -> Option<f64> {
    let mut sorted = numbers(values);
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

fn thousandths(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

#[test]
fn a_comparison_has_two_sides_of_one_length_and_the_statistics_of_the_series() {
    let host = Upgraded::new();
    let answer = ask(&host.server, &format!("compare?select=*&{}", host.ranges()));
    assert_eq!((&answer["step_ms"], &answer["statistics_step_ms"]), (&1000.into(), &1000.into()));
    let length = answer["t"].as_array().unwrap().len();
    assert_eq!(length, 4);
    for (at, t) in answer["t"].as_array().unwrap().iter().enumerate() {
        assert_eq!(t.as_i64().unwrap(), host.after.0 + 1000 * at as i64);
        assert_eq!(answer["t_base"][at], host.before.0 + 1000 * at as i64);
    }
    let sides = [("now", host.after), ("base", host.before)].map(|(side, (from, to))| {
        let of = |step: &str| {
            let question = format!("series?select=*&from={from}&to={to}&step={step}");
            let answer = ask(&host.server, &question);
            let series = answer["series"].as_array().unwrap().clone();
            let key = |one: &Value| format!("{} {}", one["id"], one["labels"]);
            series.into_iter().map(|one| (key(&one), one)).collect::<BTreeMap<_, _>>()
        };
        (side, of("1s"), of("4s"))
    });
    let compared = answer["series"].as_array().unwrap();
    assert_eq!(compared.len(), sides[0].1.len());
    let mut checked = 0;
    for one in compared {
        let key = format!("{} {}", one["id"], one["labels"]);
        for (side, fine, whole) in &sides {
            let (side, fine, whole) = (&one[side], &fine[&key], &whole[&key]);
            for of in ["avg", "min", "max"] {
                assert_eq!(side[of].as_array().unwrap().len(), length);
                if !fine["last"].is_array() {
                    assert_eq!(side[of], fine[of], "{of} of {key}");
                }
            }
            let statistics = &side["statistics"];
            if !fine["last"].is_array() {
                assert_eq!(statistics["mean"], whole["avg"][0], "{key}");
                assert_eq!(statistics["min"], whole["min"][0], "{key}");
                assert_eq!(statistics["max"], whole["max"][0], "{key}");
                checked += 1;
            }
            for (name, share) in [("median", 0.5), ("p95", 0.95), ("p99", 0.99)] {
                assert_eq!(
                    statistics[name].as_f64(),
                    quantile(&side["avg"], share),
                    "{name} of {key}"
                );
            }
            let coverage = statistics["coverage"].as_f64().unwrap();
            // That nothing is counted is known at a moment, not over a time.
            let covers = !statistics["mean"].is_null() && !key.contains("perf_events.available");
            assert!(
                if covers { (0.7..=1.0).contains(&coverage) } else { coverage == 0.0 },
                "{key}: {statistics}"
            );
        }
        let mean = |side: &str| one[side]["statistics"]["mean"].as_f64();
        let change = mean("now").zip(mean("base")).map(|(now, base)| now - base);
        assert_eq!(one["change"].as_f64(), change.map(thousandths), "{key}");
        let near_nothing =
            |base: f64| base == 0.0 || base.abs() <= mean("now").unwrap().abs() * 0.001;
        let percent = change.zip(mean("base")).filter(|(_, base)| !near_nothing(*base));
        assert_eq!(
            one["change_percent"].as_f64(),
            percent.map(|(change, base)| thousandths(change / base.abs() * 100.0)),
            "{key}"
        );
    }
    assert!(checked > 400, "{checked}");
    let of = |id: &str| compared.iter().find(|one| one["id"] == id).unwrap();
    let total = of("memory.total_bytes");
    assert_eq!(total["change_percent"], 100.0);
    assert_eq!(total["change"].as_f64(), total["base"]["statistics"]["mean"].as_f64());
    // Nothing moves on a host that stands still, and of nothing there is no percentage.
    let received = of("network.interfaces.bytes_recv");
    assert_eq!((&received["unit"], &received["change"]), (&"bytes/s".into(), &0.0.into()));
    assert_eq!(received["change_percent"], Value::Null);
    // A side without data compares with nothing.
    let alone = ask(
        &host.server,
        &format!(
            "compare?select=memory.total_bytes&from={}&to={}&vs=-1d",
            host.after.0, host.after.1
        ),
    );
    let alone = &alone["series"][0];
    assert_eq!(
        (&alone["change"], &alone["base"]["statistics"]["coverage"]),
        (&Value::Null, &0.0.into())
    );
    assert_eq!(alone["base"]["avg"], json!([null, null, null, null]));
    check_fail_if(&host);
}

/// `perfwatch compare --fail-if` on the same ranges.
fn check_fail_if(host: &Upgraded) {
    let data = host.server.data.path();
    // On disk once the commit after it is done.
    within(Duration::from_secs(10), "the second range on disk", || {
        let rows = rows_on_disk(data, host.after.0, host.after.1 + 1000);
        rows.contains_key(&host.after.1)
    });
    let vs = format!("{}..{}", host.before.0, host.before.1);
    for (fail_if, breaks) in [
        ("memory.total_bytes:+50%", true),
        ("memory.total_bytes:+99.9%", true),
        ("memory.total_bytes:+100%", false),
        ("memory.total_bytes:+150%", false),
        ("memory.total_bytes:-1%", false),
        ("memory.total_bytes:max:+1", true),
        ("memory.total_bytes:p95:+1%", true),
        ("memory.*_percent:+100000%", false),
        ("network.*:+1%", false),
    ] {
        let output = perfwatch()
            .args(["compare", "--data"])
            .arg(data)
            .args(["--from", &host.after.0.to_string(), "--to", &host.after.1.to_string()])
            .args(["--vs", &vs, "--fail-if", fail_if])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(if breaks { 3 } else { 0 }), "{fail_if}: {said}");
        assert_eq!(said.contains("memory.total_bytes"), breaks, "{fail_if}: {said}");
    }
    // A threshold that nothing is held against is none that holds.
    for fail_if in ["no.such:+1%", "memory.total_bytes{no=\"label\"}:+1%"] {
        let output = perfwatch()
            .args(["compare", "--data"])
            .arg(data)
            .args(["--from", &host.after.0.to_string(), "--to", &host.after.1.to_string()])
            .args(["--vs", &vs, "--fail-if", fail_if])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{fail_if}");
    }
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
    let none = print("table", "no.such");
    assert!(none.starts_with("no such series in this range"), "{none}");
}

#[test]
fn the_command_line_names_what_is_wrong_with_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let fails = |path: &Path, says: &str| {
        let output = query(path, &["cpu.user"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says) && said.contains(&*path.to_string_lossy()), "{said}");
        assert!(output.stdout.is_empty());
    };
    fails(&dir.path().join("missing"), "No such file or directory");
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    fails(&file, "is no directory");
    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    for mode in [0o777, 0o770, 0o702] {
        fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        fails(&open, "others may write to it");
    }
    let empty = tempfile::tempdir().unwrap();
    let output = query(empty.path(), &["cpu.user"]);
    assert!(output.status.success(), "an empty history is none, and no error");
    assert!(String::from_utf8_lossy(&output.stdout).contains("no such series"));
}

#[test]
fn a_link_among_the_files_is_not_followed() {
    let (server, snapshots) = quiet_history(2);
    let data = server.stopped();
    let hot = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path());
    let hot =
        hot.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "hot")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join(hot.file_name().unwrap());
    fs::rename(&hot, &target).unwrap();
    let before = fs::read(&target).unwrap();
    std::os::unix::fs::symlink(&target, &hot).unwrap();
    let output = query(data.path(), &["memory.total_bytes"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(!printed.contains("memory.total_bytes  in bytes"), "{printed}");
    let server = Server::start_in(data, &[]);
    let first = step_of(&snapshots[0]);
    let question =
        format!("series?select=memory.total_bytes&from={first}&to={}&step=500ms", first + STEP_MS);
    assert_eq!(ask(&server, &question)["series"], json!([]));
    server.snapshot();
    server.process.signal(Signal::TERM);
    let mut server = server;
    assert!(server.process.end(Duration::from_secs(2)).is_some());
    assert_eq!(fs::read(&target).unwrap(), before);
}

/// Fails unless the files have every snapshot, and not one row too many in the seconds between.
#[track_caller]
fn assert_on_disk(data: &Path, snapshots: &[Value]) {
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

/// The checksum of a file's header: CRC-32 as in zip.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}

fn contents(data: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(data).unwrap().map(|entry| entry.unwrap());
    let mut files: BTreeMap<_, _> = entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.remove("lock");
    files
}

#[test]
fn files_of_a_newer_version_are_left_as_they_are_and_serving_goes_on_in_memory() {
    let newer: u32 = perfwatch_store::FORMAT + 1;
    let (server, _) = quiet_history(2);
    let data = server.stopped();
    for (name, mut bytes) in
        contents(data.path()).into_iter().filter(|(name, _)| name.ends_with("hot"))
    {
        assert_eq!(bytes[12..16], crc32(&bytes[..12]).to_le_bytes());
        bytes[8..12].copy_from_slice(&newer.to_le_bytes());
        let checksum = crc32(&bytes[..12]).to_le_bytes();
        bytes[12..16].copy_from_slice(&checksum);
        fs::write(data.path().join(name), bytes).unwrap();
    }
    let before = contents(data.path());
    let output = query(data.path(), &["cpu.user"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("format {newer}")) && said.contains("use the newer perfwatch"),
        "{said}"
    );
    let config = config(COMMIT_EVERY_SECOND);
    let server = Server::start_in(data, &["--config", config.path().to_str().unwrap()]);
    let recording = Recording::start(&server);
    // Longer than a commit and another attempt to open.
    recording.wait_for(7);
    recording.assert_without_holes();
    let newest = recording.newest_ms();
    let question = format!(
        "series?select=memory.total_bytes&from={}&to={}&step=500ms",
        newest - 2000,
        newest + 1
    );
    let answer = ask(&server, &question);
    assert!(numbers(&answer["series"][0]["avg"]).len() >= 4, "{answer}");
    assert!(answer["warnings"][0].as_str().unwrap().contains("newer"), "{answer}");
    assert_eq!(contents(server.data.path()), before);
    let events = ask(&server, "events");
    assert!(events["warnings"][0].as_str().unwrap().contains("newer"), "{events}");
    let mut server = server;
    server.process.signal(Signal::TERM);
    assert!(server.process.end(Duration::from_secs(2)).is_some());
    assert_eq!(contents(server.data.path()), before);
}
