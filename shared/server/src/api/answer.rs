//! The one place where results become HTTP answers: CORS on each ([spec]), what keeps browsers from
//! taking an answer for a page or for something to keep, errors as Matrix JSON, and a fault of ours
//! logged once and never sent.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#web-browser-clients

use std::{error::Error as StdError, pin::Pin};

use axum::{body::Body, response::Response};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ruma::api::{OutgoingResponse, OutgoingResponseExt as _};

use crate::{Error, Result};

/// A response of the API.
pub(super) type Answer = http::Response<Content>;

/// What an answer says.
pub(super) enum Content {
    /// All of it. Nearly every answer is complete: a stream would halve the speed of a Worker.
    Whole(Bytes),
    /// In pieces, for what may be too large to be held. Where it fails, the answer breaks off.
    Pieces(Pieces),
}

/// Pieces of an answer, one after the other.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// Serializes a ruma response.
pub(super) fn buffer(response: impl OutgoingResponse) -> Result<Answer> {
    let response = response.try_into_http_response::<BytesMut>().map_err(Error::internal)?;
    Ok(response.map(|body| Content::Whole(to_size(body))))
}

/// JSON that comes in pieces.
pub(super) fn stream(pieces: Pieces) -> Answer {
    let mut response = http::Response::new(Content::Pieces(pieces));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// How much more memory an answer may hold than it has bytes.
const MAX_SLACK_BYTES: usize = 64 * 1024;

/// What was written into memory that grew by doubling holds only what it needs: until the client
/// has taken all of it, which is up to the client.
fn to_size(body: BytesMut) -> Bytes {
    match body.capacity() - body.len() > MAX_SLACK_BYTES {
        true => Bytes::copy_from_slice(&body),
        false => body.freeze(),
    }
}

/// What goes out for the result of a handler.
pub(super) fn answer(result: Result<Answer>) -> Response {
    match result {
        Ok(response) => {
            let mut response = response.map(body);
            add_headers(response.headers_mut());
            response
        }
        Err(error) => refuse(&error),
    }
}

fn body(content: Content) -> Body {
    match content {
        Content::Whole(bytes) => Body::from(bytes),
        Content::Pieces(pieces) => Body::from_stream(pieces.inspect_err(|error| {
            tracing::error!(error = %chain(error), "an answer broke off");
        })),
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
    add_headers(headers);
    response
}

/// What goes out for `OPTIONS`.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    add_headers(response.headers_mut());
    response
}

/// The headers of all answers: those that the specification recommends, and those that close what
/// is no page to scripts, frames and guesses about its type. None is for a cache to keep: answers
/// have tokens, or are for whom they were made. A handler that answers otherwise says so itself.
fn add_headers(headers: &mut HeaderMap) {
    const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, OPTIONS");
    const HEADERS: HeaderValue =
        HeaderValue::from_static("X-Requested-With, Content-Type, Authorization");
    const CLOSED: HeaderValue = HeaderValue::from_static(
        "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
    let defaults = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::CONTENT_SECURITY_POLICY, CLOSED),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
}

/// When a client that was refused is to come back: in whole seconds, and not before its time.
fn retry_after(error: &Error) -> Option<HeaderValue> {
    error.retry_after_ms().map(|it| it.div_ceil(1_000).into())
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
    use skerry_core::rate_limits::Bucket;

    use super::*;

    #[test]
    fn a_fault_of_ours_says_nothing_about_itself() {
        let response = refuse(&Error::internal("the password is swordfish"));
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!Error::internal("swordfish").to_json().to_string().contains("swordfish"));
    }

    #[test]
    fn who_is_limited_is_told_in_whole_seconds_when_to_come_back() {
        for (wait_ms, expected) in [(1, "1"), (1_000, "1"), (1_001, "2"), (60_000, "60")] {
            let response = refuse(&crate::limits::refused(Bucket::Messages, wait_ms));
            assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
            assert_eq!(response.headers()[header::RETRY_AFTER], expected);
        }
    }

    #[test]
    fn every_answer_may_be_read_by_any_page() {
        let answers = [
            preflight(),
            refuse(&Error::not_found("none")),
            answer(Ok(Answer::new(Content::Whole(Bytes::new())))),
        ];
        for response in answers {
            let headers = response.headers();
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_METHODS));
            assert!(headers.contains_key(header::ACCESS_CONTROL_ALLOW_HEADERS));
        }
    }

    #[test]
    fn no_answer_is_a_page_or_to_be_kept() {
        let answers = [
            preflight(),
            refuse(&Error::not_found("none")),
            answer(Ok(Answer::new(Content::Whole(Bytes::new())))),
        ];
        for response in answers {
            let headers = response.headers();
            assert_eq!(headers[header::CACHE_CONTROL], "no-store");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.contains("default-src 'none'"), "{policy}");
        }
        let mut page = Answer::new(Content::Whole(Bytes::new()));
        let kept = HeaderValue::from_static("max-age=60");
        page.headers_mut().insert(header::CACHE_CONTROL, kept);
        assert_eq!(answer(Ok(page)).headers()[header::CACHE_CONTROL], "max-age=60");
    }
}
