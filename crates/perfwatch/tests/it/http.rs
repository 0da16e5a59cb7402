//! What is served over HTTP.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::{Server, perfwatch, stdout};

/// How a TLS client begins.
const TLS_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];

#[test]
fn the_newest_snapshot_is_served() {
    let server = Server::start(&[]);
    let first = server.snapshot();
    let deadline = Instant::now() + Duration::from_secs(10);
    while server.snapshot()["tick"] == first["tick"] {
        assert!(Instant::now() < deadline, "no second snapshot");
    }
    let (_, head, _) = server.get("/api/v1/snapshot");
    for header in [
        "content-type: application/json",
        "cache-control: no-store",
        "nosniff",
        "default-src 'none'",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
}

#[test]
fn the_catalog_is_the_one_that_is_printed() {
    let server = Server::start(&[]);
    let (status, _, body) = server.get("/api/v1/catalog");
    assert_eq!(status, 200);
    let served: Value = serde_json::from_str(&body).unwrap();
    let printed: Value =
        serde_json::from_str(&stdout(perfwatch().args(["catalog", "--json"]))).unwrap();
    assert_eq!(served, printed);
}

#[test]
fn errors_are_problem_details() {
    let server = Server::start(&[]);
    let host = format!("Host: {}\r\n", server.address);
    for (method, path, headers, status, code) in [
        ("GET", "/api/v1/nothing", host.as_str(), 404, "not-found"),
        ("POST", "/api/v1/snapshot", &host, 405, "method-not-allowed"),
        ("GET", "/api/v1/live", &host, 400, "upgrade-required"),
        ("GET", "/healthz", "Host: evil.example\r\n", 421, "host-not-allowed"),
        (
            "GET",
            "/healthz",
            &format!("{host}Origin: http://evil.example\r\n"),
            403,
            "origin-not-allowed",
        ),
    ] {
        let (answered, head, body) = server.request(method, path, headers);
        assert_eq!(answered, status, "{method} {path} {headers}");
        assert!(head.contains("content-type: application/problem+json"), "{head}");
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&code.into(), &status.into()));
    }
    assert_eq!(server.get("/healthz").2, "ok\n");
}

#[test]
fn a_request_that_is_none_harms_nobody() {
    let server = Server::start(&[]);
    for request in [
        &b"\xff\xfe\x00\r\n\r\n"[..],
        b"GET",
        b"GET / HTTP/9.9\r\n\r\n",
        &[b'a'; 100_000],
        TLS_HELLO,
    ] {
        let mut stream = server.connect();
        // The server may close before all is written.
        let _ = stream.write_all(request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert_eq!(server.get("/healthz").0, 200);
}
