//! Memberships of the current state: `room_members`.

use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use skerry_core::engine::Num;

use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// A member.
#[derive(Clone, Debug)]
pub struct Member {
    /// The user.
    pub user_id: OwnedUserId,
    /// The membership.
    pub membership: MembershipState,
    /// Since when in the room's stream.
    pub position: Position,
    /// The number of the membership event; none where a fork took it away.
    pub event: Option<Num>,
}

fn member(mut row: Row) -> Result<Member> {
    let user_id: String = row.take(0)?;
    let membership: String = row.take(1)?;
    Ok(Member {
        user_id: UserId::parse(user_id).map_err(Error::internal)?,
        membership: membership.into(),
        position: row.take(2)?,
        event: row.take(3)?,
    })
}

/// Sets a membership. It is `delivered` to a local user later, and to nobody of another server.
pub fn upsert(
    scope: i64,
    user_id: &UserId,
    membership: &MembershipState,
    (position, event): (Position, Option<Num>),
    is_local: bool,
) -> Stmt {
    Stmt::new(
        "INSERT INTO room_members (scope, user_id, membership, position, event, delivered) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (scope, user_id) DO UPDATE SET \
         membership = excluded.membership, position = excluded.position, \
         event = excluded.event, delivered = excluded.delivered, forgotten = 0",
    )
    .bind(scope)
    .bind(user_id.as_str())
    .bind(membership.as_str())
    .bind(position)
    .bind(event)
    .bind(if is_local { 0 } else { position })
}

/// The user forgets the room.
pub fn update_forgotten(scope: i64, user_id: &UserId) -> Stmt {
    Stmt::new("UPDATE room_members SET forgotten = 1 WHERE scope = ? AND user_id = ?")
        .bind(scope)
        .bind(user_id.as_str())
}

/// Whether the user has forgotten the room.
pub async fn find_forgotten(sql: &dyn Sql, scope: i64, user_id: &UserId) -> Result<bool> {
    let stmt = Stmt::new("SELECT forgotten FROM room_members WHERE scope = ? AND user_id = ?")
        .bind(scope)
        .bind(user_id.as_str());
    sql.row(stmt).await?.map_or(Ok(false), |mut row| row.take(0))
}

/// The membership at `position` has been delivered to the user.
pub fn update_delivered(scope: i64, user_id: &UserId, position: Position) -> Stmt {
    Stmt::new(
        "UPDATE room_members SET delivered = ? WHERE scope = ? AND user_id = ? AND position = ?",
    )
    .bind(position)
    .bind(scope)
    .bind(user_id.as_str())
    .bind(position)
}

/// Whether a local user, other than this one, has to do with the room: has any membership but one
/// that has ended, or has not forgotten the room. `local`: how their IDs end.
pub async fn is_wanted(
    sql: &dyn Sql,
    scope: i64,
    local: &str,
    except: Option<&UserId>,
) -> Result<bool> {
    let stmt = Stmt::new(
        "SELECT 1 FROM room_members WHERE scope = ? AND substr(user_id, -length(?)) = ? \
         AND user_id <> ? AND (forgotten = 0 OR membership NOT IN ('leave', 'ban')) LIMIT 1",
    )
    .bind(scope)
    .bind(local)
    .bind(local)
    .bind(except.map_or("", UserId::as_str));
    Ok(sql.row(stmt).await?.is_some())
}

/// A user's membership, if it was not delivered to them.
pub async fn find_undelivered(
    sql: &dyn Sql,
    scope: i64,
    user_id: &UserId,
) -> Result<Option<Member>> {
    let stmt = Stmt::new(
        "SELECT user_id, membership, position, event FROM room_members \
         WHERE scope = ? AND user_id = ? AND delivered < position",
    )
    .bind(scope)
    .bind(user_id.as_str());
    sql.row(stmt).await?.map(member).transpose()
}

/// Members to whom their membership after this position may not have been delivered, the oldest
/// membership first.
pub async fn list_undelivered(
    sql: &dyn Sql,
    scope: i64,
    after: Position,
    limit: u64,
) -> Result<Vec<Member>> {
    let stmt = Stmt::new(
        "SELECT user_id, membership, position, event FROM room_members \
         WHERE scope = ? AND delivered < position AND position > ? ORDER BY position LIMIT ?",
    )
    .bind(scope)
    .bind(after)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(member).collect()
}

