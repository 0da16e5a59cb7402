//! The accept loop: HTTP/1.1 over TCP, TLS and a UNIX socket, with deadlines and limits on connections, where axum's
//! own has neither.

mod connection;
mod listener;
mod patience;
mod places;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::tls::Tls;

pub(crate) use connection::{HTTPS_NEEDED, Peer};
pub(crate) use listener::Listener;
pub(crate) use places::Place;
use places::Places;

/// Pause after accept failed, as it does without free file descriptors: no spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often it is logged that connections are refused, however many are.
const REFUSAL_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// How long connections may take to end after the signal to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(1);

/// Serves until `stop` changes or is closed, then lets connections end.
pub(crate) async fn serve(
    listeners: Vec<Listener>,
    tls: Option<Arc<Tls>>,
    router: Router,
    stop: watch::Receiver<bool>,
) {
    let server = Server { places: Places::new(), tls, router: TowerToHyperService::new(router) };
    let mut loops: JoinSet<()> = listeners
        .into_iter()
        .map(|listener| server.clone().accept(listener, stop.clone()))
        .collect();
    while loops.join_next().await.is_some() {}
}

/// What the listeners share.
#[derive(Clone)]
struct Server {
    places: Places,
    tls: Option<Arc<Tls>>,
    router: TowerToHyperService<Router>,
}

impl Server {
    async fn accept(self, listener: Listener, mut stop: watch::Receiver<bool>) {
        let mut connections = JoinSet::new();
        let (mut failing, mut refusals) = (false, Refusals::default());
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => {
                        if std::mem::take(&mut failing) {
                            info!("connections are accepted again");
                        }
                        let Some(place) = self.places.take(accepted.source()).map(Arc::new) else {
                            refusals.count();
                            continue;
                        };
                        let Self { tls, router, .. } = self.clone();
                        let connection =
                            connection::serve(accepted, Arc::clone(&place), tls, router, stop.clone());
                        place.may_be_ended(connections.spawn(connection));
                    }
                    Err(error) if is_the_peers(&error) => {}
                    Err(error) => {
                        if !std::mem::replace(&mut failing, true) {
                            warn!(%error, "accepting connections fails");
                        }
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let all_ended = async { while connections.join_next().await.is_some() {} };
        if timeout(STOP_DEADLINE, all_ended).await.is_err() {
            debug!("some connections did not end in time");
        }
    }
}

/// Whether accept failed for one connection, and not for all.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Connections that found no place.
#[derive(Default)]
struct Refusals {
    since: Option<Instant>,
    count: u64,
}

impl Refusals {
    fn count(&mut self) {
        self.count += 1;
        if self.since.is_none_or(|since| since.elapsed() >= REFUSAL_LOG_INTERVAL) {
            warn!(refused = self.count, "there is no place for more connections");
            *self = Self { since: Some(Instant::now()), count: 0 };
        }
    }
}
