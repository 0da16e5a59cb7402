//! The stream over WebSocket.

use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::process::Signal;
use serde_json::Value;
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket, client};

use crate::process::{Server, fixture};

fn open(server: &Server) -> WebSocket<TcpStream> {
    client(format!("ws://{}/api/v1/live", server.address), server.connect()).unwrap().0
}

/// With a buffer that holds little of what is not read.
pub(crate) fn open_slow(server: &Server) -> WebSocket<TcpStream> {
    let stream = server.connect();
    set_socket_recv_buffer_size(&stream, 16 << 10).unwrap();
    client(format!("ws://{}/api/v1/live", server.address), stream).unwrap().0
}

fn next(live: &mut WebSocket<TcpStream>) -> Value {
    loop {
        if let Message::Text(text) = live.read().unwrap() {
            return serde_json::from_str(&text).unwrap();
        }
    }
}

#[test]
fn every_snapshot_is_streamed_on_the_tick() {
    let server = Server::start(&[]);
    server.snapshot();
    let mut live = open(&server);
    let hello = next(&mut live);
    assert_eq!((&hello["type"], &hello["interval_ms"]), (&"hello".into(), &500.into()));
    let newest = next(&mut live);
    assert!(newest["seq"].as_u64() >= hello["seq"].as_u64(), "the newest comes at once");
    let mut last = newest;
    for _ in 0..6 {
        let message = next(&mut live);
        let arrived = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!((&message["type"], &message["missed"]), (&"snapshot".into(), &0.into()));
        assert_eq!(message["seq"].as_u64().unwrap(), last["seq"].as_u64().unwrap() + 1);
        assert!(message["data"]["tick"].as_u64() > last["data"]["tick"].as_u64());
        // Half a tick of room for a busy machine; a tick that drifts or comes on no multiple is seen all the same.
        let off_tick = arrived.as_millis() % 500;
        assert!(off_tick < 250, "arrived {off_tick} ms after the tick");
        last = message;
    }
    let at_rest = |name: &str| last["data"]["memory"][name].clone();
    assert_eq!(server.snapshot()["memory"]["total_bytes"], at_rest("total_bytes"));
}

#[test]
fn ping_is_answered_and_nonsense_ends_the_stream() {
    let server = Server::start(&[]);
    let mut live = open(&server);
    live.send(Message::text(r#"{"type":"ping"}"#)).unwrap();
    while next(&mut live)["type"] != "pong" {}
    for nonsense in
        [Message::text("hello?"), Message::binary(vec![1, 2]), Message::text("x".repeat(5000))]
    {
        let mut live = open(&server);
        live.send(nonsense).unwrap();
        let start = Instant::now();
        let end = loop {
            match live.read() {
                Ok(Message::Close(frame)) => break frame.map(|frame| frame.code),
                Ok(_) => assert!(start.elapsed() < Duration::from_secs(5), "nonsense was let pass"),
                Err(_) => break None,
            }
        };
        assert!(matches!(end, Some(CloseCode::Unsupported | CloseCode::Size)), "{end:?}");
    }
    let mut live = open(&server);
    live.close(None).unwrap();
    let end = loop {
        match live.read() {
            Ok(_) => continue,
            Err(error) => break error,
        }
    };
    assert!(matches!(end, tungstenite::Error::ConnectionClosed), "a goodbye is answered: {end}");
}

#[test]
fn a_client_that_does_not_read_skips_to_the_newest_and_is_told() {
    // A host with many names has frames of 100 KB, of which a small buffer holds few.
    let tree = fixture("server128").join("t0");
    let root = |name: &str, dir: &str| format!("--path.{name}={}", tree.join(dir).display());
    let roots = [root("procfs", "proc"), root("sysfs", "sys"), root("rootfs", "")];
    let server = Server::start(&roots.each_ref().map(String::as_str));
    server.snapshot();
    let mut all_slow: Vec<_> = (0..10).map(|_| open_slow(&server)).collect();
    let mut all_quick: Vec<_> = (0..10).map(|_| open(&server)).collect();
    for live in all_slow.iter_mut().chain(&mut all_quick) {
        assert_eq!(next(live)["type"], "hello");
    }
    // Well within what a slow client is granted for a frame.
    for _ in 0..8 {
        for quick in &mut all_quick {
            assert_eq!(next(quick)["missed"], 0, "others are not held up");
        }
    }
    let mut slow = all_slow.pop().unwrap();
    let mut missed = 0;
    let mut last = next(&mut slow)["seq"].as_u64().unwrap();
    while missed == 0 {
        let message = next(&mut slow);
        let seq = message["seq"].as_u64().unwrap();
        missed = message["missed"].as_u64().unwrap();
        assert_eq!(seq, last + 1 + missed, "holes are told");
        last = seq;
    }
}

#[test]
fn two_hundred_clients_take_little_memory() {
    let server = Server::start(&[]);
    server.snapshot();
    let open_some = |count| -> Vec<_> { (0..count).map(|_| open(&server)).collect() };
    let mut first = open_some(10);
    let everybody_has_a_frame = |all: &mut [WebSocket<TcpStream>]| {
        for live in all {
            while next(live)["type"] != "snapshot" {}
        }
    };
    everybody_has_a_frame(&mut first);
    let before = server.process.memory_kib("RssAnon");
    let mut all = open_some(200);
    everybody_has_a_frame(&mut all);
    let each = server.process.memory_kib("RssAnon").saturating_sub(before) / 200;
    assert!(each <= 64, "{each} KiB a client");
}

#[test]
fn pages_from_elsewhere_get_no_stream() {
    let server = Server::start(&[]);
    for (origin, allowed) in
        [(format!("http://{}", server.address), true), ("http://evil.example".to_owned(), false)]
    {
        let mut request =
            format!("ws://{}/api/v1/live", server.address).into_client_request().unwrap();
        request.headers_mut().insert("Origin", origin.parse().unwrap());
        assert_eq!(client(request, server.connect()).is_ok(), allowed, "{origin}");
    }
}

#[test]
fn sigterm_closes_streams_and_ends_within_two_seconds() {
    let mut server = Server::start(&[]);
    let mut live = open(&server);
    next(&mut live);
    let _idle = server.connect();
    server.process.signal(Signal::TERM);
    let end = loop {
        match live.read().unwrap() {
            Message::Close(frame) => break frame.unwrap(),
            _ => continue,
        }
    };
    assert_eq!((end.code, end.reason.as_str()), (CloseCode::Away, "perfwatch is stopping"));
    assert!(server.process.end(Duration::from_secs(2)).expect("still running after 2 s").success());
}
