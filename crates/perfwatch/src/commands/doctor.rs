//! `perfwatch doctor`: what works here, what does not, and what to do.

use std::io::{self, Write};
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use perfwatch_collect::Host;
use perfwatch_collect::host::Progress;
use perfwatch_metrics::{Snapshot, State};

use super::snapshot::sample;
use crate::config::Settings;
use crate::terminal::printable;

/// Time between the two samples that are looked at.
const WINDOW: Duration = Duration::from_millis(500);

/// Prints what it found, and fails when a section could not be collected.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let host = Arc::new(Host::new(settings.roots.clone()));
    let snapshot = sample(&host, WINDOW)?;
    let mut out = io::stdout().lock();
    let name = |name: &Option<String>| printable(name.as_deref().unwrap_or("unknown"));
    let (hostname, kernel) = (name(&snapshot.host.hostname), name(&snapshot.host.kernel));
    writeln!(out, "perfwatch {} on {hostname}, Linux {kernel}\n", env!("CARGO_PKG_VERSION"))?;
    sections(&mut out, &snapshot)?;
    let (state, reason, fix) = sockets(&host);
    line(&mut out, "netlink", state, reason.as_deref(), fix)?;
    let (state, reason, fix) = port(settings);
    line(&mut out, "listen", state, reason.as_deref(), fix)?;
    let collected = |state| matches!(state, State::Ok | State::Disabled);
    let all_collected =
        snapshot.status.sections().iter().all(|(_, section)| collected(section.state));
    Ok(if all_collected { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn sections(out: &mut impl Write, snapshot: &Snapshot) -> io::Result<()> {
    for (name, section) in snapshot.status.sections() {
        let took = section.duration_ms.map(|ms| format!("in {ms:.2} ms"));
        let reason = section.reason.as_deref().or(took.as_deref());
        line(out, name, section.state, reason, section.fix.as_deref())?;
        for (part, why) in &section.parts {
            line(out, &format!("{name}.{part}"), why.state, Some(&why.reason), why.fix.as_deref())?;
        }
    }
    Ok(())
}

fn line(
    out: &mut impl Write,
    name: &str,
    state: State,
    reason: Option<&str>,
    fix: Option<&str>,
) -> io::Result<()> {
    let reason = printable(reason.unwrap_or_default());
    writeln!(out, "{:<11}  {}  {reason}", state.word(), printable(name))?;
    match fix {
        Some(fix) => writeln!(out, "{:<11}  → {}", "", printable(fix)),
        None => Ok(()),
    }
}

type Finding = (State, Option<String>, Option<&'static str>);

/// Whether sockets can be listed the cheap way.
fn sockets(host: &Host) -> Finding {
    const LISTEN: u32 = 1 << 10;
    match host.sock_diag().map(|mut sock_diag| sock_diag.dump(LISTEN, |_| Ok(Progress::Ended))) {
        Some(Ok(())) => {
            (State::Ok, Some("sockets are counted by NETLINK_SOCK_DIAG".to_owned()), None)
        }
        Some(Err(error)) => (
            State::Failed,
            Some(format!(
                "NETLINK_SOCK_DIAG: {error}; sockets are counted in /proc/net/tcp, at 20 times the cost"
            )),
            Some(
                "allow AF_NETLINK sockets (RestrictAddressFamilies, seccomp) and the module tcp_diag",
            ),
        ),
        None => (
            State::Unavailable,
            Some("no procfs of a running kernel at --path.procfs".to_owned()),
            None,
        ),
    }
}

/// Whether `serve` would find its port free.
fn port(settings: &Settings) -> Finding {
    let address = settings.listen;
    match TcpListener::bind(address) {
        Ok(_) => (State::Ok, Some(format!("{address} is free")), None),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => (
            State::Ok,
            Some(format!("{address} is in use, by a running PerfWatch or by another program")),
            None,
        ),
        Err(error) => (
            State::Failed,
            Some(format!("{address}: {error}")),
            Some("choose another with --listen"),
        ),
    }
}
