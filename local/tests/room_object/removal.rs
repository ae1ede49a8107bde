//! What is kept for a time goes when it is over, and a room that all have forgotten goes whole.

use ruma::{RoomVersionId, room_alias_id};
use serde_json::json;
use skerry::{
    Error,
    messages::room::{Forget, GetPublicInfo, MembershipAction, Outcome, Send, Stage},
    ports::{Sql as _, Stmt},
    store::room::removal,
};

use super::{
    peer_room::{PEER, PeerRoom, own_server, user},
    stand::{alice, bob, membership, message},
};
use crate::{host::SCOPE, room::Stand};

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
        if stand.host.count(&table).await > 0 {
            left.push(table);
        }
    }
    left
}

/// Sends a message by a transaction that is always the same.
async fn transaction(stand: &Stand) -> ruma::OwnedEventId {
    let send = Send { transaction_id: Some("one".into()), ..message(alice(), "once") };
    stand.ask(send).await.unwrap()
}

/// C13: transactions.
#[tokio::test]
async fn c13_a_transaction_is_remembered_for_a_day() {
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
         INSERT INTO room_transactions (scope, sender, device_id, endpoint, subject, \
         transaction_id, position, created_ms) \
         SELECT ?, '@a:localhost', 'D', 'send', 'm.room.message', i, 1, 1 FROM n",
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
    stand.host.pass(60_000);
    let send = Send { transaction_id: Some("two".into()), ..message(alice(), "another") };
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

/// C13: the room itself.
#[tokio::test]
async fn c13_a_room_that_all_have_left_and_forgotten_is_removed() {
    let stand = forgotten().await;
    assert_eq!(stand.has_alias().await, Some(true));
    while !left(&stand).await.is_empty() {
        stand.alarm().await.expect("an alarm, as long as something is left");
    }
    assert!(is_absent(&stand).await);
    assert_eq!(stand.entry().await, None);
    assert_eq!(stand.has_alias().await, None);
    assert_eq!(stand.alarm().await, None);
}

#[tokio::test]
async fn a_removal_that_is_cut_short_goes_on_and_a_new_room_begins_on_an_empty_store() {
    let mut cut_short = 0;
    for pages in 0..10 {
        for begins_anew in [false, true] {
            let mut stand = forgotten().await;
            stand.host.removal_fails_after(Some(pages));
            while stand.host.count("room_meta").await > 0 {
                stand.alarm().await.expect("an alarm, as long as the room is to be removed");
            }
            cut_short += usize::from(!left(&stand).await.is_empty());
            stand.host.removal_fails_after(None);
            stand.crash();
            if begins_anew {
                stand.ask(stand.creation()).await.unwrap();
                stand.run_deferred().await;
                assert!(!is_absent(&stand).await, "after {pages} pages");
                assert_eq!(stand.host.count("room_members").await, 1, "after {pages} pages");
            } else {
                assert!(is_absent(&stand).await, "after {pages} pages");
                while !left(&stand).await.is_empty() {
                    stand.alarm().await.expect("an alarm, as long as something is left");
                }
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
    let invite = membership(alice(), bob().user_id, MembershipAction::Invite);
    stand.ask(invite).await.unwrap();
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

/// C13: what a join has staged that did not come to its end.
#[tokio::test]
async fn c13_what_a_join_that_died_has_staged_is_removed() {
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
    stand.host.pass(skerry::objects::room::limits::STAGED_MS - 1);
    stand.ask(stage()).await.unwrap();
    stand.alarm().await.unwrap();
    assert_eq!(left(&stand).await, ["room_join_attempt"], "the join goes on");
    stand.alarm().await.expect("an alarm, as long as something is staged");
    assert_eq!(left(&stand).await, Vec::<String>::new());
}

/// C13: events and redactions that wait for what never comes.
#[tokio::test]
async fn c13_what_waits_in_vain_is_removed_in_its_time() {
    let mut peer = PeerRoom::small();
    let stand = Stand::empty(own_server(), &peer.create.room_id).await;
    stand.alice_joins(&mut peer).await;
    let nothing = json!({ "redacts": "$nothing-that-ever-was-in-this-room-00000000000" });
    let carol = user("carol", PEER);
    let redaction = peer.add(&carol, "m.room.redaction", None, nothing);
    assert_eq!(stand.receive(&redaction).await, Outcome::Accepted { redacted: false });
    peer.add(&carol, "m.room.message", None, json!({ "body": "never sent" }));
    let waits = peer.add(&carol, "m.room.message", None, json!({ "body": "too early" }));
    assert!(matches!(stand.receive(&waits).await, Outcome::Waits { .. }));
    let counts = async || {
        let (pending, awaited) =
            (stand.host.count("room_pending").await, stand.host.count("room_awaited").await);
        (pending, awaited, stand.host.count("room_redactions").await)
    };
    assert_eq!(counts().await, (1, 1, 1));
    let mut passed_ms = 0;
    while stand.agenda().await.contains(&"expire".to_owned()) {
        passed_ms += stand.alarm().await.expect("an alarm, as long as something waits");
        // Nobody is there to be asked for what is missing.
        for work in stand.host.take_deferred() {
            work.await;
        }
        if passed_ms / DAY_MS < 30 {
            assert_eq!(counts().await, (1, 1, 1), "after {passed_ms} ms");
        }
    }
    assert_eq!(counts().await, (0, 0, 0), "after {passed_ms} ms");
    // It may go up to an hour later.
    assert!(passed_ms / DAY_MS <= 30, "after {passed_ms} ms");
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
