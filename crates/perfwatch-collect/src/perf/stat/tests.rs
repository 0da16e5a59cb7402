//! Programs that pretend to be perf, and perf itself.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "files of a program that pretends to be perf, and skips that are counted"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use perfwatch_metrics::perf::Event;
use rustix::process::{Pid, test_kill_process};

use super::*;
use crate::Roots;
use crate::perf::Total;

const INTERVAL: Duration = Duration::from_millis(500);

/// What a source is given to show what is waited for: long, for a machine that has much else to do.
const DEADLINE: Duration = Duration::from_secs(60);

/// A directory with a program that pretends to be perf. It finds the directory in `$dir`, and writes its number there.
struct Fake {
    dir: tempfile::TempDir,
    source: PerfStat,
}

impl Fake {
    /// None where it would not be trusted.
    fn new(script: &str) -> Option<Self> {
        Self::counting_on("all", script)
    }

    fn counting_on(cpus: &str, script: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a program that pretends to be perf: only root's is run");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let (program, sysfs) = (dir.path().join("perf"), dir.path().join("sys"));
        let shown = dir.path().display();
        fs::write(&program, format!("#!/bin/sh\ndir={shown}\necho $$ >>$dir/pids\n{script}\n"))
            .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir_all(sysfs.join("devices/system/cpu")).unwrap();
        let host = Host::new(Roots { sysfs, ..Roots::default() });
        let fake = Self {
            source: PerfStat::new(&host, INTERVAL, cpus.parse().unwrap()).with_program(&program),
            dir,
        };
        fake.online("0-1");
        Some(fake)
    }

    fn online(&self, cpus: &str) {
        let file = self.dir.path().join("sys/devices/system/cpu/online");
        fs::write(file, format!("{cpus}\n")).unwrap();
    }

