//! Where the history that the room has breaks off: `room_missing` and `room_gaps`.

use ruma::{EventId, OwnedEventId};
use skerry_core::engine::Num;

use crate::{
    Error, Result,
    messages::room::Position,
    ports::{Row, Sql, Stmt},
};

/// Positions that history may still take: `after < position < next`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The position of the first event after the gap: its name.
    pub gap: Position,
    /// What stands before the gap ends here.
    pub after: Position,
    /// The first event that came after it, history included.
    pub next: Position,
}

/// Who names a missing event as coming before it.
#[derive(Clone, Copy, Debug)]
pub struct NamedBy {
    /// The number of the event that names it.
    pub num: Num,
    /// The gap it stands in.
    pub gap: Position,
}

/// Who names this event while its state is not known.
pub async fn list_named_by(sql: &dyn Sql, scope: i64, event_id: &EventId) -> Result<Vec<NamedBy>> {
    let stmt =
        Stmt::new("SELECT wanted_by, gap FROM room_missing WHERE scope = ? AND event_id = ?")
            .bind(scope)
            .bind(event_id.as_str());
    let read = |mut row: Row| Ok(NamedBy { num: row.take(0)?, gap: row.take(1)? });
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// Those of these events that are missing in a gap.
pub async fn list_missing_of(
    sql: &dyn Sql,
    scope: i64,
    ids: &[OwnedEventId],
) -> Result<Vec<OwnedEventId>> {
    let stmt = Stmt::new(
        "SELECT j.value FROM json_each(?) j WHERE EXISTS \
         (SELECT 1 FROM room_missing WHERE scope = ? AND event_id = j.value)",
    );
    super::events::list_ids(sql, stmt.bind(serde_json::to_string(ids)?).bind(scope)).await
}

/// Events that are missing in a gap, at most so many.
pub async fn list_missing(
    sql: &dyn Sql,
    scope: i64,
    gap: Position,
    limit: u64,
) -> Result<Vec<OwnedEventId>> {
    let stmt =
        Stmt::new("SELECT DISTINCT event_id FROM room_missing WHERE scope = ? AND gap = ? LIMIT ?")
            .bind(scope)
            .bind(gap)
            .bind(limit);
    let read = |mut row: Row| EventId::parse(row.take::<String>(0)?).map_err(Error::internal);
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// An event is named and not known.
pub fn insert_missing(scope: i64, event_id: &EventId, named_by: NamedBy) -> Stmt {
    Stmt::new(
        "INSERT OR IGNORE INTO room_missing (scope, event_id, wanted_by, gap) VALUES (?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(event_id.as_str())
    .bind(named_by.num)
    .bind(named_by.gap)
}

/// The event has come.
pub fn remove_missing(scope: i64, event_id: &EventId) -> Stmt {
    Stmt::new("DELETE FROM room_missing WHERE scope = ? AND event_id = ?")
        .bind(scope)
        .bind(event_id.as_str())
}

/// The gaps in which events are missing, the newest first.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<Gap>> {
    let stmt = Stmt::new(
        "SELECT gap, after, next FROM room_gaps WHERE scope = ? AND gap IN \
         (SELECT gap FROM room_missing WHERE scope = ?) ORDER BY gap DESC",
    )
    .bind(scope)
    .bind(scope);
    let read =
        |mut row: Row| Ok(Gap { gap: row.take(0)?, after: row.take(1)?, next: row.take(2)? });
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// A gap begins, or has filled by some positions.
pub fn upsert(scope: i64, it: Gap) -> Stmt {
    Stmt::new(
        "INSERT INTO room_gaps (scope, gap, after, next) VALUES (?, ?, ?, ?) \
         ON CONFLICT (scope, gap) DO UPDATE SET next = min(next, excluded.next)",
    )
    .bind(scope)
    .bind(it.gap)
    .bind(it.after)
    .bind(it.next)
}
