//! What a server of the tests does for users of Skerry's who want into its rooms or out of them,
//! and how its own users get into Skerry's.

use super::{Remote, rooms::last_of_path};
use crate::{
    Reply, Request, Server, User, Value, json, path,
    peer::{Draft, Event, PeerRoom},
};
use ruma::RoomVersionId;

const V1: &str = "/_matrix/federation/v1";
const V2: &str = "/_matrix/federation/v2";

impl Remote {
    /// Lets users of Skerry's leave the room, as it is now.
    pub fn let_go(&self, room: &PeerRoom) {
        self.prepare("leave", room);
        self.answer(&format!("{V2}/send_leave/"), |_| (200, json!({})));
    }

    /// Lets users of Skerry's knock on the room, as it is now.
    pub fn hear_knocks(&self, room: &PeerRoom) {
        self.prepare("knock", room);
        let shown = json!({ "knock_room_state": shown(room) });
        self.answer(&format!("{V1}/send_knock/"), move |_| (200, shown.clone()));
    }

    /// Accepts what is sent to it.
    pub fn accept_transactions(&self) {
        self.answer(&format!("{V1}/send/"), |_| (200, json!({ "pdus": {} })));
    }

    /// Prepares events for users of Skerry's.
    fn prepare(&self, action: &'static str, room: &PeerRoom) {
        let (version, mut known) = (room.version.clone(), room.clone());
        self.answer(&format!("{V1}/make_{action}/"), move |asked| {
            let user = last_of_path(asked);
            let event = known.prepare(Draft::member(&user, &user, action));
            (200, json!({ "room_version": version, "event": event }))
        });
    }

    /// What it was sent as that.
    pub fn sent(&self, action: &str) -> Vec<Value> {
        let version = if action == "knock" { V1 } else { V2 };
        let asked = self.asked(&format!("{version}/send_{action}/"));
        asked.iter().map(|it| serde_json::from_slice(&it.body).expect("an event")).collect()
    }

    /// Signs what it is asked to sign, for its users who are invited.
    pub fn sign_invites(&self) {
        let peer = self.peer.clone();
        self.answer(&format!("{V2}/invite/"), move |asked| {
            let asked: Value = serde_json::from_slice(&asked.body).expect("JSON");
            let version = asked["room_version"].as_str().expect("a version");
            let rules = RoomVersionId::try_from(version).expect("a version").rules();
            (200, json!({ "event": peer.sign(&asked["event"], &rules.expect("a known version")) }))
        });
    }

    /// The invitations that it was asked to sign.
    pub fn invites(&self) -> Vec<Value> {
        let asked = self.asked(&format!("{V2}/invite/"));
        asked.iter().map(|it| serde_json::from_slice(&it.body).expect("JSON")).collect()
    }

    /// An invitation of a user of Skerry's, as it sends it.
    #[track_caller]
    pub fn inviting(&self, server: &Server, room: &PeerRoom, invite: &Event) -> Request {
        self.inviting_with(server, room, invite, json!(shown(room)))
    }

    /// The same, with what it says that the room shows.
    #[track_caller]
    pub fn inviting_with(
        &self,
        server: &Server,
        room: &PeerRoom,
        invite: &Event,
        shown: Value,
    ) -> Request {
        let mut body = json!({ "room_version": room.version, "event": invite.pdu });
        body["invite_room_state"] = shown;
        self.put(server, &format!("{V2}/invite{}", path([&room.id, &invite.id])), &body)
    }

    /// Has a user of this server join a room of Skerry's: the room as this server knows it then.
    pub async fn enter(&self, server: &Server, alice: &User, room: &str, user: &str) -> PeerRoom {
        let mut known = PeerRoom::of(&self.peer, alice, room).await;
        self.ask_for(server, "join", &mut known, user).await.ok();
        known
    }

    /// Has a user of this server join, leave or knock by way of Skerry, in a room that this server
    /// knows.
    pub async fn ask_for(
        &self,
        server: &Server,
        action: &str,
        known: &mut PeerRoom,
        user: &str,
    ) -> Reply {
        let versions = ["1", "2", "6", "9", "10", "11", "12"].map(|it| format!("ver={it}"));
        let query = match action {
            "leave" => String::new(),
            _ => format!("?{}", versions.join("&")),
        };
        let make = format!("{V1}/make_{action}{}{query}", path([&known.id, user]));
        let made = self.get(server, &make).ok().await;
        let event = known.complete(&made["event"]);
        let version = if action == "knock" { V1 } else { V2 };
        let send = format!("{version}/send_{action}{}", path([&known.id, &event.id]));
        self.put(server, &send, &event.pdu).send().await
    }
}

/// What is shown of a room to those who are not in it.
pub fn shown(room: &PeerRoom) -> Vec<Value> {
    ["m.room.create", "m.room.join_rules"].map(|it| room.state(it, "").pdu).into()
}
