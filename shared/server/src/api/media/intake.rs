//! Bytes on their way in: counted and hashed as they pass, and given up when they are too many.

use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use ruma::{UserId, api::error::ErrorKind};
use sha2::{Digest as _, Sha256};
use skerry_core::media::{BEGINNING_BYTES, Mxc, content_type, file_name, may_be_shown};

use super::sweep::sweep;
use crate::{
    Error, Result,
    api::{Cx, MAX_DRAINED_BYTES},
    ports::{BlobName, BlobStream},
    store::global::media::{self, Quota, Stored},
};

/// For how long bytes may be on their way in, in milliseconds: a day.
const INCOMING_MS: u64 = 24 * 60 * 60 * 1_000;

/// What is said of bytes that come in.
#[derive(Clone, Debug, Default)]
pub(in crate::api) struct Said {
    /// Their type.
    pub(in crate::api) content_type: Option<String>,
    /// Their name.
    pub(in crate::api) file_name: Option<String>,
}

/// What of a request's body is media, `max` bytes at most. What breaks off is the client's fault.
pub(in crate::api) fn of_body(body: Body, max: u64, too_large: fn(u64) -> Error) -> BlobStream {
    let state = (body.into_data_stream(), 0);
    Box::pin(stream::try_unfold(state, move |(mut bytes, passed)| async move {
        let Some(chunk) = bytes.next().await else { return Ok(None) };
        let chunk = chunk.map_err(|_| {
            let message = "the upload broke off, or came too slowly";
            Error::with_status(StatusCode::BAD_REQUEST, ErrorKind::Unknown, message)
        })?;
        let passed = length(&chunk).saturating_add(passed);
        if passed > max {
            discard_from(&mut bytes, passed).await;
            return Err(too_large(max));
        }
        Ok(Some((chunk, (bytes, passed))))
    }))
}

/// Reads what nobody wants of a body, up to a point: most clients send all of it before they look
/// at the answer.
pub(in crate::api) async fn discard(body: Body) {
    discard_from(&mut body.into_data_stream(), 0).await;
}

async fn discard_from(bytes: &mut BodyDataStream, mut passed: u64) {
    while passed <= MAX_DRAINED_BYTES as u64
        && let Some(Ok(chunk)) = bytes.next().await
    {
        passed = passed.saturating_add(length(&chunk));
    }
}

fn length(chunk: &Bytes) -> u64 {
    u64::try_from(chunk.len()).unwrap_or(u64::MAX)
}

/// Bytes that are stored, and that no row names yet.
pub(in crate::api) struct Unnamed(Stored);

impl Unnamed {
    /// How many bytes there are.
    pub(in crate::api) fn size_bytes(&self) -> u64 {
        self.0.size_bytes
    }
}

/// Stores bytes, `max` of them at most; `too_large` is what more of them fail with.
///
/// # Errors
///
/// What the bytes fail with. Then nothing is left of them.
pub(in crate::api) async fn store(
    cx: &Cx,
    bytes: BlobStream,
    said: Said,
    max: u64,
    too_large: fn(u64) -> Error,
) -> Result<Unnamed> {
    sweep(cx).await;
    let blob = BlobName::random(&*cx.ports.random)?;
    let now_ms = cx.ports.clock.now_ms();
    let note = media::insert_unnamed(&blob, now_ms.saturating_add(INCOMING_MS));
    cx.ports.global.batch(vec![note]).await?;
    let passed = Arc::<Mutex<Passed>>::default();
    let passing = passed.clone();
    let counted = bytes.map(move |chunk| {
        let chunk = chunk?;
        let mut passed = passing.lock().unwrap_or_else(PoisonError::into_inner);
        match passed.take(&chunk) <= max {
            true => Ok(chunk),
            false => Err(too_large(max)),
        }
    });
    if let Err(error) = cx.ports.blobs.put(&blob, Box::pin(counted)).await {
        give_up(cx, &blob).await;
        return Err(error);
    }
    let passed = std::mem::take(&mut *passed.lock().unwrap_or_else(PoisonError::into_inner));
    let content_type = content_type(said.content_type.as_deref());
    let now_ms = cx.ports.clock.now_ms();
    Ok(Unnamed(Stored {
        blob,
        may_be_shown: may_be_shown(content_type, &passed.beginning),
        content_type: content_type.to_owned(),
        file_name: file_name(said.file_name.as_deref()).map(ToOwned::to_owned),
        size_bytes: passed.size_bytes,
        sha256: hex(&passed.hash.finalize()),
        stored_at_ms: now_ms,
        read_at_ms: now_ms,
    }))
}

/// Names bytes that are stored; none: they are more than the uploader may, or the media has others.
/// Then nothing is left of them.
pub(in crate::api) async fn name(
    cx: &Cx,
    mxc: &Mxc,
    uploader: Option<&UserId>,
    Unnamed(stored): Unnamed,
    quota: Quota,
) -> Result<Option<Stored>> {
    let batch = media::name_blob(mxc, uploader, &stored, quota);
    let named = cx.ports.global.batch(batch.into()).await?;
    if named.first().is_some_and(|rows| !rows.is_empty()) {
        return Ok(Some(stored));
    }
    give_up(cx, &stored.blob).await;
    Ok(None)
}

/// Removes bytes that nobody will name. Where that fails, the sweep does it.
async fn give_up(cx: &Cx, blob: &BlobName) {
    let removed = async {
        cx.ports.blobs.remove(blob).await?;
        cx.ports.global.batch(vec![media::remove_unnamed(blob)]).await
    };
    if let Err(error) = removed.await {
        tracing::warn!(%error, "a blob that nobody wants is left for later");
    }
}

/// What has passed.
#[derive(Default)]
struct Passed {
    hash: Sha256,
    size_bytes: u64,
    /// The first bytes.
    beginning: Vec<u8>,
}

impl Passed {
    /// Takes a chunk, and says how many bytes have passed.
    fn take(&mut self, chunk: &Bytes) -> u64 {
        let missing = BEGINNING_BYTES.saturating_sub(self.beginning.len());
        self.beginning.extend(chunk.iter().take(missing));
        self.hash.update(chunk);
        self.size_bytes = self.size_bytes.saturating_add(length(chunk));
        self.size_bytes
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|it| [it >> 4, it & 15]);
    digits.filter_map(|it| char::from_digit(it.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed() {
        let mut passed = Passed::default();
        for chunk in ["abc", "", "defghijklmnopqrst", "uvw"] {
            passed.take(&Bytes::from_static(chunk.as_bytes()));
        }
        assert_eq!(passed.size_bytes, 23);
        assert_eq!(passed.beginning, b"abcdefghijklmnop");
        let whole = Sha256::digest(b"abcdefghijklmnopqrstuvw");
        assert_eq!(hex(&passed.hash.finalize()), hex(&whole));
        assert_eq!(hex(&[0, 1, 0xab, 0xff]), "0001abff");
    }
}
