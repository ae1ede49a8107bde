//! A private room is closed: strangers read nothing of it on any endpoint, and the banned do not
//! come back by any route.

use skerry_tests::{Request, Server, User, json, path, unique};

both_hosts![
    a_stranger_reads_nothing_of_a_private_room,
    an_invited_user_reads_no_messages,
    a_user_who_rejected_an_invite_reads_nothing,
    a_banned_user_reads_nothing_that_came_later,
    a_stranger_cannot_pull_a_room_into_sync,
    a_private_room_is_in_no_directory,
    a_missing_room_looks_like_a_closed_one,
    a_banned_user_cannot_rejoin_by_any_route,
    a_banned_user_cannot_be_invited,
    a_banned_user_cannot_use_an_older_invite,
    a_banned_user_cannot_knock,
    a_banned_user_cannot_leave_the_ban_behind,
    account_data_and_devices_are_private,
    event_ids_of_another_room_open_nothing,
];

/// A private room with a secret in everything that could be read.
struct Secret {
    word: String,
    room: String,
    event: String,
    alias: String,
}

impl Secret {
    async fn kept_by(alice: &User, bob: &User) -> Self {
        let word = unique("xyzzy");
        let room = alice
            .create_room(&json!({ "name": word, "topic": word, "invite": [bob.id],
                "room_alias_name": word }))
            .await;
        bob.join(&room).await;
        let event = bob.say(&room, &word).await;
        alice.set_state(&room, "org.example.secret", "", &json!({ "word": word })).await;
        let alias = format!("#{word}:localhost");
        Self { word, room, event, alias }
    }

    /// Every way to read something of the room, with those that a later server may add.
    fn reads(&self, user: &User) -> Vec<Request> {
        let room = self.room.as_str();
        let event = self.event.as_str();
        let mut reads = vec![
            user.messages(room, "b"),
            user.messages(room, "f"),
            user.event(room, event),
            user.get(path(["rooms", room, "context", event])),
            user.get(path(["rooms", room, "state"])),
            user.get(path(["rooms", room, "members"])),
            user.get(path(["rooms", room, "joined_members"])),
            user.get(path(["rooms", room, "aliases"])),
            user.get(path(["rooms", room, "initialSync"])),
        ];
        for kind in ["m.room.name", "m.room.topic", "m.room.create", "org.example.secret"] {
            reads.push(user.state(room, kind, ""));
            reads.push(user.state(room, kind, "").query("format", "event"));
        }
        reads.push(user.state(room, "m.room.member", &user.id));
        for rest in [
            format!("relations/{event}"),
            format!("relations/{event}/m.thread"),
            format!("relations/{event}/m.annotation/m.reaction"),
            "threads".to_owned(),
            "hierarchy".to_owned(),
            "timestamp_to_event?ts=1&dir=f".to_owned(),
        ] {
            reads.push(user.get(format!("/_matrix/client/v1/rooms/{room}/{rest}")));
        }
        reads.push(user.get(format!("/_matrix/client/v1/room_summary/{room}")));
        reads.push(user.get("/events").query("room_id", room));
        reads
    }

