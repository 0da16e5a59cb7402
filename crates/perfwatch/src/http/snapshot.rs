//! `GET /api/v1/snapshot`: the newest snapshot.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::error::Problem;

/// The newest snapshot; 503 before the first.
pub(crate) async fn newest(State(state): State<AppState>) -> Response {
    let frame = state.latest.borrow().clone();
    let Some(frame) = frame else { return none_yet().into_response() };
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], frame.data()).into_response()
}

/// What is said before the first.
pub(super) fn none_yet() -> Problem {
    let detail = "the first sample is under way";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no-snapshot-yet", detail)
        .fix("ask again in a second")
}
