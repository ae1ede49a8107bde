//! What the server sends.

use serde_json::{Value, json};
use skerry_tests::{
    message, path,
    peer::{Draft, Event, PeerRoom},
};

use super::Evil;
use crate::network::{ALTERED, GENUINE};

const V1: &str = "/_matrix/federation/v1";
const V2: &str = "/_matrix/federation/v2";

/// Whom it deals with.
#[derive(Clone, Debug)]
pub struct Victims {
    /// The hosts of honest servers.
    pub hosts: Vec<String>,
    /// Their users.
    pub users: Vec<String>,
    /// The rooms.
    pub rooms: Vec<(String, String)>,
}

impl Evil {
    /// Does one thing.
    pub async fn attack(&self, victims: &Victims) {
        let Some((room_id, version)) = self.pick(&victims.rooms).cloned() else { return };
        let known = self.state().rooms.get(&room_id).cloned();
        let Some(mut room) = known else {
            return match self.percent(60) {
                true => self.join(victims, &room_id, &version).await,
                false => self.spy(victims, &room_id).await,
            };
        };
        let victim = self.pick(&victims.users).expect("users").clone();
        match self.below(16) {
            0..3 => self.say(victims, &mut room).await,
            3 => self.forge(victims, &mut room, &victim).await,
            4 => self.change_content(victims, &mut room).await,
            5 => self.spoil_signature(victims, &mut room).await,
            6 => self.repeat(victims, &mut room).await,
            7 => self.equivocate(victims, &mut room).await,
            8 => self.seize(victims, &mut room, &victim).await,
            9 => self.withhold(victims, &mut room).await,
            10 => self.speak_for_others(victims, &room, &victim).await,
            11 => self.lead_others_in(victims, &mut room, &victim).await,
            12 => self.send_rubbish(victims, &room).await,
            13 => self.leave(victims, &mut room).await,
            14 => self.join(victims, &room_id, &version).await,
            _ => self.cite_wrongly(victims, &mut room).await,
        }
    }

    fn host(&self, victims: &Victims) -> String {
        self.pick(&victims.hosts).expect("hosts").clone()
    }

    fn text(&self, begin: &str) -> Value {
        message(&format!("{begin} {}", self.next_transaction()))
    }

    /// What the server has made of a room.
    fn keep(&self, room: &PeerRoom) {
        self.state().rooms.insert(room.id.clone(), room.clone());
    }

    fn forbid(&self, event: &Event, why: &'static str) {
        self.tally.count("forbidden events");
        self.state().forbidden.insert(event.id.clone(), why);
    }

    /// Sends events in a transaction of their own.
    async fn send(&self, to: &str, events: &[&Event]) -> Option<(u16, Value)> {
        let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
        self.send_in(to, &self.next_transaction(), &json!(pdus), &json!([])).await
    }

    async fn send_in(
        &self,
        to: &str,
        transaction: &str,
        pdus: &Value,
        edus: &Value,
    ) -> Option<(u16, Value)> {
        let body = json!({ "origin": self.peer.name, "origin_server_ts": 1, "pdus": pdus,
            "edus": edus });
        self.tally.count("transactions of the evil server");
        self.ask(to, "PUT", &format!("{V1}/send{}", path([transaction])), Some(&body)).await
    }

    async fn send_to_some(&self, victims: &Victims, events: &[&Event]) {
        for host in &victims.hosts {
            if self.percent(75) {
                self.send(host, events).await;
            }
        }
    }

    /// Its user joins a room, as it should be done.
    async fn join(&self, victims: &Victims, room_id: &str, version: &str) {
        let (host, user) = (self.host(victims), self.user());
        let target = format!("{V1}/make_join{}?ver={version}", path([room_id, &user]));
        let Some((200, made)) = self.ask(&host, "GET", &target, None).await else { return };
        let mut room = PeerRoom::empty(&self.peer, room_id, version);
        let join = self.peer.sign(&made["event"], &room.rules);
        let id = skerry_tests::peer::event_id(&join, &room.rules);
        self.state().tried.insert(room_id.to_owned());
        let target = format!("{V2}/send_join{}", path([room_id, &id]));
        let answer = self.ask(&host, "PUT", &target, Some(&join)).await;
        let Some((200, answer)) = answer else { return };
        let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
        room.enter(&list("auth_chain"), &list("state"), &join);
        self.tally.count("joins of the evil server");
        self.keep(&room);
    }

