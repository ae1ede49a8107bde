//! What a server's database says, past all that the server shows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use skerry::ports::{Row, Sql as _, Stmt};
use skerry_local::sqlite::InMemory;

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its ID.
    pub id: String,
    /// Where it stands in the room's stream.
    pub position: u64,
    /// It was put into a gap: before what clients had seen.
    pub is_moved: bool,
    /// 0: accepted, 1: soft-failed, 2: rejected.
    pub verdict: u64,
    /// Known only because others name it.
    pub is_outlier: bool,
    /// Redacted since.
    pub is_redacted: bool,
    /// The PDU.
    pub json: String,
}

impl Event {
    /// Whether by it a user of whom this holds is not joined any more.
    pub fn ends_membership(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.sets_membership(&["leave", "ban"], is_meant)
    }

    /// Whether by it a user of whom this holds is joined.
    pub fn joins(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.sets_membership(&["join"], is_meant)
    }

    fn sets_membership(&self, to: &[&str], is_meant: impl Fn(&str) -> bool) -> bool {
        let json: Value = serde_json::from_str(&self.json).expect("JSON");
        let membership = json["content"]["membership"].as_str();
        membership.is_some_and(|it| to.contains(&it))
            && json["state_key"].as_str().is_some_and(is_meant)
    }
}

/// A state: the event of each key.
pub type State = BTreeMap<(String, String), String>;

async fn rows(database: &InMemory, stmt: Stmt) -> Vec<Row> {
    database.rows(stmt).await.expect("rows")
}

/// The events of a room.
pub async fn events(database: &InMemory, room_id: &str) -> Vec<Event> {
    let stmt = Stmt::new(
        "SELECT event_id, verdict, state_chain IS NULL, redacted_by IS NOT NULL, json, \
         coalesce(moved_to, num), moved_to IS NOT NULL \
         FROM room_events JOIN objects USING (scope) WHERE kind = 'room' AND name = ? \
         ORDER BY num",
    );
    let event = |mut row: Row| Event {
        id: row.take(0).unwrap(),
        verdict: row.take(1).unwrap(),
        is_outlier: row.take(2).unwrap(),
        is_redacted: row.take(3).unwrap(),
        json: row.take(4).unwrap(),
        position: row.take(5).unwrap(),
        is_moved: row.take(6).unwrap(),
    };
    rows(database, stmt.bind(room_id)).await.into_iter().map(event).collect()
}

/// The current state of a room.
pub async fn state(database: &InMemory, room_id: &str) -> State {
    let stmt = Stmt::new(
        "SELECT d.type, d.state_key, event_id FROM \
         (SELECT scope, type, state_key, event, max(state_group) FROM room_state_deltas \
         WHERE chain = 0 GROUP BY scope, type, state_key) d \
         JOIN objects o ON o.scope = d.scope \
         JOIN room_events e ON e.scope = d.scope AND e.num = d.event \
         WHERE o.kind = 'room' AND o.name = ?",
    );
    let entry = |mut row: Row| {
        ((row.take(0).unwrap(), row.take(1).unwrap()), row.take::<String>(2).unwrap())
    };
    rows(database, stmt.bind(room_id)).await.into_iter().map(entry).collect()
}

/// The memberships of a room's users.
pub async fn members(database: &InMemory, room_id: &str) -> BTreeMap<String, String> {
    let stmt = Stmt::new(
        "SELECT user_id, membership FROM room_members JOIN objects USING (scope) \
         WHERE kind = 'room' AND name = ?",
    );
    let member = |mut row: Row| (row.take(0).unwrap(), row.take::<String>(1).unwrap());
    rows(database, stmt.bind(room_id)).await.into_iter().map(member).collect()
}

/// Where in a room's stream a user came to be joined; none: they are not.
pub async fn joined_at(database: &InMemory, room_id: &str, user_id: &str) -> Option<u64> {
    let stmt = Stmt::new(
        "SELECT position FROM room_members JOIN objects USING (scope) \
         WHERE kind = 'room' AND name = ? AND user_id = ? AND membership = 'join'",
    );
    let rows = rows(database, stmt.bind(room_id).bind(user_id)).await;
    rows.into_iter().next().map(|mut row| row.take(0).unwrap())
}

/// The forward extremities of a room, where it is not linear.
pub async fn extremities(database: &InMemory, room_id: &str) -> Option<String> {
    let stmt = Stmt::new(
        "SELECT extremities FROM room_meta JOIN objects USING (scope) \
         WHERE kind = 'room' AND name = ?",
    );
    let rows = rows(database, stmt.bind(room_id)).await;
    rows.into_iter().next().and_then(|mut row| row.take(0).unwrap())
}

