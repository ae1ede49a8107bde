//! Requests by the platform's `fetch`.

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::{Either, select},
    stream,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use skerry::ports::http::{self as port, Body, ByteStream, Fault, HttpError, Request, Response};
use wasm_bindgen::{JsCast as _, JsValue};
use worker::{
    AbortController, Fetch, FixedLengthStream, Headers, RequestInit, RequestRedirect,
    js_sys::Uint8Array,
    send::{SendFuture, SendWrapper},
    worker_sys,
};

use super::{failure, timer::timer};

/// Sends a request.
pub(super) async fn send(request: Request) -> Result<Response, HttpError> {
    let mut time_is_up = Box::pin(timer(request.timeout));
    let max_bytes = request.max_answer_bytes;
    let controller = AbortController::default();
    let signal = controller.signal();
    let abort = Abort(Some(controller));
    let fetching = Fetch::Request(to_platform(request)?);
    let fetching = Box::pin(fetching.send_with_signal(&signal));
    let answer = match select(fetching, &mut time_is_up).await {
        Either::Left((answer, _)) => answer,
        Either::Right(_) => {
            return Err(HttpError::new(Fault::Timeout, "there was no answer in time"));
        }
    };
    let answer = answer.map_err(|error| failure(&error.to_string(), Fault::Connect))?;
    let status = StatusCode::from_u16(answer.status_code())
        .map_err(|error| HttpError::new(Fault::Protocol, error.to_string()))?;
    let headers = headers(answer.headers());
    let body = port::bounded(body(answer, abort), max_bytes, time_is_up);
    Ok(Response { status, headers, body })
}

/// Ends what was begun, when nobody wants it.
struct Abort(Option<AbortController>);

impl Drop for Abort {
    fn drop(&mut self) {
        if let Some(controller) = self.0.take() {
            controller.abort();
        }
    }
}

fn to_platform(request: Request) -> Result<worker::Request, HttpError> {
    let refused = |error: worker::Error| HttpError::new(Fault::Request, error.to_string());
    let headers = Headers::new();
    for (name, value) in &request.headers {
        let value = value.to_str().map_err(|_| {
            HttpError::new(Fault::Request, format!("the header {name} is not text"))
        })?;
        headers.append(name.as_str(), value).map_err(refused)?;
    }
    let mut init = RequestInit::new();
    init.with_method(request.method.as_str().to_owned().into());
    init.with_redirect(RequestRedirect::Manual);
    init.with_headers(headers);
    init.with_body(out_body(request.body)?);
    worker::Request::new_with_init(request.url.as_str(), &init).map_err(refused)
}

fn out_body(body: Body) -> Result<Option<JsValue>, HttpError> {
    let platform = |it: Result<Bytes, HttpError>| match it {
        Ok(chunk) => Ok(chunk.to_vec()),
        Err(error) => Err(worker::Error::RustError(error.to_string())),
    };
    Ok(match body {
        Body::Whole(bytes) if bytes.is_empty() => None,
        Body::Whole(bytes) => Some(Uint8Array::from(&*bytes).into()),
        Body::Parts(Some(length), parts) => {
            let parts = FixedLengthStream::wrap(parts.map(platform), length);
            let parts = worker_sys::FixedLengthStream::from(parts);
            Some(parts.unchecked_ref::<web_sys::TransformStream>().readable().into())
        }
        Body::Parts(None, parts) => {
            let parts = worker::Body::from_stream(parts.map(platform))
                .map_err(|error| HttpError::new(Fault::Request, error.to_string()))?;
            parts.into_inner().map(JsValue::from)
        }
    })
}

fn headers(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers.entries() {
        // One that does not fit is none that anybody here reads.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            map.append(name, value);
        }
    }
    map
}

/// The body. The request is given up when it is dropped.
fn body(mut answer: worker::Response, abort: Abort) -> ByteStream {
    // One that has no body is complete.
    let Ok(chunks) = answer.stream() else { return Box::pin(stream::empty()) };
    let state = SendWrapper::new((chunks, abort));
    Box::pin(stream::unfold(state, |mut state| {
        SendFuture::new(async move {
            let chunk = state.0.0.next().await?;
            let chunk = chunk.map(Bytes::from);
            let chunk = chunk.map_err(|error| failure(&error.to_string(), Fault::Protocol));
            Some((chunk, state))
        })
    }))
}
