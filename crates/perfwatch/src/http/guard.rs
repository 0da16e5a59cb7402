//! What every request must pass, because a browser on this machine runs other people's pages.
//!
//! A page can make its own name resolve to 127.0.0.1 (DNS rebinding) and then read what a local server says:
//! hence the list of host names. It can open a WebSocket to anywhere: hence the check of its origin.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::error::Problem;

/// Sent with every answer that says nothing else: no page, and nothing to be kept or embedded.
const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
];

/// Refuses what a foreign page sent, and marks every answer.
pub(crate) async fn check(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let mut response = match refusal(request.headers(), state.hostname.as_deref()) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    for (name, value) in HEADERS {
        // The page's files have their own.
        response.headers_mut().entry(name).or_insert(value);
    }
    response
}

fn refusal(headers: &HeaderMap, hostname: Option<&str>) -> Option<Problem> {
    let host: Option<Authority> = single(headers, header::HOST).and_then(|host| host.parse().ok());
    let Some(host) = host.filter(|host| is_ours(host.host(), hostname)) else {
        return Some(
            Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "host-not-allowed",
                "this server has another name",
            )
            .fix("ask for it by its address, by localhost or by the host's own name"),
        );
    };
    if !headers.contains_key(header::ORIGIN) {
        return None;
    }
    let origin = single(headers, header::ORIGIN);
    let authority = origin
        .and_then(|origin| origin.strip_prefix("http://").or(origin.strip_prefix("https://")));
    let same = authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()));
    (!same).then(|| {
        Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", "asked by a page from elsewhere")
    })
}

/// The value of a header that must be there once.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// An address cannot be rebound; names are those of this host alone.
fn is_ours(host: &str, hostname: Option<&str>) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.trim_end_matches('.');
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hostname.is_some_and(|hostname| name.eq_ignore_ascii_case(hostname))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(host: &str, origin: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        refusal(&headers, Some("db1"))
            .map_or(200, |problem| problem.into_response().status().as_u16())
    }

    #[test]
    fn only_this_hosts_names_are_served() {
        for host in
            ["127.0.0.1:9909", "[::1]:9909", "localhost", "LOCALHOST:1", "db1:9909", "10.0.0.7"]
        {
            assert_eq!(code(host, None), 200, "{host}");
        }
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:9909",
            "",
            "db1@evil",
        ] {
            assert_eq!(code(host, None), 421, "{host}");
        }
        assert!(refusal(&HeaderMap::new(), None).is_some());
    }

    #[test]
    fn only_pages_of_this_origin_may_ask() {
        assert_eq!(code("localhost:9909", Some("http://localhost:9909")), 200);
        for origin in [
            "http://evil.example",
            "http://localhost:80",
            "null",
            "",
            "file://",
            "http://localhost:9909/",
        ] {
            assert_eq!(code("localhost:9909", Some(origin)), 403, "{origin}");
        }
    }
}
