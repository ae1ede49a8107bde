//! `POST /_matrix/media/v1/create` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixmediav1create

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use js_int::UInt;
use ruma::api::error::{ErrorKind, LimitExceededErrorData, RetryAfter};
use ruma::{MilliSecondsSinceUnixEpoch, api::client::media::create_mxc_uri};
use skerry_core::media::Mxc;

use crate::{Error, Result, api::Cx, messages::Caller, store::global::media};

/// For how long something may be uploaded, in milliseconds: a day.
const UNUSED_MS: u64 = 24 * 60 * 60 * 1_000;
/// When somebody who has too many unused identifiers is to come back.
const RETRY_AFTER: Duration = Duration::from_mins(1);
/// Bytes of randomness in a media ID: who knows it may have the media.
const ID_BYTES: usize = 18;

/// `POST /_matrix/media/*/create`
pub(super) async fn create_mxc_uri(
    cx: Cx,
    caller: Caller,
    _: create_mxc_uri::v1::Request,
) -> Result<create_mxc_uri::v1::Response> {
    let mxc = new_mxc(&cx)?;
    let now_ms = cx.ports.clock.now_ms();
    let until_ms = now_ms.saturating_add(UNUSED_MS);
    let pending = cx.server.config.media.pending;
    let insert = media::insert_awaited(&mxc, &caller.user_id, (now_ms, until_ms), pending);
    let inserted = cx.ports.global.batch(vec![insert]).await?;
    if inserted.iter().all(Vec::is_empty) {
        return Err(too_many(pending));
    }
    let mut response = create_mxc_uri::v1::Response::new(mxc.uri());
    let until = MilliSecondsSinceUnixEpoch(UInt::new_saturating(until_ms));
    response.unused_expires_at = Some(until);
    Ok(response)
}

/// An identifier that nobody can guess.
pub(super) fn new_mxc(cx: &Cx) -> Result<Mxc> {
    let mut bytes = [0; ID_BYTES];
    cx.ports.random.fill(&mut bytes)?;
    let media_id = URL_SAFE_NO_PAD.encode(bytes);
    Ok(Mxc { server_name: cx.server.name.clone(), media_id })
}

fn too_many(pending: u64) -> Error {
    let mut data = LimitExceededErrorData::new();
    data.retry_after = Some(RetryAfter::Delay(RETRY_AFTER));
    let message = format!(
        "you have {pending} identifiers of media to which nothing was uploaded: upload to these"
    );
    Error::api(ErrorKind::LimitExceeded(data), message)
}
