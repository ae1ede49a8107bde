//! Invitations to rooms that are not here, and knocks on them: told by other servers.

use ruma::{
    OwnedRoomId, RoomId, RoomVersionId, events::room::member::MembershipState, owned_event_id,
    owned_server_name, owned_user_id, room_id,
};
use serde_json::json;
use skerry::{
    messages::user::{Ending, GetRemoteRoom, RemoteMembership, RemoteRoom, TurnDown},
    objects::user::limits,
};

use skerry_core::sync_token::SyncToken;

use super::{
    account::deactivate,
    stand::{World, a_room, raw},
};
use crate::host::Fate;

fn remote(membership: MembershipState) -> RemoteRoom {
    RemoteRoom {
        membership,
        sender: owned_user_id!("@bob:b.example"),
        event_id: owned_event_id!("$invite"),
        room_version: RoomVersionId::V11,
        servers: vec![owned_server_name!("b.example")],
    }
}

fn told(room_id: &RoomId, membership: MembershipState) -> RemoteMembership {
    let name = json!({ "type": "m.room.name", "state_key": "", "content": { "name": "Harbor" },
        "sender": "@bob:b.example" });
    RemoteMembership {
        room_id: room_id.to_owned(),
        remote: remote(membership),
        stripped_state: vec![raw(&name)],
        ending: None,
    }
}

fn invite() -> RemoteMembership {
    told(a_room(), MembershipState::Invite)
}

fn turning_down(room_id: &RoomId) -> TurnDown {
    let content = json!({ "membership": "leave", "reason": "no time" });
    let event = raw(&json!({ "type": "m.room.member", "content": content }));
    let ending = Ending { event_id: owned_event_id!("$end"), event };
    TurnDown { room_id: room_id.to_owned(), ending }
}

fn turn_down() -> TurnDown {
    turning_down(a_room())
}

impl World {
    /// The invitations that a client which begins is shown.
    async fn invitations(&self) -> Vec<OwnedRoomId> {
        let invited = self.changes(None).await.invited.into_iter();
        invited.map(|(room_id, state)| (room_id, assert_eq!(state.len(), 1)).0).collect()
    }
}

#[tokio::test]
async fn an_invitation_reaches_its_user_although_their_object_has_failed_ten_times() {
    for failure in [Fate::Refused, Fate::WrittenAndFailed] {
        let mut world = World::registered().await;
        let before = world.read(world.position().await, 0).await;
        for _ in 0..10 {
            world.host.next_commit(failure);
            // What was written is known when it comes again.
            let is_known = world.try_ask(invite()).await.is_ok();
            if is_known {
                break;
            }
            world = world.restarted();
        }
        world.host.next_commit(Fate::Written);
        world.ask(invite()).await;
        assert_eq!(world.changes(Some(before)).await.invited.len(), 1, "{failure:?}");
        let seen = world.read(world.position().await, 0).await;
        world.ask(invite()).await;
        assert!(world.changes(Some(seen)).await.invited.is_empty(), "it is shown once");
        let world = world.restarted();
        assert!(world.changes(Some(seen)).await.invited.is_empty());
        assert_eq!(world.invitations().await, [a_room()]);
    }
}

#[tokio::test]
async fn what_is_turned_down_stays_so_and_is_known_to_whoever_asks_again() {
    for crashes in [false, true] {
        let mut world = World::registered().await;
        world.ask(invite()).await;
        world.host.next_commit(Fate::WrittenAndFailed);
        world.try_ask(turn_down()).await.unwrap_err();
        if crashes {
            world = world.restarted();
        }
        let known = world.ask(turn_down()).await.unwrap();
        assert_eq!(known.servers, [owned_server_name!("b.example")]);
        let since = Some(SyncToken::at(world.position().await - 1));
        let left = world.changes(since).await.left.pop().unwrap();
        assert_eq!(left.ending.unwrap().event_id, "$end");
        assert_eq!(world.changes(None).await.invited.len(), 0);
        // The event that was turned down comes again.
        world.ask(invite()).await;
        assert_eq!(world.changes(None).await.invited.len(), 0);
        let mut anew = invite();
        anew.remote.event_id = owned_event_id!("$anew");
        world.ask(anew).await;
        assert_eq!(world.invitations().await, [a_room()]);
    }
}

/// What the server of whom the invitation is was told.
fn leaves(world: &World) -> usize {
    let asked = world.rooms.asked();
    asked.iter().filter(|it| it.0 == "b.example" && it.1["leave"].is_object()).count()
}

#[tokio::test]
async fn a_server_that_is_not_reached_is_told_later_that_an_invitation_is_turned_down() {
    let mut world = World::registered().await;
    world.ask(invite()).await;
    world.rooms.fail("b.example");
    tokio::join!(world.ask(turn_down()), world.drain());
    world.drain().await;
    assert_eq!(leaves(&world), 1);
    for _ in 0..3 {
        world = world.restarted();
        world.host.pass_until_alarm().unwrap();
        world.alarm().await;
        assert_eq!(leaves(&world), 1, "it is told again");
    }
    world.rooms.mend();
    world.host.pass_until_alarm().unwrap();
    world.alarm().await;
    let asked = world.rooms.asked().pop().unwrap();
    let leave = &asked.1["leave"];
    assert_eq!((asked.0.as_str(), &leave["room_id"]), ("b.example", &json!(a_room())));
    assert_eq!(leave["content"], json!({ "membership": "leave", "reason": "no time" }));
    assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 0);
}

