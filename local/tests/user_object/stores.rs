//! What concerns a user and a room, or a user's rooms and their account, comes to one end whatever
//! comes in between.

use ruma::{RoomId, events::room::member::MembershipState, owned_user_id, room_id};
use serde_json::{Value as JsonValue, json};
use skerry::messages::user::{
    Command, Forget, GetAccountData, Membership, SetAccountData, ShownProfile,
};

use super::{
    account::{HOUR_MS, a_membership, deactivate, lived_in, set_name, stored},
    stand::{World, raw},
};

/// Every question that there is.
const QUESTIONS: &str = include_str!("../../../shared/server/tests/wire/1.json");

/// A closed account, when all that follows from its end has been done.
async fn closed() -> World {
    let world = lived_in().await;
    world.ask(deactivate()).await;
    world.drain().await;
    world.rooms.asked();
    world
}

/// Which rooms were asked to let the user leave, and then to forget them.
fn left_and_forgotten(world: &World) -> [Vec<String>; 2] {
    let asked = world.rooms.asked();
    let which = |is: fn(&JsonValue) -> bool| {
        asked.iter().filter(|it| is(&it.1)).map(|it| it.0.clone()).collect()
    };
    [which(|it| it["change_membership"]["action"] == "leave"), which(|it| it["forget"].is_object())]
}

/// What was deferred is done, or is lost in a crash and made up for by the alarm.
async fn to_the_end(world: World, dies: bool) -> World {
    if !dies {
        world.drain().await;
        return world;
    }
    let world = world.restarted();
    world.host.pass(HOUR_MS);
    world.alarm().await;
    world
}

/// A request that was let in before the account was closed comes after it.
#[tokio::test]
async fn whatever_is_asked_of_a_closed_account_stores_nothing_private() {
    let questions: JsonValue = serde_json::from_str(QUESTIONS).unwrap();
    let questions = questions["user"]["questions"].as_object().unwrap().clone();
    let world = closed().await;
    for (name, body) in &questions {
        let text = json!({ name: body }).to_string();
        let command: Command = serde_json::from_str(&text).unwrap();
        // Most are refused.
        drop(world.command(command).await);
    }
    world.drain().await;
    assert_eq!(stored(&world).await, [r#"["account",1,0,0]"#]);
    let content = raw(&json!({ "a": 1 }));
    let set = SetAccountData { room_id: None, event_type: "m.direct".to_owned(), content };
    assert_eq!(world.refused(set).await, 401);
}

/// Who joins, is invited or banned while their account is closed is let go of in the end.
#[tokio::test]
async fn a_room_that_tells_a_closed_account_of_a_membership_is_left_and_forgotten() {
    let eve = owned_user_id!("@eve:localhost");
    let late = room_id!("!late:localhost");
    for dies in [false, true] {
        for membership in ["join", "invite", "knock", "leave", "ban"] {
            let mut world = closed().await;
            let told = a_membership(late, membership.into(), 1);
            world.ask(Membership { sender: eve.clone(), ..told }).await;
            world = to_the_end(world, dies).await;
            let both = [vec![late.to_string()], vec![late.to_string()]];
            assert_eq!(left_and_forgotten(&world), both, "{membership}, dies: {dies}");
            // The room tells of the end that this brought about.
            world.ask(a_membership(late, MembershipState::Leave, 2)).await;
            world.drain().await;
            assert_eq!(left_and_forgotten(&world), [[""; 0]; 2], "{membership}, dies: {dies}");
        }
    }
}

/// A room that is too busy has not refused.
#[tokio::test]
async fn a_room_that_wants_to_be_asked_later_is() {
    let world = lived_in().await;
    world.rooms.are_busy(true);
    world.ask(deactivate()).await;
    world.drain().await;
    world.rooms.asked();
    world.rooms.are_busy(false);
    world.host.pass(HOUR_MS);
    world.alarm().await;
    assert_eq!(left_and_forgotten(&world)[0].len(), 3);
    assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 0);
}

/// A room that never answers is put off, and the others are done with.
#[tokio::test]
async fn a_room_that_never_answers_holds_up_no_other() {
    let world = lived_in().await;
    world.rooms.hang("!a:localhost");
    world.ask(deactivate()).await;
    world.drain().await;
    let left = "SELECT COUNT(*) FROM user_outbox WHERE about = '!a:localhost' AND attempts = 1";
    assert_eq!(world.count(left).await, 1);
    assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 1);
}

