//! What another server has sent that was not taken: `destination_faults`.

use skerry_core::faults::Faults;

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// In all.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Faults> {
    let find =
        Stmt::new("SELECT dropped, rejected, soft_failed FROM destination_faults WHERE scope = ?");
    let Some(mut row) = sql.row(find.bind(scope)).await? else { return Ok(Faults::default()) };
    Ok(Faults { dropped: row.take(0)?, rejected: row.take(1)?, soft_failed: row.take(2)? })
}

/// From now on so much in all.
pub fn upsert(scope: i64, faults: Faults) -> Stmt {
    Stmt::new(
        "INSERT INTO destination_faults (scope, dropped, rejected, soft_failed) \
         VALUES (?, ?, ?, ?) ON CONFLICT (scope) DO UPDATE SET dropped = excluded.dropped, \
             rejected = excluded.rejected, soft_failed = excluded.soft_failed",
    )
    .bind(scope)
    .bind(faults.dropped)
    .bind(faults.rejected)
    .bind(faults.soft_failed)
}
