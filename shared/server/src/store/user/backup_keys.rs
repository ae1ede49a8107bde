//! Keys in backups: `user_backup_keys`.

use serde_json::value::RawValue as RawJsonValue;
use skerry_core::key_backup::{Key, Rank};

use crate::{
    Result,
    ports::{Row, Sql, Stmt},
};

/// Whose a key is: the IDs of room and session.
pub type KeyId = (String, String);

/// What is known of these keys: whose each is, what decides whether it is kept, and its bytes.
pub async fn list_ranks(
    sql: &dyn Sql,
    scope: i64,
    key_set: u64,
    ids: &[KeyId],
) -> Result<Vec<(KeyId, Rank, u64)>> {
    let stmt = Stmt::new(
        "SELECT k.room_id, k.session_id, k.is_verified, k.first_message_index, \
         k.forwarded_count, length(CAST(k.session_data AS BLOB)) \
         FROM json_each(?) AS asked CROSS JOIN user_backup_keys AS k \
         ON k.scope = ? AND k.key_set = ? AND k.room_id = asked.value ->> 0 \
         AND k.session_id = asked.value ->> 1",
    )
    .bind(serde_json::to_string(ids)?)
    .bind(scope)
    .bind(key_set);
    let known = |mut row: Row| {
        let rank = Rank {
            is_verified: row.take(2)?,
            first_message_index: row.take(3)?,
            forwarded_count: row.take(4)?,
        };
        Ok(((row.take(0)?, row.take(1)?), rank, row.take(5)?))
    };
    sql.rows(stmt).await?.into_iter().map(known).collect()
}

/// How many keys of a room there are, their bytes, and those of the IDs of their sessions.
pub async fn find_size(
    sql: &dyn Sql,
    scope: i64,
    key_set: u64,
    room_id: &str,
) -> Result<(u64, u64)> {
    let stmt = Stmt::new(
        "SELECT count(*), coalesce(sum(length(CAST(session_data AS BLOB)) \
         + length(CAST(session_id AS BLOB))), 0) FROM user_backup_keys \
         WHERE scope = ? AND key_set = ? AND room_id = ?",
    )
    .bind(scope)
    .bind(key_set)
    .bind(room_id);
    sql.row(stmt).await?.map_or(Ok((0, 0)), |mut row| Ok((row.take(0)?, row.take(1)?)))
}

/// Keys from one on, in the order of rooms and sessions, up to the last of a room.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    key_set: u64,
    (room_id, session_id): (&str, &str),
    last_room_id: &str,
    limit: usize,
) -> Result<Vec<(KeyId, Key)>> {
    let stmt = Stmt::new(
        "SELECT room_id, session_id, is_verified, first_message_index, forwarded_count, \
         session_data FROM user_backup_keys WHERE scope = ? AND key_set = ? \
         AND (room_id, session_id) >= (?, ?) AND room_id <= ? \
         ORDER BY room_id, session_id LIMIT ?",
    )
    .bind(scope)
    .bind(key_set)
    .bind(room_id)
    .bind(session_id)
    .bind(last_room_id)
    .bind(limit as u64);
    let key = |mut row: Row| {
        let key = Key {
            is_verified: row.take(2)?,
            first_message_index: ruma::UInt::new_saturating(row.take(3)?),
            forwarded_count: ruma::UInt::new_saturating(row.take(4)?),
            session_data: RawJsonValue::from_string(row.take(5)?)?,
        };
        Ok(((row.take(0)?, row.take(1)?), key))
    };
    sql.rows(stmt).await?.into_iter().map(key).collect()
}

/// Sets keys, which have few bytes together.
pub fn upsert_list(scope: i64, key_set: u64, keys: &[(KeyId, &Key)]) -> Result<Stmt> {
    let row = |((room_id, session_id), key): &(KeyId, &Key)| {
        serde_json::to_value((
            room_id,
            session_id,
            key.is_verified,
            key.first_message_index,
            key.forwarded_count,
            key.session_data.get(),
        ))
    };
    let rows = keys.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    Ok(Stmt::new(
        "INSERT INTO user_backup_keys (scope, key_set, room_id, session_id, is_verified, \
         first_message_index, forwarded_count, session_data) \
         SELECT ?, ?, value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, \
         value ->> 5 FROM json_each(?) WHERE true \
         ON CONFLICT (scope, key_set, room_id, session_id) DO UPDATE SET \
         is_verified = excluded.is_verified, \
         first_message_index = excluded.first_message_index, \
         forwarded_count = excluded.forwarded_count, session_data = excluded.session_data",
    )
    .bind(scope)
    .bind(key_set)
    .bind(serde_json::to_string(&rows)?))
}

/// Removes the key of a session.
pub fn remove(scope: i64, key_set: u64, (room_id, session_id): (&str, &str)) -> Stmt {
    Stmt::new(
        "DELETE FROM user_backup_keys WHERE scope = ? AND key_set = ? AND room_id = ? \
         AND session_id = ?",
    )
    .bind(scope)
    .bind(key_set)
    .bind(room_id)
    .bind(session_id)
}

/// Removes the keys of a room.
pub fn remove_of_room(scope: i64, key_set: u64, room_id: &str) -> Stmt {
    Stmt::new("DELETE FROM user_backup_keys WHERE scope = ? AND key_set = ? AND room_id = ?")
        .bind(scope)
        .bind(key_set)
        .bind(room_id)
}

/// The set of keys that comes after one.
pub async fn find_set_after(sql: &dyn Sql, scope: i64, key_set: u64) -> Result<Option<u64>> {
    let stmt =
        Stmt::new("SELECT min(key_set) FROM user_backup_keys WHERE scope = ? AND key_set > ?")
            .bind(scope)
            .bind(key_set);
    sql.row(stmt).await?.map_or(Ok(None), |mut row| row.take(0))
}

/// Removes some keys of a set.
pub fn remove_page(scope: i64, key_set: u64, limit: usize) -> Stmt {
    Stmt::new(
        "DELETE FROM user_backup_keys WHERE scope = ? AND key_set = ? \
         AND (room_id, session_id) IN (SELECT room_id, session_id FROM user_backup_keys \
         WHERE scope = ? AND key_set = ? LIMIT ?)",
    )
    .bind(scope)
    .bind(key_set)
    .bind(scope)
    .bind(key_set)
    .bind(limit as u64)
}
