//! Changes of members' devices: a row a member in encrypted rooms, read with the range that members
//! and other servers read (T15b, T16, S-C7).

use ruma::{OwnedUserId, UserId};
use serde_json::json;
use skerry::{
    messages::room::{
        ChangeDevices, Departures, DeviceChanges, GetDeviceChanges, GetOutgoing, Outcome, Outgoing,
        Position, WhoShares,
    },
    ports::ObjectHost as _,
};

use super::{
    peer_room::{PEER, THIRD, user},
    server_reads::stand::{Stand, alice},
};
use crate::own_room::whole_room;

async fn encrypted() -> Stand {
    let mut stand = Stand::new("shared").await;
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    stand.by_carol("m.room.encryption", content).await;
    stand.own.run_deferred().await;
    stand
}

fn of_carol() -> ChangeDevices {
    ChangeDevices { user_id: user("carol", PEER), server: Some(PEER.try_into().unwrap()) }
}

fn of_alice() -> ChangeDevices {
    ChangeDevices { user_id: alice().user_id, server: None }
}

impl Stand {
    /// Where the room is.
    async fn head(&self) -> Position {
        self.ask(whole_room(alice())).await.unwrap().to
    }

    /// What Alice is told of devices since a position, by the room that is in memory and by one
    /// that was just loaded.
    async fn devices_since(&self, from: Option<Position>) -> DeviceChanges {
        let question = || GetDeviceChanges { user_id: alice().user_id, from };
        let warm = self.ask(question()).await.unwrap();
        let cold = crate::room::ask(&self.restarted(), question()).await.unwrap();
        assert_eq!(warm, cold);
        warm
    }

    /// What waits for a server, `devices` at most of that kind.
    async fn outgoing(
        &self,
        server: &str,
        after: Option<Position>,
        devices: Option<u64>,
    ) -> Box<Outgoing> {
        let question = || GetOutgoing {
            server: server.try_into().unwrap(),
            after,
            limit: 50,
            newest_only: false,
            receipts: 0,
            devices,
        };
        let warm = self.ask(question()).await.unwrap();
        let cold = crate::room::ask(&self.restarted(), question()).await.unwrap();
        let read = |it: &Outgoing| (it.devices.clone(), it.departures.clone(), it.upto);
        assert_eq!(read(&warm), read(&cold));
        warm
    }

    async fn outgoing_devices(&self, limit: u64) -> (Vec<OwnedUserId>, bool) {
        let outgoing = self.outgoing(PEER, None, Some(limit)).await;
        (outgoing.devices, outgoing.has_more)
    }
}

#[tokio::test]
async fn a_change_has_its_position_and_its_row() {
    let stand = encrypted().await;
    let (before, carol) = (stand.head().await, user("carol", PEER));
    assert_eq!(stand.devices_since(Some(before)).await, DeviceChanges::default());
    for _ in 0..3 {
        stand.ask(of_carol()).await.unwrap();
    }
    assert_eq!(stand.head().await, before + 3);
    assert_eq!(stand.devices_since(Some(before)).await.changed, std::slice::from_ref(&carol));
    assert_eq!(stand.devices_since(Some(before + 3)).await, DeviceChanges::default());
    assert_eq!(stand.devices_since(None).await.changed, [carol], "all members");
    // The newest position is found again when the room is loaded anew.
    let cold = stand.restarted();
    let sync = crate::room::ask(&cold, whole_room(alice())).await.unwrap();
    assert_eq!(sync.to, before + 3);
}

#[tokio::test]
async fn who_watches_is_told_as_of_an_event() {
    let stand = encrypted().await;
    let before = stand.head().await;
    stand.own.users.asked();
    stand.ask(of_carol()).await.unwrap();
    stand.own.run_deferred().await;
    let told = stand.own.users.asked().into_iter();
    let told: Vec<_> = told.filter(|it| it.0 == alice().user_id.as_str()).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].1["room_activity"]["position"], before + 1, "{told:?}");
}

/// T9b, T16
#[tokio::test]
async fn nothing_is_written_where_nobody_has_to_know() {
    let plain = Stand::new("shared").await;
    plain.head().await;
    let commits = plain.own.host.commits();
    plain.ask(of_carol()).await.unwrap();
    plain.ask(of_alice()).await.unwrap();
    assert_eq!(plain.own.host.commits(), commits, "the room is not encrypted");
    let stand = encrypted().await;
    stand.head().await;
    let commits = stand.own.host.commits();
    let stranger = ChangeDevices { user_id: user("stranger", PEER), ..of_carol() };
    stand.ask(stranger).await.unwrap();
    let forged = ChangeDevices { user_id: alice().user_id, ..of_carol() };
    stand.ask(forged).await.unwrap();
    assert_eq!(stand.own.host.commits(), commits);
}