    /// Lines of a file that the script writes to.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Reads until this is what was read.
    fn wait<T>(&mut self, mut wanted: impl FnMut(Result<&Totals, String>) -> Option<T>) -> T {
        let (begun, mut totals) = (Instant::now(), Totals::default());
        loop {
            let read = self.source.read(&mut totals).map_err(|error| error.to_string());
            if let Some(found) = wanted(read.as_ref().map(|()| &totals).map_err(String::clone)) {
                return found;
            }
            assert!(begun.elapsed() < DEADLINE, "{read:?} {totals:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn totals(&mut self) -> Totals {
        self.wait(|read| read.ok().filter(|totals| totals.counting).cloned())
    }

    fn trouble(&mut self) -> String {
        self.wait(|read| read.err())
    }

    /// Waits for the end of a process whose number the script wrote down.
    fn gone(&self, pid: &str) {
        let begun = Instant::now();
        let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
        // One that was killed and not reaped would still be there.
        while test_kill_process(pid).is_ok() {
            assert!(begun.elapsed() < DEADLINE, "{pid:?} is still there");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

const ONE_INTERVAL: &str = "
    printf '     1.000000000,2000.50,msec,cpu-clock,2000500000,100.00,2.0,CPUs utilized\\n'
    printf '     1.000000000,700,,cycles,1000250000,50.00,,\\n'
    printf '     1.000000000,30,,instructions,2000500000,100.00,,\\n'
    printf '     1.000000000,<not supported>,,branches,0,100.00,,\\n'
    printf '     1.000000000,<not counted>,,LLC-loads,0,0.00,,\\n'
    printf '     1.000000000,9,,page-faults:u,2000500000,100.00,,\\n'
";

#[test]
fn what_perf_prints_is_what_is_read() {
    let Some(mut fake) = Fake::new(&format!("{ONE_INTERVAL} exec sleep 1000")) else { return };
    let totals = fake.totals();
    assert_eq!(totals.at, Duration::from_secs(1));
    let total = |count, running, group| Total { count, enabled: 2_000_500_000, running, group };
    assert_eq!(totals.event(Event::CpuClock), total(2_000_500_000, 2_000_500_000, 1));
    assert_eq!(totals.event(Event::Cycles), total(700, 1_000_250_000, 5));
    assert_eq!(totals.event(Event::Instructions), total(30, 2_000_500_000, 6));
    assert_eq!(totals.event(Event::LlcLoads), total(0, 0, 11));
    let absent = |event: Event| totals.absent[event as usize].clone();
    assert_eq!(absent(Event::Branches), Some(Absence::NotSupported));
    assert_eq!(absent(Event::PageFaults), Some(Absence::UserOnly));
    assert_eq!(absent(Event::LlcLoads), None, "its turn may come");
    assert_eq!(absent(Event::ContextSwitches), None, "and so may the line of one without any");
}

#[test]
fn intervals_add_up() {
    let script = "
        for i in 1 2 3; do printf '     %d.5,10,,cycles,200,100.00,,\\n' $i; sleep 0.1; done
        exec sleep 1000";
    let Some(mut fake) = Fake::new(script) else { return };
    let totals = fake.wait(|read| read.ok().filter(|totals| totals.at.as_secs() == 3).cloned());
    assert_eq!(totals.at, Duration::from_millis(3500));
    assert_eq!(
        totals.event(Event::Cycles),
        Total { count: 30, enabled: 600, running: 600, group: 5 }
    );
}

#[test]
fn nothing_is_counted_before_the_first_interval() {
    let Some(mut fake) = Fake::new("exec sleep 1000") else { return };
    let mut totals = Totals::default();
    fake.source.read(&mut totals).unwrap();
    assert!(!totals.counting);
}

#[test]
fn perf_gets_fixed_arguments_and_no_environment() {
    let script = "
        printf '%s\\n' \"$@\" >$dir/arguments
        tr '\\0' '\\n' </proc/$$/environ >$dir/environment
        ps -o pid=,pgid= -p $$ >$dir/group
        echo >$dir/done; exec sleep 1000";
    let Some(mut fake) = Fake::counting_on("0-1,7", script) else { return };
    let done = fake.dir.path().join("done");
    fake.wait(|_| done.exists().then_some(()));
    let events = Event::ALL.map(Event::name).join(",");
    let arguments =
        ["stat", "-x,", "--log-fd", "1", "-I", "500", "-C", "0-1", "-e", events.as_str()];
    assert_eq!(fake.lines("arguments"), arguments, "CPU 7 is not online");
    assert_eq!(fake.lines("environment"), ["LC_ALL=C"]);
    let group = fake.lines("group").concat();
    let numbers: Vec<_> = group.split_whitespace().collect();
    assert_eq!(numbers[0], numbers[1], "its own process group");
}

#[test]
fn decimal_commas_are_understood() {
    let script = "
        printf '     1,000000000,2000,50,msec,cpu-clock,2000500000,100,00,2,0,CPUs utilized\\n'
        printf '     1,000000000,700,,cycles,1000250000,50,00,,\\n'
        exec sleep 1000";
    let Some(mut fake) = Fake::new(script) else { return };
    let totals = fake.totals();
    assert_eq!(totals.at, Duration::from_secs(1));
    assert_eq!(totals.event(Event::CpuClock).count, 2_000_500_000);
    assert_eq!(totals.event(Event::Cycles).enabled, 2_000_500_000);
}

#[test]
fn messages_between_counts_change_nothing() {
    let script = "
        printf '     1.0,7' ; printf '     1.0,9999,,cycles,1,100.00,,\\n' >&2
        printf '0,,cycles,200,100.00,,\\n'
        exec sleep 1000";
    let Some(mut fake) = Fake::new(script) else { return };
    assert_eq!(fake.totals().event(Event::Cycles).count, 70);
}

#[test]
fn a_perf_that_dies_is_told_of_and_begun_anew() {
    let script = "
        [ -e $dir/again ] && { printf '     1.0,7,,cycles,200,100.00,,\\n'; exec sleep 1000; }
        echo >$dir/again
        printf '     1.0,5,,cycles,200,100.00,,\\n'
        printf 'Error:\\n\\n  something \\033[31mbroke\\n' >&2
        exit 3";
    let Some(mut fake) = Fake::new(script) else { return };
    let trouble = fake.trouble();
    assert_eq!(trouble, "perf stat ended (exit status: 3): something \\u{1b}[31mbroke");
    let totals = fake.totals();
    assert_eq!(totals.event(Event::Cycles).count, 12, "what was counted before is kept");
    assert_eq!(totals.at, Duration::from_secs(2));
}

#[test]
fn the_pauses_before_perf_is_begun_anew_grow() {
    let begun = Instant::now();
    let Some(mut fake) = Fake::new("exit 1") else { return };
    let pids = fake.dir.path().join("pids");
    fake.wait(|_| {
        let starts = fs::read_to_string(&pids).unwrap_or_default().lines().count();
        (starts == 3).then_some(())
    });
    assert!(begun.elapsed() >= keeper::SHORTEST_PAUSE * 3, "one pause, and one twice as long");
}

#[test]
fn a_perf_that_hangs_is_told_of_and_killed() {
    let Some(mut fake) = Fake::new("sleep 1000 & echo $! >$dir/child; wait") else { return };
    assert_eq!(fake.trouble(), "perf stat has printed no count for 5.0 s");
    fake.gone(&fake.lines("pids")[0]);
    fake.gone(&fake.lines("child")[0]);
    let pids = fake.dir.path().join("pids");
    fake.wait(|_| (fs::read_to_string(&pids).unwrap().lines().count() > 1).then_some(()));
}

#[test]
fn a_perf_that_hangs_later_is_told_of_as_well() {
    let Some(mut fake) = Fake::new(&format!("{ONE_INTERVAL} exec sleep 1000")) else { return };
    fake.totals();
    assert_eq!(fake.trouble(), "perf stat has printed no count for 1.5 s");
}

#[test]
fn a_flood_is_cut_and_its_maker_killed() {
    for to in ["", ">&2"] {
        let Some(mut fake) = Fake::new(&format!("yes '     1.0,5,,cycles,200,100.00,,' {to}"))
        else {
            return;
        };
        assert_eq!(fake.trouble(), "perf stat printed more than 65536 bytes in one interval");
        fake.gone(&fake.lines("pids")[0]);
    }
}

#[test]
fn a_missing_permission_is_denied() {
    let script = "
        printf 'Error:\\nAccess to performance monitoring is limited.\\n' >&2
        printf 'Consider adjusting /proc/sys/kernel/perf_event_paranoid\\n' >&2
        exit 255";
    let Some(mut fake) = Fake::new(script) else { return };
    fake.trouble();
    let error = fake.source.read(&mut Totals::default()).unwrap_err();
    assert_eq!(error.to_string(), "perf stat ended: Access to performance monitoring is limited.");
    assert_eq!(error.state(), State::Denied);
    assert!(error.fix().unwrap().contains("CAP_PERFMON"));
}

#[test]
fn no_perf_outlives_its_source() {
    let script = "trap '' TERM INT HUP; sleep 1000 & echo $! >$dir/child; wait";
    let Some(mut fake) = Fake::new(script) else { return };
    let child = fake.dir.path().join("child");
    fake.wait(|_| child.exists().then_some(()));
    let pids = [fake.lines("pids"), fake.lines("child")].concat();
    let elsewhere = PerfStat::new(&Host::new(Roots::default()), INTERVAL, Cpus::All);
    drop(std::mem::replace(&mut fake.source, elsewhere));
    pids.iter().for_each(|pid| fake.gone(pid));
}

#[test]
fn a_cpu_that_comes_is_counted_on() {
    let script = format!("echo \"$@\" >>$dir/arguments; {ONE_INTERVAL} exec sleep 1000");
    let Some(mut fake) = Fake::counting_on("0-3", &script) else { return };
    fake.totals();
    fake.online("0-2");
    let totals = fake.wait(|read| read.ok().filter(|totals| totals.at.as_secs() == 2).cloned());
    assert_eq!(totals.event(Event::Cycles).count, 1400, "it goes on from what was counted");
    let cpus: Vec<_> =
        fake.lines("arguments").iter().map(|line| line.contains("-C 0-2 ")).collect();
    assert_eq!(cpus, [false, true]);
    fake.gone(&fake.lines("pids")[0]);
    fake.online("4-7");
    assert_eq!(fake.trouble(), "no CPU of 0-3 is online");
}

#[test]
fn what_is_not_there_is_not_run() {
    let missing = Path::new("/nowhere/perf");
    let host = Host::new(Roots::default());
    let mut source = PerfStat::new(&host, INTERVAL, Cpus::All).with_program(missing);
    let begun = Instant::now();
    let error = loop {
        match source.read(&mut Totals::default()) {
            Err(error) => break error.to_string(),
            Ok(()) => assert!(begun.elapsed() < DEADLINE),
        }
    };
    assert_eq!(error, "starting /nowhere/perf: No such file or directory (os error 2)");
}

#[test]
fn perf_itself_is_understood() {
    let host = Host::new(Roots::default());
    let mut source = PerfStat::new(&host, INTERVAL, Cpus::All);
    let (begun, mut totals) = (Instant::now(), Totals::default());
    while !totals.counting {
        if let Err(error) = source.read(&mut totals) {
            return eprintln!("SKIPPED: perf itself: {error}");
        }
        assert!(begun.elapsed() < DEADLINE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let clock = totals.event(Event::CpuClock);
    assert!(totals.at >= INTERVAL && clock.running == clock.enabled, "{totals:?}");
    // A CPU's clock runs as fast as any: there are as many as CPUs counted on.
    assert!(clock.count as f64 >= 0.9 * totals.at.as_nanos() as f64, "{totals:?}");
    assert!(totals.event(Event::ContextSwitches).count > 0, "{totals:?}");
}
