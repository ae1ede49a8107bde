//! The user's own status: `user_presence`.

use skerry_core::presence::Own;

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// What was stored when a status was told last.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Option<Own>> {
    let stmt = Stmt::new("SELECT status FROM user_presence WHERE scope = ?").bind(scope);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(None) };
    Ok(Some(serde_json::from_str(&row.take::<String>(0)?)?))
}

/// Stores it.
pub fn upsert(scope: i64, own: &Own) -> Result<Stmt> {
    let stmt = Stmt::new(
        "INSERT INTO user_presence (scope, status) VALUES (?, ?) \
         ON CONFLICT (scope) DO UPDATE SET status = excluded.status",
    );
    Ok(stmt.bind(scope).bind(serde_json::to_string(own)?))
}

/// Removes it.
pub fn remove(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_presence WHERE scope = ?").bind(scope)
}
