//! `perfwatch serve`: sample, and stream what was sampled.

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::{Context, anyhow};
use perfwatch_collect::{Host, sampler};
use perfwatch_metrics::Snapshot;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{debug, error, info};

use crate::bus::{Latest, Publisher};
use crate::config::Settings;
use crate::http::{self, AppState};
use crate::journal::Journal;
use crate::ticker::Ticker;

/// How long clients may take to read why their stream ends.
const STREAMS_DEADLINE: Duration = Duration::from_millis(500);

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(settings: &Settings) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::from(settings.log))
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting the runtime")?.block_on(serve(settings))
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    // First, so that a second instance leaves before it samples.
    let listener = TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "listening on {} (is another PerfWatch running there? --listen takes another)",
            settings.listen
        )
    })?;
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let host = Arc::new(Host::new(settings.roots.clone()));
    let (sampling, latest) = start_sampling(settings, &host)?;
    let address = listener.local_addr().context("asking for the address listened on")?;
    let interval_ms = settings.interval.as_millis() as u64;
    info!(version = env!("CARGO_PKG_VERSION"), interval_ms, "serving at http://{address}");

    let state = AppState::new(latest.clone(), settings.interval, host.info().hostname.as_deref());
    let (stop, stopping) = watch::channel(false);
    let stopped = async move {
        let told = tokio::select! {
            _ = terminate.recv() => Ok("SIGTERM"),
            _ = interrupt.recv() => Ok("SIGINT"),
            () = ended(latest) => Err(anyhow!("sampling ended by itself")),
        };
        let told = told.map(|signal| info!(signal, "stopping"));
        // Closes the bus, which ends the live streams, and then the connections.
        drop(sampling);
        let _ = stop.send(true);
        told
    };
    let router = http::router(state.clone());
    let ((), told) = tokio::join!(http::serve(listener, router, stopping), stopped);
    if timeout(STREAMS_DEADLINE, state.live_streams_end()).await.is_err() {
        debug!("some live streams did not end in time");
    }
    told
}

/// Starts sampling. It stops when what is returned first is dropped.
fn start_sampling(
    settings: &Settings,
    host: &Arc<Host>,
) -> anyhow::Result<(mpsc::Sender<()>, Latest)> {
    let (running, stop) = mpsc::channel();
    let mut ticker = Ticker::new(settings.interval, stop);
    let (mut publisher, latest) = Publisher::new();
    let mut journal = Journal::default();
    let publish = move |snapshot: Snapshot| {
        journal.note(&snapshot.status);
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
