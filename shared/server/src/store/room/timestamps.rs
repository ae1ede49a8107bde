//! What events say of when they were sent: `origin_server_ts` of `room_events`.

use crate::{
    Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// What is read of events: numbers that no JSON of a client could have are as good as the last one
/// that could.
macro_rules! timestamp {
    () => {
        "max(0, min(CAST(json ->> '$.origin_server_ts' AS INTEGER), 9007199254740991))"
    };
}

/// Positions and timestamps of the first events that clients may know of with
/// `after < position <= upto`.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    (after, upto): (Position, Position),
    limit: u64,
) -> Result<Vec<(Position, u64)>> {
    let stmt = Stmt::new(concat!(
        "SELECT num AS position, coalesce(",
        timestamp!(),
        ", 0) FROM room_events WHERE scope = ? AND num > ? AND num <= ? AND moved_to IS NULL \
         AND verdict = 0 AND state_chain IS NOT NULL UNION ALL SELECT moved_to, coalesce(",
        timestamp!(),
        ", 0) FROM room_events WHERE scope = ? AND moved_to > ? AND moved_to <= ? \
         AND verdict = 0 AND state_chain IS NOT NULL ORDER BY position LIMIT ?"
    ));
    let range = |stmt: Stmt| stmt.bind(scope).bind(after).bind(upto);
    let read = |mut row: Row| Ok((row.take(0)?, row.take(1)?));
    sql.rows(range(range(stmt)).bind(limit)).await?.into_iter().map(read).collect()
}
