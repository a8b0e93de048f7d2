//! Answers that are no answers: a status and a reason, as JSON.

use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::queue::Refused;
use crate::request::RequestError;

/// Seconds after which a client turned away may come again.
const RETRY_SECONDS: &str = "1";

/// Why an HTTP request failed.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    reason: String,
    header: Option<(HeaderName, &'static str)>,
}

impl Problem {
    /// This status with this reason.
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        let header = match status {
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, RETRY_SECONDS)),
            _ => None,
        };
        Self {
            status,
            reason: reason.into(),
            header,
        }
    }

    /// A path that takes another method.
    pub(crate) fn method(path: &str, allowed: &'static str) -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            reason: format!("{path} takes {allowed}"),
            header: Some((ALLOW, allowed)),
        }
    }

    /// The reason with something before it.
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.reason = format!("{place}{}", self.reason);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &json!({"error": self.reason}));
        if let Some((name, value)) = self.header {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        let status = match error {
            RequestError::Malformed(_) => StatusCode::BAD_REQUEST,
            RequestError::UnknownTask { .. } => StatusCode::NOT_FOUND,
        };
        Self::new(status, error.to_string())
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let reason = match refused {
            Refused::Full => "too many requests wait; try again later",
            Refused::Closed => "the server is stopping",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}

/// A JSON value as a response.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response {
    response(status, "application/json", format!("{value}\n"))
}

/// A text as a response.
pub(crate) fn response(status: StatusCode, kind: &'static str, body: String) -> Response {
    (status, [(CONTENT_TYPE, kind)], body).into_response()
}
