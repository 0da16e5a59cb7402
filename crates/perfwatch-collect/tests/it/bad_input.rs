//! Files that make no sense: an error or a null with its reason, never a panic, and the other sections untouched.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use perfwatch_collect::cgroups::Cgroups;
use perfwatch_collect::collector::{Collector, Tracker};
use perfwatch_collect::cpu::Cpu;
use perfwatch_collect::disk::Disk;
use perfwatch_collect::host::MAX_FILE_BYTES;
use perfwatch_collect::kernel::Kernel;
use perfwatch_collect::memory::Memory;
use perfwatch_collect::network::Network;
use perfwatch_collect::pressure::Pressure;
use perfwatch_collect::scheduler::Scheduler;
use perfwatch_collect::{Host, Tick, sampler};
use perfwatch_metrics::{Snapshot, State};

use crate::hosts::{copy, fixture};

/// Every file that the collectors read of a host without netlink.
const FILES: [&str; 25] = [
    "stat",
    "interrupts",
    "cpuinfo",
    "loadavg",
    "softirqs",
    "pressure/io",
    "meminfo",
    "vmstat",
    "net/dev",
    "net/sockstat",
    "net/sockstat6",
    "net/tcp",
    "net/snmp",
    "net/snmp6",
    "net/netstat",
    "net/softnet_stat",
    "sys/net/netfilter/nf_conntrack_count",
    "uptime",
    "sys/fs/file-nr",
    "sys/kernel/pid_max",
    "sys/kernel/threads-max",
    "sys/kernel/random/entropy_avail",
    "diskstats",
    "filesystems",
    "1/mounts",
];

/// Samples a recorded host so many times; `before` is called before each.
fn sample(dir: &Path, ticks: u64, mut before: impl FnMut(u64) + Send + 'static) -> Vec<Snapshot> {
    let mut numbers = 0..ticks;
    let pace = move || {
        let number = numbers.next()?;
        before(number);
        // Two readings within a millisecond have no rates.
        std::thread::sleep(Duration::from_millis(2));
        let (interval, lateness) = (Duration::from_secs(5), Duration::ZERO);
        Some(Tick { number, interval, lateness, options: Arc::default() })
    };
    let (published, snapshots) = mpsc::channel();
    let publish = move |snapshot| {
        published.send(snapshot).unwrap();
        ControlFlow::Continue(())
    };
    sampler::start(&Arc::new(Host::recorded(dir)), pace, publish).unwrap();
    snapshots.iter().collect()
}

fn spoiled(file: &str, spoil: impl FnOnce(&[u8]) -> Vec<u8>) -> Snapshot {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("vm", "t0"), dir.path());
    let path = dir.path().join("proc").join(file);
    let text = fs::read(&path).unwrap();
    fs::write(&path, spoil(&text)).unwrap();
    sample(dir.path(), 2, |_| ()).pop().unwrap()
}

/// What the recorded host does not have.
const ABSENT: [&str; 5] = ["perf_events", "power", "memory_bandwidth", "resctrl", "self"];

/// Parts of its sections that it does not have.
const ABSENT_PARTS: [&str; 6] = [
    "temperature_celsius",
    "frequency_limit_mhz",
    "governor",
    "throttles",
    "run_queue_wait",
    "hardware_errors_corrected",
];

/// The sections that need a file are the only ones that may miss something.
fn others_are_well(file: &str, snapshot: &Snapshot) {
    let mine: &[_] = match file {
        "stat" | "interrupts" => &["cpu", "scheduler"],
        "cpuinfo" => &["cpu"],
        "softirqs" => &["scheduler"],
        "loadavg" => &["kernel", "scheduler"],
        "meminfo" | "vmstat" => &["memory"],
        _ if file.starts_with("pressure/") => &["pressure"],
        _ if file.contains("net/") => &["network"],
        "uptime" => &["kernel"],
        _ if file.starts_with("sys/") => &["kernel"],
        _ => &["disk"],
    };
    for (name, section) in snapshot.status.sections() {
        if !mine.contains(&name) && !ABSENT.contains(&name) {
            assert_eq!(section.state, State::Ok, "{file} spoiled {name}");
            let parts: Vec<_> = section
                .parts
                .keys()
                .filter(|part| !ABSENT_PARTS.contains(&part.as_str()))
                .collect();
            assert!(parts.is_empty(), "{file} spoiled {name}: {parts:?}");
        }
    }
}

