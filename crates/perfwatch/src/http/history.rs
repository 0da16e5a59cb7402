//! `GET /api/v1/series`, `/api/v1/compare` and `/api/v1/events`: what was measured, over any range.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use perfwatch_store::{Error, Reader, Resolution};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::AppState;
use super::error::Problem;
use super::params::{Params, wrong};
use crate::history::{self, CompareRequest, MS};
use crate::when::Shift;

/// How long a question waits for its turn.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What may be missing in an answer of CSV, in words, one header for each.
const WARNING: &str = "perfwatch-warning";

/// Points of each series, unless it is said how many.
const DEFAULT_POINTS: u64 = 300;

/// `GET /api/v1/series`.
pub(crate) async fn series(
    State(state): State<AppState>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let wants_csv = headers
        .get_all(header::ACCEPT)
        .iter()
        .any(|accept| accept.to_str().is_ok_and(|accept| accept.contains("text/csv")));
    answer(state, move |reader| {
        let known = ["select", "from", "to", "points", "step", "tz"];
        let params = Params::parse(query.as_deref(), &known)?;
        let (selectors, range) = (params.selectors()?, params.range(&params.now()?)?);
        let resolution = match (params.points()?, params.get("step")) {
            (Some(_), Some(_)) => {
                return Err(wrong("either `points` or `step`, not both".to_owned()));
            }
            (points, None) => Resolution::Points(points.unwrap_or(DEFAULT_POINTS)),
            (None, Some(step)) => {
                let step = crate::config::duration(step)
                    .map_err(|error| wrong(format!("step: {error}")))?;
                let millis = i64::try_from(step.as_millis()).unwrap_or(i64::MAX);
                if millis == 0 {
                    return Err(wrong("step: less than 1ms".to_owned()));
                }
                Resolution::Step(millis.saturating_mul(MS))
            }
        };
        let found = history::series(reader, &selectors, &range, resolution).map_err(problem)?;
        if wants_csv {
            let mut bytes = Vec::new();
            history::csv(&mut bytes, &found).map_err(|error| unexpected(&error.to_string()))?;
            return Ok((bytes, "text/csv; charset=utf-8", found.warnings));
        }
        json(&found)
    })
    .await
}

/// `GET /api/v1/compare`.
pub(crate) async fn compare(State(state): State<AppState>, RawQuery(query): RawQuery) -> Response {
    answer(state, move |reader| {
        let known = ["select", "from", "to", "vs", "points", "tz"];
        let params = Params::parse(query.as_deref(), &known)?;
        let now = params.now()?;
        let (selectors, range) = (params.selectors()?, params.range(&now)?);
        let refused = |error: crate::when::Error| wrong(format!("vs: {error}"));
        let shift = Shift::parse(params.get("vs").unwrap_or("-1d"), &now).map_err(refused)?;
        let request = CompareRequest {
            selectors: &selectors,
            range,
            other: shift.other_side(&range).map_err(refused)?,
            shift: &shift,
            points: params.points()?.unwrap_or(DEFAULT_POINTS),
        };
        json(&history::compare(reader, &request).map_err(problem)?)
    })
    .await
}

/// `GET /api/v1/events`.
pub(crate) async fn events(State(state): State<AppState>, RawQuery(query): RawQuery) -> Response {
    answer(state, move |reader| {
        let params = Params::parse(query.as_deref(), &["from", "to", "tz"])?;
        let range = params.range(&params.now()?)?;
        json(&history::events(reader, &range).map_err(problem)?)
    })
    .await
}

/// Its bytes, their type, and what is said beside them: CSV has no place for a warning.
type Body = (Vec<u8>, &'static str, Vec<String>);

/// Answers a question about history.
async fn answer(
    state: AppState,
    question: impl FnOnce(&Reader) -> Result<Body, Problem> + Send + 'static,
) -> Response {
    let store = Arc::clone(&state.store);
    match on_a_thread(&state.questions, move || question(store.reader())).await {
        Ok(Ok((bytes, kind, warnings))) => {
            let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
            let mut response = (kind, bytes).into_response();
            for warning in &warnings {
                // A header has no letters beyond ASCII, and no ends of lines.
                let plain = warning.replace(|c: char| !(' '..='~').contains(&c), "?");
                if let Ok(value) = HeaderValue::from_str(&plain) {
                    response.headers_mut().append(WARNING, value);
                }
            }
            response
        }
        Ok(Err(problem)) | Err(problem) => problem.into_response(),
    }
}

/// Does something on a thread that may wait for the disk, a few of them at a time.
pub(super) async fn on_a_thread<T: Send + 'static>(
    questions: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let turn = timeout(PATIENCE, Arc::clone(questions).acquire_owned()).await;
    let Ok(Ok(turn)) = turn else {
        let busy = "too many questions about history at a time";
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", busy)
            .fix("ask again in a second"));
    };
    let task = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    task.await.map_err(|error| unexpected(&error.to_string()))
}

fn json(answer: &impl serde::Serialize) -> Result<Body, Problem> {
    let bytes = serde_json::to_vec(answer).map_err(|error| unexpected(&error.to_string()))?;
    Ok((bytes, "application/json", Vec::new()))
}

pub(super) fn problem(error: Error) -> Problem {
    match error {
        Error::TooMuch(detail) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-much", detail)
        }
        other => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "history-unreadable", other.to_string())
        }
    }
}

pub(super) fn unexpected(detail: &str) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected", detail)
}
