//! Bodies of requests: JSON, and small.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::error::Problem;

/// Largest body. The largest that makes sense has two passwords.
pub(crate) const MAX_BODY_BYTES: usize = 16 << 10;

/// A body that is this, in JSON.
#[derive(Debug)]
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        // Whatever a form can send without asking first is refused.
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let detail = "the body must be JSON";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail)
                .fix("send Content-Type: application/json"));
        }
        let bytes = to_bytes(request.into_body(), MAX_BODY_BYTES).await;
        let bytes = bytes.map_err(|_| {
            let detail = format!("a body comes whole and has at most {MAX_BODY_BYTES} bytes");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", detail)
        })?;
        // What the parser says may repeat a password: where it stands must do.
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let detail = format!("the body makes no sense at line {line}, column {column}");
            Problem::new(StatusCode::BAD_REQUEST, "bad-body", detail)
                .fix("compare it with docs/openapi.json: unknown and missing fields are errors")
        })
    }
}
