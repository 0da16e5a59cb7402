//! What the collectors say of threads that wait for a CPU, and of a group that is held back, on a kernel that tells all of it.

use std::fs;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use perfwatch_collect::cgroups::Cgroups;
use perfwatch_collect::collector::{Collector, Tracker};
use perfwatch_collect::pressure::Pressure;
use perfwatch_collect::scheduler::Scheduler;
use perfwatch_collect::{Host, Roots};
use rustix::mount::{MountFlags, mount};
use serde::Serialize;
use serde_json::{Value, json};

/// For about so long all CPUs are kept busy.
const BUSY: Duration = Duration::from_millis(500);

/// For so long a fifth of one is. The rest of it is sleep, for which nobody waits.
const HELD_BACK: Duration = Duration::from_secs(2);

/// Two threads for each CPU, and one that may have a fifth of it.
pub fn run(result: impl Fn(&str, &Value)) {
    let host = Arc::new(Host::new(Roots::default()));
    result("waiting", &waiting(&host));
    result("held-back", &held_back(&host));
    result("cpus-come-and-go", &hotplug(&host));
}

/// What a child is to do, for so many milliseconds.
pub fn burn(ms: &str) {
    let until = Instant::now() + Duration::from_millis(ms.parse().unwrap());
    while Instant::now() < until {}
}

fn report<C: Collector<Metrics: Serialize>>(tracker: &mut Tracker<C>) -> Value {
    let report = tracker.collect().unwrap().report;
    let problems: Vec<_> = report.problems.iter().map(|problem| &problem.reason).collect();
    json!({ "metrics": report.metrics, "problems": problems })
}

fn child(busy: Duration) -> Child {
    let ms = busy.as_millis().to_string();
    Command::new("/proc/self/exe").args(["burn", &ms]).spawn().unwrap()
}

fn waiting(host: &Arc<Host>) -> Value {
    let version = fs::read_to_string("/proc/schedstat").unwrap();
    let mut scheduler = Tracker::<Scheduler>::new(host);
    let mut pressure = Tracker::<Pressure>::new(host);
    let done = AtomicBool::new(false);
    let (scheduler, pressure) = thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| while !done.load(Ordering::Relaxed) {});
        }
        // Until they are all at it.
        thread::sleep(BUSY / 5);
        report(&mut scheduler);
        report(&mut pressure);
        thread::sleep(BUSY);
        let reports = (report(&mut scheduler), report(&mut pressure));
        done.store(true, Ordering::Relaxed);
        reports
    });
    json!({ "version": version.lines().next(), "scheduler": scheduler, "pressure": pressure })
}

fn held_back(host: &Arc<Host>) -> Value {
    mount("cgroup2", "/sys/fs/cgroup", "cgroup2", MountFlags::empty(), None).unwrap();
    fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+cpu").unwrap();
    let mut groups = Tracker::<Cgroups>::new(host);
    let none = report(&mut groups);
    fs::create_dir("/sys/fs/cgroup/batch").unwrap();
    fs::write("/sys/fs/cgroup/batch/cpu.max", "20000 100000").unwrap();
    let mut child = child(HELD_BACK);
    fs::write("/sys/fs/cgroup/batch/cgroup.procs", child.id().to_string()).unwrap();
    let first = report(&mut groups);
    thread::sleep(HELD_BACK * 9 / 10);
    let later = report(&mut groups);
    assert!(child.wait().unwrap().success());
    // The kernel removes its last traces in its own time.
    while fs::remove_dir("/sys/fs/cgroup/batch").is_err() {
        thread::sleep(BUSY / 50);
    }
    json!({ "none": none, "first": first, "later": later, "gone": report(&mut groups) })
}

fn hotplug(host: &Arc<Host>) -> Value {
    let second = |online: &str| fs::write("/sys/devices/system/cpu/cpu1/online", online).unwrap();
    let mut scheduler = Tracker::<Scheduler>::new(host);
    let mut reports = vec![report(&mut scheduler)];
    for online in ["1", "0", "0", "1", "1"] {
        second(online);
        thread::sleep(BUSY / 10);
        reports.push(report(&mut scheduler));
    }
    Value::Array(reports)
}
