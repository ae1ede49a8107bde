//! Backups of room keys: `user_backups`. One that was deleted keeps its row.

use crate::{
    Result,
    ports::{Row, Sql, Stmt},
};

/// A backup.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its version.
    pub version: u64,
    /// It is known only that there was one.
    pub is_deleted: bool,
    /// How its keys are encrypted.
    pub algorithm: String,
    /// What that needs, JSON.
    pub auth_data: String,
    /// Which set of keys is its own.
    pub key_set: u64,
    /// How many keys there are.
    pub keys: u64,
    /// Bytes of the keys.
    pub bytes: u64,
    /// Grows with every change of the keys.
    pub etag: u64,
}

/// All backups, the oldest first: those that are not deleted, and of which it is known that they
/// were.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<Backup>> {
    let stmt = Stmt::new(
        "SELECT version, is_deleted, algorithm, auth_data, key_set, keys, bytes, etag \
         FROM user_backups WHERE scope = ? ORDER BY version",
    )
    .bind(scope);
    let backup = |mut row: Row| {
        Ok(Backup {
            version: row.take(0)?,
            is_deleted: row.take(1)?,
            algorithm: row.take(2)?,
            auth_data: row.take(3)?,
            key_set: row.take(4)?,
            keys: row.take(5)?,
            bytes: row.take(6)?,
            etag: row.take(7)?,
        })
    };
    sql.rows(stmt).await?.into_iter().map(backup).collect()
}

/// Sets a backup.
pub fn upsert(scope: i64, it: &Backup) -> Stmt {
    Stmt::new(
        "INSERT INTO user_backups (scope, version, is_deleted, algorithm, auth_data, key_set, \
         keys, bytes, etag) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (scope, version) DO UPDATE SET is_deleted = excluded.is_deleted, \
         algorithm = excluded.algorithm, auth_data = excluded.auth_data, \
         key_set = excluded.key_set, keys = excluded.keys, bytes = excluded.bytes, \
         etag = excluded.etag",
    )
    .bind(scope)
    .bind(it.version)
    .bind(it.is_deleted)
    .bind(it.algorithm.as_str())
    .bind(it.auth_data.as_str())
    .bind(it.key_set)
    .bind(it.keys)
    .bind(it.bytes)
    .bind(it.etag)
}

/// Forgets deleted backups up to a version.
pub fn remove_deleted(scope: i64, version: u64) -> Stmt {
    Stmt::new("DELETE FROM user_backups WHERE scope = ? AND version <= ? AND is_deleted = 1")
        .bind(scope)
        .bind(version)
}

/// Removes all.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_backups WHERE scope = ?").bind(scope)
}
