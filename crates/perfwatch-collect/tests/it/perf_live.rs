//! Counters of the kernel that this runs on, beside what others say of the same time.

use std::fs;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use perfwatch_collect::collector::Collector;
use perfwatch_collect::perf::Perf;
use perfwatch_collect::perf::collector::PerfReading;
use perfwatch_collect::perf::sys::{self, Attr, Target};
use perfwatch_collect::{Host, Roots};
use perfwatch_metrics::perf::{Amount, Event, PerfEvents};
use rustix::thread::{
    CpuSet, disable_transparent_huge_pages, sched_getaffinity, sched_setaffinity,
};

/// Each of these looks at what the whole machine does.
static ALONE: Mutex<()> = Mutex::new(());

fn skipped(test: &str, why: impl std::fmt::Display) {
    eprintln!("SKIPPED: {test}: {why}");
}

fn live() -> Arc<Host> {
    Arc::new(Host::new(Roots::default()))
}

/// A collector that counts, after its first reading.
fn counting() -> Result<(Perf, PerfReading), String> {
    let mut perf = Perf::new(&live());
    let mut reading = PerfReading::default();
    // Opening takes a moment on a host with many CPUs.
    let patience = Instant::now() + Duration::from_secs(10);
    while !reading.totals.counting && Instant::now() < patience {
        perf.read(&mut reading).map_err(|error| error.to_string())?;
    }
    reading.totals.counting.then_some((perf, reading)).ok_or_else(|| "it never counted".to_owned())
}

fn between(before: &PerfReading, now: &PerfReading) -> PerfEvents {
    Perf::derive(Some((before, Duration::from_secs(1))), now).metrics
}

fn count(metrics: &PerfEvents, event: Event) -> f64 {
    match metrics.events.iter().find(|(one, _)| *one == event).and_then(|(_, one)| one.value) {
        Some(Amount::Count(count)) => count as f64,
        Some(Amount::Milliseconds(ms)) => ms,
        None => panic!("{} was not counted", event.name()),
    }
}

/// Numbers of a file of names and numbers.
fn number(file: &str, name: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap().trim().parse().unwrap()
}

/// Many switches, migrations and faults for so long, all of them over when it returns.
fn noise(time: Duration) {
    let cpus = sched_getaffinity(None).unwrap();
    let mine: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| cpus.is_set(*cpu)).collect();
    let (mut near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() {
            far.write_all(&byte).unwrap();
        }
    });
    let until = Instant::now() + time;
    for round in (0_usize..).take_while(|_| Instant::now() < until) {
        near.write_all(&[0]).unwrap();
        near.read_exact(&mut [0]).unwrap();
        if round.is_multiple_of(4) {
            pin(mine[round / 4 % mine.len()]);
        }
        if round.is_multiple_of(32) {
            pages(&mut untouched()).take(256).for_each(|byte| *byte.write(1) = black_box(2));
        }
    }
    sched_setaffinity(None, &cpus).unwrap();
    drop(near);
    echo.join().unwrap();
}

fn pin(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only).unwrap();
}

const PAGE: usize = 4096;

/// Memory that is new to the process: more than the allocator keeps, and nothing of it is touched.
fn untouched() -> Vec<u8> {
    Vec::with_capacity(64 << 20)
}

/// A byte in each page of it but the first, where the allocator has its notes.
fn pages(memory: &mut Vec<u8>) -> impl Iterator<Item = &mut MaybeUninit<u8>> {
    memory.spare_capacity_mut().iter_mut().skip(PAGE + PAGE / 2).step_by(PAGE)
}

#[test]
fn of_the_same_time_proc_says_the_same() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut perf, mut before) = match counting() {
        Ok(counting) => counting,
        Err(error) => return skipped("counters beside /proc", error),
    };
    let oracles = || (number("/proc/stat", "ctxt"), number("/proc/vmstat", "pgfault"));
    let mut differences = Vec::new();
    // What others do between the two readings of one end is not in both: most of the time it is nothing.
    for _ in 0..3 {
        perf.read(&mut before).unwrap();
        let then = oracles();
        noise(Duration::from_secs(2));
        let now = oracles();
        let mut after = PerfReading::default();
        perf.read(&mut after).unwrap();
        let metrics = between(&before, &after);
        let off = [
            count(&metrics, Event::ContextSwitches) / (now.0 - then.0) - 1.0,
            count(&metrics, Event::PageFaults) / (now.1 - then.1) - 1.0,
        ];
        if off.iter().all(|off| off.abs() < 0.005) {
            return;
        }
        differences.push(off);
    }
    panic!("off by {differences:?}");
}

