//! The wire between the Worker and its objects: JSON over `fetch`, errors as the API would answer
//! them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use ruma::api::error::ErrorKind;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value as JsonValue;
use skerry::{Error, Result};
use worker::{Headers, Method, Request, RequestInit, Response};

use crate::{js::map_worker_error, limits::Charge};

/// Where a client waits for news.
pub(crate) const WAIT_PATH: &str = "/wait";
/// The query parameter with the command whose answer it waits for.
const WAIT_COMMAND: &str = "command";

/// How a socket is closed behind which a client has waited.
pub(crate) const WAIT_IS_OVER: u16 = 1000;
/// How it is closed where another client takes the place of the one behind it.
pub(crate) const PLACE_TAKEN: u16 = 4000;

/// Where a command goes. An object has no address; the URL only has to be one.
const COMMAND_URL: &str = "https://object/";

/// How a room answers that does not exist: what a client is answered is also the answer to who is
/// not in a room, and the Worker remembers only which rooms there are not.
const UNKNOWN_ROOM: StatusCode = StatusCode::GONE;

/// The header with what an object is to count: rate limits of whoever asks.
const CHARGES: &str = "X-Charges";

/// A command on its way to an object, and what this object is to count for it.
pub(crate) fn request(command: &impl Serialize, charges: &[Charge]) -> Result<Request> {
    let body = serde_json::to_string(command)?;
    let mut init = RequestInit::new();
    if !charges.is_empty() {
        let headers = Headers::new();
        let charges = URL_SAFE_NO_PAD.encode(serde_json::to_vec(charges)?);
        headers.set(CHARGES, &charges).map_err(map_worker_error)?;
        init.with_headers(headers);
    }
    init.with_method(Method::Post).with_body(Some(body.into()));
    Request::new_with_init(COMMAND_URL, &init).map_err(map_worker_error)
}

/// What comes with a command to be counted.
pub(crate) fn charges(request: &Request) -> Result<Vec<Charge>> {
    let Some(charges) = request.headers().get(CHARGES).map_err(map_worker_error)? else {
        return Ok(Vec::new());
    };
    let charges = URL_SAFE_NO_PAD.decode(charges).map_err(Error::internal)?;
    Ok(serde_json::from_slice(&charges)?)
}

/// A command that has arrived.
pub(crate) async fn command<T: DeserializeOwned>(request: &mut Request) -> Result<T> {
    let body = request.text().await.map_err(map_worker_error)?;
    Ok(serde_json::from_str(&body)?)
}

/// A reply on its way back.
pub(crate) fn response(result: Result<impl Serialize>) -> worker::Result<Response> {
    let result = result.and_then(|reply| Ok(serde_json::to_string(&reply)?));
    match result {
        Ok(body) => Response::ok(body),
        Err(error) => {
            if let Error::Internal(source) = &error {
                tracing::error!(%source, "an object failed");
            }
            let response = Response::ok(error.to_json().to_string())?;
            let status = match error {
                Error::UnknownRoom => UNKNOWN_ROOM,
                other => other.status(),
            };
            Ok(response.with_status(status.as_u16()))
        }
    }
}

/// A reply that has arrived.
pub(crate) async fn reply<T: DeserializeOwned>(mut response: Response) -> Result<T> {
    let status = response.status_code();
    let body = response.text().await.map_err(map_worker_error)?;
    match status {
        200 => Ok(serde_json::from_str(&body)?),
        _ => Err(error(status, &body)),
    }
}

/// The error an object answered with.
fn error(status: u16, body: &str) -> Error {
    if status == UNKNOWN_ROOM.as_u16() {
        return Error::UnknownRoom;
    }
    let unexpected = || Error::internal(format!("an object answered {status}"));
    let (Ok(status), Ok(kind), Ok(fields)) = (
        StatusCode::from_u16(status),
        serde_json::from_str::<ErrorKind>(body),
        serde_json::from_str::<JsonValue>(body),
    ) else {
        return unexpected();
    };
    match (status, &kind) {
        (StatusCode::CONFLICT, ErrorKind::Unknown) => Error::Conflict,
        (StatusCode::INTERNAL_SERVER_ERROR, ErrorKind::Unknown) => unexpected(),
        _ => {
            let message = fields.get("error").and_then(JsonValue::as_str).unwrap_or_default();
            Error::with_status(status, kind, message.to_owned())
        }
    }
}

/// What the platform is told of a failure that has nobody else to be told.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
pub(crate) fn to_platform(error: Error) -> worker::Error {
    worker::Error::RustError(error.to_string())
}

/// A command whose answer somebody waits for, on a socket if it takes time.
pub(crate) fn waiting_request(command: &impl Serialize) -> Result<Request> {
    let headers = Headers::new();
    headers.set("Upgrade", "websocket").map_err(map_worker_error)?;
    let mut init = RequestInit::new();
    init.with_headers(headers);
    let command = URL_SAFE_NO_PAD.encode(serde_json::to_vec(command)?);
    let url = format!("https://object{WAIT_PATH}?{WAIT_COMMAND}={command}");
    Request::new_with_init(&url, &init).map_err(map_worker_error)
}

/// The command in a request that may wait, as JSON.
pub(crate) fn waiting_command(request: &Request) -> Result<String> {
    let missing = || Error::internal("a wait without a command");
    let url = request.url().map_err(map_worker_error)?;
    let command = url.query_pairs().find(|(name, _)| name == WAIT_COMMAND).ok_or_else(missing)?.1;
    let command = URL_SAFE_NO_PAD.decode(command.as_bytes()).map_err(Error::internal)?;
    String::from_utf8(command).map_err(Error::internal)
}
