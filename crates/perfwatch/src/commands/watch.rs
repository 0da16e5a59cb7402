//! `perfwatch watch`: every snapshot as a line of JSON, without a server.

use std::io::{self, Write};
use std::sync::{Arc, mpsc};

use anyhow::Context;
use perfwatch_collect::{Host, Sampler};

use crate::config::Settings;
use crate::ticker;

/// Prints until whoever reads goes away.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    let host = Arc::new(Host::new(settings.roots.clone()));
    let mut sampler = Sampler::new(&host).context("starting the collectors")?;
    let (_running, stop) = mpsc::channel();
    ticker::run(&mut sampler, settings.interval, &stop, |snapshot| {
        let mut line = serde_json::to_vec(&snapshot).map_err(io::Error::from)?;
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    })?;
    Ok(())
}
