//! `perfwatch capture`: what the kernel says, as files.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use perfwatch_collect::Host;
use perfwatch_metrics::{Part, Snapshot, State};

use crate::cli::CaptureArgs;
use crate::config::Settings;
use crate::sample::sample_until;

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
    let [before, now] = dirs;
    let host = Host::new(settings.roots.clone()).keeping_counters();
    let before = capture(&host, settings, &before)?;
    thread::sleep(APART);
    let now = capture(&host, settings, &now)?;
    let elapsed_ms =
        now.timestamp.as_millisecond().saturating_sub(before.timestamp.as_millisecond());
    let path = args.dir.join("elapsed_ms");
    fs::write(&path, elapsed_ms.to_string())
        .with_context(|| format!("writing {}", path.display()))?;
    let dir = args.dir.display();
    writeln!(
        io::stdout(),
        "recorded in {dir}; the socket tables hold addresses: look before you send it"
    )?;
    let missing: Vec<_> = [before, now].iter().flat_map(faults).map(|(_, reason)| reason).collect();
    if missing.is_empty() {
        Ok(())
    } else {
        bail!("not all could be recorded: {}", missing.join("; "))
    }
}

/// Records one instant. While slow files keep it waiting it is recorded anew: what is left is of one moment.
fn capture(host: &Host, settings: &Settings, dir: &Path) -> anyhow::Result<Snapshot> {
    let host =
        host.beside().capturing(dir).with_context(|| format!("writing to {}", dir.display()))?;
    let all_answered =
        |snapshot: &Snapshot| faults(snapshot).iter().all(|(state, _)| *state != State::Late);
    sample_until(&Arc::new(host), &settings.collect, APART, PATIENCE, all_answered)
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
