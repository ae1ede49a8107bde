//! The one place where results become HTTP answers: CORS on each ([spec]), errors as Matrix JSON,
//! and a fault of ours logged once and never sent.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients

use std::error::Error as StdError;

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ruma::api::{
    OutgoingResponse, OutgoingResponseExt as _,
    error::{ErrorKind, LimitExceededErrorData},
};

use crate::{Error, Result};

/// A response whose body is complete: a stream would halve the speed of a Worker.
pub(super) type Buffered = http::Response<Bytes>;

/// Serializes a ruma response.
pub(super) fn buffer(response: impl OutgoingResponse) -> Result<Buffered> {
    let response = response.try_into_http_response::<BytesMut>().map_err(Error::internal)?;
    Ok(response.map(BytesMut::freeze))
}

/// What goes out for the result of a handler.
pub(super) fn answer(result: Result<Buffered>) -> Response {
    match result {
        Ok(response) => {
            let mut response = response.map(Body::from);
            allow_all_origins(response.headers_mut());
            response
        }
        Err(error) => refuse(&error),
    }
}

/// What goes out for an error.
pub(super) fn refuse(error: &Error) -> Response {
    if let Error::Internal(source) = error {
        tracing::error!(error = %chain(&**source), "a request failed");
    }
    let mut response = Response::new(Body::from(error.to_json().to_string()));
    *response.status_mut() = error.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(retry_after) = retry_after(error) {
        headers.insert(header::RETRY_AFTER, retry_after);
    }
    allow_all_origins(headers);
    response
}

/// What goes out for `OPTIONS`.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    allow_all_origins(response.headers_mut());
    response
}

/// The headers the specification recommends on all answers.
fn allow_all_origins(headers: &mut HeaderMap) {
    const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
    const HEADERS: HeaderValue =
        HeaderValue::from_static("X-Requested-With, Content-Type, Authorization");
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
}

fn retry_after(error: &Error) -> Option<HeaderValue> {
    let Error::Api { kind, .. } = error else { return None };
    match &**kind {
        ErrorKind::LimitExceeded(LimitExceededErrorData { retry_after: Some(after), .. }) => {
            HeaderValue::try_from(after).ok()
        }
        _ => None,
    }
}

/// An error and all its sources in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_ours_says_nothing_about_itself() {
        let response = refuse(&Error::internal("the password is swordfish"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!Error::internal("swordfish").to_json().to_string().contains("swordfish"));
    }

    #[test]
    fn every_answer_may_be_read_by_any_page() {
        let answers =
            [preflight(), refuse(&Error::not_found("none")), answer(Ok(Buffered::default()))];
        for response in answers {
            let headers = response.headers();
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
            assert!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_HEADERS));
        }
    }
}