    async fn is_kept_from(&self, user: &User) {
        for request in self.reads(user) {
            let reply = request.send().await;
            assert!(!reply.text.contains(&self.word), "a secret was told: {reply}");
            let allowed = [(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND"), (404, "M_UNRECOGNIZED")];
            reply.refused_with_any(&allowed);
        }
    }
}

/// T15-like
async fn a_stranger_reads_nothing_of_a_private_room(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let stranger = User::register(server, "stranger").await;
    let secret = Secret::kept_by(&alice, &bob).await;
    // The requests do work for a member, so a refusal is about the caller.
    for request in secret.reads(&bob).into_iter().take(8) {
        request.ok().await;
    }
    secret.is_kept_from(&stranger).await;
}

/// T15-like
async fn an_invited_user_reads_no_messages(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let secret = Secret::kept_by(&alice, &bob).await;
    alice.invite(&secret.room, &carol).await;
    for request in secret.reads(&carol).into_iter().take(7) {
        let reply = request.send().await;
        assert!(!reply.text.contains(&secret.word), "a secret was told: {reply}");
        reply.refused_with_any(&[(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND")]);
    }
}

/// T15-like
async fn a_user_who_rejected_an_invite_reads_nothing(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let carol = User::register(server, "carol").await;
    let secret = Secret::kept_by(&alice, &bob).await;
    alice.invite(&secret.room, &carol).await;
    carol.leave(&secret.room).await;
    let later = alice.say(&secret.room, &secret.word).await;
    for request in [
        carol.event(&secret.room, &secret.event),
        carol.event(&secret.room, &later),
        carol.get(path(["rooms", &secret.room, "context", &secret.event])),
    ] {
        let reply = request.send().await;
        assert!(!reply.text.contains(&secret.word), "a secret was told: {reply}");
        reply.refused_with_any(&[(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND")]);
    }
    let page = carol.messages(&secret.room, "b").query("limit", 100).send().await;
    assert!(!page.text.contains(&secret.word), "a secret was told: {page}");
}

/// T6b
async fn a_banned_user_reads_nothing_that_came_later(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let seen = alice.say(&room, "before").await;
    alice.on_member(&room, "ban", &bob).ok().await;
    let word = unique("xyzzy");
    let hidden = alice.say(&room, &word).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": word })).await;
    bob.event(&room, &seen).ok().await;
    bob.event(&room, &hidden).refused(404, "M_NOT_FOUND").await;
    for request in [
        bob.messages(&room, "b").query("limit", 100),
        bob.messages(&room, "f").query("limit", 100),
        bob.get(path(["rooms", &room, "state"])),
        bob.state(&room, "m.room.topic", ""),
        bob.get(path(["rooms", &room, "context", &seen])).query("limit", 50),
    ] {
        let reply = request.send().await;
        assert!(!reply.text.contains(&word), "a secret was told: {reply}");
    }
}

/// T15-like
async fn a_stranger_cannot_pull_a_room_into_sync(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let stranger = User::register(server, "stranger").await;
    let secret = Secret::kept_by(&alice, &bob).await;
    let filter = json!({ "room": { "rooms": [secret.room], "include_leave": true } });
    let sync = stranger.sync().filter(&filter).query("full_state", true).get().await;
    assert!(!sync.json.to_string().contains(&secret.word), "{}", sync.json);
    for section in ["join", "invite", "leave", "knock"] {
        assert!(sync.room(section, &secret.room).is_none(), "{}", sync.json);
    }
}

/// T15-like
async fn a_private_room_is_in_no_directory(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let stranger = User::register(server, "stranger").await;
    let secret = Secret::kept_by(&alice, &bob).await;
    let search = json!({ "filter": { "generic_search_term": secret.word } });
    let found = stranger.post("/publicRooms").json(&search).ok().await;
    assert_eq!(found["chunk"], json!([]));
    // An address tells the ID of the room and nothing else.
    let resolved = stranger.get(path(["directory", "room", &secret.alias])).ok().await;
    assert_eq!(resolved["room_id"], secret.room);
    stranger.post(path(["join", &secret.alias])).refused(403, "M_FORBIDDEN").await;
}

async fn a_missing_room_looks_like_a_closed_one(server: &Server) {
    let alice = User::register(server, "alice").await;
    let missing = "!AA7gWcZ0OVTQhUBSIHBbNeqxPjIaSQGiXhIBrz6XVsmI";
    for request in [
        alice.messages(missing, "b"),
        alice.get(path(["rooms", missing, "state"])),
        alice.get(path(["rooms", missing, "members"])),
        alice.sending(missing, "m.room.message", &json!({})),
        alice.on_member(missing, "invite", &alice),
    ] {
        let reply = request.send().await;
        reply.refused_with_any(&[(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND")]);
    }
}

/// T6b
async fn a_banned_user_cannot_rejoin_by_any_route(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let name = unique("room");
    let options = json!({ "preset": "public_chat", "room_alias_name": name });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    alice.on_member(&room, "ban", &bob).ok().await;
    let join = json!({ "membership": "join" });
    for request in [
        bob.post(path(["rooms", &room, "join"])),
        bob.post(path(["join", &room])),
        bob.post(path(["join", &format!("#{name}:localhost")])),
        bob.setting(&room, "m.room.member", &bob.id, &join),
        bob.setting(&room, "m.room.member", &bob.id, &json!({ "membership": "leave" })),
        bob.setting(&room, "m.room.member", &bob.id, &json!({ "membership": "invite" })),
        bob.on_member(&room, "unban", &bob),
        bob.on_member(&room, "invite", &bob),
    ] {
        request.refused(403, "M_FORBIDDEN").await;
        assert_eq!(alice.membership_of(&room, &bob).await, "ban");
    }
}

/// T6b
async fn a_banned_user_cannot_be_invited(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.private_room(&[&bob]).await;
    alice.on_member(&room, "ban", &bob).ok().await;
    alice.on_member(&room, "invite", &bob).refused(403, "M_FORBIDDEN").await;
    let direct = json!({ "membership": "invite" });
    let direct = alice.setting(&room, "m.room.member", &bob.id, &direct);
    direct.refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_of(&room, &bob).await, "ban");
}

/// T6b
async fn a_banned_user_cannot_use_an_older_invite(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    alice.on_member(&room, "ban", &bob).ok().await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_of(&room, &bob).await, "ban");
}

/// T6b
async fn a_banned_user_cannot_knock(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let room = alice.create_room(&json!({ "initial_state": [rule] })).await;
    alice.on_member(&room, "ban", &bob).ok().await;
    bob.post(path(["knock", &room])).refused(403, "M_FORBIDDEN").await;
    let direct = json!({ "membership": "knock" });
    let direct = bob.setting(&room, "m.room.member", &bob.id, &direct);
    direct.refused(403, "M_FORBIDDEN").await;
}

/// T6b: leaving would turn the ban into a mere absence.
async fn a_banned_user_cannot_leave_the_ban_behind(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    alice.on_member(&room, "ban", &bob).ok().await;
    bob.post(path(["rooms", &room, "leave"])).refused(403, "M_FORBIDDEN").await;
    // Forgetting the room is allowed, and does not open it.
    bob.post(path(["rooms", &room, "forget"])).ok().await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_of(&room, &bob).await, "ban");
}

async fn account_data_and_devices_are_private(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    for request in [
        bob.get(path(["user", &alice.id, "account_data", "m.direct"])),
        bob.put(path(["user", &alice.id, "account_data", "m.direct"])),
        bob.get(path(["user", &alice.id, "rooms", &room, "account_data", "m.tag"])),
        bob.put(path(["user", &alice.id, "rooms", &room, "account_data", "org.example"])),
        bob.get(path(["user", &alice.id, "rooms", &room, "tags"])),
        bob.put(path(["user", &alice.id, "rooms", &room, "tags", "m.favourite"])),
        bob.delete(path(["user", &alice.id, "rooms", &room, "tags", "m.favourite"])),
        bob.post(path(["user", &alice.id, "filter"])),
        bob.get(path(["user", &alice.id, "filter", "0"])),
        bob.put(path(["rooms", &room, "typing", &alice.id]))
            .json(&json!({ "typing": true, "timeout": 1_000 })),
        bob.put(path(["profile", &alice.id, "displayname"]))
            .json(&json!({ "displayname": "not alice" })),
    ] {
        request.refused(403, "M_FORBIDDEN").await;
    }
}

/// T15-like: an event is found only through its own room.
async fn event_ids_of_another_room_open_nothing(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mallory = User::register(server, "mallory").await;
    let secret = Secret::kept_by(&alice, &bob).await;
    let own = mallory.create_room(&json!({})).await;
    mallory.event(&own, &secret.event).refused(404, "M_NOT_FOUND").await;
    let context = mallory.get(path(["rooms", &own, "context", &secret.event]));
    context.refused(404, "M_NOT_FOUND").await;
    let redact = mallory.put(path(["rooms", &own, "redact", &secret.event, &unique("txn")]));
    redact.send().await.client_error();
    assert_eq!(bob.event(&secret.room, &secret.event).ok().await["content"]["body"], secret.word);
}