#[test]
fn of_the_same_time_perf_stat_says_the_same() {
    const EVENTS: [Event; 4] =
        [Event::CpuClock, Event::ContextSwitches, Event::CpuMigrations, Event::PageFaults];
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !Path::new("/usr/bin/perf").exists() {
        return skipped("counters beside perf stat", "there is no /usr/bin/perf (linux-perf)");
    }
    let (mut perf, mut before) = match counting() {
        Ok(counting) => counting,
        Err(error) => return skipped("counters beside perf stat", error),
    };
    let mut differences = Vec::new();
    for _ in 0..3 {
        // perf counts while its command runs, and that ends with its input.
        let mut stat = Command::new("/usr/bin/perf")
            .args(["stat", "-x,", "-a", "-e", &EVENTS.map(Event::name).join(","), "--", "/bin/cat"])
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = stat.stdin.take().unwrap();
        let mut echo = BufReader::new(stat.stdout.take().unwrap());
        input.write_all(b"it counts\n").unwrap();
        echo.read_line(&mut String::new()).unwrap();
        perf.read(&mut before).unwrap();
        noise(Duration::from_secs(3));
        let mut after = PerfReading::default();
        perf.read(&mut after).unwrap();
        drop(input);
        let said = stat.wait_with_output().unwrap();
        let said = String::from_utf8(said.stderr).unwrap();
        let metrics = between(&before, &after);
        let off = EVENTS.map(|event| {
            let line = said.lines().find(|line| line.contains(event.name())).unwrap();
            let theirs: f64 = line.split(',').next().unwrap().parse().unwrap();
            count(&metrics, event) / theirs - 1.0
        });
        if off.iter().all(|off| off.abs() < 0.02) {
            return;
        }
        differences.push(off);
    }
    panic!("off by {differences:?}");
}

/// Counts an event of this thread, on any CPU or one.
fn own(kind: u32, config: u64, cpu: Option<u32>) -> std::io::Result<OwnedFd> {
    let flags = sys::FLAG_DISABLED;
    let read_format = sys::FORMAT_TOTAL_TIME_ENABLED | sys::FORMAT_TOTAL_TIME_RUNNING;
    let attr = Attr { kind, config, flags, read_format, ..Attr::default() };
    sys::open(&attr, Target { pid: Some(0), cpu }, None)
}

/// Value, time enabled, time running.
fn values(counter: &OwnedFd) -> [u64; 3] {
    let mut bytes = [0; 24];
    assert_eq!(rustix::io::read(counter, &mut bytes).unwrap(), 24);
    [0, 8, 16].map(|at| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap()))
}

#[test]
fn so_many_touched_pages_are_so_many_faults() {
    let counter = match own(1, 2, None) {
        Ok(counter) => counter,
        Err(error) => return skipped("touched pages", error),
    };
    disable_transparent_huge_pages(true).unwrap();
    let mut memory = untouched();
    let mut pages = pages(&mut memory);
    let mut touch =
        |count: usize| pages.by_ref().take(count).for_each(|byte| *byte.write(1) = black_box(2));
    // The code has been there once.
    sys::enable(&counter).unwrap();
    touch(1);
    sys::disable(&counter).unwrap();
    sys::reset(&counter).unwrap();
    sys::enable(&counter).unwrap();
    touch(4096);
    sys::disable(&counter).unwrap();
    assert_eq!(values(&counter)[0], 4096);
}

#[test]
fn so_many_system_calls_are_so_many_hits_of_their_tracepoint() {
    let id = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"].iter().find_map(|root| {
        fs::read_to_string(format!("{root}/events/raw_syscalls/sys_enter/id")).ok()
    });
    let Some(id) = id else {
        return skipped(
            "system calls by their tracepoint",
            "tracefs is not mounted, or not for this user",
        );
    };
    let counter = match own(2, id.trim().parse().unwrap(), None) {
        Ok(counter) => counter,
        Err(error) => return skipped("system calls by their tracepoint", error),
    };
    sys::enable(&counter).unwrap();
    for _ in 0..100_000 {
        black_box(rustix::process::getppid());
    }
    sys::disable(&counter).unwrap();
    // The one that disables it is the last.
    assert_eq!(values(&counter)[0], 100_001);
}

#[test]
fn a_counter_that_may_not_always_run_says_for_how_long_it_did() {
    let cpus = sched_getaffinity(None).unwrap();
    let mine: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| cpus.is_set(*cpu)).collect();
    let [first, second, ..] = mine[..] else {
        return skipped("a counter that may not always run", "it takes two CPUs");
    };
    let counter = match own(1, 0, Some(first as u32)) {
        Ok(counter) => counter,
        Err(error) => return skipped("a counter that may not always run", error),
    };
    sys::enable(&counter).unwrap();
    let spin = || {
        let until = Instant::now() + Duration::from_millis(30);
        while Instant::now() < until {
            black_box(values(&counter));
        }
    };
    for cpu in [first, second] {
        pin(cpu);
        spin();
    }
    sched_setaffinity(None, &cpus).unwrap();
    let [clock, enabled, running] = values(&counter);
    assert!(running > 0 && running < enabled, "{clock} {enabled} {running}");
    // It is counted while it runs, and not while it does not.
    assert!(
        clock <= enabled && clock.abs_diff(running) < running / 10,
        "{clock} {enabled} {running}"
    );
}

#[test]
fn reading_counters_allocates_nothing() {
    let (mut perf, mut reading) = match counting() {
        Ok(counting) => counting,
        Err(error) => return skipped("allocations of counters", error),
    };
    for _ in 0..3 {
        perf.read(&mut reading).unwrap();
    }
    let read = || (0..10).for_each(|_| perf.read(&mut reading).unwrap());
    assert_eq!(allocation_counter::measure(read).count_total, 0);
}

#[test]
fn a_recording_has_no_counters() {
    for host in [Host::recorded(&crate::hosts::fixture("vm", "t0")), capturing()] {
        let error = Perf::new(&Arc::new(host)).read(&mut PerfReading::default()).unwrap_err();
        assert_eq!(error.to_string(), "counters are those of a running kernel, and this is none");
    }
}

fn capturing() -> Host {
    let dir = tempfile::tempdir().unwrap();
    Host::new(Roots::default()).capturing(&dir.path().join("t0")).unwrap()
}
