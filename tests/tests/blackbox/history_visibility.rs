//! Who may read which part of a room's history: four settings, seen by a member, a former member,
//! an invited user and a stranger, on every endpoint that reads events.

use skerry_tests::{Server, User, json, path};

both_hosts![
    world_readable_history_is_open_to_all,
    shared_history_is_open_to_members,
    invited_history_begins_with_the_invite,
    joined_history_begins_with_the_join,
    a_change_of_the_setting_is_not_retroactive,
    a_world_readable_room_shows_its_state_to_strangers,
    a_world_readable_room_is_still_closed_to_writing,
    closing_a_world_readable_room_closes_what_follows,
    the_own_join_is_always_visible,
    each_stay_counts_by_itself,
];

/// One message from each stage of bob's life in a room: before the invite, while invited, while
/// joined, after leaving.
struct Story {
    alice: User,
    bob: User,
    room: String,
    messages: [String; 4],
}

impl Story {
    async fn told(server: &Server, visibility: &str) -> Self {
        let alice = User::register(server, "alice").await;
        let bob = User::register(server, "bob").await;
        let room = alice.create_room(&with_visibility(visibility)).await;
        let before = alice.say(&room, "before the invite").await;
        alice.invite(&room, &bob).await;
        let invited = alice.say(&room, "while invited").await;
        bob.join(&room).await;
        let joined = alice.say(&room, "while joined").await;
        let story = Self { alice, bob, room, messages: [before, invited, joined, String::new()] };
        story.after_leaving().await
    }

    async fn after_leaving(mut self) -> Self {
        self.bob.leave(&self.room).await;
        self.messages[3] = self.alice.say(&self.room, "after leaving").await;
        self
    }

