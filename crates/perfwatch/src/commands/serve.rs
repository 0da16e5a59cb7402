//! `perfwatch serve`: sample, stream what was sampled, and keep it.

mod lifecycle;

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, anyhow};
use perfwatch_collect::{Host, sampler};
use perfwatch_metrics::Snapshot;
use perfwatch_store::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, error, info, warn};

use crate::bus::{Latest, Publisher};
use crate::config::Settings;
use crate::http::{self, AppState, Listener, Tls};
use crate::journal::Journal;
use crate::recorder::Recorder;
use crate::ticker::Ticker;

/// How long clients may take to read why their stream ends.
const STREAMS_DEADLINE: Duration = Duration::from_millis(500);

/// How long an end waits for the disk. Then what was not written is lost, as in a power cut.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::from(settings.log))
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(http::MAX_QUESTIONS)
        .build();
    let runtime = runtime.context("starting the runtime")?;
    let told = runtime.block_on(serve(settings));
    // A question that waits for a disk is not waited for.
    runtime.shutdown_background();
    told
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    // First, so that a second instance leaves before it samples.
    let listeners = listen(settings)?;
    let tls = settings.tls_files()?.map(Tls::load).transpose()?.map(Arc::new);
    let hangup = signal(SignalKind::hangup()).context("waiting for SIGHUP")?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let host = Arc::new(Host::new(settings.roots.clone()));
    let store = open_store(settings)?;
    let (sampling, latest) = start_sampling(settings, &host, &store)?;
    let interval_ms = settings.interval.as_millis() as u64;
    for listener in &listeners {
        let url = listener.url(tls.is_some()).context("asking for the address listened on")?;
        info!(version = env!("CARGO_PKG_VERSION"), interval_ms, "serving at {url}");
    }
    tokio::spawn(reload(hangup, tls.clone()));

    let hostname = host.info().hostname;
    let state =
        AppState::new(latest.clone(), settings.interval, hostname.as_deref(), Arc::clone(&store));
    let (stop, stopping) = watch::channel(false);
    let stopped = async move {
        let told = tokio::select! {
            _ = terminate.recv() => Ok("SIGTERM"),
            _ = interrupt.recv() => Ok("SIGINT"),
            () = ended(latest) => Err(anyhow!("sampling ended by itself")),
        };
        let told = told.inspect(|signal| info!(signal, "stopping"));
        // Closes the bus, which ends the live streams, and then the connections.
        drop(sampling);
        let _ = stop.send(true);
        told
    };
    let router = http::router(state.clone());
    let ((), told) = tokio::join!(http::serve(listeners, tls, router, stopping), stopped);
    if timeout(STREAMS_DEADLINE, state.live_streams_end()).await.is_err() {
        debug!("some live streams did not end in time");
    }
    store.event(lifecycle::stopped(told.as_ref().copied().unwrap_or("sampling ended by itself")));
    if !store.close(CLOSE_PATIENCE) {
        warn!("the disk did not take the last rows in time");
    }
    told.map(|_| ())
}

fn listen(settings: &Settings) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for address in &settings.listen {
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
) -> anyhow::Result<(mpsc::Sender<()>, Latest)> {
    let (running, stop) = mpsc::channel();
    let mut ticker = Ticker::new(settings.interval, stop);
    let (mut publisher, latest) = Publisher::new();
    let (mut journal, mut recorder) = (Journal::default(), Recorder::new(Arc::clone(store)));
    let publish = move |snapshot: Snapshot| {
        let changes = journal.note(&snapshot.status);
        recorder.changes(snapshot.timestamp, &changes);
        recorder.record(&snapshot);
        match publisher.publish(&snapshot) {
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

/// Returns when nothing samples any more.
async fn ended(mut latest: Latest) {
    while latest.changed().await.is_ok() {}
}
