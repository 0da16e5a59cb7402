//! Counters by a scripted kernel: every refusal and every fault, and what is reported then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use perfwatch_collect::collector::{Collector, Report};
use perfwatch_collect::perf::Perf;
use perfwatch_collect::perf::collector::PerfReading;
use perfwatch_collect::perf::cpus::Cpus;
use perfwatch_collect::perf::kernel::Pmu;
use perfwatch_collect::perf::native::Native;
use perfwatch_metrics::State;
use perfwatch_metrics::perf::{Amount, Event, PerfEvents};
use rustix::io::Errno;

use crate::fake_kernel::{Fake, per_ms};

/// Time between two ticks.
const TICK_MS: u64 = 5000;

/// Ticks of a collector on a scripted kernel.
struct Ticks {
    fake: Fake,
    perf: Perf,
    before: Option<PerfReading>,
}

impl Ticks {
    fn on(fake: &Fake) -> Self {
        Self::of(fake, Cpus::All)
    }

    fn of(fake: &Fake, cpus: Cpus) -> Self {
        let perf = Perf::of(Native::new(Arc::new(fake.clone()), cpus));
        Self { fake: fake.clone(), perf, before: None }
    }

    /// One more, so long after the one before.
    fn after(&mut self, ms: u64) -> Report<PerfEvents> {
        self.fake.pass(ms);
        let mut now = PerfReading::default();
        self.perf.read(&mut now).unwrap();
        let before = self.before.as_ref().map(|before| (before, Duration::from_millis(ms)));
        let report = Perf::derive(before, &now);
        self.before = Some(now);
        report
    }

    fn next(&mut self) -> PerfEvents {
        self.after(TICK_MS).metrics
    }

    fn nth(&mut self, count: usize) -> PerfEvents {
        (0..count).map(|_| self.next()).last().unwrap()
    }
}

fn count(metrics: &PerfEvents, event: Event) -> Option<u64> {
    match metrics.events.iter().find(|(one, _)| *one == event)?.1.value? {
        Amount::Count(count) => Some(count),
        Amount::Milliseconds(ms) => Some((ms * 1e6).round() as u64),
    }
}

/// What happens on so many CPUs between two ticks.
fn truth(event: Event, cpus: u64) -> u64 {
    per_ms(event) * TICK_MS * cpus
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name()).collect()
}

/// All that can be counted is, exactly.
fn all_but(metrics: &PerfEvents, cpus: u64, missing: &[Event]) {
    for event in Event::ALL {
        let expected = (!missing.contains(&event)).then(|| truth(event, cpus));
        assert_eq!(count(metrics, event), expected, "{}", event.name());
    }
}

#[test]
fn all_events_of_all_cpus_are_counted_exactly() {
    let fake = Fake::new(4);
    let mut ticks = Ticks::on(&fake);
    let first = ticks.next();
    assert_eq!(first.overview.status, "warming_up");
    assert!(first.events.len() == 17 && count(&first, Event::Cycles).is_none());
    let second = ticks.next();
    all_but(&second, 4, &[]);
    assert!(second.overview.available && second.overview.error.is_none());
    assert_eq!((&*second.overview.status, second.overview.interval_ms), ("full", Some(5000.0)));
    assert!(second.running_pct.iter().all(|(_, running)| running.running_pct == 100.0));
    let derived = second.derived.unwrap();
    assert_eq!(derived.ipc, Some(1.2));
    assert_eq!(derived.branch_miss_percent, Some(114.286));
    assert_eq!(derived.l1d_mpki, Some(1666.667));
    assert_eq!(derived.context_switches_per_sec, Some(8_000_000.0));
    drop(ticks);
    assert_eq!(fake.script().open, 0, "everything is closed");
}

