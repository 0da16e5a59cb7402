//! What every request must pass, before anything looks at what it asks for.
//!
//! First comes where it was sent from and to (`origin.rs`); then who asks, by cookie or token, and whether that is enough
//! for the route.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::error::Problem;
use super::origin::{bearer, from_here};
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
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let mut rules = path.map(policy::rules).into_iter().flatten();
    let need = rules.find(|rule| rule.method == *method).map(|rule| rule.need);
    let tls = request.extensions().get::<Peer>().is_some_and(|peer| peer.tls);
    let jar = from_here(request, tls, &state.site, path.is_none())?;

    let Some(path) = path else { return Ok(()) };
    let Some(need) = need else {
        let allowed: Vec<_> = policy::rules(path).map(|rule| rule.method.as_str()).collect();
        let detail = format!("this path takes {}", allowed.join(", "));
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
            .allow(allowed.join(", ")));
    };
    let headers = request.headers();
    let caller = state.access.caller(bearer(headers), jar.find(headers));
    if !policy::may(&caller, need) {
        return Err(refusal(state, &caller, need));
    }
    request.extensions_mut().insert(Arc::new(caller));
    request.extensions_mut().insert(jar);
    Ok(())
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
