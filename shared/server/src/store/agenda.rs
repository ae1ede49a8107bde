//! What an object has to do at a later time: `agenda`, a table that every kind of object has.

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// All entries: name, and when it is due in milliseconds since the Unix epoch.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<(String, u64)>> {
    let stmt = Stmt::new("SELECT due, at_ms FROM agenda WHERE scope = ?").bind(scope);
    sql.rows(stmt).await?.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

/// Sets when something is due.
pub fn upsert(scope: i64, due: &'static str, at_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO agenda (scope, due, at_ms) VALUES (?, ?, ?) \
         ON CONFLICT (scope, due) DO UPDATE SET at_ms = excluded.at_ms",
    )
    .bind(scope)
    .bind(due)
    .bind(at_ms)
}

/// Nothing is to be done any more.
pub fn remove_all(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM agenda WHERE scope = ?").bind(scope)
}

/// Something is done.
pub fn remove(scope: i64, due: &'static str) -> Stmt {
    Stmt::new("DELETE FROM agenda WHERE scope = ? AND due = ?").bind(scope).bind(due)
}
