//! What must follow a commit outside the room follows it, whoever caused it and whatever fails.

use ruma::room_alias_id;
use serde_json::json;
use skerry::{
    Error,
    messages::room::{MembershipAction, Redact, SetListed, UpdateProfile, WasCreatedWith},
    ports::ObjectHost as _,
};

use super::stand::{alice, bob};
use crate::{
    host::{Fate, GlobalStore},
    room::Stand,
};

async fn listed() -> Stand {
    Stand::created(|it| it.listed = true).await
}

/// C5: who changes the room does not write its entry; the room does, whoever it was.
#[tokio::test]
async fn c5_the_directory_follows_its_rooms() {
    let stand = listed().await;
    assert_eq!(stand.entry().await, Some(("Harbor".to_owned(), 1)));
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    stand.run_deferred().await;
    assert_eq!(stand.entry().await, Some(("Harbor".to_owned(), 2)));
    let name = stand.send("m.room.name", Some(""), json!({ "name": "Pier" })).await.unwrap();
    stand.run_deferred().await;
    assert_eq!(stand.entry().await, Some(("Pier".to_owned(), 2)));
    let redact =
        Redact { caller: alice(), event_id: name, reason: None, transaction_id: "redact".into() };
    stand.ask(redact).await.unwrap();
    stand.run_deferred().await;
    assert_eq!(stand.entry().await, Some((String::new(), 2)));
    stand.ask(SetListed { user_id: alice().user_id, listed: false }).await.unwrap();
    stand.run_deferred().await;
    assert_eq!(stand.entry().await, None);
    assert!(!stand.agenda().await.contains(&"directory".to_owned()));
}

#[tokio::test]
async fn only_who_may_send_the_canonical_alias_lists_a_room() {
    let stand = Stand::created(|_| {}).await;
    let list =
        |caller: skerry::messages::Caller| SetListed { user_id: caller.user_id, listed: true };
    assert_eq!(stand.ask(list(bob())).await.unwrap_err().status(), 403);
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    assert_eq!(stand.ask(list(bob())).await.unwrap_err().status(), 403);
    stand.ask(list(alice())).await.unwrap();
    stand.run_deferred().await;
    assert_eq!(stand.entry().await, Some(("Harbor".to_owned(), 2)));
}

#[tokio::test]
async fn a_room_that_is_not_listed_puts_nothing_about_the_directory_on_its_agenda() {
    let stand = Stand::created(|_| {}).await;
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    stand.send("m.room.name", Some(""), json!({ "name": "Pier" })).await.unwrap();
    assert!(!stand.agenda().await.contains(&"directory".to_owned()));
    // Nor does what the directory does not show.
    let stand = listed().await;
    stand.say("hello").await.unwrap();
    let profile = UpdateProfile {
        user_id: alice().user_id,
        displayname: Some("Alice".to_owned()),
        avatar_url: None,
    };
    stand.ask(profile).await.unwrap();
    assert!(!stand.agenda().await.contains(&"directory".to_owned()));
}

/// C5: the process dies after the commit and before the directory is written.
#[tokio::test]
async fn c5_a_crash_between_commit_and_effect_is_made_up_for_by_the_alarm() {
    let mut stand = listed().await;
    let steps: [(&str, Option<(&str, u64)>); 3] =
        [("join", Some(("Harbor", 2))), ("rename", Some(("Pier", 2))), ("unlist", None)];
    for (step, entry) in steps {
        match step {
            "join" => stand.change(bob(), MembershipAction::Join).await.unwrap(),
            "rename" => {
                let pier = json!({ "name": "Pier" });
                stand.send("m.room.name", Some(""), pier).await.map(drop).unwrap();
            }
            _ => {
                let unlist = SetListed { user_id: alice().user_id, listed: false };
                stand.ask(unlist).await.unwrap();
            }
        }
        stand.crash();
        while stand.agenda().await.contains(&"directory".to_owned()) {
            stand.alarm().await.expect("an alarm, as long as something is due");
        }
        let expected = entry.map(|(name, members)| (name.to_owned(), members));
        assert_eq!(stand.entry().await, expected, "{step}");
    }
}