#[tokio::test]
async fn servers_read_the_changes_of_local_users() {
    let stand = encrypted().await;
    stand.ask(of_carol()).await.unwrap();
    assert_eq!(stand.outgoing_devices(5).await, (Vec::new(), false));
    stand.ask(of_alice()).await.unwrap();
    assert_eq!(stand.outgoing_devices(5).await, (vec![alice().user_id], false));
    assert_eq!(stand.outgoing_devices(0).await, (Vec::new(), true), "there is more");
}

/// Others may have asked for keys here before this server learns that the room is encrypted, and
/// have not been told of what has changed in between.
#[tokio::test]
async fn who_learns_that_a_room_is_encrypted_tells_of_all_devices() {
    for crashes in [false, true] {
        let mut stand = encrypted().await;
        assert_eq!(stand.outgoing_devices(5).await, (Vec::new(), false));
        if crashes {
            stand.own.crash();
        }
        assert!(stand.own.alarm().await.is_some());
        stand.own.run_deferred().await;
        assert_eq!(stand.outgoing_devices(5).await, (vec![alice().user_id], false));
        // Another algorithm is no beginning.
        let head = stand.head().await;
        stand.by_carol("m.room.encryption", json!({ "algorithm": "m.other" })).await;
        stand.own.alarm().await;
        assert_eq!(stand.head().await, head + 1);
    }
}

#[tokio::test]
async fn all_devices_are_told_of_in_parts() {
    // More than are told of at once.
    const MEMBERS: usize = 105;
    let mut stand = Stand::new("shared").await;
    let mut members = vec![alice().user_id];
    for number in 0..MEMBERS {
        let member = super::peer_room::caller(&format!("member{number:03}")).user_id;
        stand.member(&member, &member, "join").await;
        members.push(member);
    }
    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    stand.by_carol("m.room.encryption", content).await;
    assert!(stand.own.alarm().await.is_some());
    stand.own.run_deferred().await;
    assert_eq!(stand.outgoing_devices(MEMBERS as u64 + 5).await.0, members);
}

/// A server that came by way of others may have asked for keys before its join is known here.
#[tokio::test]
async fn f12_a_server_whose_join_comes_late_is_told_what_has_changed_since() {
    const LATE_MS: u64 = 5 * 60 * 1_000;
    let (eve, nobody) = (user("eve", THIRD), Vec::new());
    for (is_late, is_renamed) in [(false, false), (true, false), (true, true)] {
        let mut stand = encrypted().await;
        let joined_ms = stand.own.host.clock().now_ms();
        stand.ask(of_alice()).await.unwrap();
        stand.own.host.pass(LATE_MS);
        // When the room was where is known by its events.
        stand.say("after the change").await;
        stand.own.host.pass(LATE_MS);
        let now_ms = stand.own.host.clock().now_ms();
        stand.peer.sent_ms = if is_late { joined_ms } else { now_ms };
        stand.member(&eve, &eve, "join").await;
        if is_renamed {
            stand.peer.sent_ms = now_ms;
            stand.member(&eve, &eve, "join").await;
        }
        let expected = if is_late { vec![alice().user_id] } else { nobody.clone() };
        let first = stand.outgoing(THIRD, None, Some(5)).await;
        assert_eq!((first.devices, first.has_more), (expected, false), "{is_late} {is_renamed}");
        let next = stand.outgoing(THIRD, Some(first.upto), Some(5)).await;
        assert_eq!((next.devices, next.has_more), (nobody.clone(), false), "once");
    }
}

/// There is no end to it else.
#[tokio::test]
async fn f12_what_changed_before_a_late_join_comes_in_parts() {
    let mut stand = encrypted().await;
    let bella = super::peer_room::caller("bella").user_id;
    stand.member(&bella, &bella, "join").await;
    stand.ask(of_alice()).await.unwrap();
    stand.ask(ChangeDevices { user_id: bella.clone(), server: None }).await.unwrap();
    let eve = user("eve", THIRD);
    // It may just as well have come before that, by its own clock.
    stand.peer.sent_ms = stand.own.host.clock().now_ms();
    stand.member(&eve, &eve, "join").await;
    let (mut after, mut told) = (None, Vec::new());
    for _ in 0..2 {
        let part = stand.outgoing(THIRD, after, Some(1)).await;
        told.extend(part.devices);
        after = Some(part.upto);
        if !part.has_more {
            break;
        }
    }
    assert_eq!(told, [alice().user_id, bella]);
}

