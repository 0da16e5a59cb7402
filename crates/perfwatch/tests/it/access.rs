//! Who may: logging in, tokens, roles, and what ends when.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket, client};

use crate::answers::within;
use crate::process::{Server, perfwatch};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// `perfwatch user` on a data directory, with a password from standard input.
pub(crate) fn user(data: &Path, arguments: &[&str], password: &str) -> String {
    let mut command = perfwatch();
    command.arg("user").args(arguments).arg("--data").arg(data);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A data directory with these users, each with [`PASSWORD`].
pub(crate) fn with_users(users: &[(&str, &str)]) -> tempfile::TempDir {
    let data = tempfile::tempdir().unwrap();
    for (name, role) in users {
        user(data.path(), &["add", name, "--role", role], PASSWORD);
    }
    data
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// In lower case.
    pub(crate) head: String,
    pub(crate) body: Value,
    /// What a browser would keep.
    pub(crate) cookie: Option<String>,
}

impl Answer {
    /// The code of an error.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Sends a request with these headers, as lines, from an address of this host.
pub(crate) fn ask(
    server: &Server,
    method: &str,
    path: &str,
    headers: &str,
    body: Option<&Value>,
) -> Answer {
    let mut stream = server.connect();
    ask_on(&mut stream, server, method, path, headers, body)
}

fn ask_on(
    stream: &mut TcpStream,
    server: &Server,
    method: &str,
    path: &str,
    headers: &str,
    body: Option<&Value>,
) -> Answer {
    let body = body.map(Value::to_string);
    let about = body.as_ref().map(|body| {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    });
    let (about, body) = (about.unwrap_or_default(), body.unwrap_or_default());
    let host = &server.address;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{about}Connection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    Answer {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        cookie: cookie.map(|cookie| cookie.split(';').next().unwrap().to_owned()),
        head: head.to_lowercase(),
        body: serde_json::from_str(body).unwrap_or(Value::Null),
    }
}

/// The headers that a page of the server sends with a cookie.
pub(crate) fn page(server: &Server, cookie: &str) -> String {
    format!("Cookie: {cookie}\r\nOrigin: http://{}\r\n", server.address)
}

/// Logs in and returns the headers of whoever did.
pub(crate) fn log_in(server: &Server, name: &str) -> String {
    let body = json!({ "user": name, "password": PASSWORD });
    let answer = ask(server, "POST", "/api/v1/session", "", Some(&body));
    assert_eq!(answer.status, 200, "{answer:?}");
    page(server, &answer.cookie.unwrap())
}

/// Makes a token and returns the header of who has it.
pub(crate) fn make_token(server: &Server, admin: &str, scope: &str) -> String {
    let body = json!({ "name": format!("for {scope}"), "scope": scope });
    let answer = ask(server, "POST", "/api/v1/tokens", admin, Some(&body));
    assert_eq!(answer.status, 201, "{answer:?}");
    format!("Authorization: Bearer {}\r\n", answer.body["token"].as_str().unwrap())
}

/// Opens the live stream with these headers.
pub(crate) fn live(server: &Server, headers: &str) -> WebSocket<TcpStream> {
    let mut request = format!("ws://{}/api/v1/live", server.address).into_client_request().unwrap();
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        let name: tungstenite::http::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    client(request, server.connect()).unwrap().0
}

/// How a stream ends, which it must do soon.
fn end_of(mut live: WebSocket<TcpStream>) -> (CloseCode, String) {
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(10), "still open");
        if let Message::Close(Some(frame)) = live.read().unwrap() {
            return (frame.code, frame.reason.to_string());
        }
    }
}

fn assert_ended(live: WebSocket<TcpStream>) {
    let ended = (CloseCode::Policy, "the session or token has ended".to_owned());
    assert_eq!(end_of(live), ended);
}

fn assert_goes_on(live: &mut WebSocket<TcpStream>) {
    let mut texts = 0;
    while texts < 3 {
        texts += usize::from(matches!(live.read().unwrap(), Message::Text(_)));
    }
}

