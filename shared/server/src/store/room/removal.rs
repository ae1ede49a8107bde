//! The removal of a whole room.

use crate::ports::Stmt;

/// Removes a page of one table: the table, and what its key consists of besides the scope.
macro_rules! page {
    ($table:literal, $key:literal) => {
        concat!(
            "DELETE FROM ",
            $table,
            " WHERE scope = ? AND (",
            $key,
            ") IN (SELECT ",
            $key,
            " FROM ",
            $table,
            " WHERE scope = ? LIMIT ?) RETURNING 1"
        )
    };
}

/// Every table of a room.
const PAGES: [&str; 20] = [
    page!("room_meta", "scope"),
    page!("room_events", "num"),
    page!("room_transactions", "sender, device_id, endpoint, subject, transaction_id"),
    page!("room_auth_edges", "cited, citer"),
    page!("room_state_chains", "chain"),
    page!("room_state_deltas", "chain, type, state_key, state_group"),
    page!("room_state_log", "position, type, state_key"),
    page!("room_members", "user_id"),
    page!("room_servers", "server"),
    page!("room_receipts", "user_id, kind, thread"),
    page!("room_device_changes", "user_id"),
    page!("room_readers", "reader"),
    page!("room_missing", "event_id, wanted_by"),
    page!("room_gaps", "gap"),
    page!("room_pending", "event_id"),
    page!("room_awaited", "event_id, awaited_by"),
    page!("room_staged", "seq"),
    page!("room_join_attempt", "scope"),
    page!("room_unverified", "state_group, event_id"),
    page!("room_redactions", "event_id, redaction"),
];

/// Statements that remove at most `limit` rows of one table each, and give a row for each that is
/// removed: to be repeated until none is.
pub fn pages(scope: i64, limit: u64) -> Vec<Stmt> {
    PAGES.map(|sql| Stmt::new(sql).bind(scope).bind(scope).bind(limit)).into()
}
