//! `perfwatch doctor`: what works here, what does not, and what to do.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use perfwatch_collect::Host;
use perfwatch_metrics::State;
use perfwatch_store::Reader;

use crate::access::AccountsFile;
use crate::capabilities::{Finding, capabilities};
use crate::commands::user::{ADD_USER, NOBODY, accounts};
use crate::config::{Configuration, Listen, Overrides, Settings};
use crate::groups::{grouped, is_part};
use crate::http;
use crate::sample::sample;
use crate::table::binary;
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
    if let Ok(data) = settings.data_dir() {
        findings.push(login(&data, settings.words.no_auth));
        findings.push(history(&data));
    }

    let mut out = io::stdout().lock();
    let name = |name: &Option<String>| printable(name.as_deref().unwrap_or("unknown"));
    let (hostname, kernel) = (name(&snapshot.host.hostname), name(&snapshot.host.kernel));
    writeln!(out, "perfwatch {} on {hostname}, Linux {kernel}\n", env!("CARGO_PKG_VERSION"))?;
    for group in grouped(&findings, |one| (&one.name, (one.state, &one.reason, &one.fix))) {
        let Some(first @ Finding { reason, fix, .. }) = group.first() else { continue };
        let names: Vec<_> = group.iter().map(|finding| printable(&finding.name)).collect();
        writeln!(
            out,
            "{:<11}  {}  {}",
            word(first, &findings),
            names.join(", "),
            printable(reason)
        )?;
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

/// The state in a word: `partly` of a section that is there without some of its parts.
fn word(finding: &Finding, all: &[Finding]) -> &'static str {
    match finding.state {
        State::Ok if all.iter().any(|other| is_part(&other.name, &finding.name)) => "partly",
        state => state.word(),
    }
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

/// Whether anybody can log in.
fn login(data: &Path, no_auth: bool) -> Finding {
    let finding = |state, reason: String| Finding::new("login", state, reason);
    if no_auth {
        return finding(State::Ok, "everybody may do everything (--no-auth)".to_owned());
    }
    match accounts(&AccountsFile::of(data)) {
        Ok(accounts) if accounts.users.is_empty() => {
            finding(State::Unavailable, NOBODY.to_owned()).fix(ADD_USER)
        }
        Ok(accounts) => finding(State::Ok, format!("users: {}", accounts.users.len())),
        Err(error) => {
            let causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
            let is_denied =
                causes.map(io::Error::kind).any(|kind| kind == io::ErrorKind::PermissionDenied);
            let state = if is_denied { State::Denied } else { State::Failed };
            finding(state, format!("{error:#}"))
        }
    }
}

/// Where history is, and how much. There is none before the first `serve`.
fn history(dir: &Path) -> Finding {
    match Reader::open(dir).and_then(|reader| reader.info()) {
        Ok(info) => {
            let size = binary(info.bytes as f64, "B");
            Finding::new("history", State::Ok, format!("{}, {size}", dir.display()))
        }
        Err(error) => Finding::new("history", State::Unavailable, error.to_string()),
    }
}
