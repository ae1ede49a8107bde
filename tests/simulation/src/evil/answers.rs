//! What the server answers: the truth, or something else.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};
use serde_json::{Value, json};
use skerry_tests::{
    peer::{PeerRoom, event_id},
    remote::{QUESTIONS, told},
};

use super::Evil;
use crate::{
    host::BEGIN_MS,
    network::{ALTERED, Answer, GENUINE, Parcel, Stranger},
};

/// Until when its key is valid.
const VALID_UNTIL_MS: u64 = BEGIN_MS + 30 * 24 * 60 * 60 * 1000;

fn json_answer(status: u16, body: &Value) -> Answer {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, "application/json".parse().expect("a header"));
    let status = StatusCode::from_u16(status).expect("a status");
    Answer { status, headers, body: Bytes::from(body.to_string()) }
}

fn unknown() -> Answer {
    json_answer(404, &json!({ "errcode": "M_NOT_FOUND", "error": "unknown" }))
}

fn rules_of(version: &Value) -> Option<RoomVersionRules> {
    RoomVersionId::try_from(version.as_str()?).ok()?.rules()
}

impl Stranger for Evil {
    fn answer(&self, parcel: &Parcel) -> Option<Answer> {
        let path = parcel.target.split('?').next().unwrap_or_default();
        if path == "/_matrix/key/v2/server" {
            return Some(json_answer(200, &self.peer.published(VALID_UNTIL_MS)));
        }
        let is_calm = self.state().is_calm;
        if path.starts_with("/_matrix/federation/v1/send/") {
            self.hear(parcel);
            return match self.below(10) {
                0 if !is_calm => None,
                1 if !is_calm => Some(self.rubbish()),
                _ => Some(json_answer(200, &json!({ "pdus": {} }))),
            };
        }
        if path.starts_with("/_matrix/federation/v2/invite/") {
            return Some(self.sign_invite(&parcel.body).unwrap_or_else(unknown));
        }
        let question =
            QUESTIONS.iter().find(|it| path.starts_with(&format!("/_matrix/federation/v1/{it}/")));
        match question {
            Some(question) => self.tell(question, parcel, is_calm),
            None => Some(unknown()),
        }
    }
}

impl Evil {
    /// What it is sent it knows from then on.
    fn hear(&self, parcel: &Parcel) {
        let Ok(body) = serde_json::from_slice::<Value>(&parcel.body) else { return };
        let mut state = self.state();
        for pdu in body["pdus"].as_array().into_iter().flatten() {
            let Some(room_id) = pdu["room_id"].as_str() else { continue };
            let Some(room) = state.rooms.get_mut(room_id) else { continue };
            let id = event_id(pdu, &room.rules);
            if room.find(&id).is_none() {
                room.follow(pdu);
            }
            self.tally.count("events that the evil server was sent");
            state.received.insert((room_id.to_owned(), id, parcel.from.clone()));
        }
    }

    fn sign_invite(&self, body: &[u8]) -> Option<Answer> {
        let asked: Value = serde_json::from_slice(body).ok()?;
        let rules = rules_of(&asked["room_version"])?;
        Some(json_answer(200, &json!({ "event": self.peer.sign(&asked["event"], &rules) })))
    }

    fn rubbish(&self) -> Answer {
        let texts =
            ["", "{", "[]", "null", "{\"pdus\":7}", "\u{0}", "<html>", "{\"a\":\"\\ud800\"}"];
        let mut answer = json_answer([200, 200, 500, 404, 302][self.below(5)], &json!({}));
        answer.body = match self.percent(10) {
            true => Bytes::from(vec![b'['; 1 << 20]),
            false => Bytes::from(texts[self.below(texts.len())]),
        };
        answer
    }

    /// What it tells of a room.
    fn tell(&self, question: &str, parcel: &Parcel, is_calm: bool) -> Option<Answer> {
        let room = self.asked_about(parcel);
        let Some(room) = room else { return Some(unknown()) };
        // What it says of states is no lie where it says nothing: it does not resolve them.
        let is_lie = question.starts_with("state");
        if is_lie && (is_calm || self.percent(75)) {
            return Some(unknown());
        }
        let (status, mut body) = told(&room, question, &parcel.target, &parcel.body);
        if is_calm {
            return Some(json_answer(status, &body));
        }
        if is_lie {
            self.tally.count("lies about state");
            self.state().has_lied = true;
        }
        match self.below(12) {
            0 => return None,
            1 => return Some(self.rubbish()),
            2 => return Some(unknown()),
            3 => self.alter(&mut body),
            4 => self.leave_out(&mut body),
            _ => {}
        }
        Some(json_answer(status, &body))
    }

    /// The room that a question is about. One for a single event names none.
    fn asked_about(&self, parcel: &Parcel) -> Option<PeerRoom> {
        let state = self.state();
        let names = |it: &&PeerRoom| {
            let encoded = skerry_tests::encode(&it.id);
            parcel.target.contains(&encoded) || parcel.target.contains(&it.id)
        };
        let named = state.rooms.values().find(names);
        named.or_else(|| state.rooms.values().next()).cloned()
    }

    /// Somebody else's words.
    fn alter(&self, body: &mut Value) {
        self.tally.count("altered answers");
        let altered = body.to_string().replace(GENUINE, ALTERED);
        *body = serde_json::from_str(&altered).expect("JSON");
    }

    /// Some of the events in an answer are not.
    fn leave_out(&self, body: &mut Value) {
        for name in ["pdus", "events", "auth_chain", "pdu_ids", "auth_chain_ids"] {
            if let Some(list) = body.get_mut(name).and_then(Value::as_array_mut) {
                list.retain(|_| self.percent(60));
            }
        }
    }
}