#[test]
fn an_event_that_is_not_there_is_named_and_costs_no_other() {
    let fake = Fake::new(2);
    let missing = [Event::LlcLoads, Event::LlcLoadMisses];
    fake.script().refuse =
        Box::new(move |event, _, _| missing.contains(&event).then_some(Errno::NOENT));
    let mut ticks = Ticks::on(&fake);
    ticks.next();
    let Report { metrics, problems, .. } = ticks.after(TICK_MS);
    all_but(&metrics, 2, &missing);
    let overview = &metrics.overview;
    assert_eq!((overview.available, &*overview.status), (false, "partial"));
    let error = "2 of 17 events unsupported by this CPU or kernel: LLC-loads, LLC-load-misses";
    assert_eq!(overview.error.as_deref(), Some(error));
    assert_eq!(overview.unsupported_events, names(&missing));
    let parts: Vec<_> = problems.iter().map(|problem| (&*problem.part, problem.state)).collect();
    assert_eq!(parts, [("LLC-loads", State::Unavailable), ("LLC-load-misses", State::Unavailable)]);
    let derived = metrics.derived.unwrap();
    assert!(derived.llc_mpki.is_none() && derived.dtlb_mpki.is_some());
}

#[test]
fn who_may_not_count_is_told_and_asked_again_later() {
    for (errno, state, says) in [
        (Errno::ACCESS, State::Denied, "(EACCES); kernel.perf_event_paranoid is 2"),
        (Errno::NOSYS, State::Failed, "ENOSYS"),
    ] {
        let fake = Fake::new(2);
        fake.script().refuse = Box::new(move |_, _, _| Some(errno));
        let mut ticks = Ticks::on(&fake);
        let mut reading = PerfReading::default();
        for _ in 0..3 {
            let error = ticks.perf.read(&mut reading).unwrap_err();
            assert_eq!(error.state(), state);
            assert!(error.to_string().contains(says) && error.fix().is_some(), "{error}");
        }
        assert_eq!(fake.script().opens, 17, "it is not tried at every tick");
        fake.script().refuse = Box::new(|_, _, _| None);
        fake.pass(60_000);
        assert!(ticks.perf.read(&mut reading).is_err());
        ticks.nth(2);
        all_but(&ticks.next(), 2, &[]);
    }
}

#[test]
fn a_group_that_is_too_large_is_split() {
    for most in 1..4 {
        let fake = Fake::new(2);
        let hardware = move |event: Event, place| !event.is_software() && place >= most;
        fake.script().refuse =
            Box::new(move |event, _, place| hardware(event, place).then_some(Errno::INVAL));
        let mut ticks = Ticks::on(&fake);
        let metrics = ticks.nth(2);
        all_but(&metrics, 2, &[]);
        assert_eq!(metrics.overview.status, "full");
        // Everything ran all the time, so that everything can be put in relation, split or not.
        assert_eq!(metrics.derived.unwrap().ipc, Some(1.2));
    }
}

#[test]
fn ratios_are_of_one_group_or_none() {
    let fake = Fake::new(2);
    // Three counters, which groups have in turn.
    fake.script().refuse =
        Box::new(|event, _, place| (!event.is_software() && place >= 3).then_some(Errno::INVAL));
    fake.script().share = |_| 250;
    let metrics = Ticks::on(&fake).nth(2);
    all_but(&metrics, 2, &[]);
    assert!(metrics.running_pct.iter().any(|(_, running)| running.running_pct == 25.0));
    let derived = metrics.derived.unwrap();
    // cycles, instructions and branches stand together; branch-misses was split off.
    assert_eq!((derived.ipc, derived.branch_miss_percent), (Some(1.2), None));
    assert_eq!(derived.l1d_mpki, Some(1666.667), "it has instructions of its own");
}

#[test]
fn a_count_of_a_part_of_the_time_is_scaled_and_what_ran_for_too_little_is_put_in_relation_with_nothing()
 {
    for (share, ipc) in [(500, Some(1.2)), (50, Some(1.2)), (40, None)] {
        let fake = Fake::new(3);
        fake.script().share = match share {
            500 => |_| 500,
            50 => |_| 50,
            _ => |_| 40,
        };
        let metrics = Ticks::on(&fake).nth(2);
        all_but(&metrics, 3, &[]);
        let running: BTreeMap<_, _> =
            metrics.running_pct.iter().map(|(event, one)| (*event, one.running_pct)).collect();
        assert_eq!(running[&Event::Cycles], share as f64 / 10.0);
        assert_eq!(running[&Event::PageFaults], 100.0);
        assert_eq!(metrics.derived.unwrap().ipc, ipc);
    }
}

