//! `perfwatch doctor`: what works here, what does not, and what to do.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use perfwatch_collect::Host;
use perfwatch_collect::network::{StateCounts, count_dump};
use perfwatch_metrics::{Section, State, Status};

use super::snapshot::sample;
use crate::cli::Overrides;
use crate::config::{Configuration, Listen, Settings};
use crate::http;
use crate::terminal::printable;

/// Time between the two samples that are looked at.
const WINDOW: Duration = Duration::from_millis(500);

/// How long whoever listens on our port may take to say who it is.
const PORT_PATIENCE: Duration = Duration::from_secs(1);

/// What every host has. Other sections are of hardware, or of options of the kernel, that many do not have.
const ON_EVERY_HOST: [&str; 5] = ["cpu", "scheduler", "memory", "network", "disk"];

/// One line of the report.
pub(crate) struct Finding {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) reason: String,
    pub(crate) fix: Option<String>,
}

impl Finding {
    fn new(name: &str, state: State, reason: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state, reason: reason.into(), fix: None }
    }

    fn fix(self, fix: &str) -> Self {
        Self { fix: Some(fix.to_owned()), ..self }
    }
}

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
    for Finding { name, state, reason, fix } in &findings {
        writeln!(out, "{:<11}  {}  {}", state.word(), printable(name), printable(reason))?;
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

/// What can be said of a host without asking twice.
pub(crate) fn capabilities(status: &Status, host: &Host) -> Vec<Finding> {
    let sections = status.sections();
    let mut findings: Vec<_> =
        sections.flat_map(|(name, section)| section_findings(name, section)).collect();
    findings.push(netlink(host));
    findings.extend(namespace(host));
    findings
}

fn section_findings(name: &str, section: &Section) -> Vec<Finding> {
    let took = section.duration_ms.map(|ms| format!("in {ms:.2} ms"));
    let reason = section.reason.clone().or(took).unwrap_or_default();
    let whole = Finding { fix: section.fix.clone(), ..Finding::new(name, section.state, reason) };
    let parts = section.parts.iter().map(|(part, why)| Finding {
        fix: why.fix.clone(),
        ..Finding::new(&format!("{name}.{part}"), why.state, &why.reason)
    });
    std::iter::once(whole).chain(parts).collect()
}

/// Whether sockets can be listed the cheap way.
fn netlink(host: &Host) -> Finding {
    const LISTEN: u32 = 1 << 10;
    let Some(mut sock_diag) = host.sock_diag() else {
        return Finding::new(
            "netlink",
            State::Unavailable,
            "no procfs of a running kernel at --path.procfs",
        );
    };
    let mut counts = StateCounts::default();
    match sock_diag.dump(LISTEN, |answer| count_dump(answer, &mut counts)) {
        Ok(()) => Finding::new("netlink", State::Ok, "sockets are counted by NETLINK_SOCK_DIAG"),
        Err(error) => {
            let reason = format!(
                "NETLINK_SOCK_DIAG: {error}; /proc/net/tcp serves instead, at 20 times the cost"
            );
            Finding::new("netlink", State::Failed, reason)
                .fix("allow AF_NETLINK (RestrictAddressFamilies, seccomp) and the kernel's module tcp_diag")
        }
    }
}

/// Whether the network's figures are the host's. Only root may see the namespace of PID 1.
fn namespace(host: &Host) -> Option<Finding> {
    let foreign = !host.has_network_of_init()?;
    foreign.then(|| {
        let reason = "interfaces and sockets are those of this container's own network namespace";
        Finding::new("namespace", State::Unavailable, reason)
            .fix("run it with the host's network (--net=host)")
    })
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
