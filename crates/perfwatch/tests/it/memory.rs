//! What the whole of `serve` takes in memory on a host with thousands of series.

use std::fmt::Write;
use std::fs;

use crate::answers::{Recording, ask, roots};
use crate::process::{Server, fixture};

/// Disks of the host, and as many interfaces: together about 3,000 series.
const OBJECTS: u64 = 119;

/// Ticks of half a second, in which everything changes.
const TICKS: u64 = 20;

/// What `serve` may take: so much, and so much for each series.
const MOST_KIB: u64 = 10 << 10;
const MOST_KIB_PER_SERIES: u64 = 8;

/// A host whose every counter grows by a number that nothing foretells.
struct BusyHost {
    dir: tempfile::TempDir,
    random: u64,
}

impl BusyHost {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("net")).unwrap();
        for file in ["stat", "meminfo", "vmstat"] {
            let recorded = fixture("server128").join("t0/proc").join(file);
            fs::copy(recorded, dir.path().join(file)).unwrap();
        }
        Self { dir, random: 1 }
    }

    /// Counters at a tick, each with a space before it.
    fn counters(&mut self, tick: u64, count: usize) -> String {
        let mut line = String::new();
        for _ in 0..count {
            self.random = self
                .random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            write!(line, " {}", (tick << 20) + (self.random >> 44)).unwrap();
        }
        line
    }

    fn write(&mut self, tick: u64) {
        let mut disks = String::new();
        let mut interfaces = "Inter-|   Receive\n face |bytes\n".to_owned();
        for number in 0..OBJECTS {
            writeln!(disks, " 259 {number} nvme{number}n1{}", self.counters(tick, 17)).unwrap();
            writeln!(interfaces, " if{number}:{}", self.counters(tick, 16)).unwrap();
        }
        fs::write(self.dir.path().join("diskstats"), disks).unwrap();
        fs::write(self.dir.path().join("net/dev"), interfaces).unwrap();
    }
}

#[test]
fn serving_three_thousand_series_takes_ten_megabytes_and_eight_kilobytes_for_each() {
    let mut host = BusyHost::new();
    host.write(0);
    let arguments = roots(host.dir.path(), &fixture("server128").join("t0"));
    let server = Server::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let recording = Recording::start(&server);
    let questions = [
        "series?select=disk.devices.*.write_latency_ms&from=now-24h&points=1000",
        "series?select=network.interfaces.*.bytes_recv_per_sec&from=now-15m&points=1000",
        "compare?select=disk.devices.*.read_iops&from=now-1m&vs=-1m",
        "events",
    ];
    let mut most_kib = 0;
    for tick in 1..=TICKS {
        recording.wait_for(1);
        host.write(tick);
        ask(&server, questions[tick as usize % questions.len()]);
        most_kib = most_kib.max(server.process.memory_kib("RssAnon"));
    }
    let series = ask(&server, "status")["store"]["series"].as_u64().unwrap();
    assert!((2_800..=3_200).contains(&series), "{series} series");
    let may_kib = MOST_KIB + series * MOST_KIB_PER_SERIES;
    assert!(most_kib <= may_kib, "{most_kib} KiB for {series} series, not {may_kib}");
}
