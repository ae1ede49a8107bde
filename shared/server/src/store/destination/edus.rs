//! What is no event and waits for another server: `destination_edus`.

use skerry_core::to_device::Size;

use crate::{
    Result,
    ports::{Row, Sql, Stmt},
};

/// What waits in all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Queue {
    /// The number of the last one; 0: there is none.
    pub last: u64,
    /// How much it is.
    pub size: Size,
    /// When the first one came.
    pub since_ms: u64,
}

fn size(row: &mut Row, index: usize) -> Result<usize> {
    Ok(usize::try_from(row.take::<u64>(index)?).unwrap_or(usize::MAX))
}

/// What waits in all.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Queue> {
    let stmt = Stmt::new(
        "SELECT coalesce(max(number), 0), count(*), coalesce(sum(bytes), 0), \
         coalesce(min(queued_ms), 0) FROM destination_edus WHERE scope = ?",
    )
    .bind(scope);
    let Some(mut row) = sql.row(stmt).await? else { return Ok(Queue::default()) };
    let size = Size { messages: size(&mut row, 1)?, bytes: size(&mut row, 2)? };
    Ok(Queue { last: row.take(0)?, size, since_ms: row.take(3)? })
}

/// The first ones.
pub async fn list_first(sql: &dyn Sql, scope: i64, limit: usize) -> Result<Vec<(u64, String)>> {
    let stmt = Stmt::new(
        "SELECT number, edu FROM destination_edus WHERE scope = ? ORDER BY number LIMIT ?",
    )
    .bind(scope)
    .bind(limit as u64);
    sql.rows(stmt).await?.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

/// The numbers of the first ones, and the bytes of each.
pub async fn list_first_sizes(
    sql: &dyn Sql,
    scope: i64,
    limit: usize,
) -> Result<Vec<(u64, usize)>> {
    let stmt = Stmt::new(
        "SELECT number, bytes FROM destination_edus WHERE scope = ? ORDER BY number LIMIT ?",
    )
    .bind(scope)
    .bind(limit as u64);
    let sizes = |mut row: Row| Ok((row.take(0)?, size(&mut row, 1)?));
    sql.rows(stmt).await?.into_iter().map(sizes).collect()
}

/// How much has been removed.
pub fn removed(rows: Vec<Row>) -> Result<Size> {
    let mut all = Size::default();
    for mut row in rows {
        all += Size::of(size(&mut row, 0)?);
    }
    Ok(all)
}

/// Puts one behind the others.
pub fn insert(scope: i64, number: u64, queued_ms: u64, edu: &str) -> Stmt {
    Stmt::new(
        "INSERT INTO destination_edus (scope, number, queued_ms, bytes, edu) \
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(number)
    .bind(queued_ms)
    .bind(edu.len() as u64)
    .bind(edu)
}

/// The server has them up to this number, or never gets them. Gives the bytes of each.
pub fn remove_until(scope: i64, number: u64) -> Stmt {
    Stmt::new("DELETE FROM destination_edus WHERE scope = ? AND number <= ? RETURNING bytes")
        .bind(scope)
        .bind(number)
}

/// What has waited since before this time is of no use to anybody. Gives the bytes of each.
pub fn remove_older(scope: i64, queued_ms: u64) -> Stmt {
    Stmt::new("DELETE FROM destination_edus WHERE scope = ? AND queued_ms < ? RETURNING bytes")
        .bind(scope)
        .bind(queued_ms)
}
