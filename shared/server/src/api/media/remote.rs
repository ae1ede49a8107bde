//! Media of other servers ([spec]): fetched for users of this one, once for all who ask meanwhile,
//! and kept for some time.
//!
//! Who fetches something says so in its row, with the time up to which the others wait for it; as
//! long as bytes come, that is put off. Whatever becomes of whoever fetches, after that time
//! somebody else does.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#content-repository

mod ask;

use std::time::Duration;

use futures_util::{TryStreamExt as _, stream};
use http::StatusCode;
use ruma::api::error::ErrorKind;
use skerry_core::media::Mxc;

use self::ask::ask;
use super::{find::Patience, intake, sweep::forget};
use crate::{
    Error, Result,
    api::{Cx, counted::Payer},
    messages::Caller,
    ports::BlobStream,
    store::global::media::{self, Content, Quota, Stored},
};

/// How long others wait for whoever fetches something, since it was last heard of, in milliseconds.
const AWAITED_MS: u64 = 60 * 1_000;
/// How often whoever fetches something says that it still comes, in milliseconds.
const RENEW_MS: u64 = 15 * 1_000;

/// Media of another server, fetched if it is not here, for this user.
///
/// # Errors
///
/// `M_NOT_FOUND`, `M_NOT_YET_UPLOADED`, `M_TOO_LARGE`, as the other server says; `M_LIMIT_EXCEEDED`
/// where the user has had too much fetched; 502 where the server is not reached.
pub(in crate::api) async fn get(
    cx: &Cx,
    caller: &Caller,
    mxc: &Mxc,
    timeout: Duration,
) -> Result<Stored> {
    let mut patience = Patience::of(cx, timeout);
    loop {
        let now_ms = cx.ports.clock.now_ms();
        let found = media::find(&*cx.ports.global, mxc).await?;
        match found.map(|it| it.content) {
            Some(Content::Stored(stored)) if !is_old(cx, &stored, now_ms) => return Ok(*stored),
            Some(Content::Stored(stored)) => forget(cx, mxc, &stored.blob).await?,
            Some(Content::Awaited(until_ms)) if until_ms > now_ms => patience.wait(cx).await?,
            Some(Content::Awaited(_)) | None => {
                if let Some(stored) = fetch(cx, caller, mxc, timeout).await? {
                    return Ok(stored);
                }
            }
        }
    }
}

fn is_old(cx: &Cx, stored: &Stored, now_ms: u64) -> bool {
    stored.stored_at_ms.saturating_add(cx.server.config.media.remote_age_ms) <= now_ms
}

/// Fetches media, and charges the user for it. None: somebody else does.
async fn fetch(cx: &Cx, caller: &Caller, mxc: &Mxc, timeout: Duration) -> Result<Option<Stored>> {
    let payer = Payer::of_fetching(cx, caller)?;
    let now_ms = cx.ports.clock.now_ms();
    let mine = media::await_remote(mxc, now_ms, now_ms.saturating_add(AWAITED_MS));
    let is_mine = cx.ports.global.batch(vec![mine]).await?;
    if is_mine.iter().all(Vec::is_empty) {
        return Ok(None);
    }
    let fetched = fetch_now(cx, mxc, timeout).await;
    match &fetched {
        Ok(Some(stored)) => {
            payer.charge(usize::try_from(stored.size_bytes).unwrap_or(usize::MAX));
        }
        Ok(None) => {}
        Err(_) => {
            cx.ports.global.batch(vec![media::remove_remote_awaited(mxc)]).await?;
        }
    }
    fetched
}

async fn fetch_now(cx: &Cx, mxc: &Mxc, timeout: Duration) -> Result<Option<Stored>> {
    let file = ask(cx, mxc, timeout).await?;
    let bytes = awaited(cx, mxc, file.bytes);
    let max = cx.server.config.media.remote_bytes;
    let unnamed = intake::store(cx, bytes, file.said, max, too_large).await?;
    intake::name(cx, mxc, None, unnamed, Quota::none()).await
}

/// Bytes of another server, for which others wait as long as they come.
fn awaited(cx: &Cx, mxc: &Mxc, bytes: BlobStream) -> BlobStream {
    let renewed_ms = cx.ports.clock.now_ms();
    let state = (cx.clone(), mxc.clone(), bytes, renewed_ms);
    Box::pin(stream::try_unfold(state, |(cx, mxc, mut bytes, mut renewed_ms)| async move {
        let Some(chunk) = bytes.try_next().await? else { return Ok(None) };
        let now_ms = cx.ports.clock.now_ms();
        if renewed_ms.saturating_add(RENEW_MS) < now_ms {
            let longer = media::await_longer(&mxc, now_ms.saturating_add(AWAITED_MS));
            cx.ports.global.batch(vec![longer]).await?;
            renewed_ms = now_ms;
        }
        Ok(Some((chunk, (cx, mxc, bytes, renewed_ms))))
    }))
}

/// What another server has is too large to be fetched.
fn too_large(max: u64) -> Error {
    let message = format!("media of other servers has at most {max} bytes");
    Error::with_status(StatusCode::BAD_GATEWAY, ErrorKind::TooLarge, message)
}