#[test]
fn the_first_user_is_made_by_a_link_that_works_once() {
    let server = Server::guarded(tempfile::tempdir().unwrap(), &[]);
    let link = server.data.path().join("setup-link");
    within(Duration::from_secs(10), "the link", || link.exists());
    assert_eq!(fs::metadata(&link).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&link).unwrap();
    let token = text.trim().strip_prefix(&format!("http://{}/setup#", server.address)).unwrap();

    let who = ask(&server, "GET", "/api/v1/session", "", None);
    assert_eq!((who.status, who.code()), (401, "setup-needed"));
    let set_up = |token: &str, password: &str| {
        let body = json!({ "token": token, "user": "ada", "password": password });
        ask(&server, "POST", "/api/v1/setup", "", Some(&body))
    };
    let wrong = set_up(&token.replace(['0', '1', '2', '3'], "4"), PASSWORD);
    assert_eq!((wrong.status, wrong.code()), (403, "setup-link-invalid"));
    let short = set_up(token, "short");
    assert_eq!((short.status, short.code()), (422, "bad-password"));
    let done = set_up(token, PASSWORD);
    assert_eq!(done.status, 201, "{done:?}");
    assert_eq!((&done.body["user"], &done.body["role"]), (&"ada".into(), &"admin".into()));
    for part in ["httponly", "samesite=strict", "path=/;"] {
        assert!(done.head.contains(part), "{part}: {}", done.head);
    }
    let again = set_up(token, PASSWORD);
    assert_eq!((again.status, again.code()), (409, "already-set-up"));
    assert!(!link.exists());

    let headers = page(&server, &done.cookie.unwrap());
    let who = ask(&server, "GET", "/api/v1/session", &headers, None);
    assert_eq!((who.status, &who.body["auth"]), (200, &"session".into()));
    assert!(who.body["expires_ms"].as_i64() > Some(1_700_000_000_000));
    let out = ask(&server, "DELETE", "/api/v1/session", &headers, None);
    assert_eq!(out.status, 204);
    assert!(out.head.contains("max-age=0"), "{}", out.head);
    let who = ask(&server, "GET", "/api/v1/session", &headers, None);
    assert_eq!((who.status, who.code()), (401, "not-logged-in"));
}

#[test]
fn a_new_password_ends_other_sessions_and_their_streams() {
    let server = Server::guarded(with_users(&[("ada", "admin"), ("bob", "viewer")]), &[]);
    let (mine, other, bob) =
        (log_in(&server, "ada"), log_in(&server, "ada"), log_in(&server, "bob"));
    let mut streams = [&mine, &other, &bob].map(|headers| live(&server, headers));
    streams.iter_mut().for_each(assert_goes_on);
    let change = |current: &str, new: &str| {
        let body = json!({ "current": current, "new": new });
        ask(&server, "PUT", "/api/v1/account/password", &mine, Some(&body))
    };
    assert_eq!(change("wrong wrong", "another password").code(), "wrong-credentials");
    assert_eq!(change(PASSWORD, "short").code(), "bad-password");
    assert_eq!(change(PASSWORD, "another password").status, 204);
    let [mut my_stream, other_stream, mut bobs_stream] = streams;
    assert_ended(other_stream);
    assert_goes_on(&mut my_stream);
    assert_goes_on(&mut bobs_stream);
    let status = |headers: &str| ask(&server, "GET", "/api/v1/session", headers, None).status;
    assert_eq!([&mine, &other, &bob].map(|headers| status(headers)), [200, 401, 200]);

    // The same by the command beside the server, of which nobody is logged in.
    user(server.data.path(), &["password", "ada"], "a third password");
    assert_ended(my_stream);
    user(server.data.path(), &["remove", "bob"], "");
    assert_ended(bobs_stream);
    assert_eq!([&mine, &bob].map(|headers| status(headers)), [401, 401]);
    assert_eq!(user(server.data.path(), &["list"], ""), "admin   ada\n");
}

#[test]
fn a_token_made_at_the_command_line_works_until_it_is_revoked() {
    let server = Server::guarded(with_users(&[("ada", "admin")]), &[]);
    let data = server.data.path();
    let secret = user(data, &["token", "prometheus", "--scope", "scrape"], "");
    let token = format!("Authorization: Bearer {}\r\n", secret.trim());
    let status = |path| ask(&server, "GET", path, &token, None).status;
    // A running server looks at the file once a second.
    within(Duration::from_secs(5), "the token being known", || status("/metrics") == 200);
    assert_eq!(status("/api/v1/snapshot"), 403);
    let listed = user(data, &["list"], "");
    assert!(!listed.contains(secret.trim()), "{listed}");
    let line = listed.lines().find(|line| line.contains("prometheus")).unwrap();
    let (what, id) = line.rsplit_once(' ').unwrap();
    assert_eq!(what, "scrape  prometheus, token");
    user(data, &["revoke", id], "");
    within(Duration::from_secs(5), "the token being refused", || status("/metrics") == 401);
}

