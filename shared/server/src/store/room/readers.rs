//! Who may have read everything and is to hear of the next event: `room_readers`
//! ([`skerry_core::delivery`]).

use ruma::{OwnedUserId, UserId};

use crate::{
    Error, Result,
    ports::{Sql, Stmt},
};

/// All of them.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<OwnedUserId>> {
    let stmt = Stmt::new("SELECT reader FROM room_readers WHERE scope = ?").bind(scope);
    let read = |text: String| UserId::parse(text).map_err(Error::internal);
    sql.rows(stmt).await?.into_iter().map(|mut row| read(row.take(0)?)).collect()
}

/// A reader, who may be there already.
pub fn insert(scope: i64, reader: &UserId) -> Stmt {
    Stmt::new("INSERT OR IGNORE INTO room_readers (scope, reader) VALUES (?, ?)")
        .bind(scope)
        .bind(reader.as_str())
}

/// Removes readers.
pub fn remove_list(scope: i64, readers: &[OwnedUserId]) -> Result<Stmt> {
    Ok(Stmt::new(
        "DELETE FROM room_readers WHERE scope = ? \
         AND reader IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(readers)?))
}
