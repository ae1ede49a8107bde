//! A room's chains of state on a real database: the schema holds forks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ruma::{EventId, user_id};
use skerry::{
    ports::{Sql as _, Stmt},
    store::room::{
        events::{self, Judgment, StoredEvent},
        state::{self, Part},
        stored_us,
        unread::{self, Unread},
    },
};
use skerry_core::engine::{StateAt, States};
use skerry_local::{sqlite::Sqlite, store};
use tempfile::TempDir;

const SCOPE: i64 = 7;

async fn fresh() -> (TempDir, Sqlite) {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&directory.path().join("data")).await.unwrap();
    store::migrate(&sqlite).await.unwrap();
    (directory, sqlite)
}

/// An event at a position; only what the state reads of it matters.
fn event(position: u64, name: &str) -> Stmt {
    event_stored_at(position, name, 0)
}

fn event_stored_at(position: u64, name: &str, stored_us: u64) -> Stmt {
    event_that_notifies(position, name, 0, stored_us)
}

fn event_that_notifies(position: u64, name: &str, notifies: i64, stored_us: u64) -> Stmt {
    let stored = StoredEvent {
        num: position,
        position,
        states: Some(States { before: StateAt::default(), after: StateAt::default() }),
        event_id: EventId::parse(format!("$event{position}")).unwrap(),
        event_type: name.to_owned(),
        state_key: Some(String::new()),
        sender: "@alice:localhost".to_owned(),
        json: "{}".to_owned(),
        auth_content: None,
        redacted_by: None,
        sent_by: None,
        replaces: None,
    };
    let unread =
        Unread { position, sender: stored.sender.clone(), notifies, mentions: None, thread: None };
    events::insert(SCOPE, &stored, &Judgment::MESSAGE, &unread, stored_us)
}

/// name@1, topic@2, name@3 on the first chain; a fork at 2 with topic@4, name@6.
async fn forked() -> (TempDir, Sqlite) {
    let (directory, sqlite) = fresh().await;
    let mut stmts = vec![
        state::insert_first_chain(SCOPE),
        state::insert_chain(SCOPE, 1, StateAt { chain: 0, group: 2 }),
    ];
    for (chain, name, at) in
        [(0, "name", 1), (0, "topic", 2), (0, "name", 3), (1, "topic", 4), (1, "name", 6)]
    {
        let group = StateAt { chain, group: at };
        stmts.push(state::insert_delta(SCOPE, group, (name, ""), Some(at)));
        stmts.push(event(at, name));
    }
    // A fork took the topic away.
    let group = StateAt { chain: 1, group: 8 };
    stmts.push(state::insert_delta(SCOPE, group, ("topic", ""), None));
    sqlite.batch(stmts).await.unwrap();
    (directory, sqlite)
}

#[tokio::test]
async fn the_state_at_every_point_of_a_fork_is_found() {
    let (_directory, sqlite) = forked().await;
    let cases = [
        ((0, 0), vec![]),
        ((0, 1), vec![("name", 1)]),
        ((0, 2), vec![("name", 1), ("topic", 2)]),
        ((0, 9), vec![("name", 3), ("topic", 2)]),
        ((1, 4), vec![("name", 1), ("topic", 4)]),
        ((1, 5), vec![("name", 1), ("topic", 4)]),
        ((1, 6), vec![("name", 6), ("topic", 4)]),
        ((1, 8), vec![("name", 6)]),
    ];
    let keys = [("name".to_owned(), String::new()), ("topic".to_owned(), String::new())];
    for ((chain, group), wanted) in cases {
        let at = StateAt { chain, group };
        let found = state::find(&sqlite, SCOPE, at, &keys).await.unwrap();
        let found: Vec<_> = found.iter().map(|((name, _), at)| (name.as_str(), *at)).collect();
        assert_eq!(found, wanted, "find at {at:?}");
        let listed = state::list(&sqlite, SCOPE, at, Part::WithoutMembers).await.unwrap();
        let mut listed: Vec<_> = listed.iter().map(|it| (it.event_type.as_str(), it.num)).collect();
        listed.sort_unstable();
        assert_eq!(listed, wanted, "list at {at:?}");
    }
}

#[tokio::test]
async fn chains_of_other_rooms_do_not_mix() {
    let (_directory, sqlite) = forked().await;
    let at = StateAt { chain: 0, group: 9 };
    assert!(state::list(&sqlite, SCOPE + 1, at, Part::Whole).await.unwrap().is_empty());
}

#[tokio::test]
async fn where_the_room_was_at_a_time() {
    let (_directory, sqlite) = fresh().await;
    let mut stmts = Vec::new();
    // Numbers are taken by receipts too, and left free for history.
    for (num, stored_us) in [(1, 100), (2, 100), (5, 200), (1 << 40, 300), ((1 << 40) + 3, 400)] {
        stmts.push(event_stored_at(num, "name", stored_us));
    }
    sqlite.batch(stmts).await.unwrap();
    let (before, after) = (1 << 40, (1 << 40) + 3);
    let cases = [
        (0, 0),
        (100, 0),
        (101, 2),
        (200, 2),
        (201, 5),
        (300, 5),
        (301, before),
        (400, before),
        (401, after),
        ((1 << 53) - 1, after),
    ];
    for (instant_us, position) in cases {
        let found = stored_us::find_position_before(&sqlite, SCOPE, instant_us).await.unwrap();
        assert_eq!(found, position, "before {instant_us}");
        assert_eq!(
            stored_us::find_position_before(&sqlite, SCOPE + 1, instant_us).await.unwrap(),
            0
        );
    }
    assert_eq!(stored_us::find_newest(&sqlite, SCOPE).await.unwrap(), 400);
    assert_eq!(stored_us::find_newest(&sqlite, SCOPE + 1).await.unwrap(), 0);
}

/// However much comes that notifies nobody, no more of it is read than this.
#[tokio::test]
async fn what_counts_as_unread_is_looked_for_among_the_newest_events() {
    let (_directory, sqlite) = fresh().await;
    let events = (1..=9).map(|at| event_that_notifies(at, "m", i64::from(at % 3 == 0), 0));
    sqlite.batch(events.collect()).await.unwrap();
    let bob = user_id!("@bob:localhost");
    let cases = [
        ((0, 9, 9), vec![9, 6, 3]),
        ((3, 9, 9), vec![9, 6]),
        ((0, 9, 2), vec![9, 6]),
        ((0, 4, 9), vec![9, 6]),
        ((0, 3, 9), vec![9]),
    ];
    for ((after, scanned, given), expected) in cases {
        let most = unread::Limits { scanned, given };
        let found = unread::list(&sqlite, SCOPE, after, bob, &[], most).await.unwrap();
        let found: Vec<_> = found.iter().map(|it| it.position).collect();
        assert_eq!(found, expected, "{after} {most:?}");
    }
}