/// What the section that needs it says of a spoiled file, and that it says so.
fn is_said(file: &str, snapshot: &Snapshot) {
    let texts = snapshot.status.sections().flat_map(|(_, section)| {
        section.reason.iter().chain(section.parts.values().map(|part| &part.reason))
    });
    let said = texts.filter(|text| text.contains(&format!("proc/{file}"))).count();
    assert!(said > 0, "nobody said that {file} makes no sense: {:#?}", snapshot.status);
}

#[test]
fn empty_files() {
    for file in FILES {
        let snapshot = spoiled(file, |_| Vec::new());
        others_are_well(file, &snapshot);
        // Empty tables of disks, mounts and file systems are tables, and a host may have neither IPv6 nor MHz.
        if !matches!(
            file,
            "cpuinfo" | "net/sockstat6" | "vmstat" | "diskstats" | "filesystems" | "1/mounts"
        ) {
            is_said(file, &snapshot);
        }
    }
}

#[test]
fn garbage() {
    for file in FILES {
        let snapshot = spoiled(file, |_| b"\xff\xfe\x00garbage \x1b[2J) ( \xc3\x28\n".repeat(50));
        others_are_well(file, &snapshot);
        // Lines that are not known are skipped, and three words of garbage are a mount of an unknown type.
        if !matches!(file, "cpuinfo" | "net/sockstat6" | "vmstat" | "filesystems" | "1/mounts") {
            is_said(file, &snapshot);
        }
    }
}

#[test]
fn files_cut_off_anywhere() {
    for file in FILES {
        for part in 1..20 {
            let snapshot = spoiled(file, |text| text[..text.len() * part / 20].to_vec());
            others_are_well(file, &snapshot);
        }
    }
}

#[test]
fn numbers_that_do_not_fit() {
    for file in ["stat", "meminfo", "vmstat", "net/dev", "diskstats"] {
        for number in ["18446744073709551616", "-1", "99999999999999999999999999", "0x10", "1e3"] {
            let snapshot = spoiled(file, |text| {
                let text = String::from_utf8_lossy(text);
                let digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
                let spoil =
                    |word: &str| if digits(word) { number.to_owned() } else { word.to_owned() };
                let line = |line: &str| {
                    line.split_ascii_whitespace().map(spoil).collect::<Vec<_>>().join(" ")
                };
                text.lines().map(line).collect::<Vec<_>>().join("\n").into_bytes()
            });
            others_are_well(file, &snapshot);
            is_said(file, &snapshot);
        }
    }
}

#[test]
fn a_node_or_device_that_makes_no_sense_costs_itself() {
    for (host, file, part) in [
        ("server128", "devices/system/node/node1/meminfo", "nodes.1"),
        ("server128", "devices/system/node/node1/numastat", "nodes.1"),
        ("kernel418", "block/zram0/mm_stat", "zram.zram0"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture(host, "t0"), dir.path());
        let path = dir.path().join("sys").join(file);
        fs::write(&path, "Node 1 MemTotal: x kB\nnuma_hit -1\n").unwrap();
        let snapshot = sample(dir.path(), 2, |_| ()).pop().unwrap();
        let status = &snapshot.status.memory;
        assert_eq!(status.state, State::Ok, "{file}");
        assert_eq!(status.parts.keys().collect::<Vec<_>>(), [part], "{file}");
        assert!(status.parts[part].reason.contains(file), "{}", status.parts[part].reason);
        let memory = snapshot.memory.unwrap();
        assert!(host != "server128" || memory.nodes["0"].hit_per_sec == Some(0.0));
        assert!(memory.zram.is_empty());
        // Sizes are known without the counters.
        let counted = memory.nodes.get("1").map(|node| node.hit);
        assert_eq!(counted, file.ends_with("numastat").then_some(None), "{file}");
    }
}

#[test]
fn enormous_files() {
    for file in ["meminfo", "net/dev", "interrupts"] {
        let snapshot = spoiled(file, |text| {
            let mut text = text.to_vec();
            text.resize(MAX_FILE_BYTES + 1, b' ');
            text
        });
        others_are_well(file, &snapshot);
        is_said(file, &snapshot);
    }
}

#[test]
fn no_host_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let snapshot = sample(dir.path(), 2, |_| ()).pop().unwrap();
    for (name, section) in snapshot.status.sections() {
        assert_ne!(section.state, State::Ok, "{name}");
        assert!(section.reason.is_some(), "{name}");
    }
    assert!(snapshot.status.cpu.fix.as_ref().unwrap().contains("--path.procfs"));
}

