//! The index of media: what there is, whose it is, and which blob has its bytes.
//!
//! A blob is durable before a row names it. Until then, and once no row names it any more, it
//! stands among the unnamed ones with the time at which it is to be removed: so whatever goes down
//! when, there is no row without bytes, and no bytes that nobody removes.

use ruma::{OwnedServerName, UserId};
use skerry_core::media::{MediaLimits, Mxc};

use crate::{
    Error, Result,
    ports::{BlobName, Row, Sql, Stmt, sql::MAX_SAFE_INTEGER},
};

/// Media of which there is a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// The local user who has uploaded it, or is to; none: it is of another server.
    pub uploader: Option<String>,
    /// Its bytes, or until when they may come.
    pub content: Content,
}

/// The bytes of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// They are here.
    Stored(Box<Stored>),
    /// They may come up to this time, in milliseconds since the Unix epoch.
    Awaited(u64),
}

/// Media whose bytes are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where they are.
    pub blob: BlobName,
    /// Their type, as they are served.
    pub content_type: String,
    /// Their name, if they have one.
    pub file_name: Option<String>,
    /// Whether a browser may display them in place.
    pub may_be_shown: bool,
    /// How many there are.
    pub size_bytes: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Since when they are here, in milliseconds since the Unix epoch.
    pub stored_at_ms: u64,
    /// When they were read last, within [`READ_EVERY_MS`].
    pub read_at_ms: u64,
}

/// How exactly it is known when media was read last: a row is not written for every reading.
pub const READ_EVERY_MS: u64 = 24 * 60 * 60 * 1_000;

/// What a user has uploaded in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uploaded {
    /// How many files.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// One row.
pub async fn find(global: &dyn Sql, mxc: &Mxc) -> Result<Option<Media>> {
    let find = Stmt::new(
        "SELECT uploader, awaited_until_ms, blob, content_type, file_name, may_be_shown, \
         size_bytes, sha256, stored_at_ms, read_at_ms \
         FROM media WHERE server_name = ? AND media_id = ?",
    );
    let find = find.bind(mxc.server_name.as_str()).bind(mxc.media_id.as_str());
    let Some(mut row) = global.row(find).await? else { return Ok(None) };
    let content = match row.take::<Option<u64>>(1)? {
        Some(until_ms) => Content::Awaited(until_ms),
        None => Content::Stored(Box::new(stored(&mut row)?)),
    };
    Ok(Some(Media { uploader: row.take(0)?, content }))
}

fn stored(row: &mut Row) -> Result<Stored> {
    Ok(Stored {
        blob: BlobName::parse(row.take(2)?)?,
        content_type: row.take(3)?,
        file_name: row.take(4)?,
        may_be_shown: row.take(5)?,
        size_bytes: row.take(6)?,
        sha256: row.take(7)?,
        stored_at_ms: row.take(8)?,
        read_at_ms: row.take(9)?,
    })
}

/// What a user has uploaded since a time.
pub async fn find_uploaded(global: &dyn Sql, uploader: &UserId, since_ms: u64) -> Result<Uploaded> {
    let find = Stmt::new(
        "SELECT count(*), coalesce(sum(size_bytes), 0) FROM media \
         WHERE uploader = ? AND stored_at_ms > ?",
    );
    let row = global.row(find.bind(uploader.as_str()).bind(since_ms)).await?;
    let mut row = row.ok_or_else(|| Error::internal("count(*) gives a row"))?;
    Ok(Uploaded { files: row.take(0)?, bytes: row.take(1)? })
}

/// Awaits an upload of a user; gives a row unless too many of them are awaited already.
pub fn insert_awaited(
    mxc: &Mxc,
    uploader: &UserId,
    (now_ms, until_ms): (u64, u64),
    max_pending: u64,
) -> Stmt {
    Stmt::new(
        "INSERT INTO media (server_name, media_id, uploader, created_at_ms, awaited_until_ms, \
         may_be_shown, size_bytes) SELECT ?, ?, ?, ?, ?, 0, 0 \
         WHERE (SELECT count(*) FROM media WHERE uploader = ? AND stored_at_ms IS NULL \
         AND awaited_until_ms > ?) < ? RETURNING 1",
    )
    .bind(mxc.server_name.as_str())
    .bind(mxc.media_id.as_str())
    .bind(uploader.as_str())
    .bind(now_ms)
    .bind(until_ms)
    .bind(uploader.as_str())
    .bind(now_ms)
    .bind(max_pending)
}

