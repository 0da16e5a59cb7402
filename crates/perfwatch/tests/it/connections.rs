//! More connections than there is room for, and worse.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tungstenite::client;

use crate::answers::within;
use crate::process::{Server, perfwatch, perfwatch_under, skipped, stdout};

/// Half a request.
fn dribble(server: &Server) -> TcpStream {
    let mut stream = server.connect();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: ").unwrap();
    stream
}

/// Whether the other side has closed it.
fn is_closed(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let read = (&mut &*stream).read(&mut [0; 1]);
    !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

fn sockets(server: &Server) -> usize {
    let links = fs::read_dir(format!("/proc/{}/fd", server.process.0.id())).unwrap();
    links
        .flatten()
        .filter_map(|link| fs::read_link(link.path()).ok())
        .filter(|to| is_socket(to))
        .count()
}

fn is_socket(target: &Path) -> bool {
    target.to_string_lossy().starts_with("socket:")
}

/// Waits until it holds no more sockets than at first.
fn wait_for(server: &Server, count: usize) {
    within(Duration::from_secs(20), "sockets as few as at first", || sockets(server) <= count);
}

/// CPU time that it took so far, in ticks of a hundredth of a second.
fn cpu_ticks(server: &Server) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.process.0.id())).unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_ascii_whitespace();
    fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn with_few_descriptors_who_asks_is_served_at_the_cost_of_who_does_not() {
    let server = Server::start_as(
        perfwatch_under("prlimit", &["--nofile=128"]),
        tempfile::tempdir().unwrap(),
        &[],
    );
    server.snapshot();
    // A client that asked something is not ended for others.
    let (mut live, _) =
        client(format!("ws://{}/api/v1/live", server.address), server.connect()).unwrap();
    let held: Vec<_> = (0..200).map(|_| dribble(&server)).collect();
    assert_eq!(server.get("/healthz").0, 200);
    assert!(is_closed(&held[0]), "the oldest made room");
    assert!(sockets(&server) <= 40, "{} sockets", sockets(&server));
    for _ in 0..3 {
        assert!(live.read().unwrap().to_text().unwrap().starts_with(r#"{"type":"#));
    }
    drop(held);
    assert_eq!(server.get("/healthz").0, 200);
}

#[test]
fn without_descriptors_it_waits_without_spinning_and_recovers() {
    let server = Server::start(&[]);
    server.snapshot();
    let pid = Pid::from_child(&server.process.0);
    let descriptors = server.process.count("fd") as u64;
    // This process has the same limit.
    let none_left = Rlimit { current: Some(descriptors), ..getrlimit(Resource::Nofile) };
    let before = prlimit(Some(pid), Resource::Nofile, none_left).unwrap();
    let waiting: Vec<_> = (0..20).map(|_| dribble(&server)).collect();
    server.logged("accepting connections fails");
    let (start, ticks) = (Instant::now(), cpu_ticks(&server));
    std::thread::sleep(Duration::from_secs(2));
    let (passed, used) = (start.elapsed().as_millis() as u64 / 10, cpu_ticks(&server) - ticks);
    assert!(used * 4 < passed, "{used} of {passed} ticks of CPU time");
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    server.logged("connections are accepted again");
    assert_eq!(server.get("/healthz").0, 200);
    drop(waiting);
}

#[test]
fn resets_and_half_closed_connections_leave_nothing_behind() {
    let server = Server::start(&[]);
    server.snapshot();
    let before = sockets(&server);
    let request = format!("GET /api/v1/catalog HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let upgrade = format!(
        "GET /api/v1/live HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    for round in 0..300 {
        let mut stream = server.connect();
        let said = [&b""[..], b"GET /he", request.as_bytes(), upgrade.as_bytes()][round % 4];
        stream.write_all(said).unwrap();
        if round % 3 == 0 {
            // What is not sent is thrown away, and the other side's is refused.
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        } else if round % 3 == 1 {
            stream.shutdown(Shutdown::Write).unwrap();
            // An answer, or nothing.
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    wait_for(&server, before);
    assert_eq!(server.get("/healthz").0, 200);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::start(&[]);
    let cookie = format!("Host: {}\r\nCookie: {}\r\n", server.address, "x".repeat(12 << 10));
    assert_eq!(server.request("GET", "/healthz", &cookie).0, 200, "12 KiB are not too large");
    for headers in [format!("Cookie: {}\r\n", "x".repeat(20 << 10)), "A: b\r\n".repeat(200)] {
        let headers = format!("Host: {}\r\n{headers}", server.address);
        assert_eq!(server.request("GET", "/healthz", &headers).0, 431);
    }
}

/// In a network of its own, where this host has an address that is not loopback and nobody else is.
#[test]
fn another_host_has_its_share_of_connections_and_no_more() {
    const NAME: &str = "connections::another_host_has_its_share_of_connections_and_no_more";
    const ADDRESS: &str = "192.0.2.1";
    if std::env::var_os("IN_A_NETWORK_OF_ITS_OWN").is_none() {
        let prepare =
            format!("ip link set lo up && ip address add {ADDRESS} dev lo && exec \"$0\" \"$@\"");
        let mut itself = Command::new("unshare");
        itself.args(["--net", "sh", "-c", &prepare]).arg(std::env::current_exe().unwrap());
        itself.args([NAME, "--exact", "--nocapture"]).env("IN_A_NETWORK_OF_ITS_OWN", "1");
        let can = Command::new("unshare").args(["--net", "ip", "link"]).output();
        if !can.is_ok_and(|output| output.status.success()) {
            return skipped("connections of another host", "needs root, unshare and ip");
        }
        let output = itself.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let pair = tempfile::tempdir().unwrap();
    let dir = pair.path().to_str().unwrap();
    stdout(perfwatch().args(["tls", "init", "--dir", dir]));
    let (cert, key) = (format!("{dir}/cert.pem"), format!("{dir}/key.pem"));
    let listen = format!("{ADDRESS}:0");
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--listen", &listen, "--tls-cert", &cert, "--tls-key", &key];
    let server = Server::guarded(data, &arguments);
    let line = server.logged(&format!("serving at https://{ADDRESS}"));
    let port = line.split(' ').find_map(|word| word.strip_prefix("https://")).unwrap();
    let all: Vec<_> = (0..300).map(|_| TcpStream::connect(port).unwrap()).collect();
    server.logged("no place for more connections");
    assert_eq!(server.get("/healthz").0, 400, "this host is answered: that it must speak TLS");
    within(Duration::from_secs(20), "connections beyond 256 closed", || {
        all.iter().filter(|stream| is_closed(stream)).count() >= 300 - 256
    });
}
