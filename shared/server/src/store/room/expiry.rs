//! Rows that are kept for a time, a page at a time: transactions, events that wait for others,
//! redactions that wait for what they redact.
//!
//! No index leads to what is old: it would cost a row with every message. The tables are scanned,
//! once in a while.

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// How long each kind of rows is kept, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// Transactions.
    pub transactions_ms: u64,
    /// Events that wait for others.
    pub pending_ms: u64,
    /// Redactions that wait for what they redact.
    pub redactions_ms: u64,
}

/// Removes at most `limit` rows of each kind that are too old. Gives a row for each that is
/// removed, in one list for each statement.
pub fn remove_page(scope: i64, ages: &Ages, now_ms: u64, limit: u64) -> [Stmt; 4] {
    let page = |sql, age_ms| {
        let before_ms = now_ms.saturating_sub(age_ms);
        Stmt::new(sql).bind(scope).bind(scope).bind(before_ms).bind(limit)
    };
    [
        page(
            "DELETE FROM room_transactions WHERE scope = ? \
             AND (sender, device_id, endpoint, subject, transaction_id) IN \
             (SELECT sender, device_id, endpoint, subject, transaction_id FROM room_transactions \
             WHERE scope = ? AND created_ms <= ? LIMIT ?) RETURNING 1",
            ages.transactions_ms,
        ),
        page(
            "DELETE FROM room_awaited WHERE scope = ? AND (event_id, awaited_by) IN \
             (SELECT j.value, p.event_id FROM (SELECT event_id, awaited FROM room_pending \
             WHERE scope = ? AND received_ms <= ? ORDER BY event_id LIMIT ?) p \
             CROSS JOIN json_each(p.awaited) j)",
            ages.pending_ms,
        ),
        page(
            "DELETE FROM room_pending WHERE scope = ? AND event_id IN \
             (SELECT event_id FROM room_pending \
             WHERE scope = ? AND received_ms <= ? ORDER BY event_id LIMIT ?) RETURNING 1",
            ages.pending_ms,
        ),
        page(
            "DELETE FROM room_redactions WHERE scope = ? AND (event_id, redaction) IN \
             (SELECT event_id, redaction FROM room_redactions \
             WHERE scope = ? AND received_ms <= ? LIMIT ?) RETURNING 1",
            ages.redactions_ms,
        ),
    ]
}

/// When the next row becomes too old, in milliseconds since the Unix epoch; none: there is none.
pub async fn find_next(sql: &dyn Sql, scope: i64, ages: &Ages) -> Result<Option<u64>> {
    let stmt = Stmt::new(
        "SELECT min(at_ms) FROM (\
         SELECT min(created_ms) + ? AS at_ms FROM room_transactions WHERE scope = ? UNION ALL \
         SELECT min(received_ms) + ? FROM room_pending WHERE scope = ? UNION ALL \
         SELECT min(received_ms) + ? FROM room_redactions WHERE scope = ?)",
    )
    .bind(ages.transactions_ms)
    .bind(scope)
    .bind(ages.pending_ms)
    .bind(scope)
    .bind(ages.redactions_ms)
    .bind(scope);
    sql.row(stmt).await?.map_or(Ok(None), |mut row| row.take(0))
}