/// Awaits the bytes of another server's media; gives a row unless somebody else awaits them already
/// or they are here.
pub fn await_remote(mxc: &Mxc, now_ms: u64, until_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO media (server_name, media_id, created_at_ms, awaited_until_ms, \
         may_be_shown, size_bytes) VALUES (?, ?, ?, ?, 0, 0) \
         ON CONFLICT (server_name, media_id) DO UPDATE SET \
         awaited_until_ms = excluded.awaited_until_ms WHERE awaited_until_ms <= ? RETURNING 1",
    )
    .bind(mxc.server_name.as_str())
    .bind(mxc.media_id.as_str())
    .bind(now_ms)
    .bind(until_ms)
    .bind(now_ms)
}

/// Awaits another server's media for longer.
pub fn await_longer(mxc: &Mxc, until_ms: u64) -> Stmt {
    Stmt::new(
        "UPDATE media SET awaited_until_ms = ? \
         WHERE server_name = ? AND media_id = ? AND awaited_until_ms < ?",
    )
    .bind(until_ms)
    .bind(mxc.server_name.as_str())
    .bind(mxc.media_id.as_str())
    .bind(until_ms)
}

/// Does not await another server's media any more.
pub fn remove_remote_awaited(mxc: &Mxc) -> Stmt {
    Stmt::new(
        "DELETE FROM media WHERE server_name = ? AND media_id = ? AND blob IS NULL \
         AND uploader IS NULL",
    )
    .bind(mxc.server_name.as_str())
    .bind(mxc.media_id.as_str())
}

/// What a user may upload in a day.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// When the day began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Quota {
    /// That of a user, who has uploaded as much as these limits let them since a day ago.
    pub fn of(limits: &MediaLimits, now_ms: u64) -> Self {
        Self {
            since_ms: now_ms.saturating_sub(MediaLimits::DAY_MS),
            files: limits.user_day_files,
            bytes: limits.user_day_bytes,
        }
    }

    /// There is none: it is media of another server.
    pub fn none() -> Self {
        let most = MAX_SAFE_INTEGER.unsigned_abs();
        Self { since_ms: 0, files: most, bytes: most }
    }

    /// Whether so many bytes more may be uploaded.
    pub fn lets(&self, uploaded: Uploaded, bytes: u64) -> bool {
        uploaded.files < self.files && uploaded.bytes.saturating_add(bytes) <= self.bytes
    }
}

/// Names the blob of new media, or of what was awaited; the first statement gives a row, unless it
/// is more than the uploader may, the media has another blob, or the blob was removed meanwhile.
pub fn name_blob(mxc: &Mxc, uploader: Option<&UserId>, it: &Stored, quota: Quota) -> [Stmt; 2] {
    let uploader = uploader.map(UserId::as_str);
    let insert = Stmt::new(
        "INSERT INTO media (server_name, media_id, uploader, created_at_ms, blob, content_type, \
         file_name, may_be_shown, size_bytes, sha256, stored_at_ms, read_at_ms) \
         SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? \
         WHERE EXISTS (SELECT 1 FROM unnamed_blobs WHERE blob = ? AND remove_at_ms > ?) \
         AND (SELECT count(*) FROM media WHERE uploader = ? AND stored_at_ms > ?) < ? \
         AND (SELECT coalesce(sum(size_bytes), 0) FROM media \
         WHERE uploader = ? AND stored_at_ms > ?) <= ? \
         ON CONFLICT (server_name, media_id) DO UPDATE SET awaited_until_ms = NULL, \
         blob = excluded.blob, content_type = excluded.content_type, \
         file_name = excluded.file_name, may_be_shown = excluded.may_be_shown, \
         size_bytes = excluded.size_bytes, sha256 = excluded.sha256, \
         stored_at_ms = excluded.stored_at_ms, read_at_ms = excluded.read_at_ms \
         WHERE blob IS NULL AND uploader IS excluded.uploader RETURNING 1",
    )
    .bind(mxc.server_name.as_str())
    .bind(mxc.media_id.as_str())
    .bind(uploader)
    .bind(it.stored_at_ms)
    .bind(it.blob.as_str())
    .bind(it.content_type.as_str())
    .bind(it.file_name.as_deref())
    .bind(it.may_be_shown)
    .bind(it.size_bytes)
    .bind(it.sha256.as_str())
    .bind(it.stored_at_ms)
    .bind(it.read_at_ms)
    .bind(it.blob.as_str())
    .bind(it.stored_at_ms)
    .bind(uploader)
    .bind(quota.since_ms)
    .bind(quota.files)
    .bind(uploader)
    .bind(quota.since_ms)
    .bind(quota.bytes.saturating_sub(it.size_bytes));
    let remove = Stmt::new(
        "DELETE FROM unnamed_blobs WHERE blob = ? AND EXISTS \
         (SELECT 1 FROM media WHERE server_name = ? AND media_id = ? AND blob = ?)",
    )
    .bind(it.blob.as_str())
    .bind(mxc.server_name.as_str())
    .bind(mxc.media_id.as_str())
    .bind(it.blob.as_str());
    [insert, remove]
}

