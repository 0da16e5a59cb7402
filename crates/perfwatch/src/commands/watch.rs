//! `perfwatch watch`: every snapshot as a line of JSON, without a server.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};

use anyhow::Context;
use perfwatch_collect::{Host, sampler};
use perfwatch_metrics::Snapshot;

use crate::config::Settings;
use crate::ticker::{Pace, Ticker};

/// Prints until whoever reads goes away.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let host = Arc::new(Host::new(settings.roots.clone()));
    let (_running, changes) = mpsc::channel();
    let pace = Pace { interval: settings.interval, options: Arc::clone(&settings.collect) };
    let mut ticker = Ticker::new(pace, changes);
    let (report, reports) = mpsc::channel();
    let publish = move |snapshot: Snapshot| match print(&snapshot) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            // Whoever waits for it below is there as long as this is.
            let _ = report.send(error);
            ControlFlow::Break(())
        }
    };
    sampler::start(&host, move || ticker.next(), publish).context("starting to sample")?;
    Err(reports.recv().context("sampling ended by itself")?.into())
}

fn print(snapshot: &Snapshot) -> io::Result<()> {
    let mut line = serde_json::to_vec(snapshot).map_err(io::Error::from)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}
