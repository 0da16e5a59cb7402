//! One connection, from its acceptance to its end.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use super::listener::Accepted;
use super::patience::{Patience, WRITE_DEADLINE};
use super::places::Place;
use crate::http::tls::Tls;

/// What the kernel holds for a peer that does not read, doubled by it for its own needs.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// A TLS handshake must be complete by then.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// A request's head must be complete so long after the connection came about or the answer before was sent: a
/// connection that is kept alive may be idle for so long.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// Largest head of a request.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The first byte of a TLS connection: the type of a record that holds a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

/// What who speaks plain HTTP to a TLS port is told.
pub(crate) const HTTPS_NEEDED: &str = "PerfWatch speaks HTTPS at this port\n";

/// Who is at the other end, as an extension of every request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// Its address; None at the UNIX socket.
    pub(crate) address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub(crate) tls: bool,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Serves a connection until it ends, or until `stop` changes and what was asked is answered.
pub(super) async fn serve(
    accepted: Accepted,
    place: Arc<Place>,
    tls: Option<Arc<Tls>>,
    router: TowerToHyperService<Router>,
    mut stop: watch::Receiver<bool>,
) {
    let opened = tokio::select! {
        opened = open(accepted, tls) => opened,
        _ = stop.changed() => return,
    };
    let ended = match opened {
        Ok((stream, peer)) => {
            http(stream, Requests { router, peer, place }, stop).await.map_err(anyhow::Error::from)
        }
        Err(error) => Err(error.into()),
    };
    if let Err(error) = ended {
        debug!("a connection broke off: {error:#}");
    }
}

/// Makes a stream of requests of what was accepted.
async fn open(accepted: Accepted, tls: Option<Arc<Tls>>) -> io::Result<(Box<dyn Stream>, Peer)> {
    match accepted {
        Accepted::Unix(stream) => {
            sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES)?;
            Ok((Box::new(Patience::new(stream)), Peer { address: None, tls: false }))
        }
        Accepted::Tcp(stream, address) => {
            let peer = Peer { address: Some(address.ip().to_canonical()), tls: tls.is_some() };
            prepare(&stream)?;
            let stream: Box<dyn Stream> = match tls {
                Some(tls) => timeout(HANDSHAKE_DEADLINE, handshake(stream, &tls)).await??,
                None => Box::new(Patience::new(stream)),
            };
            Ok((stream, peer))
        }
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER_BYTES)?;
    // What is in the kernel's hands it must get rid of as fast as we do.
    let deadline_ms = u32::try_from(WRITE_DEADLINE.as_millis()).unwrap_or(u32::MAX);
    Ok(sockopt::set_tcp_user_timeout(stream, deadline_ms)?)
}

async fn handshake(mut stream: TcpStream, tls: &Tls) -> io::Result<Box<dyn Stream>> {
    let mut first = [0];
    let length = stream.peek(&mut first).await?;
    if length > 0 && first != [TLS_HANDSHAKE] {
        let answer = format!(
            "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n{HTTPS_NEEDED}"
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await?;
        // What was sent and not read would reset the connection, and the answer be lost.
        copy(&mut stream.take(MAX_HEAD_BYTES as u64), &mut sink()).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not TLS"));
    }
    let acceptor = TlsAcceptor::from(tls.config());
    Ok(Box::new(acceptor.accept(Patience::new(stream)).await?))
}

async fn http(
    stream: Box<dyn Stream>,
    requests: Requests,
    mut stop: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_DEADLINE).max_buf_size(MAX_HEAD_BYTES);
    let connection = http.serve_connection(TokioIo::new(stream), requests).with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    }
}

/// The routes, told with every request whose it is.
struct Requests {
    router: TowerToHyperService<Router>,
    peer: Peer,
    place: Arc<Place>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Response;
    type Error = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Error;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.place.asked();
        request.extensions_mut().insert(self.peer);
        // What goes on after an upgrade holds it as well.
        request.extensions_mut().insert(Arc::clone(&self.place));
        self.router.call(request)
    }
}
