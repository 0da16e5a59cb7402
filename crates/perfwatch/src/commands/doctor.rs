//! `perfwatch doctor`: what works here, what does not, and what to do.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use perfwatch_collect::Host;
use perfwatch_metrics::State;

use crate::capabilities::{Finding, capabilities};
use crate::config::{Configuration, Listen, Overrides, Settings};
use crate::http;
use crate::sample::sample;
use crate::terminal::printable;

/// Time between the two samples that are looked at.
const WINDOW: Duration = Duration::from_millis(500);

/// How long whoever listens on our port may take to say who it is.
const PORT_PATIENCE: Duration = Duration::from_secs(1);

/// What every host has. Other sections are of hardware, or of options of the kernel, that many do not have.
const ON_EVERY_HOST: [&str; 5] = ["cpu", "scheduler", "memory", "network", "disk"];

/// Prints what it found, and fails when something that should work does not.
pub(crate) fn run(overrides: &Overrides) -> anyhow::Result<ExitCode> {
    let mut findings = Vec::new();
    let settings = Settings::load(overrides).unwrap_or_else(|error| {
        let finding = Finding::new("settings", State::Failed, format!("{error:#}"));
        findings.push(finding.fix("mend the file; the rest of this report goes by the defaults"));
        Configuration::without_files(overrides).settings().clone()
    });
    let host = Arc::new(Host::new(settings.roots.clone()));
    let snapshot = sample(&host, &settings.collect, WINDOW)?;
    findings.extend(capabilities(&snapshot.status, &host));
    findings.extend(settings.listen.iter().map(address));

    let mut out = io::stdout().lock();
    let name = |name: &Option<String>| printable(name.as_deref().unwrap_or("unknown"));
    let (hostname, kernel) = (name(&snapshot.host.hostname), name(&snapshot.host.kernel));
    writeln!(out, "perfwatch {} on {hostname}, Linux {kernel}\n", env!("CARGO_PKG_VERSION"))?;
    for group in grouped(&findings) {
        let Some(Finding { state, reason, fix, .. }) = group.first() else { continue };
        let names: Vec<_> = group.iter().map(|finding| printable(&finding.name)).collect();
        writeln!(out, "{:<11}  {}  {}", state.word(), names.join(", "), printable(reason))?;
        if let Some(fix) = fix {
            writeln!(out, "{:<11}  → {}", "", printable(fix))?;
        }
    }
    let is_wrong = |finding: &Finding| match finding.state {
        State::Failed | State::Late => true,
        State::Unavailable => ON_EVERY_HOST.contains(&finding.name.as_str()),
        State::Ok | State::Denied | State::Disabled | State::Paced => false,
    };
    Ok(if findings.iter().any(is_wrong) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Puts together the parts of a section that are missing for one reason.
fn grouped(findings: &[Finding]) -> Vec<Vec<&Finding>> {
    fn section(of: &Finding) -> Option<&str> {
        of.name.split_once('.').map(|(section, _)| section)
    }
    fn key(of: &Finding) -> (Option<&str>, State, &str, Option<&str>) {
        (section(of), of.state, &of.reason, of.fix.as_deref())
    }
    let mut groups: Vec<Vec<&Finding>> = Vec::new();
    for finding in findings {
        let same = groups
            .iter_mut()
            .find(|group| section(finding).is_some() && key(group[0]) == key(finding));
        match same {
            Some(group) => group.push(finding),
            None => groups.push(vec![finding]),
        }
    }
    groups
}

/// Whether `serve` would find an address free, and if not, who has it.
fn address(listen: &Listen) -> Finding {
    let finding = |state, reason| Finding::new("listen", state, format!("{listen} {reason}"));
    let bound = match listen {
        Listen::Tcp(address) => TcpListener::bind(address).map(|_| ()),
        // A socket that nobody listens at would be replaced.
        Listen::Unix(path) => match UnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => Ok(()),
        },
    };
    match bound {
        Ok(()) => finding(State::Ok, "is free".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if is_perfwatch(listen).unwrap_or(false) {
                finding(State::Ok, "is served by a running PerfWatch".to_owned())
            } else {
                finding(State::Failed, "is in use by another program".to_owned())
                    .fix("stop it, or choose another with --listen")
            }
        }
        Err(error) => finding(State::Failed, format!("cannot be listened on: {error}"))
            .fix("choose another with --listen"),
    }
}

fn is_perfwatch(listen: &Listen) -> io::Result<bool> {
    match listen {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, PORT_PATIENCE)?;
            stream.set_read_timeout(Some(PORT_PATIENCE))?;
            answers_as_perfwatch(stream)
        }
        Listen::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(PORT_PATIENCE))?;
            answers_as_perfwatch(stream)
        }
    }
}

fn answers_as_perfwatch(mut stream: impl Read + Write) -> io::Result<bool> {
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    let healthy = answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nok\n");
    Ok(healthy || answer.ends_with(http::HTTPS_NEEDED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_missing_for_one_reason_are_one_line() {
        let of = |name, state, reason| Finding::new(name, state, reason);
        let findings = [
            of("cpu", State::Failed, "no file"),
            of("scheduler", State::Failed, "no file"),
            of("perf_events.branches", State::Unavailable, "no PMU"),
            of("perf_events.cycles", State::Denied, "no PMU"),
            of("perf_events.instructions", State::Unavailable, "no PMU"),
            of("perf_events.loads", State::Unavailable, "no PMU").fix("buy one"),
            of("power.package", State::Unavailable, "no PMU"),
        ];
        let groups: Vec<Vec<_>> = grouped(&findings)
            .iter()
            .map(|group| group.iter().map(|finding| finding.name.as_str()).collect())
            .collect();
        assert_eq!(
            groups,
            [
                vec!["cpu"],
                vec!["scheduler"],
                vec!["perf_events.branches", "perf_events.instructions"],
                vec!["perf_events.cycles"],
                vec!["perf_events.loads"],
                vec!["power.package"],
            ]
        );
    }
}
