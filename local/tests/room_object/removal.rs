//! What is kept for a time goes when it is over, and a room that all have forgotten goes whole.

use ruma::{RoomVersionId, room_alias_id};
use serde_json::{json, value::to_raw_value};
use skerry::{
    Error,
    messages::room::{ChangeMembership, Forget, GetPublicInfo, MembershipAction, Send, Stage},
    ports::{Sql as _, Stmt},
    store::room::removal,
};

use super::stand::{SCOPE, Stand, alice, bob};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The tables of rooms.
async fn tables(stand: &Stand) -> Vec<String> {
    let list =
        Stmt::new("SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'room_*'");
    let rows = stand.host.sqlite.rows(list).await.unwrap();
    let names = rows.into_iter().map(|mut row| row.take::<String>(0).unwrap());
    names.filter(|it| it != "room_directory").collect()
}

/// The tables that have rows of the room.
async fn left(stand: &Stand) -> Vec<String> {
    let mut left = Vec::new();
    for table in tables(stand).await.into_iter().chain(["agenda".to_owned()]) {
        let sql: &'static str =
            Box::leak(format!("SELECT 1 FROM {table} WHERE scope = ? LIMIT 1").into_boxed_str());
        let rows = stand.host.sqlite.rows(Stmt::new(sql).bind(SCOPE)).await.unwrap();
        if !rows.is_empty() {
            left.push(table);
        }
    }
    left
}

async fn transaction(stand: &Stand) -> ruma::OwnedEventId {
    let send = Send {
        caller: alice(),
        event_type: "m.room.message".to_owned(),
        state_key: None,
        content: to_raw_value(&json!({ "msgtype": "m.text", "body": "once" })).unwrap(),
        transaction_id: Some("one".into()),
        timestamp_ms: None,
    };
    stand.ask(send).await.unwrap()
}

#[tokio::test]
async fn a_transaction_is_remembered_for_a_day() {
    let stand = Stand::created(|_| {}).await;
    let first = transaction(&stand).await;
    stand.run_deferred().await;
    assert_eq!(transaction(&stand).await, first);
    let mut passed_ms = 0;
    while stand.agenda().await.contains(&"expire".to_owned()) {
        passed_ms += stand.alarm().await.expect("an alarm, as long as something is kept");
        if passed_ms < DAY_MS {
            assert_eq!(transaction(&stand).await, first);
        }
    }
    assert!((DAY_MS..DAY_MS + 60_000).contains(&passed_ms), "{passed_ms}");
    assert_ne!(transaction(&stand).await, first);
}

#[tokio::test]
async fn more_than_a_page_of_old_rows_is_removed() {
    let stand = Stand::created(|_| {}).await;
    transaction(&stand).await;
    let fill = Stmt::new(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25000) \
         INSERT INTO room_transactions (scope, sender, device_id, path, position, created_ms) \
         SELECT ?, '@a:localhost', 'D', i, 1, 1 FROM n",
    );
    stand.host.sqlite.batch(vec![fill.bind(SCOPE)]).await.unwrap();
    let mut alarms = 0;
    while stand.agenda().await.contains(&"expire".to_owned()) {
        stand.alarm().await.unwrap();
        alarms += 1;
    }
    assert!(!left(&stand).await.contains(&"room_transactions".to_owned()));
    assert!(alarms > 2, "one alarm removes a bounded number of pages: {alarms}");
}

#[tokio::test]
async fn a_message_writes_the_agenda_only_when_nothing_is_kept_yet() {
    let stand = Stand::created(|_| {}).await;
    transaction(&stand).await;
    let list = || skerry::store::agenda::list(&*stand.host.sqlite, SCOPE);
    let before = list().await.unwrap();
    stand.pass(60_000);
    let send = Send {
        caller: alice(),
        event_type: "m.room.message".to_owned(),
        state_key: None,
        content: to_raw_value(&json!({ "body": "another" })).unwrap(),
        transaction_id: Some("two".into()),
        timestamp_ms: None,
    };
    stand.ask(send).await.unwrap();
    assert_eq!(list().await.unwrap(), before);
}

async fn leave_and_forget(stand: &Stand, caller: skerry::messages::Caller) {
    let user_id = caller.user_id.clone();
    stand.change(caller, MembershipAction::Leave).await.unwrap();
    stand.run_deferred().await;
    stand.ask(Forget { user_id }).await.unwrap();
}

