//! The bodies of requests and answers, at no less than a certain pace.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{BoxError, body::Body as AxumBody};
use bytes::Bytes;
use http::{Version, header::EXPECT};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use skerry::api::MAX_DRAINED_BYTES;
use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use super::activity::Request;

/// Bytes of an answer that are handed on at once. The connection asks for more when these are on
/// their way, so that an answer counts as running while most of it is yet to be taken.
const PART_BYTES: usize = 32 * 1024;

/// The body of a request. It fails when it comes too slowly. What nobody wants of it is read all
/// the same, up to a point: TCP throws away an answer that is on its way when a connection is
/// closed on which something is left to read.
pub(super) struct RequestBody {
    /// None when it has failed.
    body: Option<Incoming>,
    request: Arc<Request>,
    /// When the rest must have come.
    until: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
    /// Bytes that have come.
    bytes: usize,
    /// Whether what nobody wants is read.
    is_drained: bool,
}

impl RequestBody {
    /// Puts one into a request.
    pub(super) fn replace(
        request: http::Request<Incoming>,
        running: Arc<Request>,
    ) -> http::Request<AxumBody> {
        // Of HTTP/2 one stream ends early and not the connection. Who waits for a word before they
        // send a body sends none after a refusal.
        let is_drained =
            request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
        request.map(|body| {
            if body.is_end_stream() {
                running.received();
            }
            let until = Instant::now() + running.limits().body;
            let (body, sleep) = (Some(body), None);
            AxumBody::new(Self { body, request: running, until, sleep, bytes: 0, is_drained })
        })
    }

    /// Reads what is left.
    async fn drain(mut self) {
        while self.bytes <= MAX_DRAINED_BYTES
            && let Some(Ok(_)) = self.frame().await
        {}
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else {
            let until = this.until;
            let sleep = this.sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if sleep.deadline() != until {
                sleep.as_mut().reset(until);
            }
            ready!(sleep.as_mut().poll(cx));
            this.body = None;
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into())));
        };
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            this.bytes = this.bytes.saturating_add(bytes);
            this.until += this.request.limits().earned(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
        if frame.is_none() || body.is_end_stream() {
            this.request.received();
        }
        Poll::Ready(frame.map(|it| it.map_err(BoxError::from)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.request.received();
        if self.is_end_stream() || !self.is_drained {
            return;
        }
        // None where the server itself is at its end.
        if let Ok(runtime) = Handle::try_current() {
            let rest = Self {
                body: self.body.take(),
                request: self.request.clone(),
                until: self.until,
                sleep: None,
                bytes: self.bytes,
                is_drained: false,
            };
            runtime.spawn(rest.drain());
        }
    }
}

/// The body of an answer, in parts. Its request runs until it is dropped.
pub(super) struct AnswerBody {
    body: AxumBody,
    /// What is there and not handed on.
    rest: Bytes,
    request: Arc<Request>,
}

impl AnswerBody {
    pub(super) fn new(body: AxumBody, request: Arc<Request>) -> Self {
        let size = body.size_hint();
        request.answered(size.upper().unwrap_or_else(|| size.lower()));
        Self { body, rest: Bytes::new(), request }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)).map(|it| it.map(Frame::into_data))
            {
                Some(Ok(Ok(data))) => this.rest = data,
                Some(Ok(Err(other))) => return Poll::Ready(Some(Ok(other))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let part = this.rest.split_to(this.rest.len().min(PART_BYTES));
        this.request.taken(u64::try_from(part.len()).unwrap_or(u64::MAX));
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower().saturating_add(rest));
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
