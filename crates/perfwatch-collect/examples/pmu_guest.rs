//! What runs in a virtual machine whose PMU is real enough to be counted by: its init, and all there is in it.
//!
//! It drives the native source through what a PMU brings about, makes threads wait (`waits`), and prints a line `RESULT name JSON` for each; `tests/it/pmu.rs`
//! boots it and says what they must be. The machine's CPUs run an instruction in 2 ns of its own time, at 1 GHz.

#![allow(clippy::unwrap_used, reason = "a guest that fails ends with a message on its console")]
#![allow(clippy::disallowed_methods, reason = "the guest is the host's other end")]

#[path = "pmu_guest/waits.rs"]
mod waits;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use perfwatch_collect::error::Error;
use perfwatch_collect::host::KernelFile;
use perfwatch_collect::perf::kernel::{Kernel, Live, Pmu};
use perfwatch_collect::perf::layout;
use perfwatch_collect::perf::native::Native;
use perfwatch_collect::perf::sys::{self, Attr, FORMAT_GROUP, Target};
use perfwatch_collect::perf::{Cpus, Source, Totals};
use perfwatch_collect::{Host, Roots};
use perfwatch_metrics::perf::Event;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};

/// The machine's CPUs.
const CPUS: usize = 2;

/// Between two readings, and for as long as something is tried again.
const TICK: Duration = Duration::from_millis(20);
const TICKS: usize = 50;

/// Events of Arm's PMUs: cycles, and instructions retired. The counter for cycles alone cannot count the latter.
const RAW_CYCLES: u64 = 0x11;
const RAW_INSTRUCTIONS: u64 = 0x08;

/// Counters of the machine's PMU beside the one for cycles.
const PROGRAMMABLE: usize = 6;

/// Keeps its counter on the PMU at all times: `pinned` of linux/perf_event.h.
const FLAG_PINNED: u64 = 1 << 2;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["unprivileged"] => return unprivileged(),
        ["burn", ms] => return waits::burn(ms),
        _ => {}
    }
    mount("proc", "/proc", "proc", MountFlags::empty(), None).unwrap();
    mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None).unwrap();
    let mut source = native();
    wait(&mut source);
    result("alone", &measure(&mut source, Duration::from_millis(500)));
    turns(&mut source);
    starved(&mut source);
    hotplug(&mut source);
    oversize();
    paranoid();
    drop(source);
    waits::run(result);
    result("end", &Value::Null);
    reboot(RebootCommand::PowerOff).unwrap();
}

fn result(name: &str, value: &Value) {
    println!("RESULT {name} {value}");
}

fn live() -> Live {
    Live::of(&Arc::new(Host::new(Roots::default()))).unwrap()
}

fn native() -> Native<Live> {
    Native::new(Arc::new(live()), Cpus::All)
}

/// Ticks until it counts.
fn wait(source: &mut impl Source) -> Totals {
    let mut totals = Totals::default();
    for _ in 0..TICKS {
        source.read(&mut totals).unwrap();
        if totals.counting {
            break;
        }
        thread::sleep(TICK);
    }
    totals
}

/// What it counts while all CPUs are busy.
fn measure(source: &mut impl Source, time: Duration) -> Value {
    let (mut before, mut after) = (Totals::default(), Totals::default());
    source.read(&mut before).unwrap();
    let began = Instant::now();
    spin(time);
    source.read(&mut after).unwrap();
    let elapsed_ns = began.elapsed().as_nanos() as u64;
    let event = |event: Event| {
        let (before, after) = (before.event(event), after.event(event));
        json!({
            "count": after.count - before.count,
            "enabled": after.enabled - before.enabled,
            "running": after.running - before.running,
            "group": after.group,
        })
    };
    let absent = Event::ALL.into_iter().filter(|event| after.absent[*event as usize].is_some());
    json!({
        "elapsed_ns": elapsed_ns,
        "cpu-clock": event(Event::CpuClock),
        "cycles": event(Event::Cycles),
        "instructions": event(Event::Instructions),
        "absent": absent.map(Event::name).collect::<Vec<_>>(),
    })
}

/// Keeps every CPU that is online busy.
fn spin(time: Duration) {
    let until = Instant::now() + time;
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            scope.spawn(move || {
                let mut set = CpuSet::new();
                set.set(cpu);
                // Refused while that CPU is offline.
                if sched_setaffinity(None, &set).is_ok() {
                    while Instant::now() < until {}
                }
            });
        }
    });
}

/// A counter of whatever runs on a CPU, as somebody else's.
fn other(cpu: usize, config: u64, flags: u64) -> OwnedFd {
    let raw = Attr { kind: 4, config, flags, ..Attr::default() };
    sys::open(&raw, Target { pid: None, cpu: Some(cpu as u32) }, None).unwrap()
}

/// Others have twice as many counters open as there are.
fn turns(source: &mut impl Source) {
    let others: Vec<_> = (0..CPUS)
        .flat_map(|cpu| (0..PROGRAMMABLE).map(move |_| cpu))
        .flat_map(|cpu| [RAW_CYCLES, RAW_INSTRUCTIONS].map(|config| other(cpu, config, 0)))
        .collect();
    result("turns", &measure(source, Duration::from_secs(1)));
    drop(others);
}

