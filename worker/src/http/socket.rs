//! Requests over a TCP socket: to a host under another name than the one that the certificate is
//! for.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, Stream, StreamExt as _,
    future::{BoxFuture, Either, select},
};
use http_body_util::BodyDataStream;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use skerry::ports::http::{self as port, Body, Fault, HttpError, Request, Response};
use wasm_bindgen::{JsCast as _, JsValue, prelude::*};
use worker::{
    Socket,
    js_sys::{Object, Promise, Reflect},
    send::SendFuture,
    wasm_bindgen_futures::JsFuture,
    worker_sys,
};

use super::{failure, timer::timer};

/// Bytes of an answer's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

#[wasm_bindgen(module = "cloudflare:sockets")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn connect(address: &JsValue, options: &JsValue) -> Result<RawSocket, JsValue>;
}

#[wasm_bindgen]
extern "C" {
    /// A socket. The `worker` crate's cannot be told whose certificate to expect.
    type RawSocket;

    /// Ends when the socket is connected, for TLS with its handshake.
    #[wasm_bindgen(method, catch, getter)]
    fn opened(this: &RawSocket) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = startTls)]
    fn start_tls(this: &RawSocket, options: &JsValue) -> Result<RawSocket, JsValue>;
}

/// Sends a request.
pub(super) async fn send(request: Request) -> Result<Response, HttpError> {
    let time_is_up = Box::pin(timer(request.timeout));
    let max_bytes = request.max_answer_bytes;
    let (answer, time_is_up) = match select(Box::pin(answer(request)), time_is_up).await {
        Either::Left((answer, time_is_up)) => (answer?, time_is_up),
        Either::Right(_) => {
            return Err(HttpError::new(Fault::Timeout, "there was no answer in time"));
        }
    };
    let (parts, body) = answer.into_parts();
    let body = port::bounded(body, max_bytes, time_is_up);
    Ok(Response { status: parts.status, headers: parts.headers, body })
}

async fn answer(request: Request) -> Result<http::Response<Driven>, HttpError> {
    let socket = open(&request).await?;
    let message = port::into_message(request)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake::<_, Body>(TokioIo::new(socket))
        .await
        .map_err(|error| from_hyper(&error))?;
    // How the connection ended is told by the answer.
    let mut connection: Connection = connection.map(drop).boxed();
    let mut answering = Box::pin(sender.send_request(message));
    let answer = match select(&mut answering, &mut connection).await {
        Either::Left((answer, _)) => answer,
        Either::Right(((), _)) => {
            connection = std::future::pending().boxed();
            answering.await
        }
    };
    let answer = answer.map_err(|error| from_hyper(&error))?;
    Ok(answer.map(|body| Driven { connection, body: BodyDataStream::new(body) }))
}

type Connection = BoxFuture<'static, ()>;

/// A body, and the connection that brings it.
struct Driven {
    connection: Connection,
    body: BodyDataStream<Incoming>,
}

impl Stream for Driven {
    type Item = Result<Bytes, HttpError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.connection.poll_unpin(context).is_ready() {
            self.connection = std::future::pending().boxed();
        }
        let next = self.body.poll_next_unpin(context);
        next.map(|it| it.map(|chunk| chunk.map_err(|error| from_hyper(&error))))
    }
}

/// An error of our own that hyper carried, what the platform says of the socket, or one of HTTP.
fn from_hyper(error: &hyper::Error) -> HttpError {
    let causes = std::iter::successors(std::error::Error::source(error), |it| it.source());
    let mut words = error.to_string();
    for cause in causes {
        if let Some(own) = cause.downcast_ref::<HttpError>() {
            return own.clone();
        }
        words = format!("{words}: {cause}");
    }
    failure(&words, Fault::Protocol)
}

/// A socket that is connected, with TLS where the URL has it.
async fn open(request: &Request) -> Result<Socket, HttpError> {
    let url = &request.url;
    let is_secure = url.scheme() == "https";
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let address = object(&[("hostname", host.into()), ("port", port.into())]);
    let transport = if is_secure { "starttls" } else { "off" };
    let options = object(&[("secureTransport", transport.into()), ("allowHalfOpen", true.into())]);
    let mut socket = connect(&address, &options).map_err(|it| words(it, Fault::Connect))?;
    opened(&socket, Fault::Connect).await?;
    if is_secure {
        let options = object(&[("expectedServerHostname", request.certificate_host().into())]);
        socket = socket.start_tls(&options).map_err(|it| words(it, Fault::Tls))?;
        opened(&socket, Fault::Tls).await?;
    }
    Ok(Socket::from(socket.unchecked_into::<worker_sys::Socket>()))
}

async fn opened(socket: &RawSocket, otherwise: Fault) -> Result<(), HttpError> {
    let promise = socket.opened().map_err(|it| words(it, otherwise))?;
    let opening = SendFuture::new(JsFuture::from(promise));
    opening.await.map(drop).map_err(|it| words(it, otherwise))
}

fn words(exception: JsValue, otherwise: Fault) -> HttpError {
    failure(&worker::Error::from(exception).to_string(), otherwise)
}

fn object(fields: &[(&str, JsValue)]) -> JsValue {
    let object = Object::new();
    for (name, value) in fields {
        // A new object takes every field.
        let _ = Reflect::set(&object, &JsValue::from_str(name), value);
    }
    object.into()
}