#[tokio::test]
async fn a_server_that_is_never_reached_is_given_up() {
    let world = World::registered().await;
    world.ask(invite()).await;
    world.rooms.fail("b.example");
    tokio::join!(world.ask(turn_down()), world.drain());
    world.drain().await;
    let mut told = leaves(&world);
    while world.host.pass_until_alarm().is_some() {
        world.alarm().await;
        told += leaves(&world);
    }
    assert_eq!(told as u64, limits::LEAVE_ATTEMPTS);
    assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 0);
}

#[tokio::test]
async fn nobody_is_told_of_what_is_not_so_any_more() {
    let mut anew = invite();
    anew.remote.event_id = owned_event_id!("$anew");
    for joins in [false, true] {
        let world = World::registered().await;
        world.ask(invite()).await;
        world.rooms.fail("b.example");
        tokio::join!(world.ask(turn_down()), world.drain());
        world.drain().await;
        assert_eq!(leaves(&world), 1);
        world.rooms.mend();
        match joins {
            false => world.ask(anew.clone()).await,
            true => world.membership(a_room(), MembershipState::Join, 3).await,
        }
        world.host.pass_until_alarm().unwrap();
        world.alarm().await;
        assert_eq!(leaves(&world), 0, "joins: {joins}");
        assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 0);
    }
}

#[tokio::test]
async fn a_closed_account_turns_down_what_its_user_has_not_answered() {
    for membership in [MembershipState::Invite, MembershipState::Knock] {
        let world = World::registered().await;
        world.ask(told(a_room(), membership)).await;
        world.rooms.is_absent(a_room().as_str());
        world.rooms.fail("b.example");
        world.ask(deactivate()).await;
        world.drain().await;
        assert_eq!(leaves(&world), 1);
        world.rooms.mend();
        world.rooms.is_absent(a_room().as_str());
        world.host.pass_until_alarm().unwrap();
        world.alarm().await;
        assert_eq!(leaves(&world), 1);
        assert_eq!(world.count("SELECT COUNT(*) FROM user_outbox").await, 0);
    }
}

#[tokio::test]
async fn the_room_has_the_say_once_it_is_here() {
    let world = World::registered().await;
    world.ask(invite()).await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    assert_eq!(world.changes(None).await.joined.len(), 1);
    assert_eq!(world.refused(invite()).await, 403, "who is joined is not invited");
    let question = GetRemoteRoom { room_id: a_room().to_owned() };
    assert_eq!(world.ask(question).await, None);
    assert_eq!(world.ask(turn_down()).await, None);
    // All users of this server have left the room, and somebody there invites.
    world.membership(a_room(), MembershipState::Leave, 5).await;
    world.ask(invite()).await;
    assert_eq!(world.invitations().await, [a_room()]);
    world.membership(a_room(), MembershipState::Leave, 5).await;
    assert_eq!(world.invitations().await, [a_room()], "that was before");
    world.membership(a_room(), MembershipState::Join, 6).await;
    assert_eq!(world.changes(None).await.joined.len(), 1);
}

#[tokio::test]
async fn what_ends_a_knock_is_noted_and_what_ends_nothing_is_not() {
    let world = World::registered().await;
    let end = || {
        let mut end = told(a_room(), MembershipState::Leave);
        end.remote.event_id = owned_event_id!("$end");
        end
    };
    world.ask(end()).await;
    let position = world.position().await;
    world.ask(told(a_room(), MembershipState::Knock)).await;
    assert_eq!(world.changes(None).await.knocked.len(), 1);
    assert_eq!(world.position().await, position + 1, "what ended nothing was not written");
    world.ask(end()).await;
    assert!(world.changes(None).await.knocked.is_empty());
    assert_eq!(world.ask(turn_down()).await, None, "it is over by somebody else's doing");
}

#[tokio::test]
async fn who_has_too_many_invitations_or_no_account_is_not_invited() {
    let world = World::registered().await;
    for number in 0..limits::REMOTE_INVITES {
        let room_id = RoomId::parse(format!("!room{number}:b.example")).unwrap();
        world.ask(told(&room_id, MembershipState::Invite)).await;
    }
    assert_eq!(world.refused(invite()).await, 403);
    // One that is there may be replaced, and one that is turned down makes room.
    let first = room_id!("!room0:b.example");
    let mut anew = told(first, MembershipState::Invite);
    anew.remote.event_id = owned_event_id!("$anew");
    world.ask(anew).await;
    world.ask(turning_down(first)).await.unwrap();
    world.ask(invite()).await;
    let world = World::new().await;
    assert_eq!(world.refused(invite()).await, 404);
    let world = World::registered().await;
    world.ask(deactivate()).await;
    assert_eq!(world.refused(invite()).await, 404);
}
