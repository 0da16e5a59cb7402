//! Ten thousand wrong passwords.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use rustix::param::clock_ticks_per_second;
use serde_json::{Value, json};
use tungstenite::Message;

use crate::access::{live, log_in, with_users};
use crate::process::Server;

const TRIES: usize = 10_000;
const CONNECTIONS: usize = 4;

/// Statuses of so many wrong passwords, one after the other on one connection.
fn guess(address: &str, number: usize, tries: usize) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut answer = [0; 4096];
    let mut statuses = Vec::new();
    for one in 0..tries {
        let user = if one % 2 == 0 { "ada".to_owned() } else { format!("user {number} {one}") };
        let body = json!({ "user": user, "password": format!("guess {one}") }).to_string();
        let length = body.len();
        write!(
            stream,
            "POST /api/v1/session HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut got = Vec::new();
        // An answer ends with the object that it is.
        while !got.ends_with(b"}") {
            let count = stream.read(&mut answer).unwrap();
            assert_ne!(count, 0, "closed");
            got.extend_from_slice(&answer[..count]);
        }
        statuses.push(String::from_utf8_lossy(&got[9..12]).parse().unwrap());
    }
    statuses
}

fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64)
}

#[test]
fn ten_thousand_wrong_passwords_cost_a_core_at_most_and_delay_no_sample() {
    let server = Server::guarded_alone(with_users(&[("ada", "admin")]));
    let mut stream = live(&server, &log_in(&server, "ada"));
    let pid = server.process.0.id();
    let (rss, cpu, began) = (server.process.memory_kib("VmRSS"), cpu_time(pid), Instant::now());
    let guessing: Vec<_> = (0..CONNECTIONS)
        .map(|number| {
            let address = server.address.clone();
            std::thread::spawn(move || guess(&address, number, TRIES / CONNECTIONS))
        })
        .collect();
    let (mut last, mut seen) = (None, 0);
    while guessing.iter().any(|thread| !thread.is_finished()) || seen < 6 {
        let Message::Text(text) = stream.read().unwrap() else { continue };
        let message: Value = serde_json::from_str(&text).unwrap();
        let Some(seq) = message["data"]["tick"].as_u64() else { continue };
        assert_eq!(message["missed"], 0);
        assert!(last.is_none_or(|last| seq == last + 1), "{last:?}, then {seq}");
        let sampled: f64 = message["data"]["timestamp"]
            .as_str()
            .map(|text| text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64)
            .unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let late = now.as_secs_f64() * 1000.0 - sampled;
        // The first was there before.
        assert!(last.is_none() || late < 500.0, "{late} ms");
        (last, seen) = (Some(seq), seen + 1);
    }
    let statuses: Vec<u16> =
        guessing.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    // The most that it ever was, by the kernel.
    let most_kib = server.process.memory_kib("VmHWM");
    let (took, spent) = (began.elapsed(), cpu_time(pid).saturating_sub(cpu));
    let refused = statuses.iter().filter(|status| **status == 429).count();
    println!(
        "{TRIES} tries in {took:.1?}, {refused} refused unseen; CPU {spent:.1?}; RSS {rss} KiB, at most {most_kib} KiB"
    );
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)));
    assert!(refused > TRIES * 9 / 10, "{refused}");
    assert!(spent <= took + Duration::from_millis(100), "{spent:?} in {took:?}");
    assert!(most_kib <= rss + (48 << 10), "{rss} KiB, then {most_kib} KiB");
}
