//! The body of a request from outside. Nothing of it is read before the router asks for it.

use axum::body::{Body, Bytes};
use futures_util::stream;
use skerry::api::MAX_BODY_BYTES;
use wasm_bindgen::prelude::*;
use worker::{
    Method, Request,
    js_sys::{Object, Promise, Reflect, Uint8Array},
    send::{SendFuture, SendWrapper},
    wasm_bindgen_futures::JsFuture,
};

/// How many bytes are read at a time of a body of unknown length. The platform gathers them: each
/// chunk that a client sends by itself would cost a call, however small it is.
const PIECE_BYTES: u32 = 64 * 1024;

#[wasm_bindgen]
extern "C" {
    /// A stream of bytes.
    type Stream;

    #[wasm_bindgen(method, catch, js_name = getReader)]
    fn reader(this: &Stream, options: &Object) -> Result<Reader, JsValue>;

    /// A reader that fills what it is given.
    #[derive(Clone)]
    type Reader;

    /// Fills the buffer up to this length, or as far as the stream goes.
    #[wasm_bindgen(method, catch, js_name = readAtLeast)]
    fn read_at_least(this: &Reader, length: u32, buffer: &Uint8Array) -> Result<Promise, JsValue>;

    type Piece;

    /// What was read.
    #[wasm_bindgen(method, getter)]
    fn value(this: &Piece) -> Option<Uint8Array>;
}

/// The body of a request. One of a known and small size is read at once, which is twice as fast as
/// a stream. What is too large is for the router to decide.
pub(crate) fn of(request: &Request) -> Body {
    let has_no_body = matches!(request.method(), Method::Get | Method::Head | Method::Options);
    let Some(body) = request.inner().body().filter(|_| !has_no_body) else {
        return Body::empty();
    };
    let length = request.headers().get("Content-Length").ok().flatten();
    let length = length.and_then(|it| it.parse::<usize>().ok());
    match length {
        Some(length) if length <= MAX_BODY_BYTES => {
            let request = SendWrapper::new(Clone::clone(request.inner()));
            Body::from_stream(stream::once(SendFuture::new(async move {
                let bytes = wait(request.0.array_buffer()).await?;
                Ok::<_, Broken>(Bytes::from(Uint8Array::new(&bytes).to_vec()))
            })))
        }
        _ => {
            let stream = SendWrapper::new(JsValue::from(body).unchecked_into::<Stream>());
            Body::from_stream(stream::try_unfold(Progress::Unread(stream), |progress| {
                SendFuture::new(progress.read())
            }))
        }
    }
}

/// How far a stream is read.
enum Progress {
    Unread(SendWrapper<Stream>),
    Reading(SendWrapper<Reader>),
}

impl Progress {
    /// The next piece, and how far the stream is read then; none at its end.
    async fn read(self) -> Result<Option<(Bytes, Self)>, Broken> {
        let reader = match self {
            Self::Reading(reader) => reader,
            Self::Unread(stream) => {
                let options = Object::new();
                Reflect::set(&options, &"mode".into(), &"byob".into()).map_err(Broken::from)?;
                SendWrapper::new(stream.0.reader(&options).map_err(Broken::from)?)
            }
        };
        let buffer = Uint8Array::new_with_length(PIECE_BYTES);
        let piece = wait(reader.0.read_at_least(PIECE_BYTES, &buffer)).await?;
        let piece = piece.unchecked_into::<Piece>().value().filter(|it| it.length() > 0);
        Ok(piece.map(|it| (Bytes::from(it.to_vec()), Self::Reading(reader))))
    }
}

async fn wait(promise: Result<Promise, JsValue>) -> Result<JsValue, Broken> {
    JsFuture::from(promise.map_err(Broken::from)?).await.map_err(Broken::from)
}

/// The body broke off: mostly the client has gone. The platform says how, in words.
#[derive(Debug)]
struct Broken(String);

impl From<JsValue> for Broken {
    fn from(exception: JsValue) -> Self {
        Self(worker::Error::from(exception).to_string())
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the body broke off: {}", self.0)
    }
}

impl std::error::Error for Broken {}
