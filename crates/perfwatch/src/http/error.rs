//! Errors as RFC 9457 problem details: the only place that writes them.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Serialize;

use crate::access::{AccountsError, Refused};

/// An answer that says what is wrong and what to do about it.
#[cfg_attr(test, derive(utoipa::ToSchema))]
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
    #[cfg_attr(test, schema(value_type = Option<String>, nullable = false))]
    fix: Option<Cow<'static, str>>,
    #[serde(skip)]
    header: Option<Box<(HeaderName, HeaderValue)>>,
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
            header: None,
        }
    }

    /// With what to do about it.
    pub(crate) fn fix(self, fix: impl Into<Cow<'static, str>>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// With the methods that are allowed.
    pub(crate) fn allow(self, methods: String) -> Self {
        let methods = HeaderValue::try_from(methods).ok();
        Self { header: methods.map(|methods| Box::new((header::ALLOW, methods))), ..self }
    }

    /// With how credentials are sent.
    pub(crate) fn challenge(self) -> Self {
        let bearer = HeaderValue::from_static("Bearer realm=\"perfwatch\"");
        Self { header: Some(Box::new((header::WWW_AUTHENTICATE, bearer))), ..self }
    }

    /// With how long to wait, in whole seconds.
    fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        Self { header: Some(Box::new((header::RETRY_AFTER, seconds.into()))), ..self }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = HeaderValue::from_static("application/problem+json");
        let header = AppendHeaders(self.header.take().map(|header| *header));
        let mut response = (status, header, Json(self)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        let problem = |status, code| Self::new(status, code, detail.clone());
        let wait = |wait| problem(StatusCode::TOO_MANY_REQUESTS, "try-later").retry_after(wait);
        match refused {
            Refused::SetupNeeded => problem(StatusCode::UNAUTHORIZED, "setup-needed").challenge(),
            Refused::Wrong => problem(StatusCode::UNAUTHORIZED, "wrong-credentials").challenge(),
            Refused::Wait(time) => wait(time).fix("wait as long as Retry-After says"),
            Refused::Busy => wait(Duration::from_secs(1)).fix("try again in a second"),
            Refused::PasswordLength => problem(StatusCode::UNPROCESSABLE_ENTITY, "bad-password"),
            Refused::SetupLink => problem(StatusCode::FORBIDDEN, "setup-link-invalid")
                .fix("restart PerfWatch for another link, or run `perfwatch user add NAME`"),
            Refused::Unusable(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "accounts-unusable")
                .fix("see what PerfWatch logged at its start"),
            Refused::Failed(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "unexpected"),
            Refused::Accounts(error) => match error {
                AccountsError::AlreadySetUp => problem(StatusCode::CONFLICT, "already-set-up"),
                AccountsError::Superseded => {
                    problem(StatusCode::UNAUTHORIZED, "wrong-credentials").challenge()
                }
                AccountsError::Absent(_) => problem(StatusCode::NOT_FOUND, "not-found"),
                AccountsError::Exists | AccountsError::LastAdmin => {
                    problem(StatusCode::CONFLICT, "conflict")
                }
                AccountsError::TooMany(_) => problem(StatusCode::CONFLICT, "too-many"),
                AccountsError::BadName(_) => problem(StatusCode::UNPROCESSABLE_ENTITY, "bad-name"),
                AccountsError::File { .. } => {
                    problem(StatusCode::SERVICE_UNAVAILABLE, "accounts-not-saved")
                        .fix("give PerfWatch a data directory that it can write to")
                }
            },
        }
    }
}