#[tokio::test]
async fn who_comes_and_goes_is_told() {
    let mut stand = encrypted().await;
    let dave = user("dave", PEER);
    let start = stand.head().await;
    stand.member(&dave, &dave, "join").await;
    let joined = stand.head().await;
    assert_eq!(stand.devices_since(Some(start)).await.changed, std::slice::from_ref(&dave));
    stand.member(&dave, &dave, "join").await;
    assert_eq!(stand.devices_since(Some(joined)).await, DeviceChanges::default(), "a new name");
    stand.member(&dave, &dave, "leave").await;
    let left = stand.head().await;
    assert_eq!(stand.devices_since(Some(joined)).await.left, std::slice::from_ref(&dave));
    assert_eq!(stand.devices_since(Some(start)).await, DeviceChanges::default(), "not seen at all");
    stand.member(&dave, &dave, "join").await;
    assert_eq!(
        stand.devices_since(Some(joined)).await.changed,
        std::slice::from_ref(&dave),
        "came back"
    );
    assert_eq!(stand.devices_since(Some(left)).await.changed, std::slice::from_ref(&dave));
    let asked = |user_id: &UserId| WhoShares {
        user_id: user_id.to_owned(),
        others: vec![dave.clone(), user("stranger", PEER)],
    };
    assert_eq!(stand.ask(asked(&alice().user_id)).await.unwrap(), std::slice::from_ref(&dave));
    assert!(stand.ask(asked(&user("nobody", PEER))).await.unwrap().is_empty());
}

impl Stand {
    /// Who has left by what the room has for the peer since a position.
    async fn departures(&self, after: Option<Position>) -> Departures {
        self.outgoing(PEER, after, None).await.departures
    }
}

#[tokio::test]
async fn f12_servers_read_who_of_theirs_has_left() {
    let mut stand = encrypted().await;
    let (dave, none) = (user("dave", PEER), Departures::default());
    let of_dave = Departures { user_ids: vec![dave.clone()], are_all: false };
    let start = stand.head().await;
    stand.member(&dave, &dave, "join").await;
    stand.member(&dave, &dave, "join").await;
    stand.say("nothing happens").await;
    assert_eq!(stand.departures(Some(start)).await, none, "a new name is no departure");
    stand.member(&user("carol", PEER), &dave, "leave").await;
    let left = stand.head().await;
    assert_eq!(stand.departures(Some(start)).await, of_dave, "kicked");
    assert_eq!(stand.departures(None).await, of_dave, "since ever");
    assert_eq!(stand.departures(Some(left)).await, none);
    stand.member(&dave, &dave, "join").await;
    assert_eq!(stand.departures(Some(start)).await, of_dave, "who came back was away");
    assert_eq!(stand.departures(Some(left)).await, none);
    stand.member(&user("carol", PEER), &dave, "ban").await;
    assert_eq!(stand.departures(Some(left)).await, of_dave);
    // Alice is the only user of this server.
    let banned = stand.head().await;
    stand.member(&user("carol", PEER), &alice().user_id, "leave").await;
    let all = Departures { user_ids: Vec::new(), are_all: true };
    assert_eq!(stand.departures(Some(banned)).await, all);
    assert!(stand.departures(Some(start)).await.are_all);
    let join = stand.peer.own_join(&alice().user_id);
    let state: Vec<_> = stand.peer.state.values().collect();
    stand.own.stage("again", true, true, &state).await.unwrap();
    let joined = stand.own.join("again", &join).await.unwrap();
    assert_eq!(joined, Outcome::Accepted { redacted: false });
    assert_eq!(stand.departures(Some(banned)).await, all, "for a while nobody was there");
}

#[tokio::test]
async fn f12_while_others_are_there_a_departure_of_ours_is_none_of_theirs() {
    let mut stand = encrypted().await;
    let bella = super::peer_room::caller("bella").user_id;
    stand.member(&bella, &bella, "join").await;
    let start = stand.head().await;
    stand.member(&bella, &bella, "leave").await;
    assert_eq!(stand.departures(Some(start)).await, Departures::default());
}

#[tokio::test]
async fn f12_of_rooms_that_are_not_encrypted_nothing_is_said() {
    let mut stand = Stand::new("shared").await;
    let (dave, start) = (user("dave", PEER), stand.head().await);
    stand.member(&dave, &dave, "join").await;
    stand.member(&dave, &dave, "leave").await;
    assert_eq!(stand.departures(Some(start)).await, Departures::default());
}
