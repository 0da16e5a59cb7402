//! `perfwatch snapshot`: one look at everything, with rates.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use perfwatch_collect::{Host, Sampler, Tick};
use perfwatch_metrics::Snapshot;

use crate::cli::SnapshotArgs;
use crate::config::Settings;
use crate::table;

/// Prints one snapshot.
pub(crate) fn run(settings: &Settings, args: &SnapshotArgs) -> anyhow::Result<()> {
    let host = Arc::new(Host::new(settings.roots.clone()));
    let snapshot = sample(&host, args.over)?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &snapshot).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        table::write(&mut out, &snapshot)?;
    }
    Ok(out.flush()?)
}

/// Samples twice, `window` apart, and returns the second snapshot.
pub(crate) fn sample(host: &Arc<Host>, window: Duration) -> anyhow::Result<Snapshot> {
    let mut sampler = Sampler::new(host).context("starting the collectors")?;
    let tick = Tick { number: 0, interval: window, lateness: Duration::ZERO };
    let start = Instant::now();
    sampler.sample(tick);
    let second = start + window;
    thread::sleep(second.saturating_duration_since(Instant::now()));
    Ok(sampler.sample(Tick { number: 1, lateness: second.elapsed(), ..tick }))
}
