//! Lists of devices of another server's users: asked for once, changed by what the server says,
//! fetched again when something was missed, and forgotten when no room is shared (F12, T9b).

use futures_util::future::{join, join3};
use serde_json::json;
use skerry::{
    ports::ObjectHost as _,
    store::destination::device_lists::{self as store, Tracked},
};
use skerry_core::device_keys::lists::{
    FETCHED_FOR_MS, Known, MAX_AGE_MS, MAX_LIST_BYTES, MAX_LISTS_BYTES,
};

use crate::{
    federation::{ROOM, SERVER, World, user},
    host::Fate,
};

/// Bob has a phone, and his list is kept: it was fetched at 5, after the update 5.
async fn with_bob() -> World {
    let world = World::new().await;
    world.has("bob", &["PHONE"], 1);
    assert_eq!(world.devices("bob").await, ["PHONE"]);
    let update = world.update("bob", "PHONE", 5, &[]);
    world.say(&[update]).await;
    world.drain().await;
    assert_eq!((world.asked(), world.told()), (texts(&["several", "one"]), texts(&["bob"])));
    world
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|it| (*it).to_owned()).collect()
}

#[tokio::test]
async fn f12_the_second_question_asks_nobody() {
    let mut world = World::new().await;
    world.has("bob", &["PHONE", "TABLET"], 1);
    let bob = || ("bob".to_owned(), texts(&["PHONE", "TABLET"]));
    let carol = || ("carol".to_owned(), Vec::new());
    assert_eq!(world.query(&["bob", "carol"]).await, (vec![bob(), carol()], false));
    assert_eq!((world.asked(), world.rooms_asked()), (texts(&["several"]), 1));
    let commits = world.host.commits();
    assert_eq!(world.query(&["bob", "carol"]).await, (vec![bob(), carol()], false));
    world.crash();
    assert_eq!(world.query(&["carol", "bob"]).await, (vec![bob(), carol()], false));
    assert_eq!((world.asked(), world.rooms_asked()), (Vec::new(), 0));
    assert_eq!(world.host.commits(), commits);
    world.is_away(true);
    assert_eq!(world.devices("bob").await, ["PHONE", "TABLET"], "it is given all the same");
}

#[tokio::test]
async fn t16_who_shares_no_encrypted_room_is_not_kept() {
    let world = World::new().await;
    world.has("mallory", &["M"], 1);
    for _ in 0..2 {
        let (lists, has_failed) = world.query(&["bob", "mallory"]).await;
        assert_eq!((lists.len(), has_failed), (2, false));
        assert_eq!(world.asked(), ["several"], "of her the server promises nothing");
    }
    assert_eq!(world.kept().await, 1);
    world.is_away(true);
    assert_eq!(world.query(&["mallory"]).await, (Vec::new(), true));
    let update = world.update("mallory", "M", 2, &[1]);
    world.say(&[update]).await;
    world.drain().await;
    assert_eq!(world.told(), ["mallory"], "rooms know better");
    assert_eq!(world.kept().await, 1);
}

