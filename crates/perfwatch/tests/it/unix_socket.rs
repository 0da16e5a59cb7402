//! `--listen unix:/path`.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use tungstenite::client;

use crate::process::{Server, perfwatch};

fn healthy(path: &Path) -> bool {
    let mut stream = UnixStream::connect(path).unwrap();
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n")
}

/// How it fails to listen there.
fn refusal(path: &Path) -> String {
    let data = tempfile::tempdir().unwrap();
    let listen = format!("unix:{}", path.display());
    let output = perfwatch()
        .args(["serve", "--listen", &listen, "--data"])
        .arg(data.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_socket_is_made_for_owner_and_group_and_removed_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("p.sock");
    let listen = format!("unix:{}", path.display());
    // As left by one that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let server = Server::start(&["--listen", &listen]);
    assert!(server.logged("serving at unix:").contains(path.to_str().unwrap()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
    assert!(healthy(&path));
    assert_eq!(server.get("/healthz").0, 200, "beside TCP");
    let (mut live, _) =
        client("ws://localhost/api/v1/live", UnixStream::connect(&path).unwrap()).unwrap();
    assert!(live.read().unwrap().to_text().unwrap().contains("hello"));
    assert!(refusal(&path).contains("somebody listens there"));
    assert!(healthy(&path), "the refused one took nothing away");
    server.stopped();
    assert!(!path.exists());
}

#[test]
fn what_is_no_socket_of_its_own_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "kept").unwrap();
    assert!(refusal(&file).contains("no socket"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept");
    let (target, link) = (dir.path().join("target"), dir.path().join("link"));
    for target_is_there in [false, true] {
        if target_is_there {
            drop(UnixListener::bind(&target).unwrap());
        } else {
            symlink(&target, &link).unwrap();
        }
        assert!(refusal(&link).contains("no socket"));
        assert!(link.is_symlink() && target.exists() == target_is_there);
    }
    assert!(refusal(&dir.path().join("x".repeat(200))).contains("listening on unix:"));

    let path = dir.path().join("p.sock");
    let server = Server::start(&["--listen", &format!("unix:{}", path.display())]);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "another's").unwrap();
    server.stopped();
    assert_eq!(fs::read_to_string(&path).unwrap(), "another's");
}
