//! Asks another server for media: by the endpoint for servers, by the one for everybody where the
//! server does not know the former, and wherever the answer leads.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderName, header};
use ruma::{
    api::{
        client::media::get_content as of_everybody,
        error::{ErrorBody, ErrorKind},
        federation::authenticated_media::get_content,
        path_builder::PathBuilder as _,
    },
    http_headers::ContentDisposition,
};
use skerry_core::media::{Multipart, Mxc, PartHead, Piece};
use url::Url;

use super::{
    super::{find::not_yet_uploaded, intake::Said},
    too_large,
};
use crate::{
    Error, Result,
    api::{Cx, remote},
    peers::{Limits, PeerError, refusal},
    ports::{
        BlobStream,
        http::{ByteStream, Fault, HttpError, Response},
    },
};

/// From the question to the last byte.
const TIMEOUT: Duration = Duration::from_mins(3);
/// Bytes of what stands around a file.
const AROUND_BYTES: u64 = 64 * 1024;
/// The longest that another server is asked to wait for what is not uploaded there yet.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A file on its way here.
pub(super) struct File {
    /// What is said of it.
    pub(super) said: Said,
    /// Its bytes.
    pub(super) bytes: BlobStream,
}

fn limits(cx: &Cx) -> Limits {
    let max = cx.server.config.media.remote_bytes;
    Limits { max_answer_bytes: max.saturating_add(AROUND_BYTES), timeout: TIMEOUT }
}

/// Asks the server of media for it.
///
/// # Errors
///
/// What the server says, as clients are told of it.
pub(super) async fn ask(cx: &Cx, mxc: &Mxc, timeout: Duration) -> Result<File> {
    let mut request = get_content::v1::Request::new(mxc.media_id.clone());
    request.timeout_ms = timeout.min(LONGEST_WAIT);
    match cx.peers().stream(&mxc.server_name, request, limits(cx)).await {
        Ok(response) => in_parts(cx, response).await,
        Err(error) if is_unrecognized(&error) => ask_as_everybody(cx, mxc, timeout).await,
        Err(error) => Err(refused(cx, error)),
    }
}

/// Whether the server does not know the endpoint.
fn is_unrecognized(error: &PeerError) -> bool {
    let PeerError::Refused(refusal) = error else { return false };
    match &refusal.body {
        ErrorBody::Standard(body) => body.kind == ErrorKind::Unrecognized,
        _ => refusal.status_code == http::StatusCode::NOT_FOUND,
    }
}

/// Asks by the endpoint that needs no name. The server is to fetch nothing for it.
async fn ask_as_everybody(cx: &Cx, mxc: &Mxc, timeout: Duration) -> Result<File> {
    let wait_ms = timeout.min(LONGEST_WAIT).as_millis();
    let target = path_of_everybody(mxc, &format!("allow_remote=false&timeout_ms={wait_ms}"))?;
    let answer = cx.peers().stream_anonymously(&mxc.server_name, &target, limits(cx)).await;
    Ok(whole(answer.map_err(|error| refused(cx, error))?, cx))
}

#[expect(deprecated, reason = "older servers have no other")]
fn path_of_everybody(mxc: &Mxc, query: &str) -> Result<String> {
    use ruma::api::{MatrixVersion, Metadata as _, SupportedVersions};

    let versions = [MatrixVersion::V1_11].into();
    let input = std::borrow::Cow::Owned(SupportedVersions { versions, features: [].into() });
    let arguments: [&dyn std::fmt::Display; 2] = [&mxc.server_name, &mxc.media_id];
    let builder = of_everybody::v3::Request::PATH_BUILDER;
    builder.make_endpoint_url(input, "", &arguments, query).map_err(Error::internal)
}

/// An answer that is the file.
fn whole(response: Response, cx: &Cx) -> File {
    let text = |name: HeaderName| text(&response.headers, name);
    let said = said(text(header::CONTENT_TYPE), text(header::CONTENT_DISPOSITION).as_deref());
    let max = cx.server.config.media.remote_bytes;
    let bytes = response.body.map_err(move |error| broken(max, &error));
    File { said, bytes: Box::pin(bytes) }
}

/// An answer in two parts.
async fn in_parts(cx: &Cx, response: Response) -> Result<File> {
    let content_type = text(&response.headers, header::CONTENT_TYPE).unwrap_or_default();
    let reading = Multipart::of(&content_type).map_err(|error| remote::bad_answer(&error))?;
    let max = cx.server.config.media.remote_bytes;
    let mut parts = Parts { reading, body: response.body, max };
    let head = parts.head().await?;
    match &head.location {
        Some(location) => follow(cx, location).await,
        None => {
            let said = said(head.content_type, head.content_disposition.as_deref());
            let bytes = stream::try_unfold(parts, |mut parts| async move {
                Ok(parts.bytes().await?.map(|it| (it, parts)))
            });
            Ok(File { said, bytes: Box::pin(bytes) })
        }
    }
}

