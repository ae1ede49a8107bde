//! Requests that endpoints expect. A request that is odd in one part gets far only if the rest of
//! it is right. An endpoint that has no example is asked with what others expect.

use super::{
    Route,
    cast::{Cast, DEVICE},
    rng::Rng,
    states,
};
use skerry_tests::{Key, PASSWORD, Value, json, unique};

/// What an endpoint expects.
#[derive(Default)]
pub(super) struct Example {
    /// Arguments in the path that go with the rest.
    pub(super) arguments: Vec<(&'static str, String)>,
    /// Parameters that the query may have.
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl Example {
    /// One with that argument in the path.
    pub(super) fn at(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.arguments.push((name, value.into()));
        self
    }

    fn query(mut self, parameters: &[(&'static str, &str)]) -> Self {
        self.query = parameters.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self
    }
}

/// One with that body.
pub(super) fn body(body: Value) -> Example {
    Example { body: Some(body), ..Example::default() }
}

fn query(parameters: &[(&'static str, &str)]) -> Example {
    Example::default().query(parameters)
}

/// Method, the end of the path as the router names its arguments, and what is expected there in
/// any version of the API.
type Row = (&'static str, &'static str, fn(&Cast) -> Vec<Example>);

const TABLE: [Row; 62] = [
    ("POST", "/register", register),
    ("GET", "/register/available", |_| vec![query(&[("username", "somebody")])]),
    ("GET", "/validity", |_| vec![query(&[("token", "some")])]),
    ("POST", "/login", login),
    ("POST", "/logout", |_| vec![body(json!({}))]),
    ("POST", "/refresh", |it| vec![body(json!({ "refresh_token": it.refresh_token }))]),
    ("POST", "/account/password", |it| {
        let change = json!({ "new_password": PASSWORD, "logout_devices": false,
            "auth": auth(it) });
        vec![body(change)]
    }),
    ("POST", "/account/deactivate", |it| {
        vec![body(json!({ "erase": true, "id_server": "x.y", "auth": auth(it) }))]
    }),
    ("POST", "/delete_devices", |it| {
        vec![body(json!({ "devices": [DEVICE, "OTHER"], "auth": auth(it) }))]
    }),
    ("DELETE", "/devices/{device_id}", |it| vec![body(json!({ "auth": auth(it) }))]),
    ("PUT", "/devices/{device_id}", |_| vec![body(json!({ "display_name": "renamed" }))]),
    ("PUT", "/user/{user_id}/account_data/{event_type}", account_data),
    ("PUT", "/user/{user_id}/rooms/{room_id}/account_data/{event_type}", |_| vec![anything()]),
    ("PUT", "/tags/{tag}", |_| vec![body(json!({ "order": 0.5 }))]),
    ("PUT", "/profile/{user_id}/{field}", profile),
    ("POST", "/user/{user_id}/filter", |it| vec![body(filter(it))]),
    ("POST", "/rooms/{room_id}/receipt/{receipt_type}/{event_id}", |it| {
        vec![body(json!({ "thread_id": it.message })), body(json!({}))]
    }),
    ("POST", "/rooms/{room_id}/read_markers", |it| {
        let markers = json!({ "m.fully_read": it.message, "m.read": it.message,
            "m.read.private": it.message });
        vec![body(markers)]
    }),
    ("PUT", "/rooms/{room_id}/typing/{user_id}", |_| {
        vec![body(json!({ "typing": true, "timeout": 1_000 }))]
    }),
    ("PUT", "/presence/{user_id}/status", |_| {
        vec![body(json!({ "presence": "unavailable", "status_msg": "away" }))]
    }),
    ("POST", "/createRoom", create_room),
    ("PUT", "/rooms/{room_id}/send/{event_type}/{txn_id}", send),
    ("PUT", "/rooms/{room_id}/state/{event_type}/{state_key}", states::all),
    // Their last argument may be empty.
    ("PUT", "/rooms/{room_id}/state/{event_type}", states::all),
    ("PUT", "/rooms/{room_id}/state/{event_type}/", states::all),
    ("PUT", "/rooms/{room_id}/redact/{event_id}/{txn_id}", |_| {
        vec![body(json!({ "reason": "none" }))]
    }),
    ("PUT", "/sendToDevice/{event_type}/{txn_id}", |it| {
        let messages = json!({ (it.victim.user.id.as_str()): { "*": { "any": "thing" } },
            "@far:away.example": { (DEVICE): {} }, (it.peer.id.as_str()): { "NONE": {} } });
        vec![body(json!({ "messages": messages })), body(json!({ "messages": {} }))]
    }),
    ("PUT", "/dehydrated_device", dehydrated_device),
    ("POST", "/dehydrated_device/{device_id}/events", |_| {
        vec![body(json!({ "next_batch": "1" })), body(json!({}))]
    }),
    ("POST", "/room_keys/version", |_| vec![backup()]),
    ("PUT", "/room_keys/version/{version}", |_| vec![backup().at("version", "1")]),
    ("PUT", "/room_keys/keys", |it| {
        let sessions = json!({ "s": backup_key() });
        let rooms = json!({ (it.own_room.as_str()): { "sessions": sessions } });
        vec![body(json!({ "rooms": rooms })).query(&[("version", "1")])]
    }),
    ("PUT", "/room_keys/keys/{room_id}", |_| {
        let sessions = json!({ "sessions": { "s": backup_key() } });
        vec![body(sessions).query(&[("version", "1")])]
    }),
    ("PUT", "/room_keys/keys/{room_id}/{session_id}", |_| {
        vec![body(backup_key()).query(&[("version", "1")])]
    }),
    ("PUT", "/directory/room/{room_alias}", |it| vec![body(json!({ "room_id": it.own_room }))]),
    ("PUT", "/directory/list/room/{room_id}", |_| vec![body(json!({ "visibility": "public" }))]),
    ("GET", "/publicRooms", |it| {
        vec![query(&[("limit", "5"), ("since", &it.places.public), ("server", "localhost")])]
    }),
    ("POST", "/publicRooms", |it| {
        let search = json!({ "limit": 5, "since": it.places.public, "include_all_networks": true,
            "filter": { "generic_search_term": "a", "room_types": ["m.space", null] } });
        vec![body(search).query(&[("server", "localhost")])]
    }),
    ("POST", "/join/{room_id_or_alias}", join),
    ("POST", "/knock/{room_id_or_alias}", |it| {
        let reason = || body(json!({ "reason": "none" })).query(&VIA);
        vec![reason(), reason().at("room_id_or_alias", &it.closed)]
    }),
    ("GET", "/room_summary/{room_id_or_alias}", |_| vec![query(&VIA)]),
    ("GET", "/rooms/{room_id}/hierarchy", |_| {
        vec![query(&[("limit", "5"), ("max_depth", "2"), ("suggested_only", "true")])]
    }),
    ("GET", "/rooms/{room_id}/timestamp_to_event", |_| {
        let (backward, forward) =
            ([("ts", "1796000000000"), ("dir", "b")], [("ts", "1"), ("dir", "f")]);
        vec![query(&backward), query(&forward)]
    }),
    ("POST", "/user/{user_id}/openid/request_token", |_| vec![body(json!({}))]),
    ("GET", "/openid/userinfo", |_| vec![query(&[("access_token", "sko_YW5u_invented")])]),
    ("POST", "/rooms/{room_id}/join", join),
    ("POST", "/rooms/{room_id}/leave", |_| vec![body(json!({ "reason": "none" }))]),
    ("POST", "/rooms/{room_id}/invite", |it| {
        let third_party = json!({ "id_server": "x.y", "id_access_token": "x", "medium": "email",
            "address": "a@b.example" });
        vec![body(json!({ "user_id": it.victim.user.id })), whom(it), body(third_party)]
    }),
    ("POST", "/rooms/{room_id}/kick", |it| vec![whom(it)]),
    ("POST", "/rooms/{room_id}/ban", |it| vec![whom(it)]),
    ("POST", "/rooms/{room_id}/unban", |it| vec![whom(it)]),
    ("POST", "/keys/upload", upload_keys),
    ("POST", "/keys/query", |it| {
        let asked = json!({ (it.peer.id.as_str()): [], (it.asker.id.as_str()): [DEVICE] });
        vec![body(json!({ "timeout": 100, "device_keys": asked }))]
    }),
    ("POST", "/keys/claim", |it| {
        let asked = json!({ (it.peer.id.as_str()): { DEVICE: "signed_curve25519" } });
        vec![body(json!({ "timeout": 100, "one_time_keys": asked }))]
    }),
    ("GET", "/keys/changes", |it| {
        let since = it.places.since.as_str();
        vec![query(&[("from", since), ("to", since)])]
    }),
    ("POST", "/keys/signatures/upload", |it| {
        let key = json!({ "user_id": it.asker.id, "device_id": DEVICE, "keys": {} });
        vec![body(json!({ (it.asker.id.as_str()): { DEVICE: key } }))]
    }),
    ("POST", "/keys/device_signing/upload", |it| {
        let key = Key::default().cross_signing(&it.asker.id, "master", None);
        vec![body(json!({ "master_key": key, "auth": auth(it) }))]
    }),
    ("GET", "/sync", sync),
    ("GET", "/rooms/{room_id}/messages", messages),
    ("GET", "/rooms/{room_id}/context/{event_id}", |it| {
        vec![query(&[("limit", "5"), ("filter", &room_filter(it).to_string())])]
    }),
    ("GET", "/rooms/{room_id}/members", |it| {
        let at = &it.places.since;
        vec![query(&[("at", at), ("membership", "join"), ("not_membership", "leave")])]
    }),
    ("GET", "/rooms/{room_id}/state/{event_type}/{state_key}", |it| {
        let member = query(&[("format", "event")]).at("event_type", "m.room.member");
        vec![member.at("state_key", &it.asker.id)]
    }),
];

const VIA: [(&str, &str); 3] =
    [("via", "localhost"), ("via", "other.example"), ("server_name", "localhost")];

fn is_of((method, end, _): &Row, route: &Route) -> bool {
    *method == route.method && route.path.ends_with(end)
}

/// Asserts that the examples are all of endpoints that there are.
pub(super) fn check(routes: &[Route]) {
    for row in &TABLE {
        assert!(routes.iter().any(|it| is_of(row, it)), "there is no {} {}", row.0, row.1);
    }
}

/// An example for an endpoint; one for that method, where there is none.
pub(super) fn of(route: &Route, cast: &Cast, rng: &mut Rng) -> Example {
    let rows: Vec<&Row> = TABLE.iter().filter(|it| it.0 == route.method).collect();
    let own = rows.iter().copied().find(|it| is_of(it, route));
    let Some((_, _, examples)) = own.or_else(|| rng.pick(&rows).copied()) else {
        return Example::default();
    };
    let mut examples = examples(cast);
    examples.swap_remove(rng.below(examples.len()))
}

/// The authentication data that lets the asker do anything.
fn auth(cast: &Cast) -> Value {
    json!({ "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": cast.asker.id } })
}

fn register(_: &Cast) -> Vec<Example> {
    let stages = [
        json!({ "type": "m.login.dummy" }),
        json!({ "type": "m.login.dummy", "session": "1795915760030.bm9uY2U.c2VhbA" }),
        json!({ "type": "m.login.registration_token", "token": "some" }),
    ];
    let accounts = stages.into_iter().map(|auth| {
        let account = json!({ "username": unique("new"), "password": "correct horse battery 42!",
            "device_id": DEVICE, "initial_device_display_name": "new", "refresh_token": true,
            "inhibit_login": false, "auth": auth });
        body(account).query(&[("kind", "user")])
    });
    accounts.collect()
}

fn login(cast: &Cast) -> Vec<Example> {
    let identifiers = [
        json!({ "type": "m.id.user", "user": cast.asker.id }),
        json!({ "type": "m.id.user", "user": cast.peer.localpart() }),
        json!({ "type": "m.id.phone", "country": "GB", "phone": "07000000000" }),
        json!({ "type": "m.id.thirdparty", "medium": "email", "address": "a@b.example" }),
    ];
    let by_password = identifiers.into_iter().map(|identifier| {
        body(json!({ "type": "m.login.password", "identifier": identifier,
            "password": PASSWORD, "device_id": DEVICE, "refresh_token": true,
            "initial_device_display_name": "of the hostile" }))
    });
    by_password.chain([body(json!({ "type": "m.login.token", "token": "some" }))]).collect()
}

fn backup() -> Example {
    body(json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": { "public_key": "abc", "signatures": {} } }))
}

fn backup_key() -> Value {
    json!({ "first_message_index": 1, "forwarded_count": 0, "is_verified": true,
        "session_data": { "ephemeral": "YQ", "ciphertext": "Yg", "mac": "Yw" } })
}

/// Content of which nobody expects anything.
fn anything() -> Example {
    body(json!({ "any": { "thing": [1, true, null, "text"] } }))
}

fn upload_keys(cast: &Cast) -> Vec<Example> {
    let key = json!({ "key": "abc",
        "signatures": { (cast.asker.id.as_str()): { "ed25519:x": "x" } } });
    let device = Key::default().device(&cast.asker.id, &cast.asker.device);
    let keys = json!({ "device_keys": device,
        "one_time_keys": { "signed_curve25519:A": key, "curve25519:B": "abc" },
        "fallback_keys": { "curve25519:C": "abc" } });
    vec![body(keys)]
}

fn dehydrated_device(cast: &Cast) -> Vec<Example> {
    let keys = Key::default().device(&cast.asker.id, "OTHER");
    vec![body(json!({ "device_id": "OTHER", "device_keys": keys,
        "device_data": { "algorithm": "some", "device_pickle": "text" },
        "initial_device_display_name": "of the hostile",
        "one_time_keys": { "curve25519:A": "abc" }, "fallback_keys": { "curve25519:C": "abc" } }))]
}

fn account_data(cast: &Cast) -> Vec<Example> {
    let direct = json!({ (cast.peer.id.as_str()): [cast.own_room] });
    let ignored = json!({ "ignored_users": { (cast.peer.id.as_str()): {} } });
    vec![
        body(direct).at("event_type", "m.direct"),
        body(ignored).at("event_type", "m.ignored_user_list"),
        anything(),
    ]
}

fn profile(_: &Cast) -> Vec<Example> {
    let fields = [
        ("displayname", json!("Hostile")),
        ("avatar_url", json!("mxc://localhost/a")),
        ("m.tz", json!("Europe/Berlin")),
        ("org.example.mood", json!({ "any": [1, "thing"] })),
    ];
    fields.map(|(field, value)| body(json!({ (field): value })).at("field", field)).into()
}

fn filter(cast: &Cast) -> Value {
    json!({
        "event_fields": ["content.body", "sender", "content.m\\.relates_to"],
        "event_format": "client",
        "presence": { "types": ["m.*"], "not_senders": [cast.victim.user.id] },
        "account_data": { "types": ["m.*", "org.*.some"], "limit": 5 },
        "room": {
            "rooms": [cast.own_room],
            "not_rooms": [],
            "include_leave": true,
            "ephemeral": { "types": ["m.receipt"], "limit": 5 },
            "state": { "lazy_load_members": true, "include_redundant_members": false },
            "timeline": room_filter(cast),
            "account_data": { "not_types": ["m.fully_read"] },
        },
    })
}

fn room_filter(cast: &Cast) -> Value {
    json!({ "limit": 5, "types": ["m.room.*"], "not_types": ["m.room.topic"],
        "senders": [cast.asker.id, cast.peer.id], "not_senders": [cast.victim.user.id],
        "contains_url": false, "lazy_load_members": true, "related_by_rel_types": ["m.thread"],
        "unread_thread_notifications": true })
}

fn create_room(cast: &Cast) -> Vec<Example> {
    let levels = json!({ "users": { (cast.asker.id.as_str()): 100 }, "ban": 50,
        "events": { "m.room.name": 50 }, "notifications": { "room": 20 } });
    let room = json!({
        "creation_content": { "m.federate": false, "type": "m.space",
            "predecessor": { "room_id": cast.own_room, "event_id": cast.message } },
        "initial_state": [{ "type": "m.room.history_visibility", "state_key": "",
            "content": { "history_visibility": "joined" } }],
        "invite": [cast.peer.id, cast.victim.user.id],
        "is_direct": true,
        "name": "a room",
        "topic": "a topic",
        "preset": "private_chat",
        "room_alias_name": unique("made"),
        "room_version": "11",
        "visibility": "public",
        "power_level_content_override": levels,
    });
    vec![body(room), body(json!({ "preset": "public_chat" }))]
}

fn send(cast: &Cast) -> Vec<Example> {
    let reaction = json!({ "m.relates_to":
        { "rel_type": "m.annotation", "event_id": cast.message, "key": "👍" } });
    let edit = json!({ "body": "* new", "msgtype": "m.text",
        "m.new_content": { "body": "new", "msgtype": "m.text" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": cast.message } });
    let redaction = json!({ "redacts": cast.message, "reason": "none" });
    vec![
        body(cast.message_content()).at("event_type", "m.room.message"),
        body(reaction).at("event_type", "m.reaction"),
        body(edit).at("event_type", "m.room.message"),
        body(redaction).at("event_type", "m.room.redaction"),
        anything(),
    ]
}

fn join(cast: &Cast) -> Vec<Example> {
    let signed = json!({ "sender": cast.peer.id, "mxid": cast.asker.id, "token": "x",
        "signatures": { "x.y": { "ed25519:1": "x" } } });
    let invited = body(json!({ "reason": "none", "third_party_signed": signed }));
    let plain = || body(json!({ "reason": "none" }));
    vec![plain(), plain().query(&VIA), invited]
}

fn whom(cast: &Cast) -> Example {
    body(json!({ "user_id": cast.peer.id, "reason": "none" }))
}

fn sync(cast: &Cast) -> Vec<Example> {
    let parameters = [
        ("since", cast.places.since.as_str()),
        ("timeout", "50"),
        ("filter", &filter(cast).to_string()),
        ("full_state", "false"),
        ("set_presence", "online"),
        ("use_state_after", "true"),
    ];
    vec![query(&parameters), query(&[("filter", &cast.filter), ("full_state", "true")])]
}

fn messages(cast: &Cast) -> Vec<Example> {
    let (places, filter) = (&cast.places, room_filter(cast).to_string());
    let backward = [
        ("dir", "b"),
        ("from", places.before.as_str()),
        ("to", &places.end),
        ("limit", "5"),
        ("filter", &filter),
    ];
    vec![query(&backward), query(&[("dir", "f"), ("from", &places.since), ("limit", "1000")])]
}
