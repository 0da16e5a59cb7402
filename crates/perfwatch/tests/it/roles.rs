//! Every route, asked by everybody.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::access::{ask, log_in, make_token, with_users};
use crate::process::Server;

/// What each is answered: nobody; a viewer; a token that may read; one that may scrape; an admin; a token that may do all.
type Row = (&'static str, &'static str, [u16; 6]);

const ROUTES: &[Row] = &[
    ("GET", "/healthz", [200; 6]),
    ("GET", "/metrics", [401, 200, 200, 200, 200, 200]),
    ("GET", "/api/v1/session", [401, 200, 200, 403, 200, 200]),
    ("POST", "/api/v1/session", [400; 6]),
    ("DELETE", "/api/v1/session", [204; 6]),
    ("POST", "/api/v1/setup", [400; 6]),
    ("PUT", "/api/v1/account/password", [401, 400, 403, 403, 400, 403]),
    ("GET", "/api/v1/tokens", [401, 403, 403, 403, 200, 200]),
    ("POST", "/api/v1/tokens", [401, 403, 403, 403, 400, 400]),
    ("DELETE", "/api/v1/tokens/{id}", [401, 403, 403, 403, 404, 404]),
    ("GET", "/api/v1/settings", [401, 200, 200, 403, 200, 200]),
    ("PUT", "/api/v1/settings", [401, 403, 403, 403, 200, 200]),
    ("GET", "/api/v1/status", [401, 200, 200, 403, 200, 200]),
    ("GET", "/api/v1/snapshot", [401, 200, 200, 403, 200, 200]),
    // Let in, and not opened as a WebSocket.
    ("GET", "/api/v1/live", [401, 400, 400, 403, 400, 400]),
    ("GET", "/api/v1/catalog", [401, 200, 200, 403, 200, 200]),
    ("GET", "/api/v1/series", [401, 200, 200, 403, 200, 200]),
    ("GET", "/api/v1/compare", [401, 200, 200, 403, 200, 200]),
    ("GET", "/api/v1/events", [401, 200, 200, 403, 200, 200]),
    ("GET", "/api/v1/verdict", [401, 200, 200, 403, 200, 200]),
];

/// Each route of docs/openapi.json, which a test holds to the routes that there are.
fn documented() -> BTreeSet<(String, String)> {
    let document: Value =
        serde_json::from_str(include_str!("../../../../docs/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().clone();
    paths
        .into_iter()
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            methods.into_iter().map(move |method| (method.to_uppercase(), path.clone()))
        })
        .collect()
}

#[test]
fn everybody_gets_what_is_theirs_and_nothing_else() {
    let routes: BTreeSet<_> =
        ROUTES.iter().map(|(method, path, _)| (method.to_string(), path.to_string())).collect();
    assert_eq!(routes, documented(), "a route is missing in this table, or in docs/openapi.json");

    let server = Server::guarded(with_users(&[("ada", "admin"), ("bob", "viewer")]), &[]);
    let (viewer, admin) = (log_in(&server, "bob"), log_in(&server, "ada"));
    let [read, scrape, all] =
        ["read", "scrape", "admin"].map(|scope| make_token(&server, &admin, scope));
    while ask(&server, "GET", "/api/v1/snapshot", &admin, None).status != 200 {}
    let paths: BTreeSet<_> = ROUTES.iter().map(|(_, path, _)| *path).collect();
    for path in paths {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            let is_it = |row: &&Row| row.0 == method.replace("HEAD", "GET") && row.1 == path;
            let expected = ROUTES.iter().find(is_it).map_or([405; 6], |row| row.2);
            let expected = match (method, path) {
                // The library of WebSockets has its own mind of it.
                ("HEAD", "/api/v1/live") => {
                    expected.map(|status| if status == 400 { 405 } else { status })
                }
                _ => expected,
            };
            // One of these ends the session.
            let (viewer, admin) = match path {
                "/api/v1/session" => (log_in(&server, "bob"), log_in(&server, "ada")),
                _ => (viewer.clone(), admin.clone()),
            };
            let everybody =
                [String::new(), viewer, read.clone(), scrape.clone(), admin, all.clone()];
            for (headers, status) in everybody.iter().zip(expected) {
                let select = if path.ends_with("/series") || path.ends_with("/compare") {
                    "?select=cpu.usage_percent"
                } else {
                    ""
                };
                let target = format!("{}{select}", path.replace("{id}", "none"));
                let body = matches!(method, "POST" | "PUT").then(|| json!({}));
                let answer = ask(&server, method, &target, headers, body.as_ref());
                assert_eq!(answer.status, status, "{method} {path} as {headers}: {answer:?}");
                assert!(!answer.head.contains("access-control"), "{}", answer.head);
                for header in
                    ["content-security-policy", "nosniff", "no-referrer", "cache-control: no-store"]
                {
                    assert!(answer.head.contains(header), "{header}: {}", answer.head);
                }
                let problem = answer.head.contains("application/problem+json");
                assert_eq!(problem, status >= 400, "{}", answer.head);
                assert_eq!(answer.head.contains("www-authenticate: bearer"), status == 401);
            }
        }
    }
}
