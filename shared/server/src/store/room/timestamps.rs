//! What events say of when they were sent: `origin_server_ts` of `room_events`.

use ruma::ServerName;

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

/// When a server that is in the room since a position has come, as its events say, in milliseconds:
/// the first of that position's event and those that have its users joined.
pub async fn find_join(
    sql: &dyn Sql,
    scope: i64,
    server: &ServerName,
    since: Position,
) -> Result<Option<u64>> {
    let stmt = Stmt::new(concat!(
        "SELECT min(ts) FROM (SELECT ",
        timestamp!(),
        " AS ts FROM room_events WHERE scope = ? AND num = ? UNION ALL SELECT ",
        timestamp!(),
        " FROM room_members m JOIN room_events e ON e.scope = m.scope AND e.num = m.event \
         WHERE m.scope = ? AND m.membership = 'join' AND substr(m.user_id, -length(?)) = ?)"
    ));
    let of_server = format!(":{server}");
    let stmt = stmt.bind(scope).bind(since).bind(scope).bind(of_server.clone()).bind(of_server);
    sql.row(stmt).await?.map_or(Ok(None), |mut row| row.take(0))
}
