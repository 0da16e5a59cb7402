//! `/api/v1/tokens`: keys for programs.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};

use super::AppState;
use super::error::Problem;
use super::json::JsonBody;
use super::server::Peer;
use crate::access::{Caller, Scope, Secret, Token};

/// Every token.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Tokens {
    tokens: Vec<Entry>,
}

/// A token, without the token.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(as = Token))]
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    id: String,
    name: String,
    scope: Scope,
    created_ms: i64,
    /// Null: never.
    last_used_ms: Option<i64>,
}

impl From<Token> for Entry {
    fn from(token: Token) -> Self {
        let Token { id, name, scope, created_ms, last_used_ms, .. } = token;
        Self { id, name, scope, created_ms, last_used_ms }
    }
}

/// A token that was just made: the only time that it is shown.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct NewToken {
    #[serde(flatten)]
    entry: Entry,
    #[cfg_attr(test, schema(value_type = String))]
    token: Secret,
}

/// What is sent to make a token.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[cfg_attr(test, schema(as = WantedToken))]
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wanted {
    #[cfg_attr(test, schema(example = "backup", min_length = 1, max_length = 64))]
    name: String,
    scope: Scope,
}

/// Lists them.
pub(crate) async fn list(State(state): State<AppState>) -> Json<Tokens> {
    Json(Tokens { tokens: state.access.tokens().into_iter().map(Entry::from).collect() })
}

/// Makes one.
pub(crate) async fn make(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(peer): Extension<Peer>,
    JsonBody(Wanted { name, scope }): JsonBody<Wanted>,
) -> Result<(StatusCode, Json<NewToken>), Problem> {
    let (token, entry) =
        state.access.make_token(&name, scope, &caller, peer.address.into()).await?;
    Ok((StatusCode::CREATED, Json(NewToken { entry: entry.into(), token })))
}

/// Removes one. What is open with it ends.
pub(crate) async fn remove(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    state.access.remove_token(&id, &caller, peer.address.into()).await?;
    Ok(StatusCode::NO_CONTENT)
}
