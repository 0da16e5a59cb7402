//! HTTPS, with curl and openssl as the other side.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::Signal;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::client;

use crate::process::{Server, perfwatch, skipped, stdout};

/// What `perfwatch tls init` made.
struct Pair {
    dir: tempfile::TempDir,
    printed: String,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let printed = stdout(
            perfwatch().args(["tls", "init", "--name", "db1.example", "--dir"]).arg(dir.path()),
        );
        Self { dir, printed }
    }

    fn cert(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key.pem")
    }

    fn serve(&self) -> Server {
        Server::start(&[
            "--tls-cert",
            self.cert().to_str().unwrap(),
            "--tls-key",
            self.key().to_str().unwrap(),
        ])
    }

    fn fingerprint(&self) -> &str {
        let line = self.printed.lines().find_map(|line| line.strip_prefix("fingerprint")).unwrap();
        line.trim()
    }
}

fn there_is(tool: &str) -> bool {
    let there = Command::new(tool)
        .arg("version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !there {
        skipped("HTTPS", format!("{tool} is not installed"));
    }
    there
}

/// What curl gets at a path, trusting a certificate; Err is its exit code.
fn curl(server: &Server, trusting: &Path, arguments: &[&str]) -> Result<String, i32> {
    let port = server.address.rsplit(':').next().unwrap();
    let output = Command::new("curl")
        .args([
            "--silent",
            "--max-time",
            "20",
            "--resolve",
            &format!("db1.example:{port}:127.0.0.1"),
            "--cacert",
        ])
        .arg(trusting)
        .args(arguments)
        .arg(format!("https://localhost:{port}/healthz"))
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap())
    } else {
        Err(output.status.code().unwrap())
    }
}

/// What openssl says of the server: its certificate's fingerprint, and the rest.
fn openssl(server: &Server, arguments: &[&str]) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-connect", &server.address])
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    client.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    client.wait().unwrap();
    said
}

fn fingerprint_of(pem: &str) -> String {
    let mut openssl = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(pem.as_bytes()).unwrap();
    let output = openssl.wait_with_output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_once('=').unwrap().1.trim().to_owned()
}

type Live = tungstenite::WebSocket<StreamOwned<ClientConnection, TcpStream>>;

