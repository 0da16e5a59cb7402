//! What stands out: in histories of situations that cannot be caused here, and in some that can.
//!
//! `scripts/situations` causes the rest, with real load and as root; docs/situations.md has what came of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::answers::{ask, now_ms};
use crate::faults::DeadDisks;
use crate::process::{Server, perfwatch, quiet, skipped, stdout};

const GIB: f64 = (1_u64 << 30) as f64;

/// Seconds from one made sample to the next.
const INTERVAL_S: i64 = 5;

/// How a made host stands at a moment: gauges, and what its counters grow by each second.
struct Made(BTreeMap<&'static str, f64>);

/// Whether a series is kept as a counter.
fn is_counter(series: &str) -> bool {
    let id = series.split('{').next().unwrap();
    let name = id.rsplit('.').next().unwrap();
    let counted = "forks oom_kills throttles direct_reclaims refaults pswpin pswpout segments_sent listen_overflows listen_drops \
                   receive_buffer_errors dropped errors_in drops_in carrier_changes hardware_errors_corrected \
                   hardware_errors_uncorrected bytes_recv read_bytes";
    ["_us", "_count", "_time_ms"].iter().any(|end| name.ends_with(end))
        || counted.split(' ').any(|one| one == name)
}

impl Made {
    /// Two CPUs with little to do, a disk and an interface.
    fn idle() -> Self {
        Self(BTreeMap::from([
            ("cpu.usage_percent", 3.0),
            ("cpu.system", 1.0),
            ("cpu.steal", 0.0),
            ("cpu.per_core{core=\"0\"}", 3.0),
            ("cpu.per_core{core=\"1\"}", 3.0),
            ("cpu.throttles", 0.0),
            ("scheduler.run_queue_wait_us", 1e4),
            ("scheduler.forks", 2.0),
            ("pressure.resources.some_us{resource=\"cpu\"}", 5e3),
            ("pressure.resources.some_us{resource=\"io\"}", 1e3),
            ("pressure.resources.full_us{resource=\"io\"}", 1e3),
            ("pressure.resources.some_us{resource=\"memory\"}", 0.0),
            ("pressure.resources.full_us{resource=\"memory\"}", 0.0),
            ("cgroups.slices.throttled_us{slice=\"batch.slice\"}", 0.0),
            ("cgroups.slices.cpu_us{slice=\"batch.slice\"}", 1e3),
            ("memory.usage_percent", 30.0),
            ("memory.available_bytes", 16.0 * GIB),
            ("memory.oom_kills", 0.0),
            ("memory.direct_reclaims", 0.0),
            ("memory.refaults", 0.0),
            ("memory.pswpin", 0.0),
            ("memory.pswpout", 0.0),
            ("disk.devices.io_time_ms{device=\"vda\"}", 10.0),
            ("disk.devices.weighted_io_time_ms{device=\"vda\"}", 10.0),
            ("disk.devices.read_count{device=\"vda\"}", 5.0),
            ("disk.devices.read_time_ms{device=\"vda\"}", 5.0),
            ("disk.devices.read_bytes{device=\"vda\"}", 5e4),
            ("disk.partitions.usage_percent{mountpoint=\"/\"}", 40.0),
            ("disk.partitions.used_bytes{mountpoint=\"/\"}", 40.0 * GIB),
            ("disk.partitions.free_bytes{mountpoint=\"/\"}", 60.0 * GIB),
            ("disk.partitions.inodes_usage_percent{mountpoint=\"/\"}", 5.0),
            ("disk.partitions.read_only{mountpoint=\"/\"}", 0.0),
            ("network.interfaces.link_up{interface=\"eth0\"}", 1.0),
            ("network.interfaces.link_utilization_percent{interface=\"eth0\"}", 0.1),
            ("network.interfaces.carrier_changes{interface=\"eth0\"}", 0.0),
            ("network.interfaces.bytes_recv{interface=\"eth0\"}", 1e5),
            ("network.interfaces.errors_in{interface=\"eth0\"}", 0.0),
            ("network.interfaces.drops_in{interface=\"eth0\"}", 0.2),
            ("network.softnet.dropped", 0.0),
            ("network.tcp.segments_sent", 200.0),
            ("network.tcp.retransmit_percent", 0.1),
            ("network.tcp.listen_overflows", 0.0),
            ("network.tcp.listen_drops", 0.0),
            ("network.udp.receive_buffer_errors", 0.0),
            ("network.conntrack.usage_percent", 1.0),
            ("kernel.open_files_percent", 0.1),
            ("kernel.threads_percent", 1.0),
            ("kernel.clock_synchronized", 1.0),
            ("kernel.hardware_errors_corrected", 0.0),
            ("kernel.hardware_errors_uncorrected", 0.0),
        ]))
    }

    fn set(&mut self, series: &str, value: f64) -> &mut Self {
        let known = self
            .0
            .iter_mut()
            .find(|(name, _)| name.split('{').next() == Some(series) || **name == series);
        *known.unwrap_or_else(|| panic!("{series} is not there")).1 = value;
        self
    }

    fn pressure(&mut self, of: &str, percent: f64) -> &mut Self {
        self.set(&format!("pressure.resources.{of}"), percent * 1e4)
    }

    /// A disk with a queue.
    fn busy_disk(&mut self) -> &mut Self {
        self.set("disk.devices.io_time_ms", 990.0)
            .set("disk.devices.weighted_io_time_ms", 16_000.0)
            .set("disk.devices.read_count", 400.0)
            .set("disk.devices.read_time_ms", 16_000.0)
            .pressure("some_us{resource=\"io\"}", 80.0)
            .pressure("full_us{resource=\"io\"}", 60.0)
    }

    fn busy_cpus(&mut self) -> &mut Self {
        self.set("cpu.usage_percent", 99.0)
            .set("scheduler.run_queue_wait_us", 6e6)
            .pressure("some_us{resource=\"cpu\"}", 98.0)
    }
}

/// An export of made hosts.
struct Export {
    text: String,
    counters: BTreeMap<&'static str, f64>,
}

impl Export {
    fn new() -> Self {
        Self { text: "{\"perfwatch_export\":1}\n".to_owned(), counters: BTreeMap::new() }
    }

    /// Samples from one time to another, of a host that stands so many milliseconds before the end as `made` says.
    fn record(&mut self, (from_ms, to_ms): (i64, i64), every_s: i64, made: impl Fn(i64) -> Made) {
        let mut first = true;
        for at_ms in (from_ms..to_ms).step_by(every_s as usize * 1000) {
            let mut sections: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
            for (series, value) in made(to_ms - at_ms).0 {
                let section = series.split('.').next().unwrap();
                let value = if is_counter(series) {
                    let counter = self.counters.entry(series).or_insert(1e6);
                    *counter += value * every_s as f64;
                    json!(*counter as u64)
                } else if value.fract() == 0.0 {
                    json!(value as u64)
                } else {
                    json!((value * 1000.0).round() / 1000.0)
                };
                sections.entry(section).or_default().insert(series.to_owned(), value);
            }
            let covered_ns = if first { 0 } else { every_s * 1_000_000_000 };
            let time = jiff::Timestamp::from_millisecond(at_ms).unwrap().to_string();
            for (section, values) in sections {
                let row = json!({ "time": time, "section": section, "covered_ns": covered_ns, "values": values });
                self.text.push_str(&row.to_string());
                self.text.push('\n');
            }
            first = false;
        }
    }

    fn import(&self, data: &Path) {
        let mut command = perfwatch();
        command.args(["import", "-", "--data"]).arg(data);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

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

/// A situation: its name, what makes it of an idle host so many seconds before the end, and the rules that must speak.
type Situation = (&'static str, fn(&mut Made, i64), &'static [&'static str]);

const SITUATIONS: &[Situation] = &[
    ("an idle host", |_, _| {}, &[]),
    (
        "a build with as many jobs as CPUs",
        |made, ago_s| {
            if ago_s < 240 {
                made.set("cpu.usage_percent", 97.0)
                    .set("cpu.system", 18.0)
                    .set("scheduler.forks", 90.0)
                    .set("scheduler.run_queue_wait_us", 8e5)
                    .pressure("some_us{resource=\"cpu\"}", 45.0)
                    .pressure("some_us{resource=\"io\"}", 6.0)
                    .set("disk.devices.io_time_ms", 250.0)
                    .set("disk.devices.weighted_io_time_ms", 900.0);
            }
        },
        &[],
    ),
    (
        "CPU burners",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_cpus();
            }
        },
        &["cpu-saturated"],
    ),
    (
        "burners in a control group with a quota",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_cpus()
                    .set("cgroups.slices.throttled_us", 8e5)
                    .set("cgroups.slices.cpu_us", 1.9e6);
            }
        },
        &["cgroup-throttled"],
    ),
    (
        "a fork storm",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_cpus().set("scheduler.forks", 2_400.0).set("cpu.system", 70.0);
            }
        },
        &["fork-storm"],
    ),
    (
        "a greedy neighbour",
        |made, ago_s| {
            if ago_s < 120 {
                made.set("cpu.steal", 30.0);
            }
        },
        &["cpu-stolen"],
    ),
    (
        "CPUs that are too hot",
        |made, ago_s| {
            if ago_s < 120 {
                made.set("cpu.throttles", 2.0);
            }
        },
        &["cpu-overheats"],
    ),
    (
        "reclaim that shows as I/O",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_disk()
                    .pressure("some_us{resource=\"memory\"}", 60.0)
                    .pressure("full_us{resource=\"memory\"}", 40.0)
                    .set("memory.direct_reclaims", 300.0)
                    .set("memory.refaults", 9_000.0)
                    .set("memory.usage_percent", 97.0)
                    .set("memory.available_bytes", 5e8);
            }
        },
        &["memory-pressure"],
    ),
    (
        "a process that is killed for memory",
        |made, ago_s| {
            if ago_s < 120 {
                made.pressure("full_us{resource=\"memory\"}", 40.0);
            }
            if ago_s == 60 {
                made.set("memory.oom_kills", 0.2);
            }
        },
        &["oom-kill"],
    ),
    (
        "swapping",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_disk().set("memory.pswpin", 800.0).set("memory.pswpout", 500.0);
            }
        },
        &["swapping"],
    ),
    (
        "a disk with a queue",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_disk();
            }
        },
        &["disk-saturated"],
    ),
    (
        "I/O that no disk explains",
        |made, ago_s| {
            if ago_s < 120 {
                made.pressure("full_us{resource=\"io\"}", 70.0);
            }
        },
        &["io-stalled"],
    ),
    (
        "a full file system",
        |made, _| {
            made.set("disk.partitions.usage_percent", 99.5).set("disk.partitions.free_bytes", 2e8);
        },
        &["fs-full"],
    ),
    (
        "no inodes",
        |made, _| {
            made.set("disk.partitions.inodes_usage_percent", 98.0);
        },
        &["inodes-full"],
    ),
    (
        "a file system that was mounted anew, read-only",
        |made, ago_s| {
            if ago_s < 100 {
                made.set("disk.partitions.read_only", 1.0);
            }
        },
        &["fs-read-only"],
    ),
    (
        "a log that runs away",
        |made, ago_s| {
            let used = 99.0 * GIB - ago_s as f64 * GIB / 400.0;
            made.set("disk.partitions.used_bytes", used.round());
            made.set("disk.partitions.free_bytes", (100.0 * GIB - used).round());
            made.set("disk.partitions.usage_percent", used / GIB);
        },
        &["fs-full"],
    ),
    (
        "an accept queue that overflows",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.tcp.listen_overflows", 3.0).set("network.tcp.listen_drops", 3.0);
            }
        },
        &["listen-overflow"],
    ),
    (
        "datagrams that nobody reads",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.udp.receive_buffer_errors", 500.0);
            }
        },
        &["udp-receive-errors"],
    ),
    (
        "a bad cable",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.errors_in", 3.0);
            }
        },
        &["interface-errors"],
    ),
    (
        "drops",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.drops_in", 300.0);
            }
        },
        &["interface-drops"],
    ),
    (
        "a backlog that is full",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.softnet.dropped", 9.0);
            }
        },
        &["softnet-drops"],
    ),
    (
        "a lossy path",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.tcp.retransmit_percent", 12.0);
            }
        },
        &["retransmits"],
    ),
    (
        "a full link",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.link_utilization_percent", 96.0);
            }
        },
        &["link-saturated"],
    ),
    (
        "a loose plug",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.carrier_changes", 0.2);
                made.set("network.interfaces.link_up", f64::from(u8::from(ago_s % 10 == 0)));
            }
        },
        &["link-flaps"],
    ),
    (
        "an unplugged cable",
        |made, ago_s| {
            if ago_s < 90 {
                made.set("network.interfaces.link_up", 0.0);
            }
        },
        &["link-down"],
    ),
    (
        "too many connections",
        |made, _| {
            made.set("network.conntrack.usage_percent", 97.0);
        },
        &["conntrack-full"],
    ),
    (
        "a leak of descriptors",
        |made, _| {
            made.set("kernel.open_files_percent", 90.0);
        },
        &["open-files"],
    ),
    (
        "a leak of threads",
        |made, _| {
            made.set("kernel.threads_percent", 90.0);
        },
        &["threads"],
    ),
    (
        "a clock without a server",
        |made, ago_s| {
            if ago_s < 120 {
                made.set("kernel.clock_synchronized", 0.0);
            }
        },
        &["clock-unsynchronized"],
    ),
    (
        "a failing memory module",
        |made, ago_s| {
            if ago_s == 60 {
                made.set("kernel.hardware_errors_uncorrected", 0.2);
            }
        },
        &["hardware-errors"],
    ),
    (
        "several troubles",
        |made, ago_s| {
            if ago_s < 120 {
                made.busy_disk()
                    .set("network.tcp.listen_overflows", 3.0)
                    .set("kernel.threads_percent", 97.0);
            }
        },
        &["threads", "listen-overflow", "disk-saturated"],
    ),
    (
        "trouble that is over",
        |made, ago_s| {
            if (400..600).contains(&ago_s) {
                made.busy_disk().busy_cpus();
            }
        },
        &[],
    ),
];

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
            let select = crate::answers::encoded(select);
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
