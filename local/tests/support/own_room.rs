//! A server, a room of it, and what its users ask of the room.

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedUserId, api::client::filter::RoomEventFilter};
use serde_json::{Value as JsonValue, json, value::to_raw_value};
use skerry::{
    messages::{
        Caller,
        room::{ChangeMembership, Create, MembershipAction, NewState, Send, SyncRoom},
    },
    server::{
        Config, DEFAULT_ACCESS_TOKEN_LIFETIME_MS, ONE_PROCESS_SESSION_CACHE_MS, OwnKeys, Presence,
        Registration, Server,
    },
};
use skerry_core::{SigningKey, pdu, rate_limits::RateLimits, room_version};

/// A server of this name and key.
pub(crate) fn server(name: &str, signing_key: SigningKey) -> Arc<Server> {
    let config = Config {
        registration: Registration::Closed,
        registration_token_hash: None,
        public_base_url: None,
        access_token_lifetime_ms: DEFAULT_ACCESS_TOKEN_LIFETIME_MS,
        private_servers: Vec::new(),
        session_cache_ms: ONE_PROCESS_SESSION_CACHE_MS,
        rate_limits: RateLimits::off(),
        encryption_by_default: skerry_core::create_room::EncryptionByDefault::default(),
        notaries: Vec::new(),
        presence: Presence::Off,
        limit_profile: false,
    };
    let keys = OwnKeys { current: signing_key, next: Vec::new(), old: Vec::new() };
    Arc::new(Server::new(name.try_into().unwrap(), keys, config))
}

/// How a room is created: public, with a name.
pub(crate) fn creation(server: &Server, creator: Caller) -> (OwnedRoomId, Create) {
    let (user_id, version) = (&creator.user_id, room_version::DEFAULT);
    let rules = room_version::rules(&version).unwrap();
    let content = serde_json::from_value(json!({ "room_version": version })).unwrap();
    let key = &server.keys().current;
    let event = pdu::create_event(content, user_id, None, None, &rules, 1, key).unwrap();
    let state = |event_type: &str, state_key: &str, content| NewState {
        event_type: event_type.to_owned(),
        state_key: state_key.to_owned(),
        content: to_raw_value(&content).unwrap(),
    };
    let create = Create {
        room_version: version,
        create_event: serde_json::from_str(&event.json).unwrap(),
        state: vec![
            state("m.room.member", user_id.as_str(), json!({ "membership": "join" })),
            state("m.room.power_levels", "", json!({})),
            state("m.room.join_rules", "", json!({ "join_rule": "public" })),
            state("m.room.name", "", json!({ "name": "Harbor" })),
        ],
        creator,
        invites: Vec::new(),
        listed: false,
        alias: None,
        until_ms: None,
    };
    (event.room_id, create)
}

/// A change of a membership that says nothing more.
pub(crate) fn membership(
    caller: Caller,
    target: OwnedUserId,
    action: MembershipAction,
) -> ChangeMembership {
    ChangeMembership {
        caller,
        target,
        action,
        reason: None,
        displayname: None,
        avatar_url: None,
        is_direct: false,
    }
}

/// A message.
pub(crate) fn message(caller: Caller, text: &str) -> Send {
    event(caller, "m.room.message", None, &json!({ "msgtype": "m.text", "body": text }))
}

/// An event without a transaction.
pub(crate) fn event(
    caller: Caller,
    event_type: &str,
    state_key: Option<&str>,
    content: &JsonValue,
) -> Send {
    Send {
        caller,
        event_type: event_type.to_owned(),
        state_key: state_key.map(str::to_owned),
        content: to_raw_value(content).unwrap(),
        transaction_id: None,
        timestamp_ms: None,
    }
}

/// What `/sync` asks for who has seen nothing of a room and wants all of it.
pub(crate) fn whole_room(caller: Caller) -> SyncRoom {
    SyncRoom {
        caller,
        from: None,
        full_state: false,
        state_after: false,
        timeline: RoomEventFilter::default(),
        state: RoomEventFilter::default(),
        ephemeral: RoomEventFilter::default(),
        known_members: Vec::new(),
        thread_counts: false,
        ignored_users: Vec::new(),
        federation_format: false,
        statuses: false,
        wants_devices: false,
    }
}