#[test]
fn a_group_that_never_runs_is_missing_then_split() {
    let fake = Fake::new(2);
    // Another has all counters but one.
    fake.script().share = |members| if members > 1 { 0 } else { 1000 };
    let mut ticks = Ticks::on(&fake);
    ticks.next();
    let report = ticks.after(TICK_MS);
    let overview = &report.metrics.overview;
    assert_eq!((overview.available, &*overview.status), (false, "partial"));
    assert!(overview.missing_events.contains(&"cycles".to_owned()));
    assert!(overview.unsupported_events.is_empty());
    assert_eq!(count(&report.metrics, Event::Cycles), None, "not 0");
    assert!(
        report
            .problems
            .iter()
            .any(|problem| problem.part == "cycles" && problem.reason.contains("was free"))
    );
    let metrics = ticks.nth(15);
    all_but(&metrics, 2, &[]);
}

#[test]
fn too_few_files_cost_whole_groups() {
    let fake = Fake::new(4);
    // The kernel's own events and the first group of the CPU's.
    fake.script().files = 34;
    let mut ticks = Ticks::on(&fake);
    ticks.next();
    let Report { metrics, problems, .. } = ticks.after(TICK_MS);
    let missing: Vec<_> = Event::ALL.into_iter().skip(8).collect();
    all_but(&metrics, 4, &missing);
    assert_eq!(metrics.overview.missing_events, names(&missing));
    assert!(problems.iter().all(|problem| problem.state == State::Failed));
    assert!(
        problems[0].reason.contains("EMFILE")
            && problems[0].fix.as_ref().unwrap().contains("LimitNOFILE")
    );
    assert_eq!(fake.script().open, 32, "a group that is not whole is closed");
    fake.script().files = usize::MAX;
    ticks.nth(14);
    all_but(&ticks.next(), 4, &[]);
}

#[test]
fn a_cpu_that_was_away_between_two_ticks_counts_again() {
    let fake = Fake::new(3);
    let mut ticks = Ticks::on(&fake);
    ticks.nth(2);
    fake.set_online([0, 1]);
    fake.set_online([0, 1, 2]);
    // Its counters are frozen, and say so by the time that they were enabled.
    let metrics = ticks.next();
    all_but(&metrics, 2, &[]);
    assert!(
        metrics.running_pct.iter().all(|(_, running)| running.running_pct < 67.0),
        "it is told"
    );
    all_but(&ticks.nth(1), 3, &[]);
}

#[test]
fn cpus_come_and_go_and_nothing_is_lost() {
    let fake = Fake::new(2);
    let mut ticks = Ticks::on(&fake);
    ticks.nth(2);
    // CPU 1 goes in the middle of an interval, and what it counted until then is counted.
    fake.pass(2000);
    fake.set_online([0]);
    let metrics = ticks.after(3000).metrics;
    assert_eq!(count(&metrics, Event::Cycles), Some(per_ms(Event::Cycles) * 7000));
    all_but(&ticks.next(), 1, &[]);
    // CPUs 1 and 5 come, and count from when they are seen.
    fake.set_online([0, 1, 5]);
    all_but(&ticks.next(), 1, &[]);
    all_but(&ticks.next(), 3, &[]);
    assert_eq!(fake.script().open, 3 * 21);
}

#[test]
fn a_cpu_that_cannot_be_counted_on_is_named() {
    let fake = Fake::new(2);
    let mut ticks = Ticks::on(&fake);
    ticks.nth(2);
    fake.script().refuse = Box::new(|_, cpu, _| (cpu == 7).then_some(Errno::MFILE));
    fake.set_online([0, 1, 7]);
    ticks.nth(2);
    let opens = fake.script().opens;
    let Report { metrics, problems, .. } = ticks.after(TICK_MS);
    all_but(&metrics, 2, &[]);
    assert_eq!((problems.len(), &*problems[0].part), (1, "cpu7"));
    assert!(problems[0].reason.contains("EMFILE"));
    assert_eq!(fake.script().opens, opens, "it is not tried at every tick");
}

