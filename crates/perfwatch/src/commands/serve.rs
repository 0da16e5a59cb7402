//! `perfwatch serve`: sample, stream what was sampled, and keep it.

mod lifecycle;

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, anyhow};
use perfwatch_collect::rate::thousandths;
use perfwatch_collect::{Host, sampler};
use perfwatch_metrics::Snapshot;
use perfwatch_metrics::own::OwnProcess;
use perfwatch_store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::access::{Access, MAX_HASHES};
use crate::audience::Audience;
use crate::bus::{Latest, Publisher};
use crate::config::{Configuration, Listen, LiveSettings, Settings};
use crate::exposure;
use crate::http::{self, AppState, Listener, Site, Tls};
use crate::journal::Journal;
use crate::notify::Notify;
use crate::recorder::Recorder;
use crate::terminal::printable;
use crate::ticker::{Pace, Ticker};

/// How long the first sample is waited for before it is said where to log in.
const FIRST_SAMPLE_PATIENCE: Duration = Duration::from_secs(2);

/// How long clients may take to read why their stream ends.
const STREAMS_DEADLINE: Duration = Duration::from_millis(500);

/// Small files that are replaced at a time: the accounts and the settings.
const MAX_FILE_CHANGES: usize = 2;

/// How long an end waits for the disk. Then what was not written is lost, as in a power cut.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(configuration: Configuration) -> anyhow::Result<()> {
    let settings = configuration.settings();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::from(settings.log))
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(http::MAX_QUESTIONS + MAX_HASHES + MAX_FILE_CHANGES)
        .build();
    let runtime = runtime.context("starting the runtime")?;
    let told = runtime.block_on(serve(configuration));
    // A question that waits for a disk is not waited for.
    runtime.shutdown_background();
    told
}

async fn serve(configuration: Configuration) -> anyhow::Result<()> {
    for warning in configuration.warnings() {
        warn!("{}", printable(&warning));
    }
    let settings = &configuration.settings().clone();
    // First, so that a second instance leaves before it samples.
    let listeners = listen(settings)?;
    let tls = settings.tls_files()?.map(Tls::load).transpose()?.map(Arc::new);
    let hangup = signal(SignalKind::hangup()).context("waiting for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let host = Arc::new(Host::new(settings.roots.clone()));
    let store = open_store(settings)?;
    let notify = Notify::from_env();
    let audience = Audience::new();
    let (sampling, latest) = start_sampling(settings, &host, &store, &audience, notify.clone())?;
    let access = Access::start(&settings.data_dir()?, settings.words.no_auth);
    let access = access.context("starting a thread for the accounts")?;
    let urls = listeners.iter().map(|listener| listener.url(tls.is_some()));
    let urls = urls.collect::<Result<_, _>>().context("asking for the address listened on")?;
    notify.ready(settings.interval);
    tokio::spawn(announce(Arc::clone(&access), urls, settings.interval, latest.clone()));
    tokio::spawn(reload(hangup, tls.clone()));

    let hostname = host.info().hostname;
    let site = Site {
        names: settings.allowed_hosts.iter().cloned().chain(hostname).collect(),
        behind_proxy: settings.words.behind_proxy,
    };
    let store_for_routes = Arc::clone(&store);
    let live_settings = Arc::new(LiveSettings::new(configuration));
    let changes = live_settings.subscribe();
    let state = AppState::new(
        latest.clone(),
        live_settings,
        Arc::clone(&host),
        store_for_routes,
        access,
        Arc::clone(&audience),
        site,
    );
    let (stop, stopping) = watch::channel(false);
    let store_to_follow = Arc::clone(&store);
    let stopped = async move {
        let told = tokio::select! {
            _ = terminate.recv() => Ok("SIGTERM"),
            _ = interrupt.recv() => Ok("SIGINT"),
            () = follow(changes, &sampling, &store_to_follow) => Err(anyhow!("nobody can change settings any more")),
            () = ended(latest) => Err(anyhow!("sampling ended by itself")),
        };
        let told = told.inspect(|signal| info!(signal, "stopping"));
        notify.stopping();
        // Closes the bus, which ends the live streams, and then the connections.
        drop(sampling);
        let _ = stop.send(true);
        told
    };
    let router = http::router(state.clone());
    let ((), told) = tokio::join!(http::serve(listeners, tls, router, stopping), stopped);
    if timeout(STREAMS_DEADLINE, audience.leaves()).await.is_err() {
        debug!("some live streams did not end in time");
    }
    store.event(lifecycle::stopped(told.as_ref().copied().unwrap_or("sampling ended by itself")));
    if !store.close(CLOSE_PATIENCE) {
        warn!("the disk did not take the last rows in time");
    }
    told.map(|_| ())
}

/// Says where it serves and how the first user is made. That comes after what the first sample lacks, for what is said last
/// is seen first.
async fn announce(access: Arc<Access>, urls: Vec<String>, interval: Duration, mut latest: Latest) {
    // It is said as well when there is no sample in time.
    let _ = timeout(FIRST_SAMPLE_PATIENCE, latest.wait_for(Option::is_some)).await;
    let interval_ms = interval.as_millis() as u64;
    for url in &urls {
        info!(version = env!("CARGO_PKG_VERSION"), interval_ms, "serving at {url}");
    }
    // It writes a file, which may take its time, and nobody waits for it.
    tokio::task::spawn_blocking(move || access.offer_setup(&urls));
}

/// Puts every change of the settings in force.
async fn follow(
    mut changes: watch::Receiver<Settings>,
    sampling: &mpsc::Sender<Pace>,
    store: &Store,
) {
    while changes.changed().await.is_ok() {
        let settings = changes.borrow_and_update().clone();
        info!(interval_ms = settings.interval.as_millis() as u64, "the settings changed");
        store.keep(settings.storage.clone());
        // Nobody samples any more when nobody takes it.
        let _ = sampling.send(pace(&settings));
    }
}

fn pace(settings: &Settings) -> Pace {
    Pace { interval: settings.interval, options: Arc::clone(&settings.collect) }
}

fn listen(settings: &Settings) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in &settings.listen {
        let reachable = match address {
            Listen::Tcp(address) => Some(*address),
            Listen::Unix(_) => None,
        };
        if let Some(reason) =
            exposure::refusal(reachable, settings.tls_files()?.is_some(), settings.words)
        {
            return Err(anyhow!(reason));
        }
        let listener = Listener::bind(address);
        listeners.push(listener.with_context(|| format!("listening on {address}"))?);
    }
    Ok(listeners)
}

