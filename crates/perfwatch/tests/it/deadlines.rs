//! Who holds on and does nothing is let go, and how soon.
//!
//! All wait beside each other, so that it takes a minute and not three. No connection is ended before its time, and the
//! upper bounds leave room for a busy machine.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_recv_buffer_size;

use crate::process::{Server, fixture, perfwatch, stdout};

/// A host with many names has frames of 60 KB and a catalog to match.
fn many_names() -> [String; 3] {
    let tree = fixture("server128").join("t0");
    let root = |name: &str, dir: &str| format!("--path.{name}={}", tree.join(dir).display());
    [root("procfs", "proc"), root("sysfs", "sys"), root("rootfs", "")]
}

fn connect(server: &Server) -> TcpStream {
    let stream = server.connect();
    stream.set_nonblocking(true).unwrap();
    stream
}

/// A live stream that was asked for and nothing more.
fn live(server: &Server) -> TcpStream {
    let mut stream = connect(server);
    let request = format!(
        "GET /api/v1/live HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

/// A connection under watch.
struct Held {
    what: &'static str,
    stream: TcpStream,
    /// What is done at every look.
    act: fn(&mut TcpStream, &mut Vec<u8>) -> std::io::Result<usize>,
    received: Vec<u8>,
    seconds: Range<u64>,
    ended: Option<Duration>,
}

fn held(
    what: &'static str,
    stream: TcpStream,
    seconds: Range<u64>,
    act: fn(&mut TcpStream, &mut Vec<u8>) -> std::io::Result<usize>,
) -> Held {
    Held { what, stream, act, received: Vec::new(), seconds, ended: None }
}

fn read(stream: &mut TcpStream, received: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut buffer = [0; 64 << 10];
    let length = stream.read(&mut buffer)?;
    received.extend_from_slice(&buffer[..length]);
    Ok(length)
}

/// Sends a byte of a header that never ends, and looks for an end.
fn dribble(stream: &mut TcpStream, received: &mut Vec<u8>) -> std::io::Result<usize> {
    stream.write_all(b"x")?;
    read(stream, received)
}

/// Reads nothing, but gives signs of life, which the kernel refuses when nobody is there to take them.
fn stall_live(stream: &mut TcpStream, received: &mut Vec<u8>) -> std::io::Result<usize> {
    const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
    stream.write_all(&PONG)?;
    stall(stream, received)
}

/// Reads nothing, and sees only that the connection was reset.
fn stall(stream: &mut TcpStream, _received: &mut Vec<u8>) -> std::io::Result<usize> {
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Err(ErrorKind::WouldBlock.into()),
    }
}

#[test]
fn every_deadline_is_kept() {
    let server = Server::start(&many_names().each_ref().map(String::as_str));
    let pair = tempfile::tempdir().unwrap();
    let dir = pair.path().to_str().unwrap();
    stdout(perfwatch().args(["tls", "init", "--dir", dir]));
    let (cert, key) = (format!("{dir}/cert.pem"), format!("{dir}/key.pem"));
    let encrypted = Server::start(&["--tls-cert", &cert, "--tls-key", &key]);
    server.snapshot();

    let mut idle = connect(&server);
    idle.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", server.address).as_bytes())
        .unwrap();
    let mut slow_head = connect(&server);
    slow_head.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").unwrap();
    let mut half_closed = connect(&server);
    half_closed.write_all(b"GET /healthz HTT").unwrap();
    half_closed.shutdown(Shutdown::Write).unwrap();
    let mut half_hello = connect(&encrypted);
    half_hello.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
    let asks = format!("GET /api/v1/catalog HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let mut greedy = connect(&server);
    // Asks until neither side holds any more.
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        let _ = greedy.write(asks.as_bytes());
    }
    let stalled = live(&server);
    set_socket_recv_buffer_size(&stalled, 4096).unwrap();
    let mut gone = live(&server);
    gone.shutdown(Shutdown::Write).unwrap();
    let _ = gone.flush();

    let start = Instant::now();
    let mut all = [
        held("half a head and no more to come", half_closed, 0..5, read),
        held("a live client that closed its side", gone, 0..5, read),
        held("nothing said", connect(&server), 9..20, read),
        held("a head that comes a byte at a time", slow_head, 9..20, dribble),
        held("kept alive and idle", idle, 9..20, read),
        held("no handshake", connect(&encrypted), 9..20, read),
        held("half a handshake", half_hello, 9..20, read),
        held("who asks and never reads", greedy, 5..45, stall),
        held("a live client that does not read", stalled, 9..60, stall_live),
        held("a live client that gives no sign of life", live(&server), 29..90, read),
    ];
    let mut asked = Instant::now();
    while all.iter().any(|held| held.ended.is_none()) {
        assert!(start.elapsed() < Duration::from_secs(100), "still there: {:?}", remaining(&all));
        for held in all.iter_mut().filter(|held| held.ended.is_none()) {
            match (held.act)(&mut held.stream, &mut held.received) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(length) if length > 0 => {}
                Ok(_) | Err(_) => held.ended = Some(start.elapsed()),
            }
        }
        if asked.elapsed() > Duration::from_secs(1) {
            assert_eq!(server.get("/healthz").0, 200, "others are served");
            asked = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    for Held { what, seconds, ended, received, .. } in &all {
        let ended = ended.unwrap().as_secs();
        assert!(seconds.contains(&ended), "{what}: ended after {ended} s");
        if *what == "a live client that gives no sign of life" {
            let reason = b"no sign of life";
            assert!(received.ends_with(reason), "the last it gets is why");
        }
    }
}

fn remaining(all: &[Held]) -> Vec<&str> {
    all.iter().filter(|held| held.ended.is_none()).map(|held| held.what).collect()
}
