//! What stands out: in histories of situations that cannot be caused here, and in some that can.
//!
//! `scripts/situations` causes the rest, with real load and as root; docs/situations.md has what came of it.

mod made;
mod situations;

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::made::{Export, GIB, INTERVAL_S, Made};
use self::situations::SITUATIONS;
use crate::answers::{ask, encoded, now_ms};
use crate::faults::DeadDisks;
use crate::process::{Server, perfwatch, quiet, skipped, stdout};

fn explain(data: &Path, at_ms: i64) -> Value {
    let at = at_ms.to_string();
    let out =
        stdout(perfwatch().args(["explain", "--format", "json", "--at", &at, "--data"]).arg(data));
    serde_json::from_str(&out).unwrap()
}

/// Names of the rules that speak.
fn rules(verdict: &Value) -> Vec<String> {
    let sentences = verdict["sentences"].as_array().unwrap();
    sentences.iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_situation_is_named_and_the_quiet_ones_are_not() {
    let data = tempfile::tempdir().unwrap();
    let (half_hour, apart) = (1_800_000, 2_400_000);
    let last = now_ms() / 60_000 * 60_000 - apart;
    let ends = |place: usize| last - (SITUATIONS.len() - place) as i64 * apart;
    let mut export = Export::new();
    for (place, (_, make, _)) in SITUATIONS.iter().enumerate() {
        let end = ends(place);
        export.record((end - half_hour, end), INTERVAL_S, |ago_ms| {
            let mut made = Made::idle();
            make(&mut made, ago_ms / 1000);
            made
        });
    }
    // Twenty seconds of a host.
    export.record((last - 20_000, last), INTERVAL_S, |_| Made::idle());
    export.import(data.path());
    let mut wrong = Vec::new();
    for (place, (name, _, expected)) in SITUATIONS.iter().enumerate() {
        let verdict = explain(data.path(), ends(place));
        if rules(&verdict) != *expected || verdict["quiet"].is_null() == expected.is_empty() {
            wrong.push(format!("{name}: {verdict:#}"));
        }
        for evidence in verdict["sentences"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|one| one["evidence"].as_array().unwrap())
        {
            assert!(evidence["value"].is_number(), "{name}: {evidence}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let unsure = explain(data.path(), last);
    assert_eq!(
        unsure["unsure"],
        "Too little was measured before this moment: 20 seconds; it takes 30 seconds."
    );
    assert_eq!((&unsure["sentences"], &unsure["quiet"]), (&json!([]), &Value::Null));
    let unsure = explain(data.path(), last + 1_200_000);
    assert_eq!(unsure["unsure"], "Nothing was measured in the 5 minutes before this moment.");

    // A server says the same, and the text says it too.
    let server = Server::start_in(data, &[]);
    let at = ends(SITUATIONS.len() - 2);
    let verdict = ask(&server, &format!("verdict?at={at}"));
    assert_eq!(verdict, explain(server.data.path(), at));
    assert_eq!(
        verdict,
        ask(&server, &format!("verdict?at={}", at + 9_999)),
        "steps of ten seconds"
    );
    let mut command = perfwatch();
    let text = stdout(
        command.args(["explain", "--at", &at.to_string(), "--data"]).arg(server.data.path()),
    );
    for sentence in verdict["sentences"].as_array().unwrap() {
        assert!(text.contains(sentence["text"].as_str().unwrap()), "{text}");
        // What proves it can be asked for, and is what it says.
        for evidence in sentence["evidence"].as_array().unwrap() {
            let select = evidence["select"].as_str().unwrap();
            assert!(text.contains(select), "{text}");
            let (from, to) = (&evidence["from_ms"], &evidence["to_ms"]);
            let select = encoded(select);
            let series =
                ask(&server, &format!("series?select={select}&from={from}&to={to}&step=10s"));
            assert_eq!(series["series"].as_array().unwrap().len(), 1, "{evidence}: {series}");
        }
    }
}

#[test]
fn the_usual_of_the_hour_and_the_weeks_rate_come_from_history() {
    let data = tempfile::tempdir().unwrap();
    let (minute, hour, day) = (60_000, 3_600_000, 86_400_000);
    // The middle of an hour, so that it is the same one whatever the time zone's offset.
    let now = now_ms() / hour * hour - 2 * hour + 1_800_000;
    let mut export = Export::new();
    let free = |ago_ms: i64| (20.0 * GIB + (ago_ms as f64 / day as f64) * 2.0 * GIB).round();
    let made = |ago_ms: i64, busy: f64| {
        let mut made = Made::idle();
        made.set("cpu.usage_percent", busy);
        made.set("disk.partitions.free_bytes", free(ago_ms));
        made.set("disk.partitions.used_bytes", 100.0 * GIB - free(ago_ms));
        made
    };
    // A quarter of each hour of a week.
    for hours in (1..168).rev() {
        let from = now - hours * hour;
        export.record((from - 15 * minute, from), 60, |ago| {
            made(ago + hours * hour, 3.0 + (hours % 5) as f64)
        });
    }
    export.record((now - 30 * minute, now), INTERVAL_S, |ago| made(ago, 85.0));
    export.import(data.path());
    let verdict = explain(data.path(), now);
    assert_eq!(rules(&verdict), ["fs-fills", "cpu-unusual"], "{verdict:#}");
    let [fills, busy] = [&verdict["sentences"][0], &verdict["sentences"][1]];
    let text = "/ will be full in 10 days at this week's rate: 2 GiB more are used a day, 20 GiB are free.";
    assert_eq!((fills["text"].as_str(), fills["severity"].as_str()), (Some(text), Some("notice")));
    let usual = &busy["evidence"][0]["usual"];
    assert!(usual["low"].as_f64() >= Some(3.0) && usual["high"].as_f64() <= Some(7.0), "{busy}");
    assert!(busy["text"].as_str().unwrap().contains("85 % (usually "), "{busy}");
}

/// Keeps a server's accept queue overflowing, and a socket's buffer full of datagrams.
fn overflow_queues(until: impl Fn() -> bool) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let address = listener.local_addr().unwrap();
    let deaf = UdpSocket::bind("127.0.0.1:0").unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size(&deaf, 4096).unwrap();
    let loud = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut waiting = Vec::new();
    while !until() {
        // Two fill the queue; the others' handshakes are dropped.
        if let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
            waiting.push(stream);
        }
        for _ in 0..50 {
            loud.send_to(&[0; 1024], deaf.local_addr().unwrap()).unwrap();
        }
    }
}

#[test]
fn overflowing_queues_are_named_while_they_overflow() {
    let _quiet = quiet();
    let server = Server::start(&[]);
    server.snapshot();
    let young = ask(&server, "verdict");
    assert!(young["unsure"].is_string() && young["sentences"] == json!([]), "{young}");
    let start = Instant::now();
    let over = |verdict: &Value| {
        ["listen-overflow", "udp-receive-errors"]
            .iter()
            .all(|rule| rules(verdict).iter().any(|one| one == rule))
    };
    let mut verdict = Value::Null;
    let asked = std::cell::Cell::new(start);
    let named = std::cell::RefCell::new(&mut verdict);
    overflow_queues(|| {
        assert!(start.elapsed() < Duration::from_secs(75), "{}", named.borrow());
        if asked.get().elapsed() < Duration::from_secs(2) {
            return false;
        }
        asked.set(Instant::now());
        **named.borrow_mut() = ask(&server, "verdict");
        over(&named.borrow())
    });
    let beside = stdout(perfwatch().args(["explain", "--data"]).arg(server.data.path()));
    assert!(beside.contains("network.udp.receive_buffer_errors"), "{beside}");
}

#[test]
fn a_full_file_system_and_a_stuck_one_are_named() {
    let _quiet = quiet();
    let disks = match DeadDisks::new(1) {
        Ok(disks) => disks,
        Err(error) => {
            return skipped(
                "a full file system and a stuck one",
                format!("no FUSE mount: {error}"),
            );
        }
    };
    let fine = disks.fine();
    if let Err(error) = rustix::mount::mount(
        "tmpfs",
        &fine,
        "tmpfs",
        rustix::mount::MountFlags::empty(),
        Some(c"size=2m"),
    ) {
        return skipped("a full file system", error);
    }
    fs::write(fine.join("all"), vec![7; 3 << 20]).unwrap_err();
    let server = Server::start(&disks.arguments());
    let start = Instant::now();
    let verdict = loop {
        let verdict = ask(&server, "verdict");
        if rules(&verdict).len() >= 2 {
            break verdict;
        }
        assert!(start.elapsed() < Duration::from_secs(75), "{verdict}");
        std::thread::sleep(Duration::from_secs(1));
    };
    rustix::mount::unmount(&fine, rustix::mount::UnmountFlags::DETACH).unwrap();
    let of = |rule: &str| {
        let sentences = verdict["sentences"].as_array().unwrap();
        sentences
            .iter()
            .find(|one| one["rule"] == rule)
            .cloned()
            .unwrap_or_else(|| panic!("{verdict:#}"))
    };
    assert_eq!(of("fs-full")["object"]["mountpoint"], "/fine");
    assert_eq!(of("fs-full")["severity"], "critical");
    let stuck = of("mount-stuck");
    assert_eq!(stuck["object"]["mountpoint"], "/hung0");
    assert!(stuck["since_ms"].is_i64() && stuck["evidence"][0]["value"].is_null(), "{stuck}");
}