/// Fetches a file from where its server says that it is. What that leads to is not followed.
async fn follow(cx: &Cx, location: &str) -> Result<File> {
    let url = Url::parse(location).map_err(|error| remote::bad_answer(&error))?;
    let limits = limits(cx);
    let limits = Limits { max_answer_bytes: cx.server.config.media.remote_bytes, ..limits };
    let answer = cx.peers().follow(url, limits).await;
    Ok(whole(answer.map_err(|error| refused(cx, error))?, cx))
}

/// An answer in parts that is being read.
struct Parts {
    reading: Multipart,
    body: ByteStream,
    max: u64,
}

impl Parts {
    async fn head(&mut self) -> Result<PartHead> {
        match self.next().await? {
            Piece::Head(head) => Ok(head),
            Piece::Bytes(_) | Piece::End => Err(Error::internal("a part begins with its head")),
        }
    }

    async fn bytes(&mut self) -> Result<Option<Bytes>> {
        match self.next().await? {
            Piece::Bytes(bytes) => Ok(Some(bytes.into())),
            Piece::End | Piece::Head(_) => Ok(None),
        }
    }

    async fn next(&mut self) -> Result<Piece> {
        loop {
            let piece = self.reading.next_piece().map_err(|error| remote::bad_answer(&error))?;
            if let Some(piece) = piece {
                return Ok(piece);
            }
            match self.body.next().await {
                Some(Ok(chunk)) => self.reading.push(&chunk),
                Some(Err(error)) => return Err(broken(self.max, &error)),
                None => {
                    self.reading.finish().map_err(|error| remote::bad_answer(&error))?;
                    return Ok(Piece::End);
                }
            }
        }
    }
}

/// What is said of a file. Of what cannot be read nothing is said.
fn said(content_type: Option<String>, disposition: Option<&str>) -> Said {
    let disposition = disposition.and_then(|it| it.parse::<ContentDisposition>().ok());
    Said { content_type, file_name: disposition.and_then(|it| it.filename) }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    let value = headers.get(name)?;
    std::str::from_utf8(value.as_bytes()).ok().map(ToOwned::to_owned)
}

/// What a server that refuses is to the client: of what it says, what is about the media.
fn refused(cx: &Cx, error: PeerError) -> Error {
    const MAX_MESSAGE_BYTES: usize = 200;
    match &error {
        PeerError::Refused(refusal) => match refusal::said(refusal, MAX_MESSAGE_BYTES) {
            Some((ErrorKind::NotYetUploaded, _)) => not_yet_uploaded(),
            Some((ErrorKind::TooLarge, _)) => too_large(cx.server.config.media.remote_bytes),
            Some(_) | None => remote::refused(error),
        },
        PeerError::Http(http) if http.fault == Fault::TooLarge => {
            too_large(cx.server.config.media.remote_bytes)
        }
        _ => remote::refused(error),
    }
}

/// What broke off on its way.
fn broken(max: u64, error: &HttpError) -> Error {
    match error.fault {
        Fault::TooLarge => too_large(max),
        _ => remote::bad_answer(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_older_servers_are_asked() {
        let mxc = Mxc::new("a.example:8448".try_into().unwrap(), "some_ID".to_owned()).unwrap();
        let path = path_of_everybody(&mxc, "allow_remote=false").unwrap();
        let expected = "/_matrix/media/v3/download/a.example:8448/some_ID?allow_remote=false";
        assert_eq!(path, expected);
    }

    #[test]
    fn which_servers_do_not_know_the_endpoint() {
        use ruma::api::EndpointError as _;

        let cases = [
            (404, r#"{"errcode":"M_UNRECOGNIZED","error":"what?"}"#, true),
            (400, r#"{"errcode":"M_UNRECOGNIZED","error":"what?"}"#, true),
            (404, "<html>not found</html>", true),
            (404, r#"{"errcode":"M_NOT_FOUND","error":"none"}"#, false),
            (403, r#"{"errcode":"M_FORBIDDEN","error":"no"}"#, false),
            (500, "<html>oh</html>", false),
        ];
        for (status, body, expected) in cases {
            let mut response = http::Response::new(body.as_bytes());
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            let refusal = ruma::api::error::Error::from_http_response(response);
            let error = PeerError::Refused(Box::new(refusal));
            assert_eq!(is_unrecognized(&error), expected, "{status} {body}");
        }
        assert!(!is_unrecognized(&PeerError::Silent("a.example".to_owned())));
    }

    #[test]
    fn the_name_of_a_file_is_read() {
        let cases = [
            (Some("attachment; filename=a.png"), Some("a.png")),
            (Some("inline; filename*=utf-8''%C3%A9.png"), Some("\u{e9}.png")),
            (Some("inline"), None),
            (Some(""), None),
            (None, None),
        ];
        for (disposition, expected) in cases {
            assert_eq!(said(None, disposition).file_name.as_deref(), expected, "{disposition:?}");
        }
    }
}