/// C2: an alarm that fails comes again, any number of times.
#[tokio::test]
async fn c2_a_global_store_that_is_out_of_reach_is_asked_less_and_less_often_and_never_given_up() {
    let stand = listed().await;
    stand.host.global_is(GlobalStore::Down);
    stand.change(bob(), MembershipAction::Join).await.unwrap();
    stand.run_deferred().await;
    let mut waited_ms = Vec::new();
    for _ in 0..25 {
        waited_ms.push(stand.alarm().await.expect("an alarm, as long as something is due"));
    }
    let longest = waited_ms.iter().max().copied().unwrap();
    assert!(longest > 60 * 60 * 1_000, "{waited_ms:?}");
    assert!(longest < 2 * 60 * 60 * 1_000, "{waited_ms:?}");
    stand.host.global_is(GlobalStore::Up);
    while stand.agenda().await.contains(&"directory".to_owned()) {
        stand.alarm().await.unwrap();
    }
    assert_eq!(stand.entry().await, Some(("Harbor".to_owned(), 2)));
}

/// By then the alias may be another room's.
#[tokio::test]
async fn a_room_that_would_begin_after_the_time_of_its_reservation_does_not() {
    let (stand, mut create) = Stand::open().await;
    let until_ms = stand.host.clock().now_ms() + 10;
    (create.alias, create.until_ms) =
        (Some(room_alias_id!("#harbor:localhost").to_owned()), Some(until_ms));
    stand.host.pass(10);
    let refusal = stand.ask(create).await.unwrap_err();
    assert!(refusal.is_refusal(), "the alias is given back: {refusal}");
    assert_eq!(stand.host.commits(), 0);
    stand.ask(stand.creation()).await.unwrap();
}

/// Which alias is its own a room knows for good: another that is reserved for it, by a request that
/// would have made the same room, does not lead to it.
#[tokio::test]
async fn c5_a_room_knows_the_alias_it_was_created_with() {
    let mut stand = Stand::created(|it| {
        it.alias = Some(room_alias_id!("#harbor:localhost").to_owned());
    })
    .await;
    for _ in 0..2 {
        for (alias, is_its_own) in [
            (room_alias_id!("#harbor:localhost"), true),
            (room_alias_id!("#pier:localhost"), false),
        ] {
            let asked = stand.ask(WasCreatedWith { alias: alias.to_owned() }).await;
            assert_eq!(asked.unwrap(), is_its_own, "{alias}");
        }
        stand.crash();
    }
    let (nothing, _) = Stand::open().await;
    let alias = room_alias_id!("#harbor:localhost").to_owned();
    let unknown = nothing.ask(WasCreatedWith { alias }).await.unwrap_err();
    assert!(matches!(unknown, Error::UnknownRoom), "{unknown}");
}

/// C5: an alias is reserved, and the process dies before the room is created, or after it.
#[tokio::test]
async fn c5_a_room_that_lives_owns_its_alias_and_one_that_died_does_not() {
    // What becomes of the creation, whether the process dies before the effects, whether the
    // alias leads to the room in the end.
    let cases = [
        (Fate::Written, false, true),
        (Fate::Written, true, true),
        (Fate::WrittenAndFailed, false, true),
        (Fate::WrittenAndFailed, true, true),
        (Fate::Refused, false, false),
        (Fate::Refused, true, false),
    ];
    for (fate, dies, owns) in cases {
        let (mut stand, mut create) = Stand::open().await;
        stand.reserve(1_100_000).await;
        create.alias = Some(room_alias_id!("#harbor:localhost").to_owned());
        stand.host.next_commit(fate);
        let created = stand.ask(create).await;
        assert_eq!(created.is_ok(), fate == Fate::Written);
        match dies {
            true => stand.crash(),
            false => stand.run_deferred().await,
        }
        for _ in 0..3 {
            stand.alarm().await;
        }
        assert!(!stand.agenda().await.contains(&"alias".to_owned()), "{fate:?}, {dies}");
        assert_eq!(stand.has_alias().await, Some(owns), "{fate:?}, {dies}");
    }
}
