//! `GET /api/v1/live`: every snapshot over WebSocket, as it is made.
//!
//! First `{"type":"hello","interval_ms":5000,"seq":17}` (again whenever the interval changes) and the newest snapshot, then
//! `{"type":"snapshot","seq":18,"missed":0,"data":{…}}` at every tick. A client that reads too slowly skips to the
//! newest and is told in `missed` how many it did not get; one that stops reading is let go. A client may send
//! `{"type":"ping"}` and gets `{"type":"pong"}`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::debug;

use super::AppState;
use super::error::Problem;
use super::server::{Peer, Place};
use crate::access::{Caller, Pass};
use crate::bus::Latest;

/// Largest message a client may send. All it can say is ping.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Largest message that is read at all, to be answered that it was too large.
const MAX_READ_BYTES: usize = 64 << 10;

/// Read buffer of a socket; the default of the library is 128 KiB.
const READ_BUFFER_BYTES: usize = 1024;

/// What may wait to be written: a frame of a host at all limits is below 1 MiB.
const MAX_WRITE_BUFFER_BYTES: usize = 4 << 20;

/// A client that has not taken a message by then is let go.
const SEND_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take to close its side.
const CLOSE_DEADLINE: Duration = Duration::from_millis(400);

/// How often a client is asked for a sign of life. One that gave none since the last time is let go.
const HEARTBEAT: Duration = Duration::from_secs(30);

/// What a client may say.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum ClientMessage {
    Ping,
}

/// Opens the stream, unless there are too many.
pub(crate) async fn upgrade(
    State(state): State<AppState>,
    Extension(place): Extension<Arc<Place>>,
    Extension(peer): Extension<Peer>,
    Extension(caller): Extension<Arc<Caller>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            return Problem::new(rejection.status(), "upgrade-required", rejection.body_text())
                .fix("open it as a WebSocket, or GET /api/v1/snapshot")
                .into_response();
        }
    };
    let Some(permit) = state.audience.join() else {
        return Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too-many-clients",
            "all live streams are taken",
        )
        .fix("close one, or poll /api/v1/snapshot")
        .into_response();
    };
    debug!(address = ?peer.address, tls = peer.tls, "a live stream begins");
    let pass = state.access.pass(Caller::clone(&caller));
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
        .max_message_size(MAX_READ_BYTES)
        .max_frame_size(MAX_READ_BYTES)
        .on_upgrade(move |socket| stream(socket, state, pass, permit, place))
}

async fn stream(
    socket: WebSocket,
    state: AppState,
    pass: Pass,
    _permit: OwnedSemaphorePermit,
    _place: Arc<Place>,
) {
    let mut client = Client { socket, pass, last_seq: None };
    if let Err(end) = client.serve(state).await {
        client.end(end).await;
    }
}

/// The end of a stream, and what to tell the client, if it can be told.
struct End {
    close: Option<(u16, &'static str)>,
}

impl End {
    const SILENT: Self = Self { close: None };

    const fn because(code: u16, reason: &'static str) -> Self {
        Self { close: Some((code, reason)) }
    }
}

/// What a stream begins with, and what is sent when the interval is another.
fn hello(latest: &Latest, interval: Duration) -> Message {
    let seq = latest.borrow().as_ref().map_or(0, |frame| frame.seq);
    let interval_ms = interval.as_millis();
    Message::Text(format!(r#"{{"type":"hello","interval_ms":{interval_ms},"seq":{seq}}}"#).into())
}

struct Client {
    socket: WebSocket,
    /// Whose it is.
    pass: Pass,
    /// The last frame it got.
    last_seq: Option<u64>,
}

impl Client {
    async fn serve(&mut self, state: AppState) -> Result<(), End> {
        let AppState { mut latest, settings, audience, .. } = state;
        let mut settings = settings.subscribe();
        let mut sample_interval = settings.borrow_and_update().interval;
        self.send(hello(&latest, sample_interval)).await?;
        latest.mark_changed();
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        heartbeat.tick().await;
        let mut alive = true;
        loop {
            tokio::select! {
                changed = latest.changed() => {
                    changed.map_err(|_| End::because(close_code::AWAY, "perfwatch is stopping"))?;
                    let frame = latest.borrow_and_update().clone();
                    if let Some(frame) = frame {
                        let missed = self.last_seq.map_or(0, |last| frame.seq.saturating_sub(last).saturating_sub(1));
                        self.last_seq = Some(frame.seq);
                        audience.skipped(missed);
                        self.send(Message::Text(frame.message(missed))).await?;
                    }
                }
                Ok(()) = settings.changed() => {
                    let interval = settings.borrow_and_update().interval;
                    if interval != sample_interval {
                        sample_interval = interval;
                        self.send(hello(&latest, interval)).await?;
                    }
                }
                () = self.pass.changed() => self.check()?,
                received = self.socket.recv() => {
                    alive = true;
                    self.answer(received).await?;
                }
                _ = heartbeat.tick() => {
                    self.check()?;
                    if !std::mem::replace(&mut alive, false) {
                        return Err(End::because(close_code::POLICY, "no sign of life"));
                    }
                    self.send(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    /// Ends a stream whose session or token has ended.
    fn check(&self) -> Result<(), End> {
        let ended = || End::because(close_code::POLICY, "the session or token has ended");
        self.pass.is_valid().then_some(()).ok_or_else(ended)
    }

    /// Says why, and reads on until the client has closed as well: what it sent meanwhile would otherwise reset the
    /// connection, and the reason be lost.
    async fn end(&mut self, end: End) {
        if let Some((code, reason)) = end.close {
            let reason = Utf8Bytes::from_static(reason);
            // The client may be gone already.
            let _ = self.send(Message::Close(Some(CloseFrame { code, reason }))).await;
        }
        let closed = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        let _ = timeout(CLOSE_DEADLINE, closed).await;
    }

    async fn answer(&mut self, received: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        match received {
            Some(Ok(Message::Text(text))) if text.len() > MAX_MESSAGE_BYTES => {
                Err(End::because(close_code::SIZE, "messages are at most 1,024 bytes"))
            }
            Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                Ok(ClientMessage::Ping) => {
                    self.send(Message::Text(Utf8Bytes::from_static(r#"{"type":"pong"}"#))).await
                }
                Err(_) => Err(End::because(
                    close_code::UNSUPPORTED,
                    r#"the only message is {"type":"ping"}"#,
                )),
            },
            Some(Ok(Message::Binary(_))) => {
                Err(End::because(close_code::UNSUPPORTED, "messages are text"))
            }
            // Pings of the protocol are answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
            Some(Ok(Message::Close(_))) | None => Err(End::SILENT),
            Some(Err(error)) => {
                debug!(%error, "a live client broke off or the rules");
                Err(End::because(close_code::PROTOCOL, "not a WebSocket message"))
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(SEND_DEADLINE, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                debug!(%error, "a live client is gone");
                Err(End::SILENT)
            }
            Err(_) => {
                debug!(deadline_s = SEND_DEADLINE.as_secs(), "a live client stopped reading");
                Err(End::SILENT)
            }
        }
    }
}