#[test]
fn names_that_are_not_text() {
    let snapshot = spoiled("net/dev", |text| {
        [text, b"  \xff\"\n<b>: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"].concat()
    });
    assert_eq!(snapshot.status.network.parts["interfaces"].state, State::Failed);
    let snapshot = spoiled("net/dev", |text| {
        [text, b"  \xff<b>: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n"].concat()
    });
    assert!(snapshot.network.unwrap().interfaces.unwrap().contains_key(r"\xff<b>"));
}

/// A rewrite in place, as if the kernel said something else.
fn rewrite(dir: &Path, file: &str, change: impl Fn(&str) -> String) {
    let path = dir.join("proc").join(file);
    let text = change(&fs::read_to_string(&path).unwrap());
    fs::write(&path, text).unwrap();
}

#[test]
fn things_that_vanish_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("vm", "t0"), dir.path());
    let tree = dir.path().to_owned();
    let without = |text: &str, word: &str| {
        text.lines()
            .filter(|line| !line.contains(word))
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let whole =
        [("net/dev", "eth0"), ("diskstats", "vda"), ("stat", "cpu1")].map(|(file, word)| {
            (file, word, fs::read_to_string(tree.join("proc").join(file)).unwrap())
        });
    let snapshots = sample(dir.path(), 4, move |tick| {
        for (file, word, text) in &whole {
            rewrite(&tree, file, |_| if tick == 1 { without(text, word) } else { text.clone() });
        }
    });
    let rates: Vec<_> = snapshots
        .iter()
        .map(|snapshot| {
            let interfaces = snapshot.network.as_ref().unwrap().interfaces.as_ref().unwrap();
            let devices = snapshot.disk.as_ref().unwrap().devices.as_ref().unwrap();
            let eth0 = interfaces.get("eth0").map(|interface| interface.bytes_recv_per_sec);
            let vda = devices.get("vda").map(|device| device.read_iops);
            (eth0, vda, snapshot.cpu.as_ref().unwrap().per_core.len())
        })
        .collect();
    // There, gone, back (and with nothing to compare with), there.
    let expected = [
        (Some(None), Some(None), 2),
        (None, None, 1),
        (Some(None), Some(None), 2),
        (Some(Some(0.0)), Some(Some(0.0)), 2),
    ];
    assert_eq!(rates, expected);
}

#[test]
fn a_failed_reading_is_no_base_for_rates() {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("vm", "t0"), dir.path());
    let tree = dir.path().to_owned();
    let text = fs::read_to_string(tree.join("proc/diskstats")).unwrap();
    let snapshots =
        sample(dir.path(), 4, move |tick| {
            rewrite(&tree, "diskstats", |_| {
                if tick == 1 { "garbage".to_owned() } else { text.clone() }
            });
        });
    let devices = |tick: usize| snapshots[tick].disk.as_ref().unwrap().devices.as_ref();
    assert!(devices(1).is_none());
    assert_eq!(snapshots[1].status.disk.parts["devices"].state, State::Failed);
    assert_eq!(devices(2).unwrap()["vda"].read_iops, None);
    assert_eq!(devices(3).unwrap()["vda"].read_iops, Some(0.0));
    assert!(!snapshots[3].status.disk.parts.contains_key("devices"));
}

fn survives<C: Collector>(dir: &Path) {
    let mut tracker = Tracker::<C>::new(&Arc::new(Host::recorded(dir)));
    for _ in 0..2 {
        // Whether it makes sense is not asked here, only that it comes back.
        let _ = tracker.collect();
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Any bytes at all in any file.
    #[test]
    fn no_bytes_make_a_collector_panic(
        which in 0..FILES.len(),
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400),
        at in 0.0..1.0_f64,
    ) {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture("vm", "t0"), dir.path());
        let path = dir.path().join("proc").join(FILES[which]);
        let mut text = fs::read(&path).unwrap();
        let position = (text.len() as f64 * at) as usize;
        text.splice(position..(position + bytes.len()).min(text.len()), bytes);
        fs::write(&path, text).unwrap();
        survives::<Cpu>(dir.path());
        survives::<Scheduler>(dir.path());
        survives::<Pressure>(dir.path());
        survives::<Cgroups>(dir.path());
        survives::<Memory>(dir.path());
        survives::<Network>(dir.path());
        survives::<Disk>(dir.path());
        survives::<Kernel>(dir.path());
    }
}
