//! The unit, and what systemd is told.

use std::collections::BTreeSet;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Running, Server, perfwatch, perfwatch_under, skipped};

const UNIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/perfwatch.service");

/// systemd's end of the socket, and `serve` at the other.
struct Notified {
    socket: UnixDatagram,
    server: Server,
}

impl Notified {
    fn start(socket: UnixDatagram, name: &str, watchdog: Option<&str>) -> Self {
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut command = perfwatch();
        command.env("NOTIFY_SOCKET", name).env_remove("WATCHDOG_PID");
        watchdog.map(|micros| command.env("WATCHDOG_USEC", micros));
        let data = tempfile::tempdir().unwrap();
        Self { socket, server: Server::start_as(command, data, &[]) }
    }

    /// The next message.
    fn heard(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("nothing was heard");
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    /// The next message that begins so.
    fn hear(&self, start: &str) -> String {
        loop {
            let message = self.heard();
            if message.starts_with(start) {
                return message;
            }
        }
    }
}

fn socket_in(dir: &tempfile::TempDir) -> (UnixDatagram, String) {
    let path = dir.path().join("notify");
    (UnixDatagram::bind(&path).unwrap(), path.to_str().unwrap().to_owned())
}

#[test]
fn systemd_is_told_of_start_every_sample_and_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, name) = socket_in(&dir);
    let Notified { socket, server } = {
        let notified = Notified::start(socket, &name, Some("60000000"));
        assert_eq!(notified.hear("READY=1"), "READY=1\nWATCHDOG_USEC=60000000");
        for _ in 0..3 {
            assert_eq!(notified.hear("WATCHDOG=1"), "WATCHDOG=1\nWATCHDOG_USEC=60000000");
        }
        notified
    };
    server.process.signal(Signal::TERM);
    let mut message = [0; 64];
    let stopped = (0..100).any(|_| {
        let length = socket.recv(&mut message).unwrap();
        message.starts_with(b"STOPPING=1") && length == 10
    });
    assert!(stopped);
    server.stopped();
}

#[test]
fn a_long_interval_asks_for_a_patient_watchdog() {
    let name = format!("perfwatch-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let data = tempfile::tempdir().unwrap();
    let mut command = perfwatch();
    command.args(["serve", "--listen", "127.0.0.1:0", "--interval", "60s", "--data"]);
    command.arg(data.path()).stderr(Stdio::null());
    command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "30000000");
    let _serving = Running(command.env_remove("WATCHDOG_PID").spawn().unwrap());
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap();
        heard.push(String::from_utf8(message[..length].to_vec()).unwrap());
    }
    heard.sort();
    let patience = "WATCHDOG_USEC=190000000";
    assert_eq!(heard, [format!("READY=1\n{patience}"), format!("WATCHDOG=1\n{patience}")]);
}

#[test]
fn without_a_watchdog_there_is_nothing_to_feed() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, name) = socket_in(&dir);
    let notified = Notified::start(socket, &name, None);
    assert_eq!(notified.heard(), "READY=1");
    let first = notified.server.snapshot()["tick"].as_u64();
    while notified.server.snapshot()["tick"].as_u64() < first.map(|tick| tick + 2) {}
    notified.server.process.signal(Signal::TERM);
    assert_eq!(notified.heard(), "STOPPING=1");
}

