//! What `perfwatch serve` does under a thousand clients, some of them bad.
//!
//! Prints a line of JSON for each scenario: `clients` and `clients-tls` (delivery and memory), `stalled` (does who does
//! not read hold up the others), `dribbling` (2,000 connections that send a byte a second). Names of scenarios choose
//! among them. `bench/clients.py` makes a section of docs/benchmarks.md of it. Takes six minutes; nothing else should run
//! meanwhile.

#![allow(clippy::print_stderr, reason = "says how far it is")]

mod client;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use client::{Measured, Result, Target};

const CLIENTS: usize = 1000;
const STALLED: usize = 100;
const DRIBBLING: usize = 2000;

/// Clients come at this rate, so that what they measure is delivery and not their own arrival.
const ARRIVAL: Duration = Duration::from_millis(5);

/// After all have come, before anything is measured.
const SETTLE: Duration = Duration::from_secs(5);

const MEASURE: Duration = Duration::from_secs(30);

/// Times that clients stall and go on again.
const STALL_ROUNDS: usize = 4;

/// What buffers take of a stalled client's stream before anybody waits for it is over by then.
const STALL_TAKES_EFFECT: Duration = Duration::from_secs(20);

fn main() -> Result<()> {
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|name| !name.starts_with('-')).collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|one| one == name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for (name, tls) in [("clients", false), ("clients-tls", true)] {
            if is_chosen(name) {
                report(name, &clients(tls).await?);
            }
        }
        if is_chosen("stalled") {
            report("stalled", &stalled().await?);
        }
        if is_chosen("dribbling") {
            report("dribbling", &dribbling().await?);
        }
        Ok(())
    })
}

fn report(scenario: &str, figures: &Value) {
    println!("{}", json!({ "scenario": scenario, "figures": figures }));
}

/// `perfwatch serve` at 1 s, and who to ask for it.
struct Server {
    process: Child,
    target: Target,
    _data: TempDir,
}