fn live(server: &Server, pair: &Pair) -> Live {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(pair.cert()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let tls = ClientConnection::new(Arc::new(config), "127.0.0.1".try_into().unwrap()).unwrap();
    let stream = StreamOwned::new(tls, server.connect());
    client(format!("wss://{}/api/v1/live", server.address), stream).unwrap().0
}

#[test]
fn a_pair_that_was_made_here_serves_who_trusts_it() {
    if !there_is("curl") || !there_is("openssl") {
        return;
    }
    let pair = Pair::new();
    assert_eq!(fs::metadata(pair.key()).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(pair.fingerprint(), fingerprint_of(&fs::read_to_string(pair.cert()).unwrap()));
    let again = perfwatch().args(["tls", "init", "--dir"]).arg(pair.dir.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"));

    let server = pair.serve();
    assert_eq!(curl(&server, &pair.cert(), &[]), Ok("ok\n".to_owned()));
    for other_name in ["https://127.0.0.1", "https://db1.example"] {
        let url = format!("{other_name}:{}/healthz", server.address.rsplit(':').next().unwrap());
        // A name that is not this host's is refused over HTTP; its certificate holds all the same.
        assert!(curl(&server, &pair.cert(), &[&url]).is_ok(), "{url}");
    }
    assert_eq!(curl(&server, &Pair::new().cert(), &[]), Err(60), "nobody else vouches for it");
    let said = openssl(&server, &["-alpn", "h2,http/1.1"]);
    assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
    assert_eq!(fingerprint_of(&said), pair.fingerprint());
    assert!(!openssl(&server, &["-tls1_1"]).contains("BEGIN CERTIFICATE"), "older than TLS 1.2");
    assert!(openssl(&server, &["-tls1_2"]).contains("BEGIN CERTIFICATE"));
    let mut live = live(&server, &pair);
    for _ in 0..4 {
        assert!(live.read().unwrap().to_text().unwrap().starts_with(r#"{"type":"#));
    }
}

#[test]
fn a_new_pair_is_taken_at_sighup_and_a_wrong_one_is_not() {
    if !there_is("openssl") {
        return;
    }
    let (first, second) = (Pair::new(), Pair::new());
    let (old_cert, old_key) = (fs::read(first.cert()).unwrap(), fs::read(first.key()).unwrap());
    let server = first.serve();
    let mut live = live(&server, &first);
    assert_eq!(fingerprint_of(&openssl(&server, &[])), first.fingerprint());

    for (cert, key, says) in [
        (b"nonsense".to_vec(), old_key.clone(), "no PEM: there is no line"),
        (old_cert.clone(), fs::read(second.key()).unwrap(), "is not the one of the certificate"),
        (Vec::new(), Vec::new(), "no PEM"),
    ] {
        fs::write(first.cert(), cert).unwrap();
        fs::write(first.key(), key).unwrap();
        server.process.signal(Signal::HUP);
        let line = server.logged(says);
        assert!(line.contains("the certificate stays as it was"), "{line}");
        assert_eq!(fingerprint_of(&openssl(&server, &[])), first.fingerprint());
    }
    fs::copy(second.cert(), first.cert()).unwrap();
    fs::copy(second.key(), first.key()).unwrap();
    server.process.signal(Signal::HUP);
    server.logged("the certificate was read again");
    assert_eq!(fingerprint_of(&openssl(&server, &[])), second.fingerprint());
    for _ in 0..3 {
        assert!(live.read().is_ok(), "what was open goes on");
    }
}

#[test]
fn without_a_certificate_sighup_changes_nothing() {
    let server = Server::start(&[]);
    server.process.signal(Signal::HUP);
    server.logged("there is no certificate to read again");
    assert_eq!(server.get("/healthz").0, 200);
}

#[test]
fn plain_http_to_a_tls_port_is_told_so_and_noise_harms_nobody() {
    let pair = Pair::new();
    let server = pair.serve();
    let (status, _, body) = server.get("/api/v1/snapshot");
    assert_eq!((status, body.as_str()), (400, "PerfWatch speaks HTTPS at this port\n"));
    let mut hello = vec![0x16, 3, 1, 0xff, 0xff];
    hello.extend(vec![0x5a; 70_000]);
    for noise in [&hello[..], &hello[..40], &[0x16], &[0xff; 300], b"\r\n", b""] {
        let mut stream = server.connect();
        // The server may close before all is written.
        let _ = stream.write_all(noise);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(live(&server, &pair).read().is_ok());
}

#[test]
fn what_is_wrong_with_a_pair_is_said_at_the_start() {
    let (pair, other) = (Pair::new(), Pair::new());
    let (cert, key, other_key) = (pair.cert(), pair.key(), other.key());
    let dir = pair.dir.path();
    let (empty, broken) = (dir.join("empty"), dir.join("broken"));
    fs::write(&empty, "").unwrap();
    fs::write(&broken, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let absent = dir.join("absent");
    for (cert, key, file, says) in [
        (&absent, &key, &absent, "No such file"),
        (&cert, &absent, &absent, "No such file"),
        (&empty, &key, &empty, "no PEM"),
        (&broken, &key, &broken, "TLS certificate"),
        (&cert, &cert, &cert, "there is no private key"),
        (&cert, &other_key, &other_key, "is not the one of the certificate"),
    ] {
        let output = perfwatch()
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(dir)
            .arg("--tls-cert")
            .arg(cert)
            .arg("--tls-key")
            .arg(key)
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(says), "{error}");
        assert!(error.contains(file.to_str().unwrap()), "which file: {error}");
    }
    let output = perfwatch().args(["serve", "--tls-cert"]).arg(&cert).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("tls.cert is given without tls.key"));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let server = pair.serve();
    // Said before it serves; a reload says it again.
    server.process.signal(Signal::HUP);
    assert!(server.logged("everybody on this host can read").contains("0644"));
}
