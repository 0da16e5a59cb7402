//! A client of the live stream that measures how long snapshots take to it, and may stop reading.
//!
//! Written by hand, without a library for WebSocket: it costs little beside what it measures, and goes by the bytes of
//! RFC 6455.

use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Larger than any frame; an answer that claims more is broken.
const MAX_FRAME_BYTES: u64 = 16 << 20;

/// What the kernel holds for a client that does not read: little, so that the server feels it soon.
const RECEIVE_BUFFER_BYTES: u32 = 4096;

/// An empty pong, masked with zeros.
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];

/// Where the server is.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) tls: Option<TlsConnector>,
}

/// What all clients measured.
#[derive(Default)]
pub(crate) struct Measured {
    /// Of every snapshot, from when sampling began to when the last byte was here, in ms.
    pub(crate) delays_ms: Vec<f64>,
    pub(crate) missed: u64,
    /// Connections that ended or were never made.
    pub(crate) ended: u64,
}

/// Reads until `stop`, but not while `stall` says so; connects again when the server lets it go.
pub(crate) async fn run(
    target: Target,
    measured: Option<Arc<Mutex<Measured>>>,
    mut stall: watch::Receiver<bool>,
) {
    loop {
        let ended = if let Some(tls) = &target.tls {
            match encrypted(&target, tls).await {
                Ok(stream) => follow(stream, measured.as_deref(), &mut stall).await,
                Err(error) => Err(error),
            }
        } else {
            match connect(&target).await {
                Ok(stream) => follow(stream, measured.as_deref(), &mut stall).await,
                Err(error) => Err(error),
            }
        };
        if let (Err(_), Some(measured)) = (ended, &measured)
            && let Ok(mut measured) = measured.lock()
        {
            measured.ended += 1;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn connect(target: &Target) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    Ok(socket.connect(target.address).await?)
}

async fn encrypted(
    target: &Target,
    tls: &TlsConnector,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + use<>> {
    let stream = connect(target).await?;
    Ok(tls.connect(target.address.ip().into(), stream).await?)
}

async fn follow(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    measured: Option<&Mutex<Measured>>,
    stall: &mut watch::Receiver<bool>,
) -> Result<()> {
    let mut stream = BufStream::with_capacity(2048, 256, stream);
    upgrade(&mut stream).await?;
    let mut payload = Vec::new();
    loop {
        // Who stalls reads nothing until it may again.
        stall.wait_for(|stalled| !stalled).await?;
        match frame(&mut stream, &mut payload).await? {
            1 => {
                let Some((delay_ms, missed)) = look(&payload) else { continue };
                if let Some(Ok(mut measured)) = measured.map(Mutex::lock) {
                    measured.delays_ms.push(delay_ms);
                    measured.missed += missed;
                }
            }
            9 => {
                stream.write_all(&PONG).await?;
                stream.flush().await?;
            }
            8 => return Err("closed".into()),
            _ => {}
        }
    }
}

async fn upgrade(stream: &mut (impl AsyncBufReadExt + AsyncWrite + Unpin)) -> Result<()> {
    stream
        .write_all(
            b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
              Connection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await?;
    stream.flush().await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    if !line.starts_with("HTTP/1.1 101") {
        return Err(format!("no upgrade: {line}").into());
    }
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).await?;
    }
    Ok(())
}

/// Reads one frame, which a server sends whole and unmasked, and returns its opcode.
async fn frame(stream: &mut (impl AsyncRead + Unpin), payload: &mut Vec<u8>) -> Result<u8> {
    let (first, second) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = match second {
        126 => stream.read_u16().await?.into(),
        127 => stream.read_u64().await?,
        short => short.into(),
    };
    if length > MAX_FRAME_BYTES {
        return Err("a frame too large".into());
    }
    payload.resize(length as usize, 0);
    stream.read_exact(payload).await?;
    Ok(first & 0x0f)
}

/// How old a snapshot is, in ms, and how many were missed before it. None of another message.
fn look(payload: &[u8]) -> Option<(f64, u64)> {
    let now = Timestamp::now();
    let head = payload.get(..payload.len().min(200)).map(String::from_utf8_lossy)?;
    let missed = after(&head, r#""missed":"#)?.split(',').next()?.parse().ok()?;
    let taken: Timestamp = after(&head, r#""timestamp":""#)?.split('"').next()?.parse().ok()?;
    Some((now.duration_since(taken).as_secs_f64() * 1e3, missed))
}

fn after<'a>(text: &'a str, marker: &str) -> Option<&'a str> {
    text.split_once(marker).map(|(_, rest)| rest)
}
