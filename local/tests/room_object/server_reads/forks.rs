//! What a server sees of a room that has forked: what the state at each event allows.

use ruma::{OwnedUserId, UserId, owned_device_id};
use serde_json::json;
use skerry::{
    messages::{
        Caller, Requester,
        room::{ChangeMembership, MembershipAction},
    },
    objects::room::limits,
};

use super::stand::{Stand, alice, message, page, server};
use crate::room_object::peer_room::{MEMBER, OWN, PEER, PeerRoom, THIRD, TOPIC, user};

/// A message at the end of a branch.
async fn say(stand: &Stand, branch: &mut PeerRoom, body: &str) {
    let pdu = branch.add(&user("carol", PEER), "m.room.message", None, message(body));
    stand.receive(&pdu).await;
}

/// A membership at the end of a branch.
async fn member(
    stand: &Stand,
    branch: &mut PeerRoom,
    (sender, user_id): (&UserId, &OwnedUserId),
    membership: &str,
) {
    let content = json!({ "membership": membership });
    let pdu = branch.add(sender, MEMBER, Some(user_id.as_str()), content);
    stand.receive(&pdu).await;
}

#[tokio::test]
async fn an_event_of_a_fork_is_seen_by_a_server_with_members_in_its_state() {
    let (third, zoe) = (server(THIRD), user("zoe", THIRD));
    let mut stand = Stand::new("joined").await;
    let (mut with, mut without) = (stand.peer.clone(), stand.peer.clone());
    stand.topic("the main branch").await;
    member(&stand, &mut with, (&zoe, &zoe), "join").await;
    say(&stand, &mut with, "where Zoe is").await;
    // All of these come when the room already has Zoe in it.
    stand.say("where Zoe is not, in a state that was current").await;
    let name = without.by_carol("m.room.name", json!({ "name": "Another branch" }));
    stand.receive(&name).await;
    say(&stand, &mut without, "where Zoe is not, in a state that never was current").await;
    say(&stand, &mut with, "where Zoe still is").await;
    assert_eq!(stand.texts(&third).await.unwrap(), ["where Zoe is", "where Zoe still is"]);
    stand.event(&third, &name).await.unwrap_err();
}

#[tokio::test]
async fn a_user_sees_of_a_fork_what_its_state_allows_like_a_server() {
    let bob = Caller { user_id: user("bob", OWN), device_id: owned_device_id!("HERE") };
    let mut stand = Stand::new("joined").await;
    stand.topic("the main branch").await;
    let join = ChangeMembership {
        caller: bob.clone(),
        target: bob.user_id.clone(),
        action: MembershipAction::Join,
        reason: None,
        displayname: None,
        avatar_url: None,
        is_direct: false,
    };
    stand.ask(join).await.unwrap();
    // Carol's server has not heard of Bob.
    stand.say("where Bob is not").await;
    let seen = stand.texts(&Requester::User(bob)).await.unwrap();
    assert_eq!(seen, Vec::<String>::new());
    assert_eq!(stand.texts(&Requester::User(alice())).await.unwrap(), ["where Bob is not"]);
}

#[tokio::test]
async fn a_member_who_has_left_in_a_fork_is_not_in_its_state() {
    let (third, carol) = (server(THIRD), user("carol", PEER));
    let (zoe, yan) = (user("zoe", THIRD), user("yan", THIRD));
    let mut stand = Stand::new("joined").await;
    stand.member(&zoe, &zoe, "join").await;
    stand.say("with Zoe").await;
    let mut branch = stand.peer.clone();
    stand.member(&yan, &yan, "join").await;
    member(&stand, &mut branch, (&zoe, &zoe), "leave").await;
    say(&stand, &mut branch, "with none of them").await;
    stand.say("with both").await;
    assert_eq!(stand.texts(&third).await.unwrap(), ["with Zoe", "with both"]);
    member(&stand, &mut branch, (&carol, &zoe), "invite").await;
    say(&stand, &mut branch, "while Zoe is invited").await;
    assert_eq!(stand.texts(&third).await.unwrap(), ["with Zoe", "with both"], "it is for members");
}

#[tokio::test]
async fn an_invitation_in_a_fork_shows_what_is_sent_there() {
    let (third, carol) = (server(THIRD), user("carol", PEER));
    let (zoe, yan) = (user("zoe", THIRD), user("yan", THIRD));
    let mut stand = Stand::new("invited").await;
    let mut branch = stand.peer.clone();
    stand.topic("the main branch").await;
    let name = branch.by_carol("m.room.name", json!({ "name": "Another branch" }));
    stand.receive(&name).await;
    say(&stand, &mut branch, "nobody is invited").await;
    member(&stand, &mut branch, (&carol, &zoe), "invite").await;
    say(&stand, &mut branch, "Zoe is invited").await;
    stand.texts(&third).await.unwrap_err();
    stand.member(&yan, &yan, "join").await;
    assert_eq!(stand.texts(&third).await.unwrap(), ["Zoe is invited"]);
}

#[tokio::test]
async fn a_server_that_is_gone_sees_nothing_of_a_fork_that_comes_later() {
    let (third, zoe) = (server(THIRD), user("zoe", THIRD));
    let mut stand = Stand::new("shared").await;
    stand.member(&zoe, &zoe, "join").await;
    stand.say("with Zoe").await;
    let mut branch = stand.peer.clone();
    stand.member(&zoe, &zoe, "leave").await;
    let topic = branch.by_carol(TOPIC, json!({ "topic": "another branch" }));
    stand.receive(&topic).await;
    say(&stand, &mut branch, "where Zoe has not left").await;
    assert_eq!(stand.texts(&third).await.unwrap(), ["with Zoe"]);
    stand.event(&third, &topic).await.unwrap_err();
}

#[tokio::test]
async fn a_read_that_has_looked_into_many_states_can_go_on() {
    let (third, zoe) = (server(THIRD), user("zoe", THIRD));
    let mut stand = Stand::new("joined").await;
    let mut branch = stand.peer.clone();
    stand.member(&zoe, &zoe, "join").await;
    stand.say("the oldest").await;
    for number in 0..limits::SCANNED_STATES + 5 {
        let name = branch.by_carol("m.room.name", json!({ "name": format!("{number}") }));
        stand.receive(&name).await;
    }
    let first = stand.ask(page(&third, None)).await.unwrap();
    assert_eq!(first.chunk.len(), 0);
    assert!(first.end.is_some());
    assert_eq!(stand.texts(&third).await.unwrap(), ["the oldest"]);
}
