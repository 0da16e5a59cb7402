//! Two ranges compared, over HTTP and with `--fail-if`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{numbers, strs};
use crate::answers::{Recording, ask, rows_on_disk, within};
use crate::process::{Server, perfwatch};
use crate::restless_host::RestlessHost;

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
    let (from, to) = (host.after.0.to_string(), host.after.1.to_string());
    let compare = |fail_if: &str| {
        let mut command = perfwatch();
        command.args(["compare", "--data"]).arg(data).args(["--from", &from, "--to", &to]);
        command.args(["--vs", &vs, "--fail-if", fail_if]).output().unwrap()
    };
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
        let output = compare(fail_if);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(if breaks { 3 } else { 0 }), "{fail_if}: {said}");
        assert_eq!(said.contains("memory.total_bytes"), breaks, "{fail_if}: {said}");
    }
    // A threshold that nothing is held against is none that holds.
    for fail_if in ["no.such:+1%", "memory.total_bytes{no=\"label\"}:+1%"] {
        assert_eq!(compare(fail_if).status.code(), Some(1), "{fail_if}");
    }
}
