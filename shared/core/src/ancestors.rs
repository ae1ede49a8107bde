//! What another server answers when it is asked for the events that come before some ([spec]).
//!
//! It may answer anything: of another room, unasked for, without end. What is taken of it is what
//! the events that are wanted lead to, and no more than was asked for. Who signed it is found out
//! by [`receipt`](crate::receipt), like that of any event.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#backfilling-and-retrieving-missing-events

use std::collections::{BTreeMap, HashSet};

use ruma::{OwnedEventId, OwnedServerName, RoomId, room_version_rules::RoomVersionRules};
use serde_json::value::RawValue as RawJsonValue;

use crate::{gather::Gather as _, receipt};

/// An event that is wanted, or that one which is wanted builds on.
#[derive(Clone, Debug)]
pub struct Ancestor {
    /// Its ID, by its own hash.
    pub event_id: OwnedEventId,
    /// Events before it.
    pub prev_events: Vec<OwnedEventId>,
    /// The server of its sender.
    pub server: OwnedServerName,
    /// Its depth.
    pub depth: u64,
    /// As it came.
    pub json: Box<RawJsonValue>,
}

/// Of an answer, the wanted events and those that they lead to within it: the least deep first,
/// and where they are more than `at_most`, the deepest of them.
pub fn leading_to(
    answer: Vec<Box<RawJsonValue>>,
    wanted: impl IntoIterator<Item = OwnedEventId>,
    room_id: &RoomId,
    rules: &RoomVersionRules,
    at_most: usize,
) -> Vec<Ancestor> {
    let read = |json: Box<RawJsonValue>| {
        let pdu = receipt::read(&json, room_id, rules).ok()?.pdu;
        let server = pdu.sender.server_name().to_owned();
        let (event_id, prev_events, depth) = (pdu.event_id, pdu.prev_events, pdu.depth);
        Some((event_id.clone(), Ancestor { event_id, prev_events, server, depth, json }))
    };
    let mut answered: BTreeMap<_, _> = answer.into_iter().filter_map(read).gather();
    let mut next: Vec<OwnedEventId> = wanted.into_iter().collect();
    let mut seen: HashSet<OwnedEventId> = next.iter().cloned().collect();
    let mut found = Vec::new();
    while let Some(event_id) = next.pop() {
        let Some(ancestor) = answered.remove(&event_id) else { continue };
        next.extend(ancestor.prev_events.iter().filter(|it| seen.insert((*it).clone())).cloned());
        found.push(ancestor);
    }
    found.sort_by(|a, b| (a.depth, &a.event_id).cmp(&(b.depth, &b.event_id)));
    found.split_off(found.len().saturating_sub(at_most))
}

#[cfg(test)]
mod tests {
    use ruma::{CanonicalJsonObject, RoomVersionId, room_id, user_id};

    use super::*;
    use crate::{
        Pdu, SigningKey,
        pdu::{self, NewEvent},
        room_version,
    };

    fn chain(length: u64, room_id: &RoomId) -> Vec<Pdu> {
        let rules = room_version::rules(&RoomVersionId::V11).unwrap();
        let key = SigningKey::from_seed([1; 32], "1").unwrap();
        let mut chain: Vec<Pdu> = Vec::new();
        for depth in 1..=length {
            let event = NewEvent {
                event_id: None,
                room_id: Some(room_id),
                sender: user_id!("@carol:peer.example"),
                event_type: "m.room.message",
                state_key: None,
                content: CanonicalJsonObject::new(),
                redacts: None,
                prev_events: chain.last().into_iter().collect(),
                auth_events: Vec::new(),
                depth,
                origin_server_ts: depth,
            };
            let server = user_id!("@carol:peer.example").server_name();
            chain.push(pdu::build(event, &rules, server, &key).unwrap());
        }
        chain
    }

    fn raw(pdu: &Pdu) -> Box<RawJsonValue> {
        RawJsonValue::from_string(pdu.json.to_string()).unwrap()
    }

    #[test]
    fn only_what_the_wanted_events_lead_to_is_taken() {
        let rules = room_version::rules(&RoomVersionId::V11).unwrap();
        let room_id = room_id!("!room:peer.example");
        let chain = chain(6, room_id);
        let aside = self::chain(3, room_id!("!other:peer.example"));
        let take = |answer: &[&Pdu], wanted: &[&Pdu], at_most| -> Vec<usize> {
            let answer = answer.iter().map(|it| raw(it)).collect();
            let wanted = wanted.iter().map(|it| it.event_id.clone());
            let found = leading_to(answer, wanted, room_id, &rules, at_most);
            let at = |it: Ancestor| chain.iter().position(|pdu| pdu.event_id == it.event_id);
            found.into_iter().map(|it| at(it).unwrap()).collect()
        };
        let all: Vec<&Pdu> = chain.iter().collect();
        assert_eq!(take(&all, &[all[4]], 50), [0, 1, 2, 3, 4], "nothing after what is wanted");
        assert_eq!(take(&[all[2], all[4], all[3]], &[all[4]], 50), [2, 3, 4], "in their order");
        assert_eq!(take(&all, &[all[4]], 2), [3, 4], "no more than was asked for");
        assert_eq!(take(&[all[4], all[2], all[1]], &[all[4]], 50), [4], "nothing behind a hole");
        assert_eq!(take(&all, &[&aside[2]], 50), [0_usize; 0], "nothing that nobody wants");
        assert_eq!(take(&[&aside[2], &aside[1]], &[&aside[2]], 50), [0_usize; 0], "another room");
        let altered = chain[4].json.replace("m.room.message", "m.room.massage");
        let altered = vec![RawJsonValue::from_string(altered).unwrap()];
        let wanted = [chain[4].event_id.clone()];
        assert!(leading_to(altered, wanted, room_id, &rules, 50).is_empty(), "another event");
        let nonsense = vec![RawJsonValue::from_string("[1]".to_owned()).unwrap()];
        assert!(leading_to(nonsense, [chain[4].event_id.clone()], room_id, &rules, 50).is_empty());
    }
}
