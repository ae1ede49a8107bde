//! What must be done elsewhere is done in the end.

use ruma::{RoomId, events::room::member::MembershipState, room_id};
use serde_json::Value as JsonValue;
use skerry::{
    messages::user::{Register, Reservation},
    objects::user::limits,
    ports::{ObjectHost as _, Sql as _, Stmt},
    store::global::{accounts, registration_tokens},
};

use super::{
    account::{HOUR_MS, a_membership, ann, deactivate, lived_in, register, set_name, stored},
    stand::World,
};
use crate::host::{BEGIN_MS, GlobalStore};

#[tokio::test]
async fn the_list_of_accounts_is_brought_up_to_date_until_it_works() {
    let world = World::new().await;
    let list = async |world: &World| accounts::find(&*world.host.sqlite, &ann()).await.unwrap();
    let stmts = vec![
        registration_tokens::upsert("t", Some(1), true),
        registration_tokens::reserve("t", &ann(), BEGIN_MS),
    ];
    world.host.sqlite.batch(stmts).await.unwrap();
    world.host.global_is(GlobalStore::Down);
    let until_ms = BEGIN_MS + 1;
    let reservation = Some(Reservation { token_hash: "t".to_owned(), until_ms });
    world.ask(Register { reservation, is_admin: true, ..register(None) }).await;
    world.drain().await;
    assert_eq!(list(&world).await, None);
    for _ in 0..40 {
        world.host.pass_until_alarm().unwrap();
        world.alarm().await;
    }
    world.host.global_is(GlobalStore::WriteOnly);
    let world = world.restarted();
    world.host.pass_until_alarm().unwrap();
    world.alarm().await;
    let listed = list(&world).await.unwrap();
    assert!(listed.is_admin && listed.deactivated_at_ms.is_none());
    let spent = "SELECT COUNT(*) FROM registration_token_uses WHERE is_spent = 1";
    assert_eq!(world.count(spent).await, 1);
    world.ask(deactivate()).await;
    world.drain().await;
    assert!(list(&world).await.unwrap().deactivated_at_ms.is_some());
    assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 0);
}

#[tokio::test]
async fn a_profile_reaches_every_joined_room_in_the_end() {
    let world = lived_in().await;
    world.ask(a_membership(room_id!("!d:localhost"), MembershipState::Join, 1)).await;
    world.rooms.fail("!a:localhost");
    world.ask(set_name("Anna")).await;
    world.drain().await;
    assert_eq!(world.rooms.asked().len(), 2, "who fails holds nobody up");
    assert!(world.host.alarm_is_set_for_ms().is_some());
    // Meanwhile there is a later name; the next attempt is another process's.
    world.rooms.mend();
    world.ask(set_name("Annika")).await;
    let world = world.restarted();
    world.host.pass(HOUR_MS);
    world.alarm().await;
    let asked = world.rooms.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|it| it.1["update_profile"]["displayname"] == "Annika"));
    world.alarm().await;
    assert_eq!(world.rooms.asked().len(), 0, "each room is asked until it answers, not longer");
    world.ask(set_name("Annika")).await;
    world.drain().await;
    assert_eq!(world.rooms.asked().len(), 0, "nothing has changed");
}

/// C4: a later entry replaces an earlier one also while that is under way.
#[tokio::test]
async fn c4_what_is_written_while_an_entry_is_under_way_is_not_lost() {
    let world = lived_in().await;
    world.ask(set_name("Anna")).await;
    world.rooms.hold();
    let draining = world.drain();
    let renaming = async {
        world.rooms.held().await;
        world.ask(set_name("Annika")).await;
        world.rooms.release();
    };
    tokio::join!(draining, renaming);
    world.drain().await;
    let names: Vec<_> = world
        .rooms
        .asked()
        .into_iter()
        .map(|it| it.1["update_profile"]["displayname"].clone())
        .collect();
    assert_eq!(names, ["Anna", "Annika"]);
}

/// C4: what another program wrote stays for it.
#[tokio::test]
async fn c4_an_entry_of_an_unknown_kind_stays_and_holds_nothing_up() {
    let world = lived_in().await;
    let newer = Stmt::new(
        "INSERT INTO user_outbox (scope, kind, about, command, seq, attempts, due_ms) \
         VALUES (?, 'a_newer_kind', '!a:localhost', '{}', 1, 0, 0)",
    );
    world.host.sqlite.batch(vec![newer.bind(world.host.scope())]).await.unwrap();
    world.ask(deactivate()).await;
    world.drain().await;
    assert_eq!(world.rooms.asked().len(), 6, "three rooms, to be left and forgotten");
    let kept = "SELECT COUNT(*) FROM user_outbox WHERE kind = 'a_newer_kind' AND attempts = 0";
    assert_eq!(world.count(kept).await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM agenda WHERE due = 'outbox'").await, 0);
}

#[tokio::test]
async fn a_large_outbox_is_drained_in_bounded_steps() {
    let world = lived_in().await;
    let rooms = limits::OUTBOX_PER_ROUND * limits::OUTBOX_ROUNDS as u64 + 10;
    for number in 0..rooms {
        let room_id = RoomId::parse(format!("!n{number}:localhost")).unwrap();
        world.ask(a_membership(&room_id, MembershipState::Join, 1)).await;
    }
    world.rooms.fail("!n0:localhost");
    world.ask(set_name("Anna")).await;
    world.drain().await;
    assert_eq!(world.rooms.asked().len() as u64, rooms - 10);
    world.alarm().await;
    let rest = world.rooms.asked();
    assert_eq!(rest.len() as u64, 11, "the rest, and none of those twice");
    let failed = "SELECT COUNT(*) FROM user_outbox WHERE about = '!n0:localhost' AND attempts = 1";
    assert_eq!(world.count(failed).await, 1);
}

#[tokio::test]
async fn a_closed_account_leaves_all_rooms_and_nothing_private() {
    let world = lived_in().await;
    // A room that refuses has answered.
    world.rooms.refuse();
    world.ask(set_name("Anna")).await;
    world.ask(deactivate()).await;
    world.drain().await;
    let asked = world.rooms.asked();
    let is_leaving = |it: &JsonValue| it["change_membership"]["action"] == "leave";
    let left: Vec<_> = asked.iter().filter(|it| is_leaving(&it.1)).map(|it| &it.0).collect();
    let forgotten: Vec<_> =
        asked.iter().filter(|it| it.1["forget"].is_object()).map(|it| &it.0).collect();
    assert_eq!(left.len(), 3, "those that were left before too: {asked:?}");
    assert_eq!(forgotten.len(), 3, "{asked:?}");
    let stored = stored(&world).await;
    assert_eq!(stored, [r#"["account",1,0,0]"#]);
}
