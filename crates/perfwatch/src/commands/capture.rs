//! `perfwatch capture`: what the kernel says, as files.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use perfwatch_collect::Host;
use perfwatch_metrics::{Part, Snapshot, State};

use super::snapshot::sample_until;
use crate::cli::CaptureArgs;
use crate::config::Settings;

/// Time between the two recordings.
const APART: Duration = Duration::from_secs(1);

/// How often slow files are waited for, each time for as long as the recordings are apart.
const PATIENCE: u32 = 10;

/// Records the host twice. Fails when something that is there could not be recorded, and says what.
pub(crate) fn run(settings: &Settings, args: &CaptureArgs) -> anyhow::Result<()> {
    let dirs = ["t0", "t1"].map(|instant| args.dir.join(instant));
    if let Some(taken) = dirs.iter().find(|dir| dir.exists()) {
        bail!("{} exists: a recording is not written over", taken.display());
    }
    let start = Instant::now();
    let [before, now] = dirs;
    let mut missing = capture(settings, &before)?;
    thread::sleep(APART.saturating_sub(start.elapsed()));
    let elapsed_ms = start.elapsed().as_millis();
    missing.extend(capture(settings, &now)?);
    let path = args.dir.join("elapsed_ms");
    fs::write(&path, elapsed_ms.to_string())
        .with_context(|| format!("writing {}", path.display()))?;
    let dir = args.dir.display();
    writeln!(
        io::stdout(),
        "recorded in {dir}; the socket tables hold addresses: look before you send it"
    )?;
    if missing.is_empty() {
        Ok(())
    } else {
        bail!("not all could be recorded: {}", missing.join("; "))
    }
}

/// Records one instant, and says what could not be.
fn capture(settings: &Settings, dir: &Path) -> anyhow::Result<Vec<String>> {
    let host = Host::new(settings.roots.clone());
    let host = host.capturing(dir).with_context(|| format!("writing to {}", dir.display()))?;
    let all_answered =
        |snapshot: &Snapshot| faults(snapshot).iter().all(|(state, _)| *state != State::Late);
    let snapshot = sample_until(&Arc::new(host), APART, PATIENCE, all_answered)?;
    Ok(faults(&snapshot).into_iter().map(|(_, reason)| reason).collect())
}

/// What is there and was not collected.
fn faults(snapshot: &Snapshot) -> Vec<(State, String)> {
    let mut faults = Vec::new();
    for (name, section) in snapshot.status.sections() {
        faults.push((
            section.state,
            format!("{name}: {}", section.reason.as_deref().unwrap_or_default()),
        ));
        let part =
            |(part, why): (&String, &Part)| (why.state, format!("{name}.{part}: {}", why.reason));
        faults.extend(section.parts.iter().map(part));
    }
    faults.retain(|(state, _)| matches!(state, State::Failed | State::Late));
    faults
}