/// The threads that sample are held in the kernel; everything else goes on.
#[test]
fn a_sampler_that_is_stuck_feeds_no_watchdog() {
    const TEST: &str = "a stuck sampler";
    let dir = tempfile::tempdir().unwrap();
    let (socket, name) = socket_in(&dir);
    let notified = Notified::start(socket, &name, Some("60000000"));
    notified.hear("WATCHDOG=1");
    let tasks = format!("/proc/{}/task", notified.server.process.0.id());
    let samplers: Vec<_> = fs::read_dir(tasks)
        .unwrap()
        .map(|task| task.unwrap().path())
        .filter(|task| fs::read_to_string(task.join("comm")).unwrap().trim() == "sample")
        .map(|task| task.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert!(samplers.len() >= 2, "one is on duty and one watches");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-e", "inject=all:delay_enter=60s", "-o", "/dev/null"]);
    samplers.iter().for_each(|sampler| {
        strace.args(["-p", sampler]);
    });
    let strace = match strace.stderr(Stdio::null()).spawn() {
        Ok(strace) => Running(strace),
        Err(error) => return skipped(TEST, format!("strace: {error}")),
    };
    // From some moment on they are held, and nothing is heard for seven intervals.
    let silence = Duration::from_millis(3500);
    notified.socket.set_read_timeout(Some(silence)).unwrap();
    let start = Instant::now();
    let mut message = [0; 4096];
    while notified.socket.recv(&mut message).is_ok() {
        if start.elapsed() > Duration::from_secs(10) {
            return skipped(TEST, "strace may not trace here");
        }
    }
    assert_eq!(notified.server.get("/healthz").0, 200, "the rest goes on");
    drop(strace);
    notified.socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert!(notified.heard().starts_with("WATCHDOG=1"), "it goes on where it was held");
}

#[test]
fn the_unit_is_as_closed_as_it_can_be() {
    let arguments = ["security", "--offline=yes", "--no-pager", "--threshold=20", UNIT];
    let output = match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => output,
        Err(error) => return skipped("the unit's exposure", format!("systemd-analyze: {error}")),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "exposure above 2.0:\n{said}");
    let unit = fs::read_to_string(UNIT).unwrap();
    for trap in [
        "ProcSubset=pid",
        "ProtectProc=invisible",
        "PrivateNetwork=yes",
        "PrivateUsers=yes",
        "ProtectHome=yes",
        "ProtectClock=yes",
    ] {
        assert!(!unit.lines().any(|line| line.trim() == trap), "{trap} hides the host");
    }
}

/// What the unit lets PerfWatch call, by name.
fn allowed_calls(unit: &str) -> Option<BTreeSet<String>> {
    fn calls(set: &str) -> Option<BTreeSet<String>> {
        if !set.starts_with('@') {
            return Some([set.to_owned()].into());
        }
        let output = Command::new("systemd-analyze").args(["syscall-filter", set]).output().ok()?;
        let text = String::from_utf8(output.stdout).unwrap();
        let members = text.lines().filter_map(|line| line.strip_prefix("    "));
        let members = members.filter(|member| !member.starts_with('#'));
        members.map(|member| calls(member.trim())).try_fold(BTreeSet::new(), |mut all, set| {
            all.extend(set?);
            Some(all)
        })
    }
    let mut allowed = calls("@default")?;
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (denied, sets) = match line.strip_prefix('~') {
            Some(sets) => (true, sets),
            None => (false, line),
        };
        for set in sets.split_whitespace() {
            let calls = calls(set)?;
            if denied {
                allowed.retain(|call| !calls.contains(call));
            } else {
                allowed.extend(calls);
            }
        }
    }
    Some(allowed)
}

#[test]
fn the_unit_allows_every_call_that_is_made() {
    const TEST: &str = "system calls under the unit";
    let Some(allowed) = allowed_calls(&fs::read_to_string(UNIT).unwrap()) else {
        return skipped(TEST, "systemd-analyze is missing");
    };
    assert!(allowed.contains("perf_event_open") && !allowed.contains("ptrace"));
    let log = tempfile::NamedTempFile::new().unwrap();
    let path = log.path().to_str().unwrap();
    let arguments = ["-f", "-qq", "-D", "-o", path];
    let trial = Command::new("strace").args(arguments).arg("true").output();
    if !trial.is_ok_and(|output| output.status.success()) {
        return skipped(TEST, "strace is missing or may not trace");
    }
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_as(perfwatch_under("strace", &arguments), data, &[]);
    let first = server.snapshot()["tick"].as_u64();
    while server.snapshot()["tick"].as_u64() < first.map(|tick| tick + 3) {}
    for path in ["/metrics", "/api/v1/series?select=cpu.usage_percent", "/api/v1/events"] {
        assert_eq!(server.get(path).0, 200, "{path}");
    }
    server.stopped();
    let log = fs::read_to_string(log.path()).unwrap();
    let calls: BTreeSet<_> = log
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .map(|(name, _)| name.trim_start_matches("<... ").split(' ').next().unwrap_or_default())
        .filter(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        .collect();
    assert!(calls.len() > 30, "{calls:?}");
    let denied: Vec<_> = calls.iter().filter(|call| !allowed.contains(**call)).collect();
    assert!(denied.is_empty(), "{denied:?}");
}
