//! `perfwatch capture`: what the kernel says, as files.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use perfwatch_collect::Host;

use super::snapshot::samples;
use crate::cli::CaptureArgs;
use crate::config::Settings;

/// Time between the two recordings.
const APART: Duration = Duration::from_secs(1);

/// Records the host twice.
pub(crate) fn run(settings: &Settings, args: &CaptureArgs) -> anyhow::Result<()> {
    let start = Instant::now();
    capture(settings, args, "t0")?;
    thread::sleep(APART.saturating_sub(start.elapsed()));
    let elapsed_ms = start.elapsed().as_millis();
    capture(settings, args, "t1")?;
    let path = args.dir.join("elapsed_ms");
    fs::write(&path, elapsed_ms.to_string())
        .with_context(|| format!("writing {}", path.display()))?;
    let dir = args.dir.display();
    writeln!(
        io::stdout(),
        "recorded in {dir}; the socket tables hold addresses: look before you send it"
    )?;
    Ok(())
}

fn capture(settings: &Settings, args: &CaptureArgs, instant: &str) -> anyhow::Result<()> {
    let dir = args.dir.join(instant);
    let host = Host::new(settings.roots.clone());
    let host = host.capturing(&dir).with_context(|| format!("writing to {}", dir.display()))?;
    samples(&Arc::new(host), APART, 1).map(drop)
}