    /// Asserts on every endpoint which of the four messages a user sees.
    async fn shows(&self, user: &User, expected: [bool; 4]) {
        let room = self.room.as_str();
        for direction in ["b", "f"] {
            let page = user.messages(room, direction).query("limit", 100).ok().await;
            let found = self.messages.clone().map(|id| page.to_string().contains(&id));
            assert_eq!(found, expected, "/messages {direction} as {}", user.id);
        }
        for (message, visible) in self.messages.iter().zip(expected) {
            let event = user.event(room, message);
            let context = user.get(path(["rooms", room, "context", message]));
            if visible {
                event.ok().await;
                let context = context.query("limit", 100).ok().await;
                let found = self.messages.clone().map(|id| context.to_string().contains(&id));
                assert_eq!(found, expected, "/context as {}", user.id);
            } else {
                event.refused(404, "M_NOT_FOUND").await;
                let reply = context.send().await;
                reply.refused_with_any(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")]);
            }
        }
    }

    /// Asserts that a user outside is shown nothing.
    async fn is_closed_to(&self, user: &User) {
        user.messages(&self.room, "b").refused(403, "M_FORBIDDEN").await;
        for message in &self.messages {
            let event = user.event(&self.room, message).send().await;
            event.refused_with_any(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")]);
            let context = user.get(path(["rooms", &self.room, "context", message]));
            let context = context.send().await;
            context.refused_with_any(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")]);
        }
    }
}

fn with_visibility(visibility: &str) -> skerry_tests::Value {
    let content = json!({ "history_visibility": visibility });
    json!({ "initial_state": [{ "type": "m.room.history_visibility", "content": content }] })
}

/// S-C2
async fn world_readable_history_is_open_to_all(server: &Server) {
    let story = Story::told(server, "world_readable").await;
    let stranger = User::register(server, "stranger").await;
    story.shows(&story.alice, [true; 4]).await;
    story.shows(&story.bob, [true; 4]).await;
    story.shows(&stranger, [true; 4]).await;
}

/// S-C2
async fn shared_history_is_open_to_members(server: &Server) {
    let story = Story::told(server, "shared").await;
    let (invited, stranger) =
        (User::register(server, "carol").await, User::register(server, "stranger").await);
    story.alice.invite(&story.room, &invited).await;
    story.shows(&story.alice, [true; 4]).await;
    story.shows(&story.bob, [true, true, true, false]).await;
    story.is_closed_to(&invited).await;
    story.is_closed_to(&stranger).await;
    invited.join(&story.room).await;
    story.shows(&invited, [true; 4]).await;
}

/// S-C2
async fn invited_history_begins_with_the_invite(server: &Server) {
    let story = Story::told(server, "invited").await;
    let (invited, stranger) =
        (User::register(server, "carol").await, User::register(server, "stranger").await);
    story.alice.invite(&story.room, &invited).await;
    story.shows(&story.alice, [true; 4]).await;
    story.shows(&story.bob, [false, true, true, false]).await;
    story.is_closed_to(&stranger).await;
    story.is_closed_to(&invited).await;
    invited.join(&story.room).await;
    story.shows(&invited, [false; 4]).await;
}

/// S-C2
async fn joined_history_begins_with_the_join(server: &Server) {
    let story = Story::told(server, "joined").await;
    let (invited, stranger) =
        (User::register(server, "carol").await, User::register(server, "stranger").await);
    story.alice.invite(&story.room, &invited).await;
    story.shows(&story.alice, [true; 4]).await;
    story.shows(&story.bob, [false, false, true, false]).await;
    story.is_closed_to(&stranger).await;
    story.is_closed_to(&invited).await;
}

/// S-C2
async fn a_change_of_the_setting_is_not_retroactive(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut options = with_visibility("joined");
    options["preset"] = json!("public_chat");
    let room = alice.create_room(&options).await;
    let hidden = alice.say(&room, "hidden").await;
    let open = json!({ "history_visibility": "shared" });
    let change = alice.set_state(&room, "m.room.history_visibility", "", &open).await;
    let shown = alice.say(&room, "shown").await;
    let close = json!({ "history_visibility": "joined" });
    let closing = alice.set_state(&room, "m.room.history_visibility", "", &close).await;
    let hidden_again = alice.say(&room, "hidden again").await;
    bob.join(&room).await;
    bob.event(&room, &hidden).refused(404, "M_NOT_FOUND").await;
    bob.event(&room, &shown).ok().await;
    bob.event(&room, &hidden_again).refused(404, "M_NOT_FOUND").await;
    // The changes are visible if what was before or what came after makes them so.
    bob.event(&room, &change).ok().await;
    bob.event(&room, &closing).ok().await;
}

/// S-C2
async fn a_world_readable_room_shows_its_state_to_strangers(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut options = with_visibility("world_readable");
    options["name"] = json!("open house");
    let room = alice.create_room(&options).await;
    assert_eq!(bob.state(&room, "m.room.name", "").ok().await["name"], "open house");
    assert!(bob.all_state(&room).await.len() > 3);
    bob.get(path(["rooms", &room, "members"])).ok().await;
    bob.get(path(["rooms", &room, "aliases"])).ok().await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    let sync = bob.sync().get().await;
    assert!(sync.joined(&room).is_none(), "reading is not joining");
}

/// S-C2
async fn a_world_readable_room_is_still_closed_to_writing(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.create_room(&with_visibility("world_readable")).await;
    let event = alice.say(&room, "read me").await;
    let typing = json!({ "typing": true, "timeout": 1_000 });
    for request in [
        bob.sending(&room, "m.room.message", &json!({})),
        bob.setting(&room, "m.room.name", "", &json!({})),
        bob.put(path(["rooms", &room, "typing", &bob.id])).json(&typing),
        bob.post(path(["rooms", &room, "receipt", "m.read", &event])),
        bob.on_member(&room, "invite", &bob),
    ] {
        request.refused(403, "M_FORBIDDEN").await;
    }
}

/// S-C2
async fn closing_a_world_readable_room_closes_what_follows(server: &Server) {
    let alice = User::register(server, "alice").await;
    let stranger = User::register(server, "stranger").await;
    let room = alice.create_room(&with_visibility("world_readable")).await;
    let shown = alice.say(&room, "shown").await;
    let close = json!({ "history_visibility": "shared" });
    alice.set_state(&room, "m.room.history_visibility", "", &close).await;
    let hidden = alice.say(&room, "hidden").await;
    stranger.event(&room, &shown).ok().await;
    stranger.event(&room, &hidden).refused(404, "M_NOT_FOUND").await;
    let page = stranger.messages(&room, "b").query("limit", 100).send().await;
    assert!(!page.text.contains(&hidden), "{page}");
}

async fn the_own_join_is_always_visible(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut options = with_visibility("joined");
    options["preset"] = json!("public_chat");
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    bob.leave(&room).await;
    let page = bob.messages(&room, "b").query("limit", 100).ok().await;
    let own = page["chunk"].as_array().expect("a chunk").iter();
    let own: Vec<_> = own
        .filter(|it| it["state_key"] == bob.id.as_str())
        .map(|it| it["content"]["membership"].as_str().expect("a membership"))
        .collect();
    assert_eq!(own, ["leave", "join"], "{page}");
}

/// S-C2
async fn each_stay_counts_by_itself(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut options = with_visibility("joined");
    options["preset"] = json!("public_chat");
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    let first = alice.say(&room, "first stay").await;
    bob.leave(&room).await;
    let between = alice.say(&room, "between").await;
    bob.join(&room).await;
    let second = alice.say(&room, "second stay").await;
    for (event, visible) in [(&first, true), (&between, false), (&second, true)] {
        let request = bob.event(&room, event);
        if visible {
            request.ok().await;
        } else {
            request.refused(404, "M_NOT_FOUND").await;
        }
    }
}