/// Reads the certificate again at every SIGHUP.
async fn reload(mut hangup: Signal, tls: Option<Arc<Tls>>) {
    while hangup.recv().await.is_some() {
        let Some(tls) = tls.clone() else {
            info!(signal = "SIGHUP", "there is no certificate to read again");
            continue;
        };
        // Files may be where reading takes its time.
        match tokio::task::spawn_blocking(move || tls.reload()).await {
            Ok(Ok(())) => info!("the certificate was read again"),
            Ok(Err(error)) => warn!("the certificate stays as it was: {error:#}"),
            Err(error) => warn!(%error, "reading the certificate again failed"),
        }
    }
}

/// Opens the history. What keeps it from being written is logged, and gone on trying.
fn open_store(settings: &Settings) -> anyhow::Result<Arc<Store>> {
    let dir = settings.data_dir()?;
    let run = lifecycle::Run::begin(settings.interval, &settings.roots.procfs);
    let opened = move |found: &_, reader: &_| run.opened(found, reader);
    let store =
        Store::open(&dir, settings.storage.clone(), opened).context("opening the history")?;
    match store.health().trouble {
        Some((_, reason)) => warn!(reason, "history is kept in memory until it can be written"),
        None => info!(dir = %dir.display(), "keeping history"),
    }
    Ok(Arc::new(store))
}

/// Starts sampling. It stops when what is returned first is dropped.
fn start_sampling(
    settings: &Settings,
    host: &Arc<Host>,
    store: &Arc<Store>,
    audience: &Arc<Audience>,
    notify: Notify,
) -> anyhow::Result<(mpsc::Sender<Pace>, Latest)> {
    let (running, changes) = mpsc::channel();
    let mut ticker = Ticker::new(pace(settings), changes);
    let (mut publisher, latest) = Publisher::new();
    let (mut journal, mut recorder) = (Journal::default(), Recorder::new(Arc::clone(store)));
    let (store, audience) = (Arc::clone(store), Arc::clone(audience));
    let publish = move |mut snapshot: Snapshot| {
        if let Some(own) = &mut snapshot.own {
            complete(&mut own.process, &store, &audience);
        }
        let changes = journal.note(&snapshot.status);
        recorder.changes(snapshot.timestamp, &changes);
        recorder.record(&snapshot);
        notify.alive(Duration::from_millis(snapshot.interval_ms));
        match publisher.publish(snapshot) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                error!(%error, "writing a snapshot as JSON failed");
                ControlFlow::Break(())
            }
        }
    };
    sampler::start(host, move || ticker.next(), publish).context("starting to sample")?;
    Ok((running, latest))
}

/// Adds what only the program knows of itself.
fn complete(own: &mut OwnProcess, store: &Store, audience: &Audience) {
    let health = store.health();
    own.clients = Some(audience.size());
    own.frames_skipped = Some(audience.frames_skipped());
    own.store_bytes = Some(health.bytes).filter(|bytes| *bytes > 0);
    own.store_bytes_per_sample =
        health.block.map(|(bytes, rows)| thousandths(bytes as f64 / rows as f64));
}

/// Returns when nothing samples any more.
async fn ended(mut latest: Latest) {
    while latest.changed().await.is_ok() {}
}
