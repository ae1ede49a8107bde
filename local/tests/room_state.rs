//! A room's chains of state on a real database: the schema holds forks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use ruma::EventId;
use skerry::{
    ports::{Sql as _, Stmt},
    store::room::{
        events::{self, Judgment, StoredEvent, Unread},
        state::{self, Part},
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
    let unread = Unread {
        position,
        sender: stored.sender.clone(),
        notifies: 0,
        mentions: None,
        thread: None,
    };
    events::insert(SCOPE, &stored, &Judgment::MESSAGE, &unread)
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
