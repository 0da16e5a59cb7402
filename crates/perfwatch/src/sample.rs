//! Samples taken without serving them.

use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use perfwatch_collect::{Host, Options, Tick, sampler};
use perfwatch_metrics::Snapshot;

/// How many more samples are taken while counters are being opened: 17 on each of 256 CPUs take over a second.
const WARM_UP: u32 = 4;

/// Samples twice, `window` apart, and returns the second snapshot; a later one, should counters not be open by then.
pub(crate) fn sample(
    host: &Arc<Host>,
    options: &Arc<Options>,
    window: Duration,
) -> anyhow::Result<Snapshot> {
    let is_warm = |snapshot: &Snapshot| {
        let perf_events = snapshot.perf_events.as_ref();
        perf_events.is_none_or(|perf_events| perf_events.overview.status != "warming_up")
    };
    sample_until(host, options, window, 2 + WARM_UP, move |snapshot| {
        snapshot.tick > 0 && is_warm(snapshot)
    })
}

/// Samples `window` apart until a snapshot is as wanted, or so many times, and returns the last.
pub(crate) fn sample_until(
    host: &Arc<Host>,
    options: &Arc<Options>,
    window: Duration,
    count: u32,
    wanted: impl Fn(&Snapshot) -> bool + Send + 'static,
) -> anyhow::Result<Snapshot> {
    let start = Instant::now();
    let mut numbers = 0..count;
    let options = Arc::clone(options);
    let pace = move || {
        let number = numbers.next()?;
        let due = start + window * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (lateness, options) = (due.elapsed(), Arc::clone(&options));
        Some(Tick { number: number.into(), interval: window, lateness, options })
    };
    let (published, snapshots) = mpsc::channel();
    let publish = move |snapshot: Snapshot| {
        let enough = wanted(&snapshot);
        match published.send(snapshot) {
            Ok(()) if !enough => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    };
    sampler::start(host, pace, publish).context("starting to sample")?;
    snapshots.iter().last().context("sampling ended by itself")
}

/// A snapshot of a recorded host, for tests.
#[cfg(test)]
pub(crate) fn of_recording(name: &str) -> Snapshot {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../perfwatch-collect/fixtures");
    let dir = std::path::Path::new(fixtures).join(name).join("t1");
    let host = Arc::new(Host::recorded(&dir));
    sample(&host, &Arc::default(), Duration::from_millis(10)).unwrap()
}
