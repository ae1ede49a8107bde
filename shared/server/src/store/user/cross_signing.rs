//! Cross-signing keys and what they have signed of others: `user_cross_signing_keys`,
//! `user_key_signatures`.

use std::collections::BTreeMap;

use ruma::{OwnedUserId, UserId};
use skerry_core::device_keys::cross_signing::{CrossSigningKeys, USER_SIGNING};

use crate::{
    Error, Result,
    messages::user::StreamPosition,
    ports::{Row, Sql, Stmt},
};

/// The keys, and when in the stream the newest of those came that others may see.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<(CrossSigningKeys, StreamPosition)> {
    let stmt = Stmt::new("SELECT usage, json, seq FROM user_cross_signing_keys WHERE scope = ?");
    let rows = sql.rows(stmt.bind(scope)).await?.into_iter();
    let read = |mut row: Row| Ok((row.take(0)?, row.take(1)?, row.take(2)?));
    Ok(of_rows(rows.map(read).collect::<Result<Vec<_>>>()?))
}

/// What [`find`] makes of rows: what each key is for, the key, and when it came.
pub(super) fn of_rows(
    rows: Vec<(String, String, StreamPosition)>,
) -> (CrossSigningKeys, StreamPosition) {
    let (mut keys, mut newest) = (CrossSigningKeys::default(), 0);
    for (usage, json, seq) in rows {
        if let Some(slot) = keys.slot(&usage) {
            *slot = Some(json);
        }
        if usage != USER_SIGNING {
            newest = newest.max(seq);
        }
    }
    (keys, newest)
}

/// Sets a key.
pub fn upsert(scope: i64, usage: &str, json: &str, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "INSERT INTO user_cross_signing_keys (scope, usage, json, seq) VALUES (?, ?, ?, ?) \
         ON CONFLICT (scope, usage) DO UPDATE SET json = excluded.json, seq = excluded.seq",
    )
    .bind(scope)
    .bind(usage)
    .bind(json)
    .bind(seq)
}

/// Removes a key.
pub fn remove(scope: i64, usage: &str) -> Stmt {
    Stmt::new("DELETE FROM user_cross_signing_keys WHERE scope = ? AND usage = ?")
        .bind(scope)
        .bind(usage)
}

/// Removes all keys, and all that they have signed.
pub fn remove_all(scope: i64) -> [Stmt; 2] {
    [
        "DELETE FROM user_cross_signing_keys WHERE scope = ?",
        "DELETE FROM user_key_signatures WHERE scope = ?",
    ]
    .map(|sql| Stmt::new(sql).bind(scope))
}

/// Removes all that the keys have signed.
pub fn remove_signatures(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_key_signatures WHERE scope = ?").bind(scope)
}

/// A signature on another user's master key.
#[derive(Clone, Debug)]
pub struct Signature<'a> {
    /// Whose key.
    pub user_id: &'a UserId,
    /// The public key that is signed.
    pub key: &'a str,
    /// The ID of the key that has signed it.
    pub signer: &'a str,
    /// The signature.
    pub signature: &'a str,
}

/// Sets a signature.
pub fn upsert_signature(scope: i64, it: &Signature<'_>, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "INSERT OR REPLACE INTO user_key_signatures \
         (scope, user_id, key, signer, signature, seq) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(it.user_id.as_str())
    .bind(it.key)
    .bind(it.signer)
    .bind(it.signature)
    .bind(seq)
}

/// How many keys of others are signed.
pub async fn count_signatures(sql: &dyn Sql, scope: i64) -> Result<u64> {
    let stmt = Stmt::new("SELECT count(*) FROM user_key_signatures WHERE scope = ?").bind(scope);
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// What was signed of keys, by user: the public key, its signer, and the signature.
pub async fn list_signatures(
    sql: &dyn Sql,
    scope: i64,
    user_ids: &[OwnedUserId],
) -> Result<BTreeMap<OwnedUserId, Vec<(String, String, String)>>> {
    let stmt = Stmt::new(
        "SELECT user_id, key, signer, signature FROM user_key_signatures \
         WHERE scope = ? AND user_id IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(user_ids)?);
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for mut row in sql.rows(stmt).await? {
        let user_id = user_id(&mut row)?;
        found.entry(user_id).or_default().push((row.take(1)?, row.take(2)?, row.take(3)?));
    }
    Ok(found)
}

/// Users whose keys were signed after a position.
pub async fn list_signed_since(
    sql: &dyn Sql,
    scope: i64,
    since: StreamPosition,
) -> Result<Vec<OwnedUserId>> {
    let stmt =
        Stmt::new("SELECT DISTINCT user_id FROM user_key_signatures WHERE scope = ? AND seq > ?")
            .bind(scope)
            .bind(since);
    sql.rows(stmt).await?.into_iter().map(|mut row| user_id(&mut row)).collect()
}

fn user_id(row: &mut Row) -> Result<OwnedUserId> {
    UserId::parse(row.take::<String>(0)?).map_err(Error::internal)
}
