//! `GET /_matrix/federation/v1/media/download/{mediaId}` ([spec])
//!
//! This server's own media, for whichever server asks: in two parts, of which the first says
//! nothing.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#get_matrixfederationv1mediadownloadmediaid

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderValue, header};
use ruma::api::federation::authenticated_media::get_content;
use skerry_core::media::Mxc;

use crate::{
    Error, Result,
    api::{
        Cx,
        answer::{Answer, Content},
        input::Raw,
        media::{find, mxc, serve},
        mount::Routes,
        origin::Origin,
    },
    ports::BlobName,
    store::global::media::Stored,
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount_raw(get_content)
}

async fn get_content(
    cx: Cx,
    _: Origin,
    request: get_content::v1::Request,
    _: Raw,
) -> Result<Answer> {
    let mxc = mxc(cx.server.name.clone(), request.media_id)?;
    let stored = find::own(&cx, &mxc, request.timeout_ms).await?;
    in_parts(&cx, &mxc, &stored).await
}

/// Answers another server with media that is here.
async fn in_parts(cx: &Cx, mxc: &Mxc, stored: &Stored) -> Result<Answer> {
    // What nobody can guess stands in no file.
    let boundary = BlobName::random(&*cx.ports.random)?;
    let boundary = boundary.as_str();
    let (head, tail) = around(stored, boundary);
    let bytes = serve::bytes(cx, mxc, stored, 0..stored.size_bytes).await?;
    let around = u64::try_from(head.len() + tail.len()).unwrap_or_default();
    let whole = stream::iter([Ok(head)]).chain(bytes).chain(stream::iter([Ok(tail)]));
    let size = stored.size_bytes.saturating_add(around);
    let mut answer = Answer::new(Content::File(size, Box::pin(whole)));
    let content_type = format!("multipart/mixed; boundary={boundary}");
    let content_type = HeaderValue::try_from(content_type).map_err(Error::internal)?;
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(answer)
}

/// What stands before a file, and behind it.
fn around(stored: &Stored, boundary: &str) -> (Bytes, Bytes) {
    let (content_type, disposition) = (&stored.content_type, serve::disposition(stored, None));
    let head = format!(
        "\r\n--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n\
         Content-Type: {content_type}\r\nContent-Disposition: {disposition}\r\n\r\n"
    );
    (head.into(), format!("\r\n--{boundary}--\r\n").into())
}
