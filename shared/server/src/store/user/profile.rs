//! The profile: `user_profile`, a row a field, the value as JSON.

use std::collections::BTreeMap;

use serde_json::Value as JsonValue;
use skerry_core::gather::Gather as _;

use crate::{
    Result,
    ports::{Row, Sql, Stmt},
};

/// The whole profile.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<BTreeMap<String, JsonValue>> {
    let stmt = Stmt::new("SELECT field, value FROM user_profile WHERE scope = ?").bind(scope);
    let field = |mut row: Row| Ok((row.take(0)?, serde_json::from_str(&row.take::<String>(1)?)?));
    sql.rows(stmt).await?.into_iter().map(field).try_gather()
}

/// Sets one field.
pub fn upsert(scope: i64, field: &str, value: &JsonValue) -> Stmt {
    Stmt::new(
        "INSERT INTO user_profile (scope, field, value) VALUES (?, ?, ?) \
         ON CONFLICT (scope, field) DO UPDATE SET value = excluded.value",
    )
    .bind(scope)
    .bind(field)
    .bind(value.to_string())
}

/// Removes one field.
pub fn remove(scope: i64, field: &str) -> Stmt {
    Stmt::new("DELETE FROM user_profile WHERE scope = ? AND field = ?").bind(scope).bind(field)
}

/// Removes the whole profile.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_profile WHERE scope = ?").bind(scope)
}