/// The events of a room before which history is missing: where they stand.
pub async fn gaps(database: &InMemory, room_id: &str) -> BTreeSet<u64> {
    let stmt = Stmt::new(
        "SELECT gap FROM room_gaps JOIN objects USING (scope) WHERE kind = 'room' AND name = ?",
    );
    let rows = rows(database, stmt.bind(room_id)).await;
    rows.into_iter().map(|mut row| row.take(0).unwrap()).collect()
}

/// An event that waits for others.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Where.
    pub room_id: String,
    /// Its ID.
    pub event_id: String,
    /// Who sent it.
    pub sender: String,
    /// For which.
    pub awaited: String,
}

/// Events that wait for others. What waits in rooms that the server's users have left is told by
/// nobody.
pub async fn pending(database: &InMemory, host: &str) -> Vec<Pending> {
    let pending = Stmt::new(
        "SELECT name, event_id, json ->> 'sender', awaited \
         FROM room_pending p JOIN objects USING (scope) WHERE EXISTS (SELECT 1 FROM room_members m \
         WHERE m.scope = p.scope AND membership = 'join' AND user_id LIKE '%:' || ?)",
    );
    let read = |mut row: Row| Pending {
        room_id: row.take(0).unwrap(),
        event_id: row.take(1).unwrap(),
        sender: row.take(2).unwrap(),
        awaited: row.take(3).unwrap(),
    };
    rows(database, pending.bind(host)).await.into_iter().map(read).collect()
}

/// What a server has still to do for others: nothing, once all is quiet.
pub async fn unfinished(database: &InMemory, now_ms: u64) -> Vec<String> {
    const QUESTIONS: [&str; 5] = [
        "SELECT 'for ' || name || ': ' || edu FROM destination_edus JOIN objects USING (scope)",
        "SELECT 'of ' || name || ': devices of ' || user_id \
         FROM destination_changed_users JOIN objects USING (scope)",
        "SELECT 'to ' || name || ': ' || room_id FROM destination_rooms JOIN objects USING (scope) \
         WHERE sent IS NULL OR waiting > sent",
        "SELECT 'outbox of ' || name || ': ' || user_outbox.kind \
         FROM user_outbox JOIN objects USING (scope)",
        "SELECT 'undelivered in ' || name || ': ' || user_id || ' ' || membership || ' at ' || \
         position || ', alarm ' || \
         coalesce((SELECT at_ms FROM alarms a WHERE a.scope = m.scope), 0) \
         FROM room_members m JOIN objects USING (scope) WHERE delivered = 0",
    ];
    let mut found = Vec::new();
    for question in QUESTIONS {
        found.extend(rows(database, Stmt::new(question)).await);
    }
    let overdue = Stmt::new(
        "SELECT 'overdue in ' || name || ': ' || due || ' at ' || at_ms FROM agenda \
         JOIN objects USING (scope) WHERE at_ms < ?",
    );
    found.extend(rows(database, overdue.bind(now_ms.saturating_sub(60_000))).await);
    found.into_iter().map(|mut row| row.take(0).unwrap()).collect()
}

/// Receipts that were made at a time.
pub async fn receipts_of(database: &InMemory, ts: u64) -> u64 {
    let stmt = Stmt::new("SELECT count(*) FROM room_receipts WHERE ts = ?");
    let counted = rows(database, stmt.bind(ts)).await.into_iter().next();
    counted.map_or(0, |mut row| row.take(0).unwrap())
}

/// Since when another server is in a room, as this one knows; none: it is not.
pub async fn present_since(database: &InMemory, room_id: &str, server: &str) -> Option<u64> {
    let stmt = Stmt::new(
        "SELECT since FROM room_servers JOIN objects USING (scope) \
         WHERE kind = 'room' AND name = ? AND server = ? AND until IS NULL",
    );
    let rows = rows(database, stmt.bind(room_id).bind(server)).await;
    rows.into_iter().next().map(|mut row| row.take(0).unwrap())
}

/// Up to where another server was given what is said in a room, and what stands behind that: IDs.
pub async fn behind(database: &InMemory, room_id: &str, server: &str) -> Vec<String> {
    let stmt = Stmt::new(
        "SELECT e.event_id FROM room_servers s JOIN objects o ON o.scope = s.scope \
         JOIN room_events e ON e.scope = s.scope AND coalesce(e.moved_to, e.num) > s.until \
         WHERE o.kind = 'room' AND o.name = ? AND s.server = ?",
    );
    let rows = rows(database, stmt.bind(room_id).bind(server)).await;
    rows.into_iter().map(|mut row| row.take(0).unwrap()).collect()
}
