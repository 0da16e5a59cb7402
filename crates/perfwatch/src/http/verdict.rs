//! `GET /api/v1/verdict`: what stands out at a moment.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::AppState;
use super::error::Problem;
use super::history::{PATIENCE, on_a_thread, problem, unexpected};
use super::params::{Params, wrong};
use crate::history::{moment_ms, verdict};
use crate::when::{Edge, instant};

/// Answers that are kept: pages look at now, and at some moments of the past.
const MAX_KEPT: usize = 16;

/// The last answers by the moment and the time zone they are for. Whoever asks for one holds the lock, so that pages that
/// ask at once cost one evaluation, and all verdicts together one of the places for questions.
pub(super) type Verdicts = Mutex<VecDeque<((i64, Option<String>), Arc<Vec<u8>>)>>;

/// What stands out.
pub(crate) async fn get(State(state): State<AppState>, RawQuery(query): RawQuery) -> Response {
    match answer(&state, query.as_deref()).await {
        Ok(json) => {
            ([(header::CONTENT_TYPE, "application/json")], Vec::clone(&json)).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

async fn answer(state: &AppState, query: Option<&str>) -> Result<Arc<Vec<u8>>, Problem> {
    let params = Params::parse(query, &["at", "tz"])?;
    let now = params.now()?;
    let at = match params.get("at") {
        Some(text) => {
            let at = instant(text, Edge::To, &now);
            at.map_err(|error| wrong(format!("at: {error}")))?.to_zoned(now.time_zone().clone())
        }
        None => now.clone(),
    };
    // The hours of which the usual is asked for are the zone's.
    let key = (moment_ms(&at), at.time_zone().iana_name().map(str::to_owned));
    // What is to come is not known yet.
    let is_past = at <= now;
    let Ok(mut kept) = timeout(PATIENCE, state.verdicts.lock()).await else {
        let busy = "too many questions about history at a time";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", busy)
            .fix("ask again in a second"));
    };
    if let Some((_, json)) = kept.iter().find(|(known, _)| *known == key) {
        return Ok(Arc::clone(json));
    }
    let store = Arc::clone(&state.store);
    let found = on_a_thread(&state.questions, move || verdict(store.reader(), &at)).await?;
    let json = serde_json::to_vec(&found.map_err(problem)?);
    let json = Arc::new(json.map_err(|error| unexpected(&error.to_string()))?);
    if is_past {
        kept.push_back((key, Arc::clone(&json)));
    }
    let excess = kept.len().saturating_sub(MAX_KEPT);
    kept.drain(..excess);
    Ok(json)
}
