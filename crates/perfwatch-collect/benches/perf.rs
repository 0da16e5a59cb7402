//! CPU time of counting: a sweep of this host's counters, an interval of `perf stat` as a process of its own, and sweeps of
//! ever more CPUs of a scripted kernel. Prints microseconds as one JSON object.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the peer is a process")]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../tests/it/fake_kernel.rs"]
mod fake_kernel;

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use perfwatch_collect::collector::{Collector, Tracker};
use perfwatch_collect::perf::collector::PerfReading;
use perfwatch_collect::perf::{Cpus, Perf, native::Native};
use perfwatch_collect::{Host, Roots};
use perfwatch_metrics::perf::Event;
use rustix::time::{ClockId, clock_gettime};

use fake_kernel::Fake;

/// Intervals of `perf stat`, so many that its start does not count for much.
const INTERVALS: u32 = 100;

fn main() {
    let mut figures = BTreeMap::new();
    let mut tracker = Tracker::of(Perf::new(&Arc::new(Host::new(Roots::default()))));
    figures.insert("sweep, derived".to_owned(), cpu_us(1000, || drop(tracker.collect())));
    if let Some(cost) = perf_stat_us() {
        figures.insert("an interval of perf stat".to_owned(), cost);
    }
    for cpus in [1, 16, 64, 256] {
        let fake = Fake::new(cpus);
        let mut perf = Perf::of(Native::new(Arc::new(fake.clone()), Cpus::All));
        let mut reading = PerfReading::default();
        let sweep = || {
            fake.pass(1000);
            perf.read(&mut reading).unwrap();
        };
        figures.insert(format!("sweep, {cpus:>3} scripted CPUs"), cpu_us(200, sweep));
    }
    println!("{}", serde_json::to_string_pretty(&figures).unwrap());
}

/// CPU time of this process per call, after a warm-up.
fn cpu_us(calls: u32, mut operation: impl FnMut()) -> f64 {
    (0..calls / 10).for_each(|_| operation());
    let start = cpu_time();
    (0..calls).for_each(|_| operation());
    (cpu_time() - start).as_secs_f64() * 1e6 / f64::from(calls)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// CPU time of `perf stat` for an interval of the same events. None where there is none.
fn perf_stat_us() -> Option<f64> {
    let before = children_ticks()?;
    let events = Event::ALL.map(Event::name).join(",");
    let status = Command::new("/usr/bin/perf")
        .args(["stat", "-x,", "-I", "50", "-a", "-e", &events, "--", "sleep"])
        .arg((f64::from(INTERVALS) * 0.05).to_string())
        .stderr(Stdio::null())
        .status()
        .ok()?;
    // In ticks of 10 ms.
    let ticks = children_ticks()?.saturating_sub(before);
    status.success().then(|| ticks as f64 * 10_000.0 / f64::from(INTERVALS))
}

/// CPU time of children that have ended: `cutime` and `cstime` of /proc/self/stat.
fn children_ticks() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(13);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}
