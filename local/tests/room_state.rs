//! A room's chains of state on a real database: the schema holds forks.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use skerry::{
    ports::{Sql as _, Stmt},
    store::room::{
        events::StateAt,
        state::{self, Entry},
    },
};
use skerry_local::{sqlite::Sqlite, store};
use tempfile::TempDir;

const SCOPE: i64 = 7;

async fn fresh() -> (TempDir, Sqlite) {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(directory.path()).await.unwrap();
    store::migrate(&sqlite).await.unwrap();
    (directory, sqlite)
}

fn fork(chain: u64, parent: StateAt) -> Stmt {
    Stmt::new("INSERT INTO room_state_chains VALUES (?, ?, ?, ?)")
        .bind(SCOPE)
        .bind(chain)
        .bind(parent.chain)
        .bind(parent.group)
}

/// name@1, topic@2, name@3 on the first chain; a fork at 2 with topic@4, name@6.
async fn forked() -> (TempDir, Sqlite) {
    let (directory, sqlite) = fresh().await;
    let stmts = vec![
        state::insert_first_chain(SCOPE),
        state::insert_delta(SCOPE, 0, ("name", ""), 1),
        state::insert_delta(SCOPE, 0, ("topic", ""), 2),
        state::insert_delta(SCOPE, 0, ("name", ""), 3),
        fork(1, StateAt { chain: 0, group: 2 }),
        state::insert_delta(SCOPE, 1, ("topic", ""), 4),
        state::insert_delta(SCOPE, 1, ("name", ""), 6),
    ];
    sqlite.batch(stmts).await.unwrap();
    (directory, sqlite)
}

fn read(entries: Vec<Entry>) -> Vec<(String, u64)> {
    let mut read: Vec<_> = entries.into_iter().map(|((name, _), at)| (name, at)).collect();
    read.sort();
    read
}

#[tokio::test]
async fn the_state_at_every_point_of_a_fork_is_found() {
    let (_directory, sqlite) = forked().await;
    let cases = [
        ((0, 0), None, None),
        ((0, 1), Some(1), None),
        ((0, 2), Some(1), Some(2)),
        ((0, 9), Some(3), Some(2)),
        ((1, 4), Some(1), Some(4)),
        ((1, 5), Some(1), Some(4)),
        ((1, 6), Some(6), Some(4)),
    ];
    let keys = [("name".to_owned(), String::new()), ("topic".to_owned(), String::new())];
    for ((chain, group), name, topic) in cases {
        let at = StateAt { chain, group };
        let wanted: Vec<_> = [("name", name), ("topic", topic)]
            .into_iter()
            .filter_map(|(key, at)| Some((key.to_owned(), at?)))
            .collect();
        let found = state::find(&sqlite, SCOPE, at, &keys).await.unwrap();
        assert_eq!(read(found), wanted, "find at {at:?}");
        let listed = state::list(&sqlite, SCOPE, at).await.unwrap();
        assert_eq!(read(listed), wanted, "list at {at:?}");
    }
}

#[tokio::test]
async fn chains_of_other_rooms_do_not_mix() {
    let (_directory, sqlite) = forked().await;
    let at = StateAt { chain: 0, group: 9 };
    assert!(state::list(&sqlite, SCOPE + 1, at).await.unwrap().is_empty());
}
