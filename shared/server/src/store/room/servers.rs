//! Which other servers are in the room: `room_servers`.

use ruma::{OwnedServerName, ServerName};

use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// Servers that are named to whoever looks for some that are in the room.
const MAX_NAMED: u64 = 50;

/// What a server has to do with the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Since when it is in the room: where the first of its users joined.
    pub since: Position,
    /// Where the last of them left; none: some are joined.
    pub until: Option<Position>,
}

/// What a server has to do with the room, if it ever had.
pub async fn find(sql: &dyn Sql, scope: i64, server: &ServerName) -> Result<Option<Presence>> {
    let find = Stmt::new("SELECT since, until FROM room_servers WHERE scope = ? AND server = ?")
        .bind(scope)
        .bind(server.as_str());
    let Some(mut row) = sql.row(find).await? else { return Ok(None) };
    Ok(Some(Presence { since: row.take(0)?, until: row.take(1)? }))
}

/// Servers that are in the room, those with the most members first.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<OwnedServerName>> {
    let list = Stmt::new(
        "SELECT server FROM room_servers WHERE scope = ? AND joined > 0 \
         ORDER BY joined DESC, server LIMIT ?",
    )
    .bind(scope)
    .bind(MAX_NAMED);
    servers(sql.rows(list).await?)
}

/// All servers that are in the room.
pub async fn list_all(sql: &dyn Sql, scope: i64) -> Result<Vec<OwnedServerName>> {
    let list = Stmt::new("SELECT server FROM room_servers WHERE scope = ? AND joined > 0");
    servers(sql.rows(list.bind(scope)).await?)
}

/// The servers that are in the room and were before an event at this position.
pub async fn list_before(sql: &dyn Sql, scope: i64, at: Position) -> Result<Vec<OwnedServerName>> {
    let list =
        Stmt::new("SELECT server FROM room_servers WHERE scope = ? AND joined > 0 AND since < ?");
    servers(sql.rows(list.bind(scope).bind(at)).await?)
}

fn servers(rows: Vec<Row>) -> Result<Vec<OwnedServerName>> {
    let server = |mut row: Row| ServerName::parse(row.take::<String>(0)?).map_err(Error::internal);
    rows.into_iter().map(server).collect()
}

/// One more user of a server has joined.
pub fn joined(scope: i64, server: &ServerName, at: Position) -> Stmt {
    Stmt::new(
        "INSERT INTO room_servers (scope, server, joined, since) VALUES (?, ?, 1, ?) \
         ON CONFLICT (scope, server) DO UPDATE SET joined = joined + 1, \
             since = CASE joined WHEN 0 THEN excluded.since ELSE since END, until = NULL",
    )
    .bind(scope)
    .bind(server.as_str())
    .bind(at)
}

/// A server is to hear of the event at a position: the only one, where it is not in the room.
pub fn told(scope: i64, server: &ServerName, at: Position) -> Stmt {
    Stmt::new(
        "INSERT INTO room_servers (scope, server, joined, since, until) VALUES (?, ?, 0, ? - 1, ?) \
         ON CONFLICT (scope, server) DO UPDATE SET \
             since = CASE joined WHEN 0 THEN excluded.since ELSE since END, \
             until = CASE joined WHEN 0 THEN excluded.until ELSE until END",
    )
    .bind(scope)
    .bind(server.as_str())
    .bind(at)
    .bind(at)
}

/// One user of a server less is joined.
pub fn left(scope: i64, server: &ServerName, at: Position) -> Stmt {
    Stmt::new(
        "UPDATE room_servers SET joined = joined - 1, \
             until = CASE joined WHEN 1 THEN ? ELSE NULL END \
         WHERE scope = ? AND server = ? AND joined > 0",
    )
    .bind(at)
    .bind(scope)
    .bind(server.as_str())
}

/// The members are others than they were: who is in the room is counted anew. Who was not in it
/// before is since this position; who is not in it any more was until the one before. What waited
/// for a server when the room was left still waits for it. `local`: how the IDs of local users end.
pub fn recount(scope: i64, local: &str, at: Position) -> [Stmt; 2] {
    [
        Stmt::new(
            "UPDATE room_servers SET joined = 0, until = ? - 1 \
             WHERE scope = ? AND until IS NULL AND server NOT IN \
             (SELECT substr(user_id, instr(user_id, ':') + 1) FROM room_members \
             WHERE scope = ? AND membership = 'join')",
        )
        .bind(at)
        .bind(scope)
        .bind(scope),
        Stmt::new(
            "INSERT INTO room_servers (scope, server, joined, since) \
             SELECT ?, substr(user_id, instr(user_id, ':') + 1) AS server, count(*), ? \
             FROM room_members WHERE scope = ? AND membership = 'join' \
             AND substr(user_id, -length(?)) <> ? GROUP BY server \
             ON CONFLICT (scope, server) DO UPDATE SET joined = excluded.joined, \
                 since = CASE WHEN until IS NULL THEN since ELSE excluded.since END, until = NULL",
        )
        .bind(scope)
        .bind(at)
        .bind(scope)
        .bind(local)
        .bind(local),
    ]
}