/// A room with something in most tables, which alice and bob have left and forgotten.
async fn forgotten() -> Stand {
    let (stand, mut create) = Stand::open().await;
    stand.reserve(1_100_000).await;
    create.listed = true;
    create.alias = Some(room_alias_id!("#harbor:localhost").to_owned());
    stand.ask(create).await.unwrap();
    stand.run_deferred().await;
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    transaction(&stand).await;
    stand.run_deferred().await;
    leave_and_forget(&stand, bob()).await;
    assert!(!stand.agenda().await.contains(&"destroy".to_owned()), "alice is still in it");
    leave_and_forget(&stand, alice()).await;
    assert!(stand.agenda().await.contains(&"destroy".to_owned()));
    stand
}

async fn is_absent(stand: &Stand) -> bool {
    matches!(stand.ask(GetPublicInfo {}).await, Err(Error::UnknownRoom))
}

#[tokio::test]
async fn a_room_that_all_have_left_and_forgotten_is_removed() {
    let stand = forgotten().await;
    assert!(stand.is_alias_at(9_000_000).await);
    while !left(&stand).await.is_empty() {
        stand.alarm().await.expect("an alarm, as long as something is left");
    }
    assert!(is_absent(&stand).await);
    assert_eq!(stand.entry().await, None);
    assert!(!stand.is_alias_at(0).await);
    assert_eq!(stand.alarm().await, None);
}

#[tokio::test]
async fn a_removal_that_is_cut_short_goes_on_and_a_new_room_begins_on_an_empty_store() {
    let mut cut_short = 0;
    for pages in 0..10 {
        for begins_anew in [false, true] {
            let mut stand = forgotten().await;
            *stand.host.destroyed_pages.lock().unwrap() = Some(pages);
            while stand.count("room_meta").await > 0 {
                stand.alarm().await.expect("an alarm, as long as the room is to be removed");
            }
            cut_short += usize::from(!left(&stand).await.is_empty());
            *stand.host.destroyed_pages.lock().unwrap() = None;
            stand.crash();
            if begins_anew {
                stand.ask(stand.creation()).await.unwrap();
                stand.run_deferred().await;
                assert!(!is_absent(&stand).await, "after {pages} pages");
                assert_eq!(stand.count("room_members").await, 1, "after {pages} pages");
            } else {
                assert!(is_absent(&stand).await, "after {pages} pages");
                assert_eq!(left(&stand).await, Vec::<String>::new(), "after {pages} pages");
            }
        }
    }
    assert!(cut_short >= 8, "{cut_short}");
}

#[tokio::test]
async fn a_room_that_somebody_is_invited_to_again_is_not_removed() {
    let (stand, create) = Stand::open().await;
    stand.ask(create).await.unwrap();
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    leave_and_forget(&stand, bob()).await;
    let invite = || ChangeMembership {
        caller: alice(),
        target: bob().user_id,
        action: MembershipAction::Invite,
        reason: None,
        displayname: None,
        avatar_url: None,
        is_direct: false,
    };
    stand.ask(invite()).await.unwrap();
    leave_and_forget(&stand, alice()).await;
    for _ in 0..5 {
        stand.alarm().await;
    }
    assert!(!is_absent(&stand).await, "bob may still accept");
    leave_and_forget(&stand, bob()).await;
    for _ in 0..5 {
        stand.alarm().await;
    }
    assert!(is_absent(&stand).await);
}

#[tokio::test]
async fn what_a_join_that_died_has_staged_is_removed() {
    let (stand, _) = Stand::open().await;
    let stage = || Stage {
        attempt: "only".to_owned(),
        begins: true,
        room_version: RoomVersionId::V12,
        events: Vec::new(),
        is_state: true,
        keys: Vec::new(),
    };
    stand.ask(stage()).await.unwrap();
    stand.pass(skerry::objects::room::limits::STAGED_MS - 1);
    stand.ask(stage()).await.unwrap();
    stand.alarm().await.unwrap();
    assert_eq!(left(&stand).await, ["room_join_attempt"], "the join goes on");
    stand.alarm().await.expect("an alarm, as long as something is staged");
    assert_eq!(left(&stand).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_removal_of_a_room_knows_all_tables() {
    let (stand, _) = Stand::open().await;
    let pages = removal::pages(SCOPE, 1);
    for table in tables(&stand).await {
        let delete = format!("DELETE FROM {table} ");
        assert!(pages.iter().any(|it| it.sql.starts_with(&delete)), "{table}");
    }
}
