//! Rooms of scripted servers.

use serde_json::{Value, json};
use skerry_tests::{
    peer::{Draft, Peer, PeerRoom},
    remote::Remote,
};

/// The version that Skerry makes rooms of.
pub(super) const VERSION: &str = "12";

/// Opens a room of this server, with as many members besides its creator, who are of these servers
/// in turn. All of them joined at once: nothing of this depends on how one member follows another.
pub(super) fn open_crowded(host: &Remote, peers: &[&Peer], members: usize) -> PeerRoom {
    let mut room = PeerRoom::create(&host.peer, VERSION, &[]);
    let (small, end) = (room.clone(), room.end());
    let first: Vec<Value> = room.state_at(&end.id).into_iter().map(|it| it.pdu).collect();
    let joins = peers.iter().cycle().take(members).enumerate().map(|(number, peer)| {
        let user = peer.user(&format!("member{number}"));
        room.signed_by(peer, Draft::join(&user).after(&[&end])).pdu
    });
    let state: Vec<Value> = first.iter().cloned().chain(joins).collect();
    host.open(&small);
    let answer = json!({ "state": state, "auth_chain": first, "members_omitted": false });
    host.answer("/_matrix/federation/v2/send_join/", move |_| (200, answer.clone()));
    small
}

/// Opens a room of this server without members besides its creator.
pub(super) fn open_small(host: &Remote) -> PeerRoom {
    let room = PeerRoom::create(&host.peer, VERSION, &[]);
    host.open(&room);
    room
}
