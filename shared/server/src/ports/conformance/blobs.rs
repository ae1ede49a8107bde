//! What every blobs adapter must keep.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::{ensure, equal};
use crate::{
    Error, Result,
    ports::blobs::{BlobName, BlobStream, Blobs},
};

/// Bytes of a piece: no power of two, so that no buffer ends where one does.
const PIECE_BYTES: u64 = 100_003;

/// Runs the whole suite, with names that no other run has used.
///
/// # Errors
///
/// The first promise that is broken.
pub async fn run(blobs: &dyn Blobs, name: impl Fn() -> Result<BlobName>) -> Result<()> {
    a_blob_keeps_every_byte(blobs, &name).await?;
    a_range_has_its_bytes_alone(blobs, &name()?).await?;
    a_range_that_is_not_there_fails(blobs, &name()?).await?;
    what_was_never_put_is_not_there(blobs, &name()?).await?;
    what_fails_leaves_nothing(blobs, &name).await?;
    what_was_removed_is_gone(blobs, &name()?).await?;
    blobs_are_put_and_read_side_by_side(blobs, &name).await
}

/// The byte at this place of every blob of the suite.
fn byte_at(place: u64) -> u8 {
    u8::try_from(place.wrapping_mul(31).wrapping_add(place >> 8) % 251).unwrap_or_default()
}

/// So many bytes, in pieces that are made when they are asked for.
fn bytes(length: u64) -> BlobStream {
    let pieces = stream::iter((0..length.div_ceil(PIECE_BYTES)).map(move |it| {
        let range = it * PIECE_BYTES..((it + 1) * PIECE_BYTES).min(length);
        Ok(range.map(byte_at).collect::<Bytes>())
    }));
    Box::pin(pieces)
}

/// So many bytes, and then a failure.
fn broken(length: u64) -> BlobStream {
    let failure = stream::once(async { Err(Error::not_found("it broke off")) });
    Box::pin(bytes(length).chain(failure))
}

/// How many bytes came, and their hash.
async fn digest(mut bytes: BlobStream) -> Result<(u64, Vec<u8>)> {
    let (mut length, mut hash) = (0, Sha256::new());
    while let Some(piece) = bytes.try_next().await? {
        length += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        hash.update(&piece);
    }
    Ok((length, hash.finalize().to_vec()))
}

async fn found(blobs: &dyn Blobs, name: &BlobName, length: u64) -> Result<(u64, Vec<u8>)> {
    let found = blobs.get(name, 0..length).await?;
    digest(found.ok_or_else(|| Error::internal("a blob that was put is there"))?).await
}

/// Among the lengths are those at which an adapter may begin another part.
async fn a_blob_keeps_every_byte(
    blobs: &dyn Blobs,
    name: &impl Fn() -> Result<BlobName>,
) -> Result<()> {
    const MIB: u64 = 1024 * 1024;
    for length in [0, 1, 4_095, 256 * 1024, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 12 * MIB + 7] {
        let name = name()?;
        blobs.put(&name, bytes(length)).await?;
        let expected = digest(bytes(length)).await?;
        equal(&found(blobs, &name, length).await?, &expected, "a blob keeps every byte")?;
        blobs.remove(&name).await?;
    }
    Ok(())
}

async fn a_range_has_its_bytes_alone(blobs: &dyn Blobs, name: &BlobName) -> Result<()> {
    let length = 700_000;
    blobs.put(name, bytes(length)).await?;
    for range in [0..1, 0..length, 1..2, 262_143..262_145, 300_000..650_000, length - 1..length] {
        let expected: Vec<u8> = range.clone().map(byte_at).collect();
        let part = blobs.get(name, range).await?;
        let part = part.ok_or_else(|| Error::internal("a blob that was put is there"))?;
        let part: Vec<Bytes> = part.try_collect().await?;
        equal(&part.concat(), &expected, "a range has its bytes alone")?;
    }
    let nothing = blobs.get(name, 5..5).await?;
    let nothing = nothing.ok_or_else(|| Error::internal("a blob that was put is there"))?;
    equal(&digest(nothing).await?.0, &0, "an empty range has no bytes")?;
    blobs.remove(name).await
}

async fn a_range_that_is_not_there_fails(blobs: &dyn Blobs, name: &BlobName) -> Result<()> {
    blobs.put(name, bytes(10)).await?;
    for range in [0..11, 5..20, 20..30] {
        let read = match blobs.get(name, range).await {
            Ok(Some(part)) => digest(part).await,
            Ok(None) => Err(Error::internal("a blob that was put is there")),
            Err(error) => Err(error),
        };
        ensure(read.is_err(), "a range that is not there fails")?;
    }
    blobs.remove(name).await
}

async fn what_was_never_put_is_not_there(blobs: &dyn Blobs, name: &BlobName) -> Result<()> {
    for range in [0..1, 0..0] {
        ensure(blobs.get(name, range).await?.is_none(), "what was never put is not there")?;
    }
    blobs.remove(name).await
}

async fn what_fails_leaves_nothing(
    blobs: &dyn Blobs,
    name: &impl Fn() -> Result<BlobName>,
) -> Result<()> {
    for length in [0, 10, 6 * 1024 * 1024] {
        let name = name()?;
        let failed = blobs.put(&name, broken(length)).await;
        let is_said = matches!(&failed, Err(error) if error.to_string() == "it broke off");
        ensure(is_said, "what the bytes fail with is what putting them fails with")?;
        ensure(blobs.get(&name, 0..1).await?.is_none(), "what fails leaves nothing")?;
        blobs.put(&name, bytes(10)).await?;
        equal(&found(blobs, &name, 10).await?.0, &10, "it can be tried again")?;
        blobs.remove(&name).await?;
    }
    Ok(())
}

async fn what_was_removed_is_gone(blobs: &dyn Blobs, name: &BlobName) -> Result<()> {
    blobs.put(name, bytes(10)).await?;
    blobs.remove(name).await?;
    ensure(blobs.get(name, 0..10).await?.is_none(), "what was removed is gone")?;
    blobs.remove(name).await
}

async fn blobs_are_put_and_read_side_by_side(
    blobs: &dyn Blobs,
    name: &impl Fn() -> Result<BlobName>,
) -> Result<()> {
    let names = (0..8).map(|_| name()).collect::<Result<Vec<_>>>()?;
    let lengths = (0..).map(|it| 100_000 + it * 50_000);
    let all = names.iter().zip(lengths).map(async |(name, length)| -> Result<()> {
        blobs.put(name, bytes(length)).await?;
        let expected = digest(bytes(length)).await?;
        equal(&found(blobs, name, length).await?, &expected, "blobs keep apart")?;
        blobs.remove(name).await
    });
    futures_util::future::try_join_all(all).await.map(drop)
}