    async fn leave(&self, victims: &Victims, room: &mut PeerRoom) {
        let user = self.user();
        let leave = room.add(Draft::member(&user, &user, "leave"));
        self.keep(room);
        self.send_to_some(victims, &[&leave]).await;
    }

    /// Says something that anybody might.
    async fn say(&self, victims: &Victims, room: &mut PeerRoom) {
        let said = room.add(Draft::new(&self.user(), "m.room.message", self.text(GENUINE)));
        self.keep(room);
        self.send_to_some(victims, &[&said]).await;
    }

    /// In the name of somebody else.
    async fn forge(&self, victims: &Victims, room: &mut PeerRoom, victim: &str) {
        let draft = match self.percent(50) {
            true => Draft::new(victim, "m.room.message", self.text(ALTERED)),
            false => Draft::state(victim, "m.room.topic", "", json!({ "topic": ALTERED })),
        };
        let forged = room.stray(draft);
        self.forbid(&forged, "its sender's server has not signed it");
        self.send_to_some(victims, &[&forged]).await;
    }

    /// With words that were not hashed.
    async fn change_content(&self, victims: &Victims, room: &mut PeerRoom) {
        let said = room.add(Draft::new(&self.user(), "m.room.message", self.text(GENUINE)));
        self.keep(room);
        let changed = said.altered(|pdu| pdu["content"]["body"] = json!(ALTERED));
        self.send_to_some(victims, &[&changed]).await;
    }

    async fn spoil_signature(&self, victims: &Victims, room: &mut PeerRoom) {
        let said = room.stray(Draft::new(&self.user(), "m.room.message", self.text(ALTERED)));
        self.forbid(&said, "its signature is wrong");
        let name = self.peer.name.clone();
        let spoiled = said.altered(|pdu| {
            let signatures = pdu["signatures"][&name].as_object_mut().expect("signatures");
            for signature in signatures.values_mut() {
                let text = signature.as_str().expect("text");
                let first = if text.starts_with('A') { "B" } else { "A" };
                *signature = json!(format!("{first}{}", &text[1..]));
            }
        });
        self.send_to_some(victims, &[&spoiled]).await;
    }

    /// The same transaction again, and what was said to one server to another.
    async fn repeat(&self, victims: &Victims, room: &mut PeerRoom) {
        let said = room.add(Draft::new(&self.user(), "m.room.message", self.text(GENUINE)));
        self.keep(room);
        let (transaction, host) = (self.next_transaction(), self.host(victims));
        for _ in 0..3 {
            self.send_in(&host, &transaction, &json!([said.pdu]), &json!([])).await;
        }
        let body = json!({ "origin": self.peer.name, "origin_server_ts": 1, "pdus": [] });
        let target = format!("{V1}/send{}", path([&transaction]));
        for other in victims.hosts.iter().filter(|it| **it != host) {
            let signed = self.peer.authorization_for(&host, "PUT", &target, Some(&body));
            let answer = self.ask_as(&signed, other, "PUT", &target, Some(&body)).await;
            self.is_refused(answer, &[401, 403], "a request for another server");
        }
        let answer = self.ask_as("", &host, "PUT", &target, Some(&body)).await;
        self.is_refused(answer, &[401, 403], "a request that nobody has signed");
    }

    /// Different things in the same place.
    async fn equivocate(&self, victims: &Victims, room: &mut PeerRoom) {
        let user = self.user();
        let ends = room.ends.clone();
        for host in &victims.hosts {
            let draft = Draft::new(&user, "m.room.message", self.text(GENUINE));
            let said = room.stray(draft.after_ids(ends.clone()));
            self.send(host, &[&said]).await;
        }
        self.keep(room);
    }

    /// What its user has no power to do, and what follows from that.
    async fn seize(&self, victims: &Victims, room: &mut PeerRoom, victim: &str) {
        let user = self.user();
        let draft = match self.below(4) {
            0 => {
                let levels = json!({ "users": { &user: 100 }, "ban": 0 });
                Draft::state(&user, "m.room.power_levels", "", levels)
            }
            1 => Draft::member(&user, victim, "ban"),
            2 => Draft::state(&user, "m.room.join_rules", "", json!({ "join_rule": "public" })),
            _ => Draft::state(&user, "m.room.name", "", json!({ "name": ALTERED })),
        };
        let seized = room.stray(draft);
        self.forbid(&seized, "its sender may not do that");
        let after = Draft::new(&user, "m.room.message", self.text(GENUINE));
        let follows = room.stray(after.after(&[&seized]));
        self.send_to_some(victims, &[&seized]).await;
        if self.percent(50) {
            self.send_to_some(victims, &[&follows]).await;
        }
    }

