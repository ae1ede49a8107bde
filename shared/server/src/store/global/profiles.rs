//! Profiles: a row a field, the value as JSON.

use std::collections::BTreeMap;

use ruma::UserId;
use serde_json::Value as JsonValue;

use crate::{
    Error, Result,
    ports::{Sql, Stmt},
};

/// The most bytes that the names and values of one profile may have together.
pub const MAX_PROFILE_BYTES: u64 = 64 * 1024;

/// The whole profile.
pub async fn list(global: &dyn Sql, user_id: &UserId) -> Result<BTreeMap<String, JsonValue>> {
    let list = Stmt::new("SELECT field, value FROM profiles WHERE user_id = ?");
    let fields = global
        .rows(list.bind(user_id.as_str()))
        .await?
        .into_iter()
        .map(|mut row| Ok((row.take(0)?, serde_json::from_str(&row.take::<String>(1)?)?)));
    fields.collect()
}

/// One field.
pub async fn find(global: &dyn Sql, user_id: &UserId, field: &str) -> Result<Option<JsonValue>> {
    let find = Stmt::new("SELECT value FROM profiles WHERE user_id = ? AND field = ?");
    let row = global.row(find.bind(user_id.as_str()).bind(field)).await?;
    row.map(|mut row| serde_json::from_str(&row.take::<String>(0)?).map_err(Error::from))
        .transpose()
}

/// Sets one field, unless the profile became larger than [`MAX_PROFILE_BYTES`] by it: then no
/// row is returned. Counted where it is written, so that no two writes pass the limit together.
pub fn upsert(user_id: &UserId, field: &str, value: &JsonValue) -> Stmt {
    let value = value.to_string();
    let bytes = u64::try_from(field.len() + value.len()).unwrap_or(u64::MAX);
    let rest = MAX_PROFILE_BYTES.checked_sub(bytes).map_or(-1, u64::cast_signed);
    Stmt::new(
        "INSERT INTO profiles (user_id, field, value) \
         SELECT ?, ?, ? WHERE (\
             SELECT coalesce(sum(length(CAST(field AS BLOB)) + length(CAST(value AS BLOB))), 0) \
             FROM profiles WHERE user_id = ? AND field <> ?\
         ) <= ? \
         ON CONFLICT (user_id, field) DO UPDATE SET value = excluded.value \
         RETURNING 1",
    )
    .bind(user_id.as_str())
    .bind(field)
    .bind(value)
    .bind(user_id.as_str())
    .bind(field)
    .bind(rest)
}

/// Removes one field.
pub fn remove(user_id: &UserId, field: &str) -> Stmt {
    Stmt::new("DELETE FROM profiles WHERE user_id = ? AND field = ?")
        .bind(user_id.as_str())
        .bind(field)
}

/// Removes the whole profile.
pub fn remove_all(user_id: &UserId) -> Stmt {
    Stmt::new("DELETE FROM profiles WHERE user_id = ?").bind(user_id.as_str())
}
