//! How far the stream has got: `user_meta`, and what changed last.

use crate::{
    Result,
    messages::user::StreamPosition,
    ports::{Sql, Stmt},
};

/// The position of the stream: of its newest change. A change that stands in a row of its own
/// needs no second row that says so.
pub async fn find_seq(sql: &dyn Sql, scope: i64) -> Result<StreamPosition> {
    let stmt = Stmt::new(
        "SELECT max(coalesce((SELECT seq FROM user_meta WHERE scope = ?), 0), \
         coalesce((SELECT max(last_seq) FROM user_rooms WHERE scope = ?), 0), \
         coalesce((SELECT max(seq) FROM user_account_data WHERE scope = ?), 0))",
    )
    .bind(scope)
    .bind(scope)
    .bind(scope);
    // An object without tables has no row.
    sql.row(stmt).await?.map_or(Ok(0), |mut row| row.take(0))
}

/// The stream has reached a position at which nothing else is written that says so.
pub fn upsert_seq(scope: i64, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "INSERT INTO user_meta (scope, seq) VALUES (?, ?) \
         ON CONFLICT (scope) DO UPDATE SET seq = excluded.seq",
    )
    .bind(scope)
    .bind(seq)
}
