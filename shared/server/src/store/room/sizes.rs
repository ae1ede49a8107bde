//! How large events of a room are: `room_events`.

use skerry_core::engine::Num;

use super::events::json_list;
use crate::{
    Result,
    ports::{Row, Sql, Stmt},
};

/// How many bytes the events with these numbers have.
pub async fn list(sql: &dyn Sql, scope: i64, nums: &[Num]) -> Result<Vec<(Num, usize)>> {
    if nums.is_empty() {
        return Ok(Vec::new());
    }
    let stmt = Stmt::new(
        "SELECT num, length(CAST(json AS BLOB)) FROM room_events WHERE scope = ? \
         AND num IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(json_list(nums));
    let size = |mut row: Row| {
        let bytes: u64 = row.take(1)?;
        Ok((row.take(0)?, usize::try_from(bytes).unwrap_or(usize::MAX)))
    };
    sql.rows(stmt).await?.into_iter().map(size).collect()
}
