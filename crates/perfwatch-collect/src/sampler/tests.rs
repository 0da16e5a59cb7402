//! What becomes of collectors that panic, are late, disabled, or cost too much.

use perfwatch_metrics::memory::MemoryMetrics;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::*;
use crate::collector::Report;
use crate::cost::thread_cpu_time;

fn tick(number: u64) -> Tick {
    let (interval, lateness) = (Duration::from_millis(500), Duration::ZERO);
    Tick { number, interval, lateness, options: Arc::default() }
}

fn sampler() -> Sampler {
    Sampler::new(&Arc::new(Host::recorded("no such host".as_ref())))
}

/// Samples once for each tick.
fn run(sampler: Sampler, ticks: u64) -> Vec<Snapshot> {
    let mut numbers = 0..ticks;
    let (published, snapshots) = mpsc::channel();
    let pace = move || numbers.next().map(tick);
    let publish = move |snapshot| match published.send(snapshot) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    duty::start(Sampling { sampler, pace, publish }).unwrap();
    snapshots.iter().collect()
}

fn memory() -> Report<MemoryMetrics> {
    Memory::derive(None, &<Memory as Collector>::Reading::default())
}

#[test]
fn a_collector_that_panics_costs_its_section() {
    let mut sampler = sampler();
    let mut runs = 0;
    sampler.collectors.memory = Some(Slow::new(move || {
        runs += 1;
        assert!(runs != 1, "no such luck");
        Ok(Collected { report: memory(), elapsed: None })
    }));
    let snapshots = run(sampler, 2);
    let (first, second) = (&snapshots[0], &snapshots[1]);
    assert!(first.memory.is_none());
    assert_eq!(first.status.memory.state, State::Failed);
    assert_eq!(first.status.memory.reason.as_deref(), Some("the collector panicked: no such luck"));
    assert!(second.memory.is_some(), "retried at the next tick");
    assert_eq!(second.status.memory.since, second.timestamp);
}

#[test]
fn a_late_answer_is_never_taken_for_the_next_tick() {
    let mut sampler = sampler();
    let (release, gate) = mpsc::channel::<()>();
    let memory_collector = Slow::new(move || {
        // Ends with an error when the gate is opened.
        let _ = gate.recv();
        Ok(Collected { report: memory(), elapsed: None })
    });
    sampler.collectors.memory = Some(Arc::clone(&memory_collector));
    let mut release = Some(release);
    let (published, snapshots) = mpsc::channel();
    let mut numbers = 0..3;
    let pace = move || {
        let number = numbers.next()?;
        if number == 2 {
            // The answer to tick 0 comes between two ticks.
            drop(release.take());
            while memory_collector.under_way_since().is_some() {
                std::thread::yield_now();
            }
        }
        Some(tick(number))
    };
    let publish = move |snapshot| match published.send(snapshot) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    duty::start(Sampling { sampler, pace, publish }).unwrap();
    for _ in 0..2 {
        let snapshot = snapshots.recv().unwrap();
        assert_eq!((snapshot.memory, snapshot.status.memory.state), (None, State::Late));
        assert_ne!(snapshot.status.cpu.state, State::Late, "the others are on time");
    }
    assert!(snapshots.recv().unwrap().memory.is_some(), "run anew, and answered for its own tick");
}

static HELD: AtomicBool = AtomicBool::new(false);

/// A collector that does not come back while it is held.
struct Holdable;

impl Collector for Holdable {
    const NAME: &'static str = Memory::NAME;
    type Reading = <Memory as Collector>::Reading;
    type Metrics = MemoryMetrics;

    fn new(_: &Arc<Host>) -> Self {
        Self
    }

    fn read(&mut self, _: &mut Self::Reading) -> Result<(), Error> {
        while HELD.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
        Ok(())
    }

    fn derive(
        before: Option<(&Self::Reading, Duration)>,
        now: &Self::Reading,
    ) -> Report<MemoryMetrics> {
        Memory::derive(before, now)
    }
}

#[test]
fn no_rate_comes_from_a_reading_that_was_not_reported() {
    let mut sampler = sampler();
    let slow = collector(Tracker::<Holdable>::new(&sampler.host));
    sampler.collectors.memory = Some(Arc::clone(&slow));
    let mut numbers = 0..6;
    let pace = move || {
        let number = numbers.next()?;
        HELD.store(number == 2, Ordering::Relaxed);
        while slow.under_way_since().is_some() {
            std::thread::yield_now();
        }
        Some(tick(number))
    };
    let (published, snapshots) = mpsc::channel();
    let publish = move |snapshot| match published.send(snapshot) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    };
    duty::start(Sampling { sampler, pace, publish }).unwrap();
    let sections: Vec<_> = snapshots.iter().map(|snapshot| snapshot.status.memory).collect();
    let late: Vec<_> = sections.iter().map(|section| section.state == State::Late).collect();
    assert_eq!(late, [false, false, true, false, false, false]);
    let timed: Vec<_> = sections.iter().map(|section| section.elapsed_ms.is_some()).collect();
    assert_eq!(timed, [false, true, false, false, true, true]);
}

#[test]
fn a_disabled_section_is_not_asked_until_it_is_wanted_again() {
    let mut sampler = sampler();
    let disabled = std::collections::BTreeSet::from(["memory".to_owned()]);
    let without = Arc::new(Options { disabled, ..Options::default() });
    let states = [0, 1, 2].map(|number| {
        let options = if number == 1 { Arc::clone(&without) } else { Arc::default() };
        let batch = sampler.begin(Tick { options, ..tick(number) });
        batch.awaited.iter().for_each(|errand| errand.run());
        sampler.end().status.memory.state
    });
    assert_eq!(states, [State::Unavailable, State::Disabled, State::Unavailable]);
}

#[test]
fn a_collector_beyond_its_share_is_run_less_often_and_says_so() {
    const BURN: Duration = Duration::from_millis(2);
    let mut sampler = sampler();
    sampler.collectors.memory = Some(Slow::new(|| {
        let before = thread_cpu_time();
        while thread_cpu_time().saturating_sub(before) < BURN {}
        Ok(Collected { report: memory(), elapsed: None })
    }));
    // Half a millisecond at a tick, of which the others take next to nothing.
    let options = Arc::new(Options { cpu_percent: Some(0.1), ..Options::default() });
    let snapshots: Vec<_> = (0..36)
        .map(|number| {
            let options = Arc::clone(&options);
            let batch = sampler.begin(Tick { options, ..tick(number) });
            batch.awaited.iter().for_each(|errand| errand.run());
            sampler.end()
        })
        .collect();
    let (first, later) = snapshots.split_at(12);
    assert!(first.iter().all(|snapshot| snapshot.status.memory.every_ticks.is_none()));
    for snapshot in later {
        let section = &snapshot.status.memory;
        let pace = section.every_ticks.unwrap();
        assert!(pace >= 4, "{pace}");
        let state = if snapshot.tick % pace == 0 { State::Ok } else { State::Paced };
        assert_eq!((section.state, snapshot.memory.is_some()), (state, state == State::Ok));
        assert_eq!(snapshot.status.cpu.every_ticks, None);
    }
}

#[test]
fn a_state_says_since_when_it_lasts() {
    let snapshots = run(sampler(), 2);
    let (first, second) = (&snapshots[0], &snapshots[1]);
    assert_eq!(first.status.cpu.state, State::Unavailable);
    assert_eq!(second.status.cpu.since, first.timestamp);
}
