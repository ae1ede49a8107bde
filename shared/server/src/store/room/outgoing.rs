//! What the room has for other servers: events of local users, and what came here to be handed on.

use skerry_core::engine::Num;

use crate::{
    Result,
    messages::room::Position,
    ports::{Sql, Stmt},
};

/// Events that are looked at in one go: a server that says little in a large room has few of its
/// own among them.
pub const LOOKED_AT: u64 = 1_000;

/// An event that was looked at: its position, and the event where it is one for other servers.
pub type Looked = (Position, Option<String>);

/// Events behind a position, up to another one: a page of those that clients see.
macro_rules! page {
    ($order:literal) => {
        concat!(
            "SELECT num, CASE WHEN handed_on = 1 OR substr(sender, -length(?)) = ? THEN json END \
             FROM room_events WHERE scope = ? AND num > ? AND num <= ? \
             AND moved_to IS NULL AND verdict = 0 AND state_chain IS NOT NULL ORDER BY num ",
            $order,
            " LIMIT ?"
        )
    };
}

/// The oldest of them, in order: [`LOOKED_AT`] at most. `local`: how the IDs of local users end.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    range: (Position, Position),
    local: &str,
) -> Result<Vec<Looked>> {
    read(sql, page!("ASC"), scope, range, local).await
}

/// The newest of them, the newest first: [`LOOKED_AT`] at most.
pub async fn list_newest(
    sql: &dyn Sql,
    scope: i64,
    range: (Position, Position),
    local: &str,
) -> Result<Vec<Looked>> {
    read(sql, page!("DESC"), scope, range, local).await
}

async fn read(
    sql: &dyn Sql,
    text: &'static str,
    scope: i64,
    (after, upto): (Position, Position),
    local: &str,
) -> Result<Vec<Looked>> {
    let stmt = Stmt::new(text).bind(local).bind(local).bind(scope).bind(after).bind(upto);
    let rows = sql.rows(stmt.bind(LOOKED_AT)).await?;
    rows.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect()
}

/// An event came here to be handed on.
pub fn hand_on(scope: i64, num: Num) -> Stmt {
    Stmt::new("UPDATE room_events SET handed_on = 1 WHERE scope = ? AND num = ?")
        .bind(scope)
        .bind(num)
}
