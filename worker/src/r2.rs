//! The blobs port over R2: each blob is an object of the bucket, named after it.
//!
//! R2 wants to know how long an object is before it takes it, or has it in parts of one size. How
//! long a blob is is known when it is over: so one that is no longer than a part is put at once,
//! and a longer one in parts, of which one is held at a time. Parts of an upload that is not
//! completed are nobody's object; R2 removes them after seven days, if nobody has before.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use skerry::{
    Error, Result,
    ports::{BlobName, BlobStream, Blobs},
};
use worker::{
    Bucket, Env, MultipartUpload, UploadedPart,
    send::{SendFuture, SendWrapper},
};

use crate::js::map_worker_error;

/// The binding's name.
const BINDING: &str = "MEDIA";
/// Bytes of a part: the fewest that R2 takes.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// Keeps blobs in the bucket. Nothing is asked of the platform before the first of them.
#[derive(Clone)]
pub(crate) struct R2(Env);

impl R2 {
    pub(crate) fn new(env: Env) -> Self {
        Self(env)
    }

    fn bucket(&self) -> Result<Bucket> {
        self.0.bucket(BINDING).map_err(map_worker_error)
    }

    async fn store(&self, name: &BlobName, bytes: BlobStream) -> Result<()> {
        let bucket = self.bucket()?;
        let mut parts = Parts { bytes, rest: Bytes::new() };
        let first = parts.next().await?;
        if first.len() < PART_BYTES {
            let put = bucket.put(name.as_str(), first).execute().await;
            return put.map(drop).map_err(map_worker_error);
        }
        let upload = bucket.create_multipart_upload(name.as_str()).execute().await;
        let upload = upload.map_err(map_worker_error)?;
        match send_parts(&upload, first, &mut parts).await {
            Ok(sent) => upload.complete(sent).await.map(drop).map_err(map_worker_error),
            Err(error) => {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(%error, "parts of an upload are left for R2 to remove");
                }
                Err(error)
            }
        }
    }

    async fn find(&self, name: &BlobName, range: Range<u64>) -> Result<Option<BlobStream>> {
        let bucket = self.bucket()?;
        let length = range.end.saturating_sub(range.start);
        if length == 0 {
            let found = bucket.head(name.as_str()).await.map_err(map_worker_error)?;
            return Ok(found.map(|_| Box::pin(stream::empty()) as BlobStream));
        }
        let part = worker::Range::OffsetWithLength { offset: range.start, length };
        let found = bucket.get(name.as_str()).range(part).execute().await;
        let Some(found) = found.map_err(map_worker_error)? else { return Ok(None) };
        let body = found.body().ok_or_else(|| Error::internal("an object without a body"))?;
        let bytes = SendWrapper::new(body.stream().map_err(map_worker_error)?);
        let state = (bytes, length);
        let pieces = stream::try_unfold(state, |state| SendFuture::new(next_piece(state)));
        Ok(Some(Box::pin(pieces)))
    }
}

type Reading = (SendWrapper<worker::ByteStream>, u64);

/// The next piece of an object. One that ends before its time is an error.
async fn next_piece((mut bytes, left): Reading) -> Result<Option<(Bytes, Reading)>> {
    match bytes.0.next().await {
        Some(Ok(piece)) => {
            let left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or_default());
            Ok(Some((piece.into(), (bytes, left))))
        }
        Some(Err(error)) => Err(map_worker_error(error)),
        None if left == 0 => Ok(None),
        None => Err(Error::internal("an object of R2 is shorter than it was")),
    }
}

/// Sends all parts, each when the one before has arrived.
async fn send_parts(
    upload: &MultipartUpload,
    first: Vec<u8>,
    parts: &mut Parts,
) -> Result<Vec<UploadedPart>> {
    let (mut sent, mut part) = (Vec::new(), first);
    for number in 1_u16.. {
        let is_last = part.len() < PART_BYTES;
        let sending = upload.upload_part(number, std::mem::take(&mut part)).await;
        sent.push(sending.map_err(map_worker_error)?);
        if is_last {
            break;
        }
        part = parts.next().await?;
        if part.is_empty() {
            break;
        }
    }
    Ok(sent)
}

/// Bytes, divided into parts.
struct Parts {
    bytes: BlobStream,
    /// What has come and is of the next part.
    rest: Bytes,
}

impl Parts {
    /// The next part. Only the last one is shorter than [`PART_BYTES`].
    async fn next(&mut self) -> Result<Vec<u8>> {
        let mut part = Vec::new();
        while part.len() < PART_BYTES {
            if self.rest.is_empty() {
                match self.bytes.try_next().await? {
                    Some(chunk) => self.rest = chunk,
                    None => break,
                }
            }
            let missing = PART_BYTES - part.len();
            part.extend_from_slice(&self.rest.split_to(self.rest.len().min(missing)));
        }
        Ok(part)
    }
}

#[async_trait]
impl Blobs for R2 {
    async fn put(&self, name: &BlobName, bytes: BlobStream) -> Result<()> {
        SendFuture::new(self.store(name, bytes)).await
    }

    async fn get(&self, name: &BlobName, range: Range<u64>) -> Result<Option<BlobStream>> {
        SendFuture::new(self.find(name, range)).await
    }

    async fn remove(&self, name: &BlobName) -> Result<()> {
        SendFuture::new(async {
            self.bucket()?.delete(name.as_str()).await.map_err(map_worker_error)
        })
        .await
    }
}
