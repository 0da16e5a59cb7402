//! What happens to the host, as events: of a recorded host that is changed by hand, and of links of our own.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::answers::copy_tree;
use crate::process::{Server, fixture, perfwatch, perfwatch_under, skipped, stdout};

/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A recorded host, and what makes PerfWatch see it.
struct Recorded {
    dir: tempfile::TempDir,
    roots: Vec<String>,
}

impl Recorded {
    fn vm() -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_tree(&fixture("vm").join("t0"), dir.path());
        let root = |name, path: &str| format!("--path.{name}={}", dir.path().join(path).display());
        let roots = vec![root("procfs", "proc"), root("sysfs", "sys"), root("rootfs", "")];
        Self { dir, roots }
    }

    fn serve(&self, data: tempfile::TempDir) -> Server {
        let roots: Vec<_> = self.roots.iter().map(String::as_str).collect();
        Server::start_in(data, &roots)
    }

    /// Rewrites a file, as if the kernel said something else.
    fn change(&self, file: &str, change: impl FnOnce(&str) -> String) {
        let path = self.dir.path().join(file);
        let text = change(&fs::read_to_string(&path).unwrap());
        fs::write(path, text).unwrap();
    }
}

/// The events of these kinds, in the order in which they happened, once there are so many.
fn told(count: usize, kinds: &[&str], ask: impl Fn() -> Value) -> Vec<(String, Value)> {
    let start = Instant::now();
    loop {
        let answer = ask();
        let events = answer["events"].as_array().unwrap().iter();
        let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
        let found: Vec<_> = events
            .filter(|event| kinds.contains(&event["kind"].as_str().unwrap()))
            .map(|event| (kind(event), event["detail"].clone()))
            .collect();
        if found.len() >= count {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn events(server: &Server) -> Value {
    serde_json::from_str(&server.get("/api/v1/events").2).unwrap()
}

/// The tick of the newest snapshot, once it is later than this one.
fn after(server: &Server, tick: u64) -> u64 {
    let later = |snapshot: &Value| snapshot["tick"].as_u64() > Some(tick);
    server.snapshot_that(later)["tick"].as_u64().unwrap()
}

#[test]
fn disks_mounts_cpus_links_and_kills_are_told() {
    const KINDS: [&str; 5] = ["cpu", "device", "link", "mount", "oom_kill"];
    let host = Recorded::vm();
    fs::create_dir(host.dir.path().join("data")).unwrap();
    let server = host.serve(tempfile::tempdir().unwrap());
    let tick = after(&server, 0);
    assert!(told(0, &KINDS, || events(&server)).is_empty(), "what is there has not just come");
    host.change("proc/diskstats", |text| {
        let vda = text.lines().find(|line| line.contains(" vda ")).unwrap();
        format!("{text}{}\n", vda.replace(" vda ", " vdb "))
    });
    after(&server, tick);
    host.change("proc/1/mounts", |text| format!("{text}/dev/vdb /data ext4 rw 0 0\n"));
    told(2, &KINDS, || events(&server));
    host.change("proc/stat", |text| {
        let lines = text.lines().filter(|line| !line.starts_with("cpu1 "));
        lines.map(|line| format!("{line}\n")).collect()
    });
    told(3, &KINDS, || events(&server));
    host.change("proc/vmstat", |text| {
        let other = |line: &str| !line.starts_with("oom_kill ");
        let lines = text.lines().filter(|line| other(line)).map(|line| format!("{line}\n"));
        lines.collect::<String>() + "oom_kill 1000\n"
    });
    told(4, &KINDS, || events(&server));
    host.change("sys/class/net/eth0/operstate", |_| "down\n".to_owned());
    let told = told(5, &KINDS, || events(&server));
    let mount = json!({
        "mountpoint": "/data", "device": "/dev/vdb", "fstype": "ext4", "mounted": true, "read_only": false,
    });
    let event = |kind: &str, detail| (kind.to_owned(), detail);
    assert_eq!(told[0], event("device", json!({ "device": "vdb", "present": true })));
    assert_eq!(told[1], event("mount", mount));
    assert_eq!(told[2], event("cpu", json!({ "cpu": 1, "online": false })));
    assert_eq!((&told[3].0, told[3].1["count"].as_u64() > Some(0)), (&"oom_kill".to_owned(), true));
    assert_eq!(told[4], event("link", json!({ "interface": "eth0", "up": false })));

    let data = server.stopped();
    let text = stdout(perfwatch().args(["query", "cpu.usage_percent", "--data"]).arg(data.path()));
    for words in [
        "the device vdb appeared",
        "/dev/vdb (ext4) was mounted on /data",
        "CPU 1 went offline",
        "processes, for memory ran out",
        "the link of eth0 went down",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn a_boot_with_another_kernel_is_told_by_the_next_start() {
    const KINDS: [&str; 2] = ["boot", "upgrade"];
    let host = Recorded::vm();
    let data = tempfile::tempdir().unwrap();
    let boot = |data| {
        let server = host.serve(data);
        after(&server, 0);
        // The recorded host was booted when this one was: before the last hour, maybe.
        let all = || serde_json::from_str(&server.get("/api/v1/events?from=0").2).unwrap();
        let found = told(0, &KINDS, all);
        (server.stopped(), found)
    };
    let (data, first) = boot(data);
    let (data, again) = boot(data);
    assert!(first.is_empty() && again.is_empty(), "{first:?} {again:?}");
    let release = host.dir.path().join("proc/sys/kernel/osrelease");
    let before = fs::read_to_string(release).unwrap().trim().to_owned();
    host.change("proc/sys/kernel/osrelease", |_| "7.0.1\n".to_owned());
    host.change("proc/sys/kernel/random/boot_id", |_| "another\n".to_owned());
    let (_, told) = boot(data);
    let [(boot, detail), (upgrade, change)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((boot.as_str(), &detail["boot_id"]), ("boot", &json!("another")));
    assert_eq!(upgrade, "upgrade");
    assert_eq!(*change, json!({ "what": "kernel", "from": before, "to": "7.0.1" }));
}

/// Asks over a UNIX socket, which leads into another network namespace.
fn over(socket: &Path, path: &str) -> Value {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    // None before the first snapshot.
    serde_json::from_str(body).unwrap_or_default()
}

#[test]
fn a_link_of_our_own_goes_down_and_comes_up() {
    const MADE: &str = "ip link set lo up && ip link add pw0 type veth peer name pw1 \
        && ip link set pw0 up && ip link set pw1 up && exec \"$@\"";
    let mut probe = Command::new("unshare");
    probe.args(["--net", "ip", "link", "add", "pw0", "type", "veth"]);
    if !probe.output().is_ok_and(|output| output.status.success()) {
        return skipped("events of a link", "no network namespace with a veth can be made");
    }
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("p.sock");
    let command = perfwatch_under("unshare", &["--net", "sh", "-c", MADE, "sh"]);
    let listen = format!("unix:{}", socket.display());
    let server = Server::start_as(command, tempfile::tempdir().unwrap(), &["--listen", &listen]);
    server.logged("serving at unix:");
    let start = Instant::now();
    let state = loop {
        let snapshot = over(&socket, "/api/v1/snapshot");
        let pw0 = &snapshot["network"]["interfaces"]["pw0"];
        // The kernel says so within a second of its being made.
        if pw0["link_up"] == true || start.elapsed() > PATIENCE {
            break pw0.clone();
        }
    };
    assert_eq!((&state["link_up"], &state["operstate"]), (&json!(true), &json!("up")), "{state}");
    assert_eq!(state["link_utilization_percent"], Value::Null, "its speed is no limit");
    let before = told(0, &["link"], || over(&socket, "/api/v1/events")).len();
    let set = |state: &str| {
        let pid = server.process.0.id().to_string();
        let arguments = ["-t", &pid, "-n", "ip", "link", "set", "pw1", state];
        stdout(Command::new("nsenter").args(arguments));
    };
    set("down");
    let down = told(before + 2, &["link"], || over(&socket, "/api/v1/events"));
    set("up");
    let up = told(before + 4, &["link"], || over(&socket, "/api/v1/events"));
    let of = |events: &[(String, Value)], up: bool| {
        let mut names: Vec<_> = events
            .iter()
            .filter(|(_, detail)| detail["up"] == up)
            .map(|(_, detail)| detail["interface"].clone())
            .collect();
        names.sort_by_key(|name| name.to_string());
        names
    };
    assert_eq!(of(&down[before..], false), ["pw0", "pw1"], "{down:?}");
    assert_eq!(of(&up[before + 2..], true), ["pw0", "pw1"], "{up:?}");
    let changes = &over(&socket, "/api/v1/snapshot")["network"]["interfaces"]["pw0"];
    assert!(changes["carrier_changes"].as_u64() > state["carrier_changes"].as_u64(), "{changes}");
}
