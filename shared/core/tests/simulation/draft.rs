//! Events as a server makes them.

use std::sync::Arc;

use ruma::{CanonicalJsonObject, OwnedEventId, OwnedServerName, UserId};
use skerry_core::{
    Pdu, SigningKey, authorize,
    engine::Event,
    pdu::{self, NewEvent},
};

use super::super::store::{Map, Store};

/// What there is to write.
pub struct Draft<'a> {
    pub sender: &'a UserId,
    pub event_type: &'a str,
    pub state_key: Option<&'a str>,
    pub content: CanonicalJsonObject,
    pub redacts: Option<OwnedEventId>,
    /// Makes each event another one.
    pub unique: u64,
}

/// Makes and signs an event with these relatives.
pub fn craft(
    store: &Store,
    draft: Draft<'_>,
    prev: &[Arc<Event>],
    auth: &[Arc<Event>],
    (name, key): (&OwnedServerName, &SigningKey),
) -> Option<Arc<Pdu>> {
    let id = format!("$e{}:{name}", draft.unique);
    let id = OwnedEventId::try_from(id).unwrap();
    let room_id = store.get(store.create).pdu.room_id.clone();
    let event = NewEvent {
        event_id: Some(&id),
        room_id: Some(&room_id),
        sender: draft.sender,
        event_type: draft.event_type,
        state_key: draft.state_key,
        content: draft.content,
        redacts: draft.redacts.as_deref(),
        prev_events: prev.iter().map(|it| &*it.pdu).collect(),
        auth_events: auth.iter().map(|it| &*it.pdu).collect(),
        depth: prev.iter().map(|it| it.pdu.depth).max().unwrap_or(0) + 1,
        origin_server_ts: 1_000_000 + draft.unique,
    };
    pdu::build(event, &store.rules, name, key).ok().map(Arc::new)
}

/// The events of a state that authorize an event, in the order of the spec.
pub fn auth_events(store: &Store, draft: &Draft<'_>, state: &Map) -> Option<Vec<Arc<Event>>> {
    let content = serde_json::value::to_raw_value(&draft.content).unwrap();
    let (event_type, key) = (draft.event_type, draft.state_key);
    let needed =
        authorize::needed_state(event_type, draft.sender, key, &content, &store.rules).ok()?;
    let auth = needed.iter().filter(|it| authorize::is_auth_event(it, &store.rules));
    Some(auth.filter_map(|it| store.event_in(state, &it.0, &it.1)).cloned().collect())
}
