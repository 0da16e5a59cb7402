//! What every request must pass, before anything looks at what it asks for.
//!
//! A browser on this machine runs other people's pages. A page can make its own name resolve to 127.0.0.1 (DNS
//! rebinding) and then read what a local server says: hence the list of host names. It can send requests and open WebSockets
//! to anywhere, with this server's cookie if the browser is old: hence Origin and Sec-Fetch-Site. Then comes who asks, by
//! cookie or token, and whether that is enough for the route.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::cookie::Jar;
use super::error::Problem;
use super::policy::{self, Need};
use super::server::Peer;
use crate::access::Caller;

/// Sent with every answer that does not say otherwise: no page, not to be kept, embedded or guessed at.
const HEADERS: [(HeaderName, HeaderValue); 8] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("permissions-policy"),
        HeaderValue::from_static("camera=(), geolocation=(), microphone=()"),
    ),
];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Under which names this server is known, and how.
#[derive(Debug, Clone, Default)]
pub(crate) struct Site {
    /// Names beside localhost: the host's own, and those that were set.
    pub(crate) names: Vec<String>,
    /// Whether browsers come through a proxy, which may speak TLS to them.
    pub(crate) behind_proxy: bool,
}

/// Lets a request through to its route, or says why not, and marks every answer.
pub(crate) async fn check(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let mut response = match admit(&state, &mut request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    response
}

/// Tells the routes the caller and the jar of the cookie, by extensions.
fn admit(state: &AppState, request: &mut Request) -> Result<(), Problem> {
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let path = matched.as_ref().map(MatchedPath::as_str);
    let mut rules = path.map(policy::rules).into_iter().flatten();
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let need = rules.find(|rule| rule.method == *method).map(|rule| rule.need);
    let tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
    let host = host(request, &state.site)?;
    let secure = if state.site.behind_proxy && !tls { None } else { Some(tls) };
    let headers = request.headers();
    let jar = Jar::new(&host, secure);
    let cookie = jar.find(headers);
    let is_page = need == Some(Need::Page) || path.is_none();
    let asked = Asked {
        host: &host,
        secure,
        // A browser's, for nothing else keeps cookies; so it says where it is.
        must_tell: cookie.is_some() && (!method.is_safe() || headers.contains_key(header::UPGRADE)),
        is_page: is_page && method.is_safe(),
    };
    from_here(headers, &asked)?;

    let Some(path) = path else { return Ok(()) };
    let Some(need) = need else {
        let allowed: Vec<_> = policy::rules(path).map(|rule| rule.method.as_str()).collect();
        let detail = format!("this path takes {}", allowed.join(", "));
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
            .allow(allowed.join(", ")));
    };
    let caller = state.access.caller(bearer(headers), cookie);
    if !policy::may(&caller, need) {
        return Err(refusal(state, &caller, need));
    }
    request.extensions_mut().insert(Arc::new(caller));
    request.extensions_mut().insert(jar);
    Ok(())
}

/// By which of its names this server is asked.
fn host(request: &Request, site: &Site) -> Result<Authority, Problem> {
    let host: Option<Authority> =
        single(request.headers(), header::HOST).and_then(|host| host.parse().ok());
    let host = host.filter(|host| is_ours(host, site));
    // A request line may name a host as well, as for a proxy.
    let other = request.uri().authority();
    host.filter(|host| other.is_none_or(|other| other == host)).ok_or_else(|| {
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host-not-allowed",
            "this server has another name",
        )
        .fix("ask for it by its address, by localhost, by the host's own name, or by one in http.allowed_hosts")
    })
}

/// What is asked, as far as it matters where a page is that asks it.
struct Asked<'a> {
    host: &'a Authority,
    /// Whether the browser came over TLS. None: perhaps.
    secure: Option<bool>,
    /// Whether a browser must say that its page is ours.
    must_tell: bool,
    /// Whether pages from elsewhere may link here.
    is_page: bool,
}

/// Refuses what a page from elsewhere sends.
fn from_here(headers: &HeaderMap, asked: &Asked<'_>) -> Result<(), Problem> {
    let elsewhere = |detail: &str| {
        Err(Problem::new(StatusCode::FORBIDDEN, "origin-not-allowed", detail)
            .fix("ask from a page of this server, or from a program with an API token"))
    };
    let site = headers.contains_key(SEC_FETCH_SITE).then(|| single(headers, SEC_FETCH_SITE));
    let is = |name, value| single(headers, name) == Some(value);
    let follows_link =
        asked.is_page && is(SEC_FETCH_MODE, "navigate") && is(SEC_FETCH_DEST, "document");
    match site {
        None | Some(Some("same-origin" | "none")) => {}
        Some(_) if follows_link => {}
        Some(_) => return elsewhere("asked by a page from elsewhere"),
    }
    if headers.contains_key(header::ORIGIN) {
        let origin = single(headers, header::ORIGIN).and_then(|origin| origin.split_once("://"));
        let same = origin.is_some_and(|(scheme, authority)| {
            let fits = match asked.secure {
                Some(true) => scheme == "https",
                Some(false) => scheme == "http",
                None => scheme == "https" || scheme == "http",
            };
            fits && authority.eq_ignore_ascii_case(asked.host.as_str())
        });
        if !same {
            return elsewhere("asked by a page from elsewhere");
        }
    } else if asked.must_tell && site.is_none() {
        return elsewhere("a cookie was sent without saying from which page");
    }
    Ok(())
}

/// The token that a program sends. One that is there and none of ours is nobody's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .contains_key(header::AUTHORIZATION)
        .then(|| {
            let (scheme, token) =
                single(headers, header::AUTHORIZATION).and_then(|value| value.split_once(' '))?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        })?
        .or(Some(""))
}

fn refusal(state: &AppState, caller: &Caller, need: Need) -> Problem {
    match (caller, need) {
        (Caller::Nobody, _) => not_logged_in(state),
        (_, Need::Login) => {
            Problem::new(StatusCode::FORBIDDEN, "needs-login", "only a user who logged in has this")
        }
        _ => Problem::new(StatusCode::FORBIDDEN, "not-allowed", "this is not for you")
            .fix("ask as somebody with the role admin, or with a token of another scope"),
    }
}

/// The answer to who is not known.
pub(crate) fn not_logged_in(state: &AppState) -> Problem {
    let problem = if state.access.needs_setup() {
        Problem::new(StatusCode::UNAUTHORIZED, "setup-needed", "nobody has set up PerfWatch yet")
            .fix("open the link in the file `setup-link` of its data directory, or run `perfwatch user add NAME`")
    } else {
        Problem::new(StatusCode::UNAUTHORIZED, "not-logged-in", "log in first")
            .fix("log in, or send an API token as Authorization: Bearer pw_...")
    };
    problem.challenge()
}

/// The value of a header that must be there once.
pub(crate) fn single(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// An address cannot be rebound; names are those of this host, and those that were set.
fn is_ours(host: &Authority, site: &Site) -> bool {
    if host.as_str().contains('@') {
        return false;
    }
    let host = host.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let name = host.strip_suffix('.').unwrap_or(host);
    let known = ["localhost"].into_iter().chain(site.names.iter().map(String::as_str));
    bare.parse::<IpAddr>().is_ok()
        || known.into_iter().any(|known| name.eq_ignore_ascii_case(known))
}