    /// An event that names one that nobody is shown.
    async fn withhold(&self, victims: &Victims, room: &mut PeerRoom) {
        let user = self.user();
        let hidden = room.stray(Draft::new(&user, "m.room.message", self.text(GENUINE)));
        let shown = Draft::new(&user, "m.room.message", self.text(GENUINE));
        let shown = room.stray(shown.after(&[&hidden]));
        if self.percent(60) {
            // It will tell, when it is asked.
            self.keep(room);
        }
        self.send_to_some(victims, &[&shown]).await;
    }

    /// Receipts and typing of users that are not its own.
    async fn speak_for_others(&self, victims: &Victims, room: &PeerRoom, victim: &str) {
        let receipt = json!({ "edu_type": "m.receipt", "content": { &room.id: { "m.read": {
            victim: { "event_ids": room.ends, "data": { "ts": FORGED_TS } } } } } });
        let typing = json!({ "edu_type": "m.typing", "content": { "room_id": room.id,
            "user_id": victim, "typing": true } });
        for host in &victims.hosts {
            let edus = json!([receipt, typing]);
            self.send_in(host, &self.next_transaction(), &json!([]), &edus).await;
        }
    }

    /// Joins and leaves of users that are not its own.
    async fn lead_others_in(&self, victims: &Victims, room: &mut PeerRoom, victim: &str) {
        let host = self.host(victims);
        let target = format!("{V1}/make_join{}?ver={}", path([&room.id, victim]), room.version);
        let answer = self.ask(&host, "GET", &target, None).await;
        self.is_refused(answer, &[400, 403, 404], "a join of somebody else's user");
        for membership in ["join", "leave"] {
            let event = room.stray(Draft::member(victim, victim, membership));
            self.forbid(&event, "its sender's server has not signed it");
            let target = format!("{V2}/send_{membership}{}", path([&room.id, &event.id]));
            let answer = self.ask(&host, "PUT", &target, Some(&event.pdu)).await;
            self.is_refused(answer, &[400, 403, 404], "a membership of somebody else's user");
        }
    }

    async fn send_rubbish(&self, victims: &Victims, room: &PeerRoom) {
        let host = self.host(victims);
        let many: Vec<_> = (0..51).map(|it| json!({ "room_id": room.id, "it": it })).collect();
        let user = self.user();
        let large = json!({ "room_id": room.id, "type": "m.room.message", "sender": user,
            "content": { "body": ALTERED.repeat(10_000) }, "prev_events": room.ends,
            "auth_events": [], "depth": 5, "origin_server_ts": 5 });
        let deep = (0..100).fold(json!(1), |it, _| json!([it]));
        let rubbish = [
            json!(many),
            json!([large]),
            json!([{ "room_id": room.id, "content": deep }]),
            json!([{ "room_id": room.id }, 7, null, "text", {}]),
            json!([{ "room_id": 5 }]),
            json!({ "not": "a list" }),
        ];
        let pdus = &rubbish[self.below(rubbish.len())];
        self.send_in(&host, &self.next_transaction(), pdus, &json!([])).await;
        let edus = json!([{ "edu_type": "m.typing" }, { "edu_type": 5 }, 5,
            { "edu_type": "m.receipt", "content": { &room.id: 7 } }]);
        self.send_in(&host, &self.next_transaction(), &json!([]), &edus).await;
    }

    /// An event whose auth events are not those that authorize it.
    async fn cite_wrongly(&self, victims: &Victims, room: &mut PeerRoom) {
        let draft = Draft::new(&self.user(), "m.room.message", self.text(ALTERED));
        let wrong = match self.below(3) {
            0 => draft.auth(Vec::new()),
            // Its own join alone would do where a room's creator needs no power levels.
            1 => draft.auth([room.ends.clone(), room.ends.clone()].concat()),
            _ => draft.auth(vec!["$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()]),
        };
        let wrong = room.stray(wrong);
        self.forbid(&wrong, "its auth events do not authorize it");
        self.send_to_some(victims, &[&wrong]).await;
    }
}

/// When receipts were made that the server has made up.
pub const FORGED_TS: u64 = 666;
