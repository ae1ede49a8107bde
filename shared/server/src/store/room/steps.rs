//! How users come and go, by the log of the current state: `room_state_log`.

use ruma::ServerName;

use crate::{
    Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// How a user of a server has come or gone.
#[derive(Clone, Debug)]
pub struct Step {
    /// The user.
    pub user_id: String,
    /// They joined, and were not before.
    pub comes: bool,
    /// They were joined, and are not any more.
    pub leaves: bool,
}

/// Whether the current state has changed more often than that since a position.
pub async fn has_changes(sql: &dyn Sql, scope: i64, after: Position, than: u64) -> Result<bool> {
    let stmt = Stmt::new(
        "SELECT 1 FROM room_state_log WHERE scope = ? AND position > ? \
         ORDER BY position LIMIT 1 OFFSET ?",
    )
    .bind(scope)
    .bind(after)
    .bind(than);
    Ok(sql.row(stmt).await?.is_some())
}

/// How users of two servers have come and gone since a position, in order.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    servers: [&ServerName; 2],
) -> Result<Vec<Step>> {
    let stmt = Stmt::new(
        "SELECT l.state_key, coalesce(p.json ->> '$.content.membership' = 'join', 0), \
         coalesce(e.json ->> '$.content.membership' = 'join', 0) FROM room_state_log l \
         LEFT JOIN room_events p ON p.scope = l.scope AND p.num = l.previous \
         LEFT JOIN room_events e ON e.scope = l.scope AND e.num = l.event \
         WHERE l.scope = ? AND l.position > ? AND l.type = 'm.room.member' \
         AND substr(l.state_key, instr(l.state_key, ':') + 1) IN (?, ?) ORDER BY l.position",
    )
    .bind(scope)
    .bind(after)
    .bind(servers[0].as_str())
    .bind(servers[1].as_str());
    let read = |mut row: Row| {
        let (before, after): (bool, bool) = (row.take(1)?, row.take(2)?);
        Ok(Step { user_id: row.take(0)?, comes: after && !before, leaves: before && !after })
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}
