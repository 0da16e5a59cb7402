//! `GET /metrics`: the newest snapshot as Prometheus reads it.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::snapshot::none_yet;
use crate::prometheus::Format;

/// The newest snapshot, in the format that is asked for; 503 before the first.
pub(crate) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let frame = state.latest.borrow().clone();
    let Some(frame) = frame else { return none_yet().into_response() };
    let format = Format::accepted(&headers);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.content_type())),
        (header::VARY, HeaderValue::from_static("accept")),
    ];
    (headers, frame.page(format, state.settings.current().settings().node_names)).into_response()
}
