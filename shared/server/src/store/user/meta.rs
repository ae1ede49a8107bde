//! How far the stream has got: `user_meta`.

use crate::{
    Result,
    messages::user::StreamPosition,
    ports::{Sql, Stmt},
};

/// The position of the stream.
pub async fn find_seq(sql: &dyn Sql, scope: i64) -> Result<Option<StreamPosition>> {
    let stmt = Stmt::new("SELECT seq FROM user_meta WHERE scope = ?").bind(scope);
    sql.row(stmt).await?.map(|mut row| row.take(0)).transpose()
}

/// Sets the position of the stream.
pub fn upsert_seq(scope: i64, seq: StreamPosition) -> Stmt {
    Stmt::new(
        "INSERT INTO user_meta (scope, seq) VALUES (?, ?) \
         ON CONFLICT (scope) DO UPDATE SET seq = excluded.seq",
    )
    .bind(scope)
    .bind(seq)
}
