//! Redactions that came before what they redact: `room_redactions`.

use ruma::{EventId, OwnedEventId};
use skerry_core::engine::Num;

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// The redactions that wait for this event.
pub async fn list(sql: &dyn Sql, scope: i64, event_id: &EventId) -> Result<Vec<Num>> {
    let stmt = Stmt::new(
        "SELECT redaction FROM room_redactions WHERE scope = ? AND event_id = ? \
         ORDER BY redaction",
    )
    .bind(scope)
    .bind(event_id.as_str());
    sql.rows(stmt).await?.into_iter().map(|mut row| row.take(0)).collect()
}

/// Those of these events for which redactions wait.
pub async fn list_awaited(
    sql: &dyn Sql,
    scope: i64,
    ids: &[OwnedEventId],
) -> Result<Vec<OwnedEventId>> {
    let stmt = Stmt::new(
        "SELECT j.value FROM json_each(?) j WHERE EXISTS \
         (SELECT 1 FROM room_redactions WHERE scope = ? AND event_id = j.value)",
    );
    super::events::list_ids(sql, stmt.bind(serde_json::to_string(ids)?).bind(scope)).await
}

/// A redaction waits for its event.
pub fn insert(scope: i64, event_id: &EventId, redaction: Num, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT OR IGNORE INTO room_redactions (scope, event_id, redaction, received_ms) \
         VALUES (?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(event_id.as_str())
    .bind(redaction)
    .bind(now_ms)
}

/// Forgets the oldest redactions, so that at most `limit` wait.
pub fn remove_excess(scope: i64, limit: u64) -> Stmt {
    Stmt::new(
        "DELETE FROM room_redactions WHERE scope = ? AND redaction <= \
         (SELECT redaction FROM room_redactions WHERE scope = ? \
         ORDER BY redaction DESC LIMIT 1 OFFSET ?)",
    )
    .bind(scope)
    .bind(scope)
    .bind(limit)
}

/// The event has come.
pub fn remove(scope: i64, event_id: &EventId) -> Stmt {
    Stmt::new("DELETE FROM room_redactions WHERE scope = ? AND event_id = ?")
        .bind(scope)
        .bind(event_id.as_str())
}
