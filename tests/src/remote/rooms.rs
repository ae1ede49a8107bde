//! What an honest server answers about a room that it knows.

use super::{Answer, Asked, Remote};
use crate::{
    Server, User, Value, json, path,
    peer::{Draft, Event, PeerRoom},
    unique,
};
use std::collections::HashSet;

const FEDERATION: &str = "/_matrix/federation/v1/";

impl Remote {
    /// A room of a user's that `@carol` of this server has joined.
    pub async fn in_room_of(&self, alice: &User, server: &Server) -> PeerRoom {
        let room = alice.public_room(&[]).await;
        let mut room = PeerRoom::of(&self.peer, alice, &room).await;
        let join = room.add(Draft::join(&self.peer.user("carol")));
        assert_eq!(self.send(server, &[&join]).await["pdus"][&join.id], json!({}));
        room
    }

    /// Sends events in a transaction of their own, and gives the answer.
    pub async fn send(&self, server: &Server, events: &[&Event]) -> Value {
        let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
        let body = json!({ "origin": self.peer.name, "origin_server_ts": 1, "pdus": pdus });
        let path = format!("{FEDERATION}send{}", path([&unique("txn")]));
        self.put(server, &path, &body).ok().await
    }

    /// From now on it lets users of Skerry's join the room as it is now, and takes what is sent.
    pub fn open(&self, room: &PeerRoom) {
        let mut known = room.clone();
        self.answer(&format!("{FEDERATION}make_join/"), move |asked| {
            let user = last_of_path(asked);
            let event = known.prepare(Draft::join(&user));
            (200, json!({ "room_version": known.version, "event": event }))
        });
        let answer = join_answer(room);
        self.answer("/_matrix/federation/v2/send_join/", move |asked| {
            let mut answer = answer.clone();
            answer["event"] = serde_json::from_slice(&asked.body).expect("an event");
            (200, answer)
        });
        self.accept_transactions();
    }

    /// From now on it answers questions about the room as it is now: for events, for those that
    /// were missed, for history, for states.
    pub fn knows(&self, room: &PeerRoom) {
        for question in QUESTIONS {
            let room = room.clone();
            let path = format!("{FEDERATION}{question}/");
            self.answer(&path, move |asked| told(&room, question, &asked.path, &asked.body));
        }
    }
}

/// What a server may be asked about a room.
pub const QUESTIONS: [&str; 6] =
    ["event", "event_auth", "state", "state_ids", "backfill", "get_missing_events"];

/// What an honest server that knows a room answers one of [`QUESTIONS`] with.
pub fn told(room: &PeerRoom, question: &str, path: &str, body: &[u8]) -> Answer {
    match question {
        "get_missing_events" => missing(room, &serde_json::from_slice(body).expect("JSON")),
        _ => answer(room, question, path).unwrap_or_else(unknown),
    }
}

/// What a server answers a join of its room with.
pub fn join_answer(room: &PeerRoom) -> Value {
    let answer = room.answer();
    json!({ "state": pdus(&answer.state), "auth_chain": pdus(&answer.chain),
        "members_omitted": false })
}

fn unknown() -> Answer {
    (404, json!({ "errcode": "M_NOT_FOUND", "error": "unknown" }))
}

fn pdus(events: &[Event]) -> Value {
    events.iter().map(|it| it.pdu.clone()).collect()
}

fn ids(events: &[Event]) -> Value {
    events.iter().map(|it| it.id.clone()).collect()
}

fn answer(room: &PeerRoom, question: &str, path: &str) -> Option<Answer> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let last = decoded(path.rsplit('/').next().unwrap_or_default());
    let of = |name: &str| -> Vec<String> {
        let pairs = query.split('&').filter_map(|it| it.split_once('='));
        pairs.filter(|it| it.0 == name).map(|it| decoded(it.1)).collect()
    };
    let named = |id: &str| room.find(id);
    let event = || of("event_id").first().and_then(|it| named(it));
    Some((
        200,
        match question {
            "event" => json!({ "origin": room.peer.name, "origin_server_ts": 1,
            "pdus": [named(&last)?.pdu] }),
            "event_auth" => json!({ "auth_chain": pdus(&auth_chain(room, &[named(&last)?])) }),
            "state_ids" => {
                let state = room.state_before(event()?);
                let chain = auth_chain(room, &state.iter().collect::<Vec<_>>());
                json!({ "pdu_ids": ids(&state), "auth_chain_ids": ids(&chain) })
            }
            "state" => {
                let state = room.state_before(event()?);
                let chain = auth_chain(room, &state.iter().collect::<Vec<_>>());
                json!({ "pdus": pdus(&state), "auth_chain": pdus(&chain) })
            }
            _ => {
                let limit = of("limit").first().and_then(|it| it.parse().ok()).unwrap_or(10);
                let mut events = Vec::new();
                for first in of("v").iter().filter_map(|it| named(it)) {
                    events.push(first.clone());
                    events.extend(room.before(first).into_iter().rev());
                }
                events.truncate(limit);
                json!({ "origin": room.peer.name, "origin_server_ts": 1, "pdus": pdus(&events) })
            }
        },
    ))
}

fn missing(room: &PeerRoom, asked: &Value) -> Answer {
    let list = |name: &str| -> Vec<String> {
        let all = asked[name].as_array().expect("event IDs").iter();
        all.filter_map(|it| it.as_str().map(str::to_owned)).collect()
    };
    let known: HashSet<_> = list("earliest_events")
        .iter()
        .filter_map(|it| room.find(it))
        .flat_map(|it| room.before(it).into_iter().chain([it.clone()]).map(|it| it.id))
        .collect();
    let limit = usize::try_from(asked["limit"].as_u64().unwrap_or(10)).expect("a limit");
    let mut events = Vec::new();
    for latest in list("latest_events").iter().filter_map(|it| room.find(it)) {
        events.extend(room.before(latest).into_iter().filter(|it| !known.contains(&it.id)));
    }
    let skipped = events.len().saturating_sub(limit);
    (200, json!({ "events": pdus(&events[skipped..]) }))
}

/// The events that authorize these, and so on.
fn auth_chain(room: &PeerRoom, events: &[&Event]) -> Vec<Event> {
    let mut found: Vec<Event> = Vec::new();
    let mut todo: Vec<String> = events.iter().flat_map(|it| it.auth()).collect();
    while let Some(id) = todo.pop() {
        if !found.iter().any(|it| it.id == id)
            && let Some(event) = room.find(&id)
        {
            todo.extend(event.auth());
            found.push(event.clone());
        }
    }
    found
}

/// What the path of a question ends with.
pub(super) fn last_of_path(asked: &Asked) -> String {
    let path = asked.path.split('?').next().unwrap_or_default();
    decoded(path.rsplit('/').next().unwrap_or_default())
}

/// What stands in a path or a query.
fn decoded(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.expect("text").into_owned()
}