/// Others hold every counter but the one for cycles, for as long as they like.
fn starved(source: &mut impl Source) {
    let others: Vec<_> = (0..CPUS)
        .flat_map(|cpu| (0..PROGRAMMABLE).map(move |_| other(cpu, RAW_INSTRUCTIONS, FLAG_PINNED)))
        .collect();
    let together = measure(source, TICK);
    let mut totals = Totals::default();
    for _ in 0..TICKS {
        source.read(&mut totals).unwrap();
        if totals.event(Event::Cycles).group != totals.event(Event::Instructions).group {
            break;
        }
        thread::sleep(TICK);
    }
    let apart = measure(source, Duration::from_millis(200));
    drop(others);
    result("starved", &json!({ "together": together, "apart": apart }));
}

/// A CPU goes and comes back, once seen by a reading between, once not.
fn hotplug(source: &mut impl Source) {
    let second = |online: &str| fs::write("/sys/devices/system/cpu/cpu1/online", online).unwrap();
    let mut totals = Totals::default();
    let mut settle = |source: &mut dyn Source| {
        for _ in 0..5 {
            source.read(&mut totals).unwrap();
            thread::sleep(TICK);
        }
    };
    second("0");
    settle(source);
    let gone = measure(source, Duration::from_millis(100));
    second("1");
    settle(source);
    let back = measure(source, Duration::from_millis(100));
    second("0");
    second("1");
    settle(source);
    let unseen = measure(source, Duration::from_millis(100));
    result("hotplug", &json!({ "gone": gone, "back": back, "unseen": unseen }));
}

/// Groups that have more members than the PMU has counters.
fn oversize() {
    let mut source = Native::new(Arc::new(Crowded(live())), Cpus::All);
    wait(&mut source);
    result("oversize", &measure(&mut source, Duration::from_millis(500)));
}

/// A kernel whose groups of hardware events come with members of somebody else's, as many as the PMU takes.
#[derive(Debug)]
struct Crowded(Live);

/// A counter, and what was put into its group before any other.
#[derive(Debug)]
struct Leading(OwnedFd, Vec<OwnedFd>);

impl Kernel for Crowded {
    type Counter = Leading;

    fn open(&self, attr: &Attr, cpu: u32, leader: Option<&Leading>) -> io::Result<Leading> {
        const SOFTWARE: u32 = 1;
        let counter = self.0.open(attr, cpu, leader.map(|leader| &leader.0))?;
        // Cycles have a counter of their own. Arm's kernel does not count a leader that is not enabled yet, and would take
        // one too many, which could never run.
        let crowd = match leader {
            None if attr.kind == SOFTWARE => 0,
            None if *attr == layout::attr(Event::Cycles, None, true) => PROGRAMMABLE,
            None => PROGRAMMABLE - 1,
            Some(_) => 0,
        };
        let raw = Attr {
            kind: 4,
            config: RAW_INSTRUCTIONS,
            read_format: FORMAT_GROUP,
            ..Attr::default()
        };
        let target = Target { pid: None, cpu: Some(cpu) };
        let others = (0..crowd).map_while(|_| sys::open(&raw, target, Some(counter.as_fd())).ok());
        let others = others.collect();
        Ok(Leading(counter, others))
    }

    fn enable(&self, leader: &Leading) -> io::Result<()> {
        self.0.enable(&leader.0)
    }

    fn read(&self, leader: &Leading, into: &mut [u8]) -> io::Result<usize> {
        let mut whole = [0; 128];
        let length = self.0.read(&leader.0, &mut whole)?;
        // How many, two times and the leader's own value; then those of the others, which nobody asked for.
        let (head, others) = (4 * 8, leader.1.len() * 8);
        let members = u64::from_ne_bytes(whole[..8].try_into().unwrap()) - leader.1.len() as u64;
        let members = members.to_ne_bytes();
        let kept = [&members, &whole[8..head], &whole[head + others..length]].concat();
        into[..kept.len()].copy_from_slice(&kept);
        Ok(kept.len())
    }

    fn online(&self, show: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        self.0.online(show)
    }

    fn pmus(&self) -> Vec<Pmu> {
        self.0.pmus()
    }

    fn has_pmu(&self) -> bool {
        self.0.has_pmu()
    }

    fn paranoid(&self) -> Option<i32> {
        self.0.paranoid()
    }

    fn stat(&self) -> Option<KernelFile> {
        self.0.stat()
    }

    fn now(&self) -> Duration {
        self.0.now()
    }

    fn make_room(&self, files: usize) {
        self.0.make_room(files);
    }

    fn in_background(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        self.0.in_background(job)
    }
}

/// Somebody without any capability tries to count, at each level.
fn paranoid() {
    const NOBODY: u32 = 65534;
    for level in -1..=3 {
        fs::write("/proc/sys/kernel/perf_event_paranoid", level.to_string()).unwrap();
        let status = Command::new("/proc/self/exe").arg("unprivileged").uid(NOBODY).status();
        assert!(status.unwrap().success());
    }
}

fn unprivileged() {
    let (mut source, mut totals) = (native(), Totals::default());
    for _ in 0..TICKS {
        match source.read(&mut totals) {
            Err(error) => {
                let state = error.state().word();
                return result("paranoid", &json!({ "state": state, "error": error.to_string() }));
            }
            Ok(()) if totals.counting => return result("paranoid", &measure(&mut source, TICK)),
            Ok(()) => thread::sleep(TICK),
        }
    }
    result("paranoid", &Value::Null);
}
