//! `perfwatch snapshot`: one look at everything, with rates.

use std::io::{self, Write};
use std::sync::Arc;

use perfwatch_collect::Host;

use crate::cli::SnapshotArgs;
use crate::config::Settings;
use crate::sample::sample;
use crate::table;

/// Prints one snapshot.
pub(crate) fn run(settings: &Settings, args: &SnapshotArgs) -> anyhow::Result<()> {
    let host = Arc::new(Host::new(settings.roots.clone()));
    let snapshot = sample(&host, &settings.collect, args.over)?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, &snapshot).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        table::write(&mut out, &snapshot)?;
    }
    Ok(out.flush()?)
}
