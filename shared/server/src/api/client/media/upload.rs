//! `POST /_matrix/media/v3/upload` ([spec]),
//! `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}` ([to what was created before])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav3upload
//! [to what was created before]: https://spec.matrix.org/v1.19/client-server-api/#put_matrixmediav3uploadservernamemediaid

use http::{HeaderMap, StatusCode, header};
use ruma::{
    UserId,
    api::{
        client::media::{create_content, create_content_async},
        error::ErrorKind,
    },
};
use skerry_core::media::Mxc;

use super::create::new_mxc;
use crate::{
    Error, Result,
    api::{
        Cx,
        answer::{Answer, buffer, empty_object},
        input::Raw,
        media::{intake, is_own, mxc, unknown},
    },
    messages::Caller,
    store::global::media::{self, Content, Quota},
};

/// `POST /_matrix/media/*/upload`
pub(super) async fn create_content(
    cx: Cx,
    caller: Caller,
    request: create_content::v3::Request,
    raw: Raw,
) -> Result<Answer> {
    let said = intake::Said { content_type: request.content_type, file_name: request.filename };
    let mxc = new_mxc(&cx)?;
    upload(&cx, &mxc, &caller.user_id, said, raw).await?;
    buffer(create_content::v3::Response::new(mxc.uri()))
}

/// `PUT /_matrix/media/*/upload/{serverName}/{mediaId}`
pub(super) async fn create_content_async(
    cx: Cx,
    caller: Caller,
    request: create_content_async::v3::Request,
    raw: Raw,
) -> Result<Answer> {
    let mxc = mxc(request.server_name, request.media_id)?;
    if let Err(error) = check_awaited(&cx, &mxc, &caller.user_id).await {
        intake::discard(raw.body).await;
        return Err(error);
    }
    let said = intake::Said { content_type: request.content_type, file_name: request.filename };
    upload(&cx, &mxc, &caller.user_id, said, raw).await?;
    // ruma's response cannot be made.
    Ok(empty_object())
}

/// Refuses where nothing is to be uploaded, or by somebody else.
async fn check_awaited(cx: &Cx, mxc: &Mxc, user_id: &UserId) -> Result<()> {
    let found = match is_own(cx, mxc) {
        true => media::find(&*cx.ports.global, mxc).await?,
        false => None,
    };
    let found = found.ok_or_else(unknown)?;
    if found.uploader.as_deref() != Some(user_id.as_str()) {
        return Err(Error::forbidden("somebody else has created this media"));
    }
    match found.content {
        Content::Stored(_) => Err(uploaded_already()),
        Content::Awaited(until_ms) if until_ms <= cx.ports.clock.now_ms() => {
            Err(Error::not_found("the time for this upload is over: create new media"))
        }
        Content::Awaited(_) => Ok(()),
    }
}

/// Takes a file in. What is known to be too much is refused before it is read.
async fn upload(cx: &Cx, mxc: &Mxc, user_id: &UserId, said: intake::Said, raw: Raw) -> Result<()> {
    let limits = &cx.server.config.media;
    let announced = length(&raw.headers).unwrap_or_default();
    let admitted = match announced > limits.upload_bytes {
        true => Err(too_large(limits.upload_bytes)),
        false => check_quota(cx, user_id, announced).await,
    };
    if let Err(error) = admitted {
        intake::discard(raw.body).await;
        return Err(error);
    }
    let bytes = intake::of_body(raw.body, limits.upload_bytes, too_large);
    let unnamed = intake::store(cx, bytes, said, limits.upload_bytes, too_large).await?;
    let size_bytes = unnamed.size_bytes();
    let quota = Quota::of(limits, cx.ports.clock.now_ms());
    match intake::name(cx, mxc, Some(user_id), unnamed, quota).await? {
        Some(_) => Ok(()),
        None => {
            check_quota(cx, user_id, size_bytes).await?;
            Err(uploaded_already())
        }
    }
}

/// T1d: refuses what is more than a user may upload in a day.
async fn check_quota(cx: &Cx, user_id: &UserId, bytes: u64) -> Result<()> {
    let quota = Quota::of(&cx.server.config.media, cx.ports.clock.now_ms());
    let uploaded = media::find_uploaded(&*cx.ports.global, user_id, quota.since_ms).await?;
    match quota.lets(uploaded, bytes) {
        true => Ok(()),
        false => Err(Error::forbidden(format!(
            "you may upload {} files and {} bytes in 24 hours: wait before you upload more",
            quota.files, quota.bytes
        ))),
    }
}

/// How long the body says that it is.
fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(max: u64) -> Error {
    Error::api(ErrorKind::TooLarge, format!("a file has at most {max} bytes"))
}

fn uploaded_already() -> Error {
    let message = "this media has been uploaded already";
    Error::with_status(StatusCode::CONFLICT, ErrorKind::CannotOverwriteMedia, message)
}
