//! Removes what nobody wants any more: bytes that no row names, identifiers to which nothing was
//! uploaded, and files of other servers that have been here for long.
//!
//! Whoever has something stored sweeps before: who stores nothing leaves nothing behind. A sweep is
//! small; another one comes with the next file.

use skerry_core::media::Mxc;

use crate::{
    Result,
    api::Cx,
    ports::BlobName,
    store::global::media::{
        list_old_of_others, list_unnamed, remove, remove_overdue, remove_unnamed,
    },
};

/// How much of each kind a sweep removes.
const SWEEP: u64 = 10;
/// How long bytes are left after their time, in milliseconds: the clocks of processes differ, and
/// somebody may be reading.
pub(in crate::api) const GRACE_MS: u64 = 60 * 60 * 1_000;

/// Sweeps. What fails is tried again by the next one.
pub(super) async fn sweep(cx: &Cx) {
    if let Err(error) = sweep_once(cx).await {
        tracing::warn!(%error, "media that nobody wants is left for later");
    }
}

async fn sweep_once(cx: &Cx) -> Result<()> {
    let (global, now_ms) = (&*cx.ports.global, cx.ports.clock.now_ms());
    let before_ms = now_ms.saturating_sub(GRACE_MS);
    for blob in list_unnamed(global, before_ms, SWEEP).await? {
        cx.ports.blobs.remove(&blob).await?;
        global.batch(vec![remove_unnamed(&blob)]).await?;
    }
    let since_ms = now_ms.saturating_sub(cx.server.config.media.remote_age_ms);
    for (mxc, blob) in list_old_of_others(global, since_ms, SWEEP).await? {
        forget(cx, &mxc, &blob).await?;
    }
    global.batch(vec![remove_overdue(before_ms, SWEEP)]).await.map(drop)
}

/// Removes the row of media. Its bytes go later.
pub(super) async fn forget(cx: &Cx, mxc: &Mxc, blob: &BlobName) -> Result<()> {
    let batch = remove(mxc, blob, cx.ports.clock.now_ms());
    cx.ports.global.batch(batch.into()).await.map(drop)
}