impl Server {
    fn start(tls: bool) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
        command.args([
            "serve",
            "--no-auth",
            "--listen",
            "127.0.0.1:0",
            "--interval",
            "1s",
            "--data",
        ]);
        command.arg(data.path()).stderr(Stdio::piped());
        let mut connector = None;
        if tls {
            let dir = data.path().join("tls");
            let mut init = Command::new(env!("CARGO_BIN_EXE_perfwatch"));
            init.args(["tls", "init", "--dir"]).arg(&dir).stdout(Stdio::null());
            if !init.status()?.success() {
                return Err("no certificate could be made".into());
            }
            command
                .arg("--tls-cert")
                .arg(dir.join("cert.pem"))
                .arg("--tls-key")
                .arg(dir.join("key.pem"));
            connector = Some(trusting(&dir.join("cert.pem"))?);
        }
        let mut process = command.spawn()?;
        let mut log = BufReader::new(process.stderr.take().ok_or("no log")?);
        let mut line = String::new();
        while !line.contains("serving at http") {
            line.clear();
            if log.read_line(&mut line)? == 0 {
                return Err("perfwatch ended before it served".into());
            }
        }
        // Its log must go on being read, or it blocks.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let address = line.split("://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.ok_or("no address")?.parse()?;
        Ok(Self { process, target: Target { address, tls: connector }, _data: data })
    }

    /// Its resident memory, or the most that it ever was, in KiB.
    fn memory_kib(&self, line: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|each| each.strip_prefix(line)).ok_or("no such line")?;
        Ok(line.trim_start_matches(':').split_whitespace().next().ok_or("no figure")?.parse()?)
    }

    /// CPU time that it took so far, in seconds.
    fn cpu_seconds(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: Vec<f64> =
            fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        Ok(ticks.iter().sum::<f64>() / 100.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn trusting(cert: &Path) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert)?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// So many live clients, that end when this is dropped.
struct Crowd {
    _tasks: JoinSet<()>,
    measured: Arc<Mutex<Measured>>,
    stall: watch::Sender<bool>,
    /// Of those who never stall.
    _reading: watch::Sender<bool>,
}

impl Crowd {
    /// The last `stalling` of them obey `stall`, and measure nothing.
    async fn arrive(target: &Target, count: usize, stalling: usize) -> Self {
        let measured = Arc::new(Mutex::new(Measured::default()));
        let (stall, stalled) = watch::channel(false);
        let (reading, goes_on) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let reads_on = number < count - stalling;
            let measured = reads_on.then(|| Arc::clone(&measured));
            let stall = if reads_on { goes_on.clone() } else { stalled.clone() };
            tasks.spawn(client::run(target.clone(), measured, stall));
            sleep(ARRIVAL).await;
        }
        sleep(SETTLE).await;
        Self { _tasks: tasks, measured, stall, _reading: reading }
    }

    /// What was measured since it was asked last.
    fn take(&self) -> Measured {
        std::mem::take(&mut *self.measured.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn percentile(values: &mut [f64], percent: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index =
        ((values.len() as f64 * percent / 100.0).ceil() as usize).clamp(1, values.len().max(1)) - 1;
    values.get(index).copied().unwrap_or(f64::NAN)
}

async fn clients(tls: bool) -> Result<Value> {
    eprintln!("load: {CLIENTS} clients{}", if tls { ", TLS" } else { "" });
    let server = Server::start(tls)?;
    // What the first clients make it allocate is not theirs.
    let _first = Crowd::arrive(&server.target, 10, 0).await;
    let alone_kib = server.memory_kib("VmRSS")?;
    let crowd = Crowd::arrive(&server.target, CLIENTS, 0).await;
    crowd.take();
    let (start, cpu) = (Instant::now(), server.cpu_seconds()?);
    sleep(MEASURE).await;
    let cpu_percent = (server.cpu_seconds()? - cpu) / start.elapsed().as_secs_f64() * 100.0;
    let mut measured = crowd.take();
    let with_all_kib = server.memory_kib("VmRSS")?;
    let peak_kib = server.memory_kib("VmHWM")?;
    let delays = &mut measured.delays_ms;
    Ok(json!({
        "clients": CLIENTS,
        "delivered": delays.len(),
        "missed": measured.missed,
        "ended": measured.ended,
        "p50_ms": percentile(delays, 50.0),
        "p99_ms": percentile(delays, 99.0),
        "max_ms": percentile(delays, 100.0),
        "cpu_percent": cpu_percent,
        "alone_kib": alone_kib,
        "with_all_kib": with_all_kib,
        "peak_kib": peak_kib,
        "kib_per_client": (with_all_kib - alone_kib) / CLIENTS as f64,
        "peak_kib_per_client": (peak_kib - alone_kib) / CLIENTS as f64,
    }))
}

async fn stalled() -> Result<Value> {
    let server = Server::start(false)?;
    let crowd = Crowd::arrive(&server.target, CLIENTS, STALLED).await;
    let mut rounds = Vec::new();
    for round in 1..=STALL_ROUNDS {
        eprintln!("load: {STALLED} of {CLIENTS} clients stall, round {round} of {STALL_ROUNDS}");
        crowd.take();
        sleep(MEASURE).await;
        let mut before = crowd.take();
        crowd.stall.send_replace(true);
        sleep(STALL_TAKES_EFFECT).await;
        crowd.take();
        sleep(MEASURE).await;
        let mut during = crowd.take();
        crowd.stall.send_replace(false);
        sleep(SETTLE).await;
        rounds.push(json!({
            "p99_before_ms": percentile(&mut before.delays_ms, 99.0),
            "p99_during_ms": percentile(&mut during.delays_ms, 99.0),
            "missed": before.missed + during.missed,
            "ended": before.ended + during.ended,
        }));
    }
    let peak_kib = server.memory_kib("VmHWM")?;
    Ok(json!({ "clients": CLIENTS, "stalled": STALLED, "rounds": rounds, "peak_kib": peak_kib }))
}

async fn dribbling() -> Result<Value> {
    eprintln!("load: {DRIBBLING} dribbling connections");
    let server = Server::start(false)?;
    let address = server.target.address;
    // There is none before the first sample.
    while get(address).await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    let alone_kib = server.memory_kib("VmRSS")?;
    let mut connections = JoinSet::new();
    for _ in 0..DRIBBLING {
        connections.spawn(dribble(address));
    }
    let (mut delays_ms, mut lifetimes, mut failed) = (Vec::new(), Vec::new(), 0);
    while !connections.is_empty() {
        let asked = Instant::now();
        match timeout(Duration::from_secs(5), get(address)).await {
            Ok(Ok(())) => delays_ms.push(asked.elapsed().as_secs_f64() * 1e3),
            Ok(Err(_)) | Err(_) => failed += 1,
        }
        sleep(Duration::from_millis(20)).await;
        while let Some(ended) = connections.try_join_next() {
            lifetimes.push(ended??.as_secs_f64());
        }
    }
    Ok(json!({
        "connections": DRIBBLING,
        "closed_after_s": [percentile(&mut lifetimes, 0.0), percentile(&mut lifetimes, 100.0)],
        "requests_meanwhile": delays_ms.len(),
        "failed": failed,
        "request_p50_ms": percentile(&mut delays_ms, 50.0),
        "request_max_ms": percentile(&mut delays_ms, 100.0),
        "alone_kib": alone_kib,
        "peak_kib": server.memory_kib("VmHWM")?,
    }))
}

/// Sends a head that never ends, and says how long the server let it.
async fn dribble(address: SocketAddr) -> Result<Duration> {
    let mut stream = TcpStream::connect(address).await?;
    let start = Instant::now();
    stream.write_all(b"GET /api/v1/snapshot HTTP/1.1\r\nHost: localhost\r\nX: ").await?;
    let mut buffer = [0; 512];
    loop {
        match timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return Ok(start.elapsed()),
            Ok(Ok(_)) => {}
            Err(_) if stream.write_all(b"x").await.is_err() => return Ok(start.elapsed()),
            Err(_) => {}
        }
    }
}

/// The newest snapshot, over a connection of its own.
async fn get(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /api/v1/snapshot HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err("no snapshot".into()) }
}
