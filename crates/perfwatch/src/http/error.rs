//! Errors as RFC 9457 problem details: the only place that writes them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that says what is wrong and what to do about it.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    /// There is no page for each kind: `code` tells them apart.
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    /// For programs: stable, in lower case, words joined by hyphens.
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'static str>,
}

impl Problem {
    /// An error without a remedy.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            fix: None,
        }
    }

    /// With what to do about it.
    pub(crate) fn fix(self, fix: &'static str) -> Self {
        Self { fix: Some(fix), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = HeaderValue::from_static("application/problem+json");
        (status, [(header::CONTENT_TYPE, kind)], Json(self)).into_response()
    }
}