fn joined(room_id: &RoomId, position: u64, name: Option<&str>) -> Membership {
    let displayname = name.map(str::to_owned);
    let shown = Some(ShownProfile { displayname, avatar_url: None });
    Membership { shown, ..a_membership(room_id, MembershipState::Join, position) }
}

/// A name is changed while a join is under way: the room is in no list yet that the new name is
/// carried by, and the join repeats the old one.
#[tokio::test]
async fn a_join_that_shows_an_old_profile_is_followed_by_the_new_one() {
    let room = room_id!("!late:localhost");
    for dies in [false, true] {
        for (shown, expected) in [(Some("An"), 1), (None, 1), (Some("Ann"), 0)] {
            let mut world = lived_in().await;
            world.ask(joined(room, 1, shown)).await;
            world = to_the_end(world, dies).await;
            let asked = world.rooms.asked();
            assert_eq!(asked.len(), expected, "{shown:?}, dies: {dies}: {asked:?}");
            assert!(asked.iter().all(|it| it.1["update_profile"]["displayname"] == "Ann"));
            // Whoever calls themselves otherwise in a room they are in wishes it so.
            world.ask(joined(room, 2, Some("Captain"))).await;
            world.drain().await;
            assert_eq!(world.rooms.asked().len(), 0);
        }
    }
}

/// Forgetting is one step here, and the room hears of it in the end.
#[tokio::test]
async fn a_room_that_is_forgotten_is_told_and_its_account_data_goes() {
    let (room, other) = (room_id!("!a:localhost"), room_id!("!d:localhost"));
    let has_tags = async |world: &World, room_id: &RoomId| {
        let room_id = Some(room_id.to_owned());
        let get = GetAccountData { room_id, event_type: "m.tag".to_owned() };
        world.ask(get).await.is_some()
    };
    for dies in [false, true] {
        let mut world = lived_in().await;
        world.ask(a_membership(other, MembershipState::Join, 1)).await;
        for room_id in [room, other] {
            let set = SetAccountData {
                room_id: Some(room_id.to_owned()),
                event_type: "m.tag".to_owned(),
                content: raw(&json!({ "tags": {} })),
            };
            world.ask(set).await;
        }
        assert_eq!(world.refused(Forget { room_id: room.to_owned() }).await, 400);
        world.ask(a_membership(room, MembershipState::Leave, 2)).await;
        let commits = world.host.commits();
        world.ask(Forget { room_id: room.to_owned() }).await;
        assert_eq!(world.host.commits() - commits, 1);
        world = to_the_end(world, dies).await;
        assert_eq!(left_and_forgotten(&world), [vec![], vec![room.to_string()]], "dies: {dies}");
        assert!(!has_tags(&world, room).await && has_tags(&world, other).await);
        world.ask(Forget { room_id: room.to_owned() }).await;
        world.drain().await;
        assert_eq!(world.rooms.asked().len(), 0, "once");
        assert_eq!(world.refused(Forget { room_id: room_id!("!x:y").to_owned() }).await, 404);
    }
}

/// What comes after a name was changed goes by the new one.
#[tokio::test]
async fn a_profile_that_is_set_and_a_join_that_is_told_meet() {
    let world = lived_in().await;
    world.ask(set_name("Anna")).await;
    world.ask(joined(room_id!("!late:localhost"), 1, Some("Ann"))).await;
    world.drain().await;
    let asked = world.rooms.asked();
    assert!(asked.iter().any(|it| it.0 == "!late:localhost"), "{asked:?}");
    assert!(asked.iter().all(|it| it.1["update_profile"]["displayname"] == "Anna"), "{asked:?}");
}