/// Members with one of two memberships, in the order of their events.
pub async fn list(
    sql: &dyn Sql,
    scope: i64,
    memberships: &[MembershipState; 2],
    limit: u64,
) -> Result<Vec<Member>> {
    let [first, second] = memberships;
    // Each in the order of the index; with `IN` SQLite would sort all members.
    let stmt = Stmt::new(
        "SELECT user_id, membership, position, event FROM (SELECT * FROM room_members \
         WHERE scope = ? AND membership = ? ORDER BY position LIMIT ?) UNION ALL \
         SELECT user_id, membership, position, event FROM (SELECT * FROM room_members \
         WHERE scope = ? AND membership = ? ORDER BY position LIMIT ?) ORDER BY position LIMIT ?",
    )
    .bind(scope)
    .bind(first.as_str())
    .bind(limit)
    .bind(scope)
    .bind(second.as_str())
    .bind(limit)
    .bind(limit);
    sql.rows(stmt).await?.into_iter().map(member).collect()
}

/// Some joined members of this server, `limit` at most. `local`: how their IDs end.
pub async fn list_joined_local(
    sql: &dyn Sql,
    scope: i64,
    local: &str,
    limit: usize,
) -> Result<Vec<OwnedUserId>> {
    let stmt = Stmt::new(
        "SELECT user_id FROM room_members WHERE scope = ? AND membership = 'join' \
         AND substr(user_id, -length(?)) = ? LIMIT ?",
    )
    .bind(scope)
    .bind(local)
    .bind(local)
    .bind(limit as u64);
    sql.rows(stmt).await?.into_iter().map(user_id).collect()
}

/// The same by their IDs, behind one of them or from the first one on.
pub async fn list_joined_local_behind(
    sql: &dyn Sql,
    scope: i64,
    local: &str,
    after: Option<&OwnedUserId>,
    limit: usize,
) -> Result<Vec<OwnedUserId>> {
    let stmt = Stmt::new(
        "SELECT user_id FROM room_members WHERE scope = ? AND user_id > ? AND membership = 'join' \
         AND substr(user_id, -length(?)) = ? ORDER BY user_id LIMIT ?",
    )
    .bind(scope)
    .bind(after.map_or("", |it| it.as_str()))
    .bind(local)
    .bind(local)
    .bind(limit as u64);
    sql.rows(stmt).await?.into_iter().map(user_id).collect()
}

/// Members who are joined since a position or before.
pub async fn list_joined_upto(
    sql: &dyn Sql,
    scope: i64,
    upto: Position,
) -> Result<Vec<OwnedUserId>> {
    let stmt = Stmt::new(
        "SELECT user_id FROM room_members \
         WHERE scope = ? AND membership = 'join' AND position <= ?",
    )
    .bind(scope)
    .bind(upto);
    sql.rows(stmt).await?.into_iter().map(user_id).collect()
}

/// Those of some users who are joined.
pub async fn list_joined_of(
    sql: &dyn Sql,
    scope: i64,
    user_ids: &[OwnedUserId],
) -> Result<Vec<OwnedUserId>> {
    // Not by the index of memberships, which has all members.
    let stmt = Stmt::new(
        "SELECT user_id FROM room_members WHERE scope = ? AND +membership = 'join' \
         AND user_id IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(user_ids)?);
    sql.rows(stmt).await?.into_iter().map(user_id).collect()
}

fn user_id(mut row: Row) -> Result<OwnedUserId> {
    UserId::parse(row.take::<String>(0)?).map_err(Error::internal)
}

/// Joined members and their membership events.
pub async fn list_joined_events(sql: &dyn Sql, scope: i64) -> Result<Vec<(OwnedUserId, String)>> {
    let stmt = Stmt::new(
        "SELECT m.user_id, e.json FROM room_members m \
         JOIN room_events e ON e.scope = m.scope AND e.num = m.event \
         WHERE m.scope = ? AND m.membership = 'join' ORDER BY m.position",
    )
    .bind(scope);
    let read = |mut row: Row| {
        let user_id: String = row.take(0)?;
        Ok((UserId::parse(user_id).map_err(Error::internal)?, row.take(1)?))
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// How many are joined and invited.
pub async fn count(sql: &dyn Sql, scope: i64) -> Result<(u64, u64)> {
    let stmt = Stmt::new(
        "SELECT coalesce(sum(membership = 'join'), 0), coalesce(sum(membership = 'invite'), 0) \
         FROM room_members WHERE scope = ?",
    )
    .bind(scope);
    let Some(mut row) = sql.row(stmt).await? else { return Ok((0, 0)) };
    Ok((row.take(0)?, row.take(1)?))
}