#[test]
fn a_removed_token_ends_its_stream_and_a_logout_its_own() {
    let server = Server::guarded(with_users(&[("ada", "admin")]), &[]);
    let admin = log_in(&server, "ada");
    let reader = make_token(&server, &admin, "read");
    let (mut by_token, mut by_cookie) = (live(&server, &reader), live(&server, &admin));
    assert_goes_on(&mut by_token);
    let listed = ask(&server, "GET", "/api/v1/tokens", &admin, None);
    let entry = &listed.body["tokens"][0];
    assert_eq!((&entry["name"], &entry["scope"]), (&"for read".into(), &"read".into()));
    assert!(entry["last_used_ms"].as_i64() >= entry["created_ms"].as_i64(), "{entry}");
    assert!(entry.get("token").is_none() && entry.get("digest").is_none(), "{entry}");
    let path = format!("/api/v1/tokens/{}", entry["id"].as_str().unwrap());
    assert_eq!(ask(&server, "DELETE", &path, &admin, None).status, 204);
    assert_ended(by_token);
    assert_eq!(ask(&server, "DELETE", &path, &admin, None).status, 404);
    assert_eq!(ask(&server, "GET", "/api/v1/snapshot", &reader, None).status, 401);
    assert_goes_on(&mut by_cookie);
    assert_eq!(ask(&server, "DELETE", "/api/v1/session", &admin, None).status, 204);
    assert_ended(by_cookie);
}

#[test]
fn damaged_accounts_are_set_aside_and_let_nobody_in() {
    let data = with_users(&[("ada", "admin")]);
    let file = data.path().join("accounts.json");
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::write(&file, &text[..text.len() / 2]).unwrap();
    let server = Server::guarded(data, &[]);
    assert!(server.said().contains("damaged and were set aside"), "{}", server.said());
    for path in ["/api/v1/snapshot", "/api/v1/tokens"] {
        assert_eq!(ask(&server, "GET", path, "", None).code(), "setup-needed");
    }
    let names = fs::read_dir(server.data.path()).unwrap();
    let aside = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(aside.filter(|name| name.starts_with("accounts.json.damaged-")).count(), 1);

    // Of a newer version, and while it runs: nobody gets in, and nobody is thrown out.
    let data = server.stopped();
    fs::write(&file, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    let server = Server::guarded(data, &[]);
    assert_eq!(ask(&server, "GET", "/api/v1/snapshot", "", None).code(), "not-logged-in");
    let body = json!({ "user": "ada", "password": PASSWORD });
    let answer = ask(&server, "POST", "/api/v1/session", "", Some(&body));
    assert_eq!((answer.status, answer.code()), (503, "accounts-unusable"));
    fs::write(&file, &text).unwrap();
    within(Duration::from_secs(10), "that the file is read again", || {
        ask(&server, "POST", "/api/v1/session", "", Some(&body)).status == 200
    });
    let headers = log_in(&server, "ada");
    fs::write(&file, "{").unwrap();
    server.logged("the file of accounts was damaged");
    assert_eq!(ask(&server, "GET", "/api/v1/session", &headers, None).status, 200);
}

#[test]
fn what_others_can_reach_needs_tls_or_a_word() {
    for (arguments, says) in [
        (&["--listen", "0.0.0.0:0"][..], "can be reached from other hosts"),
        (&["--listen", "[::]:0", "--no-auth", "--insecure-plaintext"], "--no-auth lets everybody"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let output =
            perfwatch().arg("serve").args(arguments).arg("--data").arg(data.path()).output();
        let output = output.unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && error.contains(says), "{error}");
    }
}

#[test]
fn without_accounts_everybody_is_admin() {
    let server = Server::start(&[]);
    let admin =
        json!({ "user": null, "role": "admin", "auth": "none", "expires_ms": null, "csrf": null });
    let body = json!({ "user": "ada", "password": PASSWORD });
    for answer in [
        ask(&server, "GET", "/api/v1/session", "", None),
        ask(&server, "POST", "/api/v1/session", "", Some(&body)),
    ] {
        assert_eq!((answer.status, answer.body), (200, admin.clone()));
    }
    assert!(!server.data.path().join("setup-link").exists());
    assert_eq!(ask(&server, "GET", "/api/v1/tokens", "", None).status, 200);
}
