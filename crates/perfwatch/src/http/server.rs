//! The accept loop: HTTP/1.1 with deadlines and a limit on connections, where axum's own has neither.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

/// Most connections at a time, WebSockets included. More wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 2048;

/// File descriptors that are not for connections: what the collectors keep open, and some to spare.
const RESERVED_DESCRIPTORS: u64 = 256;

/// A peer that has taken nothing of what was written to it for so long is gone, as the kernel sees it.
const WRITE_DEADLINE: Duration = Duration::from_secs(10);

/// What the kernel holds for a peer that does not read, doubled by it for its own needs.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// A request's head must be complete by then; the same for a connection that is kept alive and idle.
const HEADER_DEADLINE: Duration = Duration::from_secs(10);

/// Largest head of a request.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Pause after accept failed, as it does without free file descriptors: no spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to end after the signal to stop.
const STOP_DEADLINE: Duration = Duration::from_secs(1);

/// A connection's place among [`MAX_CONNECTIONS`]: free again when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    _permit: Arc<Option<OwnedSemaphorePermit>>,
}

/// Who is at the other end, as an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its address; None at a UNIX socket.
    pub(crate) address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
}

/// Serves until `stop` changes or is closed, then lets connections end.
pub(crate) async fn serve(listener: TcpListener, router: Router, mut stop: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(connection_limit()));
    let mut failing = false;
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            // The semaphore is never closed.
            let permit = permits.clone().acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        tokio::select! {
            _ = stop.changed() => break,
            Some(_) = connections.join_next() => {}
            (permit, accepted) = accepted => match accepted {
                Ok((stream, address)) => {
                    failing = false;
                    // What goes on after an upgrade holds it as well.
                    let place = Place { _permit: Arc::new(permit) };
                    let peer = Peer { address: Some(address.ip()), tls: false };
                    let router = router.clone().layer(Extension(place)).layer(Extension(peer));
                    connections.spawn(connection(stream, router, stop.clone()));
                }
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

/// As many connections as there are file descriptors for. Raises the limit of this process as far as it may.
fn connection_limit() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let descriptors = if raised.is_ok() { limit.maximum } else { limit.current };
    let free = descriptors.map_or(usize::MAX, |descriptors| {
        usize::try_from(descriptors.saturating_sub(RESERVED_DESCRIPTORS)).unwrap_or(usize::MAX)
    });
    free.clamp(1, MAX_CONNECTIONS)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER_BYTES)?;
    let deadline_ms = u32::try_from(WRITE_DEADLINE.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(stream, deadline_ms)?)
}

async fn connection(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    if let Err(error) = prepare(&stream) {
        debug!(%error, "setting options of a connection failed");
    }
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_DEADLINE).max_buf_size(MAX_HEAD_BYTES);
    let connection = http
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke off");
    }
}
