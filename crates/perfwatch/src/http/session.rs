//! `/api/v1/session`, `/api/v1/setup` and `/api/v1/account/password`: logging in and out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::AppState;
use super::cookie::Jar;
use super::error::Problem;
use super::guard::not_logged_in;
use super::json::JsonBody;
use super::origin::single;
use super::server::Peer;
use crate::access::{Caller, Login, Role, Scope, Secret};

/// Who is logged in.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Session {
    /// Null of a token, and where nobody needs to log in.
    user: Option<String>,
    role: Role,
    auth: Auth,
    /// When the session ends unless it is used, in milliseconds since the epoch. Null of what does not end.
    expires_ms: Option<i64>,
    /// Always null: cookies are of this site alone, and pages must tell where they come from.
    csrf: Option<String>,
}

/// How a caller is known.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Auth {
    Session,
    Token,
    None,
}

impl Session {
    fn of(caller: &Caller) -> Option<Self> {
        let session =
            |user, role, auth, expires_ms| Self { user, role, auth, expires_ms, csrf: None };
        match caller {
            Caller::Nobody | Caller::Token { scope: Scope::Scrape, .. } => None,
            Caller::Anybody => Some(session(None, Role::Admin, Auth::None, None)),
            Caller::User { name, role, expires_ms, .. } => {
                Some(session(Some(name.clone()), *role, Auth::Session, Some(*expires_ms)))
            }
            Caller::Token { scope, .. } => {
                let role = if *scope == Scope::Admin { Role::Admin } else { Role::Viewer };
                Some(session(None, role, Auth::Token, None))
            }
        }
    }
}

/// What is sent to log in.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Credentials {
    user: String,
    #[cfg_attr(test, schema(value_type = String))]
    password: Secret,
}

/// What is sent to make the first user.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FirstUser {
    /// What stands behind `#` in the setup link.
    #[cfg_attr(test, schema(value_type = String))]
    token: Secret,
    user: String,
    #[cfg_attr(test, schema(value_type = String))]
    password: Secret,
}

/// What is sent to change a password.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Passwords {
    #[cfg_attr(test, schema(value_type = String))]
    current: Secret,
    #[cfg_attr(test, schema(value_type = String))]
    new: Secret,
}

/// Who am I?
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Json<Session>, Problem> {
    if let Caller::Token { scope: Scope::Scrape, .. } = &*caller {
        let detail = "a token of the scope scrape is for /metrics alone";
        return Err(Problem::new(StatusCode::FORBIDDEN, "not-allowed", detail));
    }
    Session::of(&caller).map(Json).ok_or_else(|| not_logged_in(&state))
}

/// Logs in. Where nobody needs to, everybody is.
pub(crate) async fn post(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(peer): Extension<Peer>,
    Extension(jar): Extension<Jar>,
    headers: HeaderMap,
    JsonBody(Credentials { user, password }): JsonBody<Credentials>,
) -> Result<Response, Problem> {
    if *caller == Caller::Anybody {
        return Ok(Json(Session::of(&caller)).into_response());
    }
    let login = state.access.log_in(&user, password, peer.address.into()).await?;
    Ok(begun(StatusCode::OK, &login, &jar, &headers))
}

/// Logs out, if anybody is logged in.
pub(crate) async fn delete(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(peer): Extension<Peer>,
    Extension(jar): Extension<Jar>,
    headers: HeaderMap,
) -> Response {
    state.access.log_out(&caller, peer.address.into());
    let forget = jar.set(None, single(&headers, header::ORIGIN));
    (StatusCode::NO_CONTENT, forget).into_response()
}

/// Makes the first user and logs in.
pub(crate) async fn set_up(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    Extension(jar): Extension<Jar>,
    headers: HeaderMap,
    JsonBody(FirstUser { token, user, password }): JsonBody<FirstUser>,
) -> Result<Response, Problem> {
    let login = state.access.set_up(token.reveal(), &user, password, peer.address.into()).await?;
    Ok(begun(StatusCode::CREATED, &login, &jar, &headers))
}

/// Changes the password of who is logged in, and ends that user's other sessions.
pub(crate) async fn put_password(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(peer): Extension<Peer>,
    JsonBody(Passwords { current, new }): JsonBody<Passwords>,
) -> Result<StatusCode, Problem> {
    state.access.change_password(&caller, (current, new), peer.address.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn begun(status: StatusCode, login: &Login, jar: &Jar, headers: &HeaderMap) -> Response {
    let keep = jar.set(Some(&login.cookie), single(headers, header::ORIGIN));
    (status, keep, Json(Session::of(&login.caller))).into_response()
}
