//! `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}` ([spec]), and the same with a
//! file name
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediadownloadservernamemediaid

use std::time::Duration;

use http::HeaderMap;
use ruma::{
    OwnedServerName,
    api::client::authenticated_media::{get_content, get_content_as_filename},
};
use skerry_core::media::file_name;

use crate::{
    Error, Result,
    api::{
        Cx,
        answer::Answer,
        input::Raw,
        media::{find, is_own, mxc, remote, serve},
    },
    messages::Caller,
};

/// `GET /_matrix/client/*/media/download/{serverName}/{mediaId}`
pub(super) async fn get_content(
    cx: Cx,
    caller: Caller,
    request: get_content::v1::Request,
    raw: Raw,
) -> Result<Answer> {
    let named = (request.server_name, request.media_id);
    download(&cx, &caller, named, None, request.timeout_ms, &raw.headers).await
}

/// `GET /_matrix/client/*/media/download/{serverName}/{mediaId}/{fileName}`
pub(super) async fn get_content_as_filename(
    cx: Cx,
    caller: Caller,
    request: get_content_as_filename::v1::Request,
    raw: Raw,
) -> Result<Answer> {
    let name = file_name(Some(&request.filename));
    let name = name.ok_or_else(|| Error::invalid_param("the file name is too long"))?.to_owned();
    let named = (request.server_name, request.media_id);
    download(&cx, &caller, named, Some(name), request.timeout_ms, &raw.headers).await
}

async fn download(
    cx: &Cx,
    caller: &Caller,
    (server_name, media_id): (OwnedServerName, String),
    name: Option<String>,
    timeout: Duration,
    asked: &HeaderMap,
) -> Result<Answer> {
    let mxc = mxc(server_name, media_id)?;
    let stored = match is_own(cx, &mxc) {
        true => find::own(cx, &mxc, timeout).await?,
        false => remote::get(cx, caller, &mxc, timeout).await?,
    };
    serve::answer(cx, &mxc, &stored, name, asked).await
}