#[test]
fn a_counter_that_goes_backwards_is_no_spike() {
    let fake = Fake::new(2);
    let mut ticks = Ticks::on(&fake);
    ticks.nth(2);
    let now = Duration::as_nanos(&perfwatch_collect::perf::kernel::Kernel::now(&fake)) as u64;
    fake.script().counted_from = now;
    // Time goes on and values start anew, so that they only seem to have fallen.
    let metrics = ticks.after(1000).metrics;
    assert_eq!(count(&metrics, Event::Cycles), None);
    assert!(!metrics.overview.available);
    all_but(&ticks.next(), 2, &[]);
}

#[test]
fn a_list_of_cpus_is_kept_to() {
    let fake = Fake::new(8);
    let mut ticks = Ticks::of(&fake, "1-2,6,9".parse().unwrap());
    all_but(&ticks.nth(2), 3, &[]);
    let nowhere = Ticks::of(&fake, "64".parse().unwrap()).perf.read(&mut PerfReading::default());
    let error = nowhere.unwrap_err();
    assert_eq!((error.state(), error.to_string().contains("64")), (State::Unavailable, true));
}

#[test]
fn cores_of_two_kinds_are_summed_and_what_one_lacks_is_not() {
    let fake = Fake::new(6);
    let pmu = |name: &str, kind, cpus: &str| Pmu {
        name: name.into(),
        kind: Some(kind),
        cpus: cpus.parse().unwrap(),
    };
    fake.script().pmus = vec![pmu("cpu_core", 4, "0-3"), pmu("cpu_atom", 10, "4-5")];
    let lacks = |event, cpu| match event {
        Event::L1IcacheLoads => cpu < 4,
        Event::L1DcacheLoadMisses => cpu >= 4,
        event => event == Event::ItlbLoads,
    };
    fake.script().refuse = Box::new(move |event, cpu, _| lacks(event, cpu).then_some(Errno::NOENT));
    let mut ticks = Ticks::on(&fake);
    ticks.next();
    let Report { metrics, problems, .. } = ticks.after(TICK_MS);
    let missing = [Event::L1DcacheLoadMisses, Event::L1IcacheLoads, Event::ItlbLoads];
    all_but(&metrics, 6, &missing);
    let reasons: Vec<_> = problems.iter().map(|problem| &*problem.reason).collect();
    assert!(reasons[0].contains("cpu_atom") && reasons[1].contains("cpu_core"), "{reasons:?}");
    assert!(reasons[2].contains("no such event (ENOENT)"), "{reasons:?}");
}

#[test]
fn opening_does_not_hold_up_a_sample() {
    let fake = Fake::new(2);
    fake.script().deferred = Some(Vec::new());
    let mut ticks = Ticks::on(&fake);
    let metrics = ticks.nth(3);
    assert_eq!((&*metrics.overview.status, metrics.events.len()), ("warming_up", 17));
    assert_eq!(metrics.overview.error.as_deref(), Some("counters are being opened"));
    assert!(metrics.overview.unsupported_events.is_empty());
    fake.work_off();
    assert_eq!(
        ticks.next().overview.error.as_deref(),
        Some("no interval has ended since the last sample")
    );
    all_but(&ticks.next(), 2, &[]);
    // Dropped while the background is at work: what that opens is closed.
    fake.set_online([0, 1, 2]);
    ticks.next();
    drop(ticks);
    while !fake.script().deferred.as_ref().unwrap().is_empty() {
        fake.work_off();
    }
    assert_eq!(fake.script().open, 0);
}

#[test]
fn work_grows_with_the_cpus_and_nothing_else() {
    let work = |cpus: u32| {
        let fake = Fake::new(cpus);
        let mut ticks = Ticks::on(&fake);
        all_but(&ticks.nth(2), cpus.into(), &[]);
        let opens = fake.script().opens;
        let reads = fake.script().reads;
        all_but(&ticks.nth(50), cpus.into(), &[]);
        assert_eq!(fake.script().opens, opens, "nothing is opened in the steady state");
        let script = fake.script();
        (script.open, opens - 17, (script.reads - reads) / 50)
    };
    let one = work(1);
    assert_eq!(one, (21, 21, 7));
    assert_eq!(work(256), (21 * 256, 21 * 256, 7 * 256));
}