/// Notes when media was read.
pub fn update_read(mxc: &Mxc, now_ms: u64) -> Stmt {
    Stmt::new("UPDATE media SET read_at_ms = ? WHERE server_name = ? AND media_id = ?")
        .bind(now_ms)
        .bind(mxc.server_name.as_str())
        .bind(mxc.media_id.as_str())
}

/// Removes media that has this blob, which is to be removed at a time.
pub fn remove(mxc: &Mxc, blob: &BlobName, remove_at_ms: u64) -> [Stmt; 2] {
    let keep_in_mind = Stmt::new(
        "INSERT INTO unnamed_blobs (blob, remove_at_ms) SELECT blob, ? FROM media \
         WHERE server_name = ? AND media_id = ? AND blob = ?",
    );
    let remove = Stmt::new("DELETE FROM media WHERE server_name = ? AND media_id = ? AND blob = ?");
    let of_media = |stmt: Stmt| {
        let stmt = stmt.bind(mxc.server_name.as_str()).bind(mxc.media_id.as_str());
        stmt.bind(blob.as_str())
    };
    [of_media(keep_in_mind.bind(remove_at_ms)), of_media(remove)]
}

/// Removes some of what was awaited longer than up to this time.
pub fn remove_overdue(now_ms: u64, limit: u64) -> Stmt {
    Stmt::new(
        "DELETE FROM media WHERE (server_name, media_id) IN (SELECT server_name, media_id \
         FROM media WHERE awaited_until_ms < ? LIMIT ?)",
    )
    .bind(now_ms)
    .bind(limit)
}

/// Some media of other servers that has been here since before this time, and its blobs.
pub async fn list_old_of_others(
    global: &dyn Sql,
    before_ms: u64,
    limit: u64,
) -> Result<Vec<(Mxc, BlobName)>> {
    let list = Stmt::new(
        "SELECT server_name, media_id, blob FROM media \
         WHERE uploader IS NULL AND stored_at_ms < ? LIMIT ?",
    );
    let rows = global.rows(list.bind(before_ms).bind(limit)).await?;
    let old = |mut row: Row| {
        let server_name: OwnedServerName =
            row.take::<String>(0)?.try_into().map_err(Error::internal)?;
        let mxc = Mxc { server_name, media_id: row.take(1)? };
        Ok((mxc, BlobName::parse(row.take(2)?)?))
    };
    rows.into_iter().map(old).collect()
}

/// A blob that no row names is to be removed at a time.
pub fn insert_unnamed(blob: &BlobName, remove_at_ms: u64) -> Stmt {
    Stmt::new("INSERT INTO unnamed_blobs (blob, remove_at_ms) VALUES (?, ?)")
        .bind(blob.as_str())
        .bind(remove_at_ms)
}

/// An unnamed blob has been removed.
pub fn remove_unnamed(blob: &BlobName) -> Stmt {
    Stmt::new("DELETE FROM unnamed_blobs WHERE blob = ?").bind(blob.as_str())
}

/// Some unnamed blobs that were to be removed before this time.
pub async fn list_unnamed(global: &dyn Sql, before_ms: u64, limit: u64) -> Result<Vec<BlobName>> {
    let list = Stmt::new("SELECT blob FROM unnamed_blobs WHERE remove_at_ms < ? LIMIT ?");
    let rows = global.rows(list.bind(before_ms).bind(limit)).await?;
    rows.into_iter().map(|mut row| BlobName::parse(row.take(0)?)).collect()
}