#[tokio::test]
async fn f12_updates_in_order_are_applied_without_asking() {
    let mut world = with_bob().await;
    let one = world.update("bob", "PHONE", 6, &[5]);
    let two = world.update("bob", "TABLET", 8, &[6]);
    let gone = json!({ "edu_type": "m.device_list_update", "content": { "user_id": user("bob"),
        "device_id": "PHONE", "deleted": true, "stream_id": 9, "prev_id": [8] } });
    world.say(&[one, two.clone(), gone.clone()]).await;
    world.crash();
    assert_eq!(world.devices("bob").await, ["TABLET"]);
    world.alarm().await;
    assert_eq!(world.told(), ["bob"], "once, also after the crash");
    // The transaction comes again.
    world.say(std::slice::from_ref(&gone)).await;
    world.drain().await;
    assert_eq!((world.told(), world.asked()), (Vec::new(), Vec::new()));
    assert_eq!(world.devices("bob").await, ["TABLET"]);
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn f12_after_a_gap_the_list_is_fetched_once_for_all() {
    let world = with_bob().await;
    let missed = world.update("bob", "MISSED", 6, &[5]);
    let late = world.update("bob", "TABLET", 7, &[6]);
    world.hold();
    world.say(&[late]).await;
    let ((), one, other) = join3(
        world.drain(),
        async {
            world.arrived(1).await;
            join(async { world.release() }, world.devices("bob")).await.1
        },
        async {
            world.arrived(1).await;
            world.devices("bob").await
        },
    )
    .await;
    let all = texts(&["MISSED", "PHONE", "TABLET"]);
    assert_eq!((one, other), (all.clone(), all.clone()));
    assert_eq!(world.asked(), ["one"]);
    assert_eq!(world.told(), ["bob"], "once: nobody has the old list");
    // What was missed comes late.
    world.say(&[missed]).await;
    assert_eq!(world.devices("bob").await, all);
    world.drain().await;
    let next = world.update("bob", "WATCH", 8, &[7]);
    world.asked();
    world.say(&[next]).await;
    assert_eq!(world.devices("bob").await.len(), 4);
    assert_eq!(world.asked(), Vec::<String>::new(), "it goes on from there");
}

#[tokio::test]
async fn f12_a_list_is_fetched_again_until_that_works() {
    let mut world = with_bob().await;
    let update = world.update("bob", "TABLET", 7, &[6]);
    world.is_away(true);
    world.say(&[update]).await;
    world.drain().await;
    assert_eq!(world.told(), ["bob"]);
    assert_eq!(world.query(&["bob"]).await, (Vec::new(), true), "it is known to be out of date");
    let mut waited_ms = 0;
    for round in 0..12 {
        waited_ms += world.alarm().await;
        if round % 4 == 0 {
            world.crash();
        }
    }
    assert!(waited_ms > 60_000, "{waited_ms}");
    world.is_away(false);
    while world.kept().await > 0 && world.told().is_empty() {
        world.alarm().await;
    }
    assert_eq!(world.asked(), ["one"]);
    assert_eq!(world.devices("bob").await, ["PHONE", "TABLET"]);
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn f12_who_was_told_nothing_hears_when_the_list_is_there() {
    let world = with_bob().await;
    for asks in [false, true] {
        let id = if asks { 30 } else { 20 };
        let update = world.update("bob", "TABLET", id, &[id - 1]);
        world.is_away(true);
        world.say(&[update]).await;
        world.drain().await;
        assert_eq!(world.told(), ["bob"]);
        if asks {
            assert_eq!(world.query(&["bob"]).await, (Vec::new(), true));
        }
        world.is_away(false);
        world.host.pass(60_000);
        world.sign_of_life().await;
        assert_eq!(world.asked(), ["one"], "a sign of life has it asked at once");
        assert_eq!(world.devices("bob").await, ["PHONE", "TABLET"]);
        // The eager attempt that failed counts as somebody who wanted it.
        assert_eq!(world.told(), ["bob"]);
    }
}

#[tokio::test]
async fn t9b_what_comes_while_a_list_is_fetched_is_not_lost() {
    let world = World::new().await;
    world.has("bob", &["PHONE"], 4);
    world.hold();
    let update = json!({ "edu_type": "m.device_list_update", "content": { "user_id": user("bob"),
        "device_id": "PHONE", "stream_id": 5, "prev_id": [4] } });
    let (first, ()) = join(world.devices("bob"), async {
        world.arrived(1).await;
        world.say(&[update]).await;
        world.release();
    })
    .await;
    assert_eq!((first, world.kept().await), (texts(&["PHONE"]), 0), "it may be the old one");
    assert_eq!(world.devices("bob").await, ["PHONE"]);
    assert_eq!(world.kept().await, 1);
    // So with one that is kept already.
    let gap = world.update("bob", "TABLET", 9, &[8]);
    let later = world.update("bob", "WATCH", 10, &[9]);
    world.asked();
    world.say(&[gap]).await;
    world.hold();
    let ((), ()) = join(world.drain(), async {
        world.arrived(1).await;
        world.say(&[later]).await;
        world.release();
    })
    .await;
    assert_eq!(world.devices("bob").await, ["PHONE", "TABLET", "WATCH"]);
    assert_eq!(world.asked(), ["one", "one"]);
}

#[tokio::test]
async fn f12_who_leaves_is_forgotten() {
    let world = with_bob().await;
    world.has("carol", &["C"], 1);
    assert_eq!(world.devices("carol").await, ["C"]);
    world.activity(2).await;
    assert_eq!(world.kept().await, 2, "nobody has left");
    world.depart(&["bob", "stranger"], false, 3).await;
    assert_eq!(world.kept().await, 1);
    world.asked();
    world.shared.members.lock().unwrap().remove(&user("bob"));
    assert_eq!(world.devices("bob").await, ["PHONE"]);
    assert_eq!((world.asked(), world.kept().await), (texts(&["several"]), 1));
    world.depart(&[], true, 4).await;
    assert_eq!(world.kept().await, 0, "no user of this server was there");
    world.devices("carol").await;
    assert_eq!(world.kept().await, 1);
    world.forget_room();
    world.activity(5).await;
    assert_eq!(world.kept().await, 0, "the room is not here any more");
}

#[tokio::test]
async fn f12_who_leaves_while_their_list_is_fetched_is_not_kept() {
    for are_all in [false, true] {
        let world = World::new().await;
        world.has("bob", &["PHONE"], 1);
        world.hold();
        let (devices, ()) = join(world.devices("bob"), async {
            world.arrived(1).await;
            let left: &[&str] = if are_all { &[] } else { &["bob"] };
            world.depart(left, are_all, 2).await;
            world.release();
        })
        .await;
        assert_eq!((devices, world.kept().await), (texts(&["PHONE"]), 0));
    }
}

#[tokio::test]
async fn f12_an_old_list_is_asked_for_again() {
    let world = with_bob().await;
    world.host.pass(MAX_AGE_MS + 1);
    world.is_away(true);
    assert_eq!(world.devices("bob").await, ["PHONE"], "nothing says that it is out of date");
    world.is_away(false);
    assert_eq!(world.devices("bob").await, ["PHONE"]);
    // The server has said nothing of it.
    world.host.pass(MAX_AGE_MS + 1);
    world.has("bob", &["TABLET"], 9);
    world.asked();
    world.told();
    assert_eq!(world.devices("bob").await, ["TABLET"]);
    world.drain().await;
    assert_eq!((world.asked(), world.told()), (texts(&["several"]), texts(&["bob"])));
    assert_eq!(world.devices("bob").await, ["TABLET"]);
    assert_eq!(world.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn t9b_a_change_that_was_not_written_comes_again() {
    let mut world = with_bob().await;
    let update = world.update("bob", "TABLET", 6, &[5]);
    for fate in [Fate::Refused, Fate::WrittenAndFailed] {
        world.host.next_commit(fate);
        world.try_say(std::slice::from_ref(&update)).await.unwrap_err();
        world.crash();
    }
    world.say(&[update]).await;
    assert_eq!(world.devices("bob").await, ["PHONE", "TABLET"]);
    world.alarm().await;
    assert_eq!((world.told(), world.asked()), (texts(&["bob"]), Vec::new()));
}

#[tokio::test]
async fn f12_what_was_to_be_fetched_is_fetched_after_a_crash() {
    let mut world = with_bob().await;
    let update = world.update("bob", "TABLET", 9, &[8]);
    world.say(&[update]).await;
    world.crash();
    world.alarm().await;
    assert_eq!(world.asked(), ["one"]);
    // Who asked the process that has died may have been told that it is not to be had.
    assert!(!world.told().is_empty());
    assert_eq!(world.devices("bob").await, ["PHONE", "TABLET"]);
    world.alarm().await;
    assert_eq!((world.asked(), world.host.alarm_is_set_for_ms()), (Vec::new(), None));
}

#[tokio::test]
async fn a_server_that_knows_one_way_to_ask_is_asked_that_way() {
    let world = with_bob().await;
    world.is_old();
    let update = world.update("bob", "TABLET", 9, &[8]);
    world.say(&[update]).await;
    assert_eq!(world.devices("bob").await, ["PHONE", "TABLET"]);
    world.drain().await;
    assert_eq!(world.asked(), ["one", "several"]);
}

#[tokio::test]
async fn t1_what_is_kept_of_lists_is_bounded() {
    let world = World::new().await;
    let devices: Vec<_> = (0..MAX_LIST_BYTES / 400).map(|it| format!("DEVICE{it}")).collect();
    let devices: Vec<_> = devices.iter().map(|it| &**it).collect();
    world.has("bob", &devices, 1);
    assert_eq!(world.devices("bob").await.len(), devices.len());
    assert_eq!(world.kept().await, 0, "it is given, and too large to be kept");
    let (scope, now_ms) = (world.host.scope(), world.host.clock().now_ms());
    let stmts = (0..3).flat_map(|it| {
        let tracked = Tracked {
            user_id: format!("@{it}:{SERVER}").try_into().unwrap(),
            room_id: ROOM.try_into().unwrap(),
            known: Known::default(),
            stale_ms: None,
            fetched_ms: now_ms,
            bytes: MAX_LISTS_BYTES / 3,
        };
        let list = store::upsert_list(scope, &tracked.user_id, r#"{"devices":{}}"#);
        [store::upsert(scope, &tracked).unwrap(), list]
    });
    world.host.commit(stmts.collect(), None).await.unwrap();
    world.has("carol", &["C"], 1);
    world.host.pass(1);
    assert_eq!(world.devices("carol").await, ["C"]);
    assert_eq!(world.kept().await, 1, "the oldest go");
    assert_eq!(world.query(&["carol", "0"]).await.0.len(), 2);
}

#[tokio::test]
async fn t1_a_list_that_cannot_be_had_is_forgotten_in_the_end() {
    let world = with_bob().await;
    let update = world.update("bob", "TABLET", 9, &[8]);
    world.is_away(true);
    world.say(&[update]).await;
    world.drain().await;
    world.host.pass(FETCHED_FOR_MS);
    for _ in 0..3 {
        world.alarm().await;
        if world.kept().await == 0 {
            break;
        }
    }
    assert_eq!(world.kept().await, 0);
    world.is_away(false);
    assert_eq!(world.devices("bob").await, ["PHONE", "TABLET"]);
}
