//! How often in a row another server has not answered: `destination_failures`.

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// That a server does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// How often in a row.
    pub count: u32,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Before this time it is not asked again.
    pub next_ms: u64,
}

/// None, where it answers.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Option<Failures>> {
    let find =
        Stmt::new("SELECT failures, since_ms, next_ms FROM destination_failures WHERE scope = ?");
    let Some(mut row) = sql.row(find.bind(scope)).await? else { return Ok(None) };
    let count = u32::try_from(row.take::<u64>(0)?).unwrap_or(u32::MAX);
    Ok(Some(Failures { count, since_ms: row.take(1)?, next_ms: row.take(2)? }))
}

/// It has not answered once more.
pub fn upsert(scope: i64, failures: Failures) -> Stmt {
    Stmt::new(
        "INSERT INTO destination_failures (scope, failures, since_ms, next_ms) \
         VALUES (?, ?, ?, ?) \
         ON CONFLICT (scope) DO UPDATE SET failures = excluded.failures, \
             since_ms = excluded.since_ms, next_ms = excluded.next_ms",
    )
    .bind(scope)
    .bind(u64::from(failures.count))
    .bind(failures.since_ms)
    .bind(failures.next_ms)
}

/// It answers.
pub fn remove(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM destination_failures WHERE scope = ?").bind(scope)
}
