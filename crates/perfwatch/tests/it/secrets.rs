//! Secrets are seen by who is to have them, and nowhere else.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::access::{ask, page, user};
use crate::answers::within;
use crate::process::Server;

#[test]
fn no_log_error_answer_or_file_has_a_secret() {
    let server = Server::guarded(tempfile::tempdir().unwrap(), &[]);
    let link = server.data.path().join("setup-link");
    within(Duration::from_secs(10), "the link", || link.exists());
    let link = fs::read_to_string(link).unwrap();
    let setup = link.trim().split_once('#').unwrap().1.to_owned();
    let [first, second, third, typo] =
        ["first-SECRET-1", "second-SECRET-2", "third-SECRET-3", "typo-SECRET-4"];
    let mut secrets: Vec<String> = [first, second, third, typo, &setup].map(str::to_owned).to_vec();
    let mut answers = String::new();
    let mut send = |method: &str, path: &str, headers: &str, body: Option<&Value>| {
        let answer = ask(&server, method, path, headers, body);
        answers += &format!("{}\n{}\n", answer.head, answer.body);
        answer
    };

    let body = json!({ "token": setup, "user": "ada", "password": first });
    let cookie = ask(&server, "POST", "/api/v1/setup", "", Some(&body)).cookie.unwrap();
    send("POST", "/api/v1/setup", "", Some(&body));
    secrets.push(cookie.split_once('=').unwrap().1.to_owned());
    let admin = page(&server, &cookie);
    let body = json!({ "name": "backup", "scope": "admin" });
    let made = ask(&server, "POST", "/api/v1/tokens", &admin, Some(&body));
    let token = made.body["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    // Everything that goes wrong with one of them in it.
    for (method, path, body) in [
        ("POST", "/api/v1/session", json!({ "user": "ada", "password": typo })),
        ("POST", "/api/v1/session", json!({ "user": typo, "password": "x" })),
        ("POST", "/api/v1/session", json!({ "user": "ada", "password": [typo] })),
        ("POST", "/api/v1/session", json!({ "user": "ada", "pass": typo })),
        ("POST", "/api/v1/session", json!(typo)),
        ("POST", "/api/v1/setup", json!({ "token": setup, "user": typo, "password": second })),
        ("PUT", "/api/v1/account/password", json!({ "current": typo, "new": second })),
        ("PUT", "/api/v1/account/password", json!({ "current": first, "new": [typo] })),
        ("PUT", "/api/v1/account/password", json!({ "current": first, "new": second })),
        ("PUT", "/api/v1/settings", json!({ "collectors.disk": true })),
    ] {
        send(method, path, &admin, Some(&body));
    }
    secrets.push(token.clone());
    for path in ["session", "tokens", "settings", "status", "snapshot", "events", "nothing"] {
        for headers in
            [&admin, &bearer, &bearer.replace("pw_", "pw_0"), &admin.replace("http:", "x:")]
        {
            send("GET", &format!("/api/v1/{path}"), headers, None);
        }
    }
    send("GET", "/metrics", &bearer, None);
    let said = user(server.data.path(), &["password", "ada"], third);
    let listed = user(server.data.path(), &["list"], "");
    within(Duration::from_secs(30), "that the new password is seen", || {
        ask(&server, "GET", "/api/v1/session", &admin, None).status != 200
    });

    let mut told = vec![("answers".to_owned(), answers), ("command".to_owned(), said + &listed)];
    let process = format!("/proc/{}", server.process.0.id());
    for name in ["cmdline", "environ"] {
        let path = format!("{process}/{name}");
        told.push((path.clone(), String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()));
    }
    told.push(("log".to_owned(), server.said()));
    let data = server.stopped();
    let mut audited = String::new();
    for entry in fs::read_dir(data.path()).unwrap() {
        let path = entry.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        if path.ends_with("audit.jsonl") {
            audited.clone_from(&text);
        }
        told.push((path.display().to_string(), text));
    }
    for (place, text) in &told {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} is in {place}: {text}");
        }
        assert!(place.ends_with("accounts.json") || !text.contains("argon2id"), "{place}: {text}");
    }
    for action in ["setup", "token-made", "login-failed", "password-changed", "settings-changed"] {
        assert!(audited.contains(&format!(r#""action":"{action}""#)), "{action}: {audited}");
    }
}
