//! What must still be done elsewhere for what was committed: `user_outbox`.

use crate::{
    Result,
    messages::user::StreamPosition,
    ports::{Row, Sql, Stmt},
};

/// The `about` of what is about no room.
pub const NO_ROOM: &str = "";

/// An entry. There is one for each kind and what it is about.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What is to be done.
    pub kind: String,
    /// The room it is about, or [`NO_ROOM`].
    pub about: String,
    /// What the kind needs to know besides, JSON.
    pub command: String,
    /// When it was written.
    pub seq: StreamPosition,
    /// How often it has failed.
    pub attempts: u64,
}

fn entry(mut row: Row) -> Result<Entry> {
    Ok(Entry {
        kind: row.take(0)?,
        about: row.take(1)?,
        command: row.take(2)?,
        seq: row.take(3)?,
        attempts: row.take(4)?,
    })
}

/// Some of the entries of these kinds that may be tried, what has waited longest first.
pub async fn list_due(
    sql: &dyn Sql,
    scope: i64,
    kinds: &[&str],
    now_ms: u64,
    limit: u64,
) -> Result<Vec<Entry>> {
    let stmt = Stmt::new(
        "SELECT kind, about, command, seq, attempts FROM user_outbox WHERE scope = ? \
         AND kind IN (SELECT value FROM json_each(?)) AND due_ms <= ? \
         ORDER BY due_ms, kind, about LIMIT ?",
    )
    .bind(scope)
    .bind(serde_json::to_string(kinds)?)
    .bind(now_ms)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(entry).collect()
}

/// When the next of the entries of these kinds may be tried.
pub async fn find_next_due_ms(sql: &dyn Sql, scope: i64, kinds: &[&str]) -> Result<Option<u64>> {
    let stmt = Stmt::new(
        "SELECT MIN(due_ms) FROM user_outbox WHERE scope = ? \
         AND kind IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(kinds)?);
    match sql.row(stmt).await? {
        Some(mut row) => row.take(0),
        None => Ok(None),
    }
}

/// What an entry has that is written: its kind, what the kind needs to know, when in the stream,
/// and when it may be tried.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'a> {
    /// What is to be done.
    pub kind: &'static str,
    /// What the kind needs to know besides, JSON.
    pub command: &'a str,
    /// When in the stream it is written.
    pub seq: StreamPosition,
    /// From when on it may be tried, in milliseconds since the Unix epoch.
    pub due_ms: u64,
}

/// Writes an entry about one room, or about none ([`NO_ROOM`]).
pub fn upsert(scope: i64, about: &str, it: NewEntry<'_>) -> Stmt {
    Stmt::new(
        "INSERT OR REPLACE INTO user_outbox (scope, kind, about, command, seq, attempts, due_ms) \
         VALUES (?, ?, ?, ?, ?, 0, ?)",
    )
    .bind(scope)
    .bind(it.kind)
    .bind(about)
    .bind(it.command)
    .bind(it.seq)
    .bind(it.due_ms)
}

/// Writes an entry for every room the user is joined to.
pub fn upsert_joined(scope: i64, it: NewEntry<'_>) -> Stmt {
    Stmt::new(
        "INSERT OR REPLACE INTO user_outbox (scope, kind, about, command, seq, attempts, due_ms) \
         SELECT scope, ?, room_id, ?, ?, 0, ? FROM user_rooms \
         WHERE scope = ? AND membership = 'join'",
    )
    .bind(it.kind)
    .bind(it.command)
    .bind(it.seq)
    .bind(it.due_ms)
    .bind(scope)
}

/// Writes an entry for every room that the user has to do with or has not forgotten.
pub fn upsert_all(scope: i64, it: NewEntry<'_>) -> Stmt {
    Stmt::new(
        "INSERT OR REPLACE INTO user_outbox (scope, kind, about, command, seq, attempts, due_ms) \
         SELECT scope, ?, room_id, ?, ?, 0, ? FROM user_rooms \
         WHERE scope = ? AND (forgotten = 0 OR membership IN ('join', 'invite', 'knock'))",
    )
    .bind(it.kind)
    .bind(it.command)
    .bind(it.seq)
    .bind(it.due_ms)
    .bind(scope)
}

/// The entry is done, unless a later one has taken its place.
pub fn remove(scope: i64, it: &Entry) -> Stmt {
    Stmt::new("DELETE FROM user_outbox WHERE scope = ? AND kind = ? AND about = ? AND seq = ?")
        .bind(scope)
        .bind(it.kind.as_str())
        .bind(it.about.as_str())
        .bind(it.seq)
}

/// Nothing of this kind is to be done any more.
pub fn remove_kind(scope: i64, kind: &'static str) -> Stmt {
    Stmt::new("DELETE FROM user_outbox WHERE scope = ? AND kind = ?").bind(scope).bind(kind)
}

/// The entry has failed and is put off, unless a later one has taken its place.
pub fn update_failed(scope: i64, it: &Entry, due_ms: u64) -> Stmt {
    Stmt::new(
        "UPDATE user_outbox SET attempts = attempts + 1, due_ms = ? \
         WHERE scope = ? AND kind = ? AND about = ? AND seq = ?",
    )
    .bind(due_ms)
    .bind(scope)
    .bind(it.kind.as_str())
    .bind(it.about.as_str())
    .bind(it.seq)
}
