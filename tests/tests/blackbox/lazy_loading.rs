//! Lazy-loaded members: only those whose events are told, and each only once unless asked.

use skerry_tests::{Room, Server, User, Value, Watch, json};

both_hosts![
    only_senders_are_told_in_the_initial_sync,
    a_member_is_told_when_they_first_speak,
    a_known_member_is_not_told_again,
    redundant_members_are_told_on_request,
    each_device_learns_members_by_itself,
    memberships_that_change_in_a_gap_are_told,
    the_own_membership_is_told,
    heroes_are_told,
    messages_tell_the_senders_of_their_page,
    without_lazy_loading_every_member_is_told,
];

/// Enough members that one who says nothing is no hero: the specification wants five of those.
struct Crowd {
    alice: User,
    speaker: User,
    silent: User,
    room: String,
}

impl Crowd {
    async fn gathered(server: &Server) -> Self {
        let alice = User::register(server, "alice").await;
        let room = alice.create_room(&json!({ "preset": "public_chat", "name": "crowd" })).await;
        for _ in 0..5 {
            User::register(server, "filler").await.join(&room).await;
        }
        let speaker = User::register(server, "speaker").await;
        let silent = User::register(server, "silent").await;
        speaker.join(&room).await;
        silent.join(&room).await;
        // Pushes every join out of the timeline.
        alice.say_many(&room, 12).await;
        Self { alice, speaker, silent, room }
    }
}

fn lazy() -> Value {
    json!({ "room": { "state": { "lazy_load_members": true }, "timeline": { "limit": 5 } } })
}

/// Who is told by a member event in the state before the timeline.
fn members(room: Room<'_>) -> Vec<String> {
    let events = room.state().iter().filter(|it| it["type"] == "m.room.member");
    events.map(|it| it["state_key"].as_str().expect("a key").to_owned()).collect()
}

async fn only_senders_are_told_in_the_initial_sync(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    let last = crowd.speaker.say(&crowd.room, "hello").await;
    let sync = crowd.alice.sync().filter(&lazy()).until_event(&crowd.room, &last).await;
    let found = members(sync.joined(&crowd.room).expect("the room"));
    assert!(found.contains(&crowd.speaker.id), "the sender: {found:?}");
    assert!(found.contains(&crowd.alice.id), "oneself and a sender: {found:?}");
    assert!(!found.contains(&crowd.silent.id), "who said nothing: {found:?}");
}

/// A watch of the crowd's room that has seen everything until here.
async fn caught_up(user: &User, room: &str, filter: Value) -> Watch {
    let last = user.say(room, "marker").await;
    let sync = user.sync().filter(&filter).until_event(room, &last).await;
    Watch::from(user, sync.next_batch()).filtered(filter)
}

async fn told_with(watch: &mut Watch, room: &str, event: &str) -> Vec<String> {
    watch.room("the event", room, |it| it.event(event).map(|_| members(it))).await
}

async fn a_member_is_told_when_they_first_speak(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    let mut watch = caught_up(&crowd.alice, &crowd.room, lazy()).await;
    let event = crowd.silent.say(&crowd.room, "at last").await;
    let found = told_with(&mut watch, &crowd.room, &event).await;
    assert_eq!(found, [crowd.silent.id.as_str()]);
}

async fn a_known_member_is_not_told_again(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    let mut watch = caught_up(&crowd.alice, &crowd.room, lazy()).await;
    let first = crowd.silent.say(&crowd.room, "at last").await;
    told_with(&mut watch, &crowd.room, &first).await;
    let second = crowd.silent.say(&crowd.room, "and again").await;
    let found = told_with(&mut watch, &crowd.room, &second).await;
    assert_eq!(found, Vec::<String>::new(), "the client was told before");
}

async fn redundant_members_are_told_on_request(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    let mut filter = lazy();
    filter["room"]["state"]["include_redundant_members"] = json!(true);
    let mut watch = caught_up(&crowd.alice, &crowd.room, filter).await;
    for body in ["at last", "and again"] {
        let event = crowd.silent.say(&crowd.room, body).await;
        let found = told_with(&mut watch, &crowd.room, &event).await;
        assert!(found.contains(&crowd.silent.id), "{found:?}");
    }
}

async fn each_device_learns_members_by_itself(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    let phone = User::log_in(server, &crowd.alice.id).await;
    let mut first = caught_up(&crowd.alice, &crowd.room, lazy()).await;
    let event = crowd.silent.say(&crowd.room, "at last").await;
    told_with(&mut first, &crowd.room, &event).await;
    let sync = phone.sync().filter(&lazy()).until_event(&crowd.room, &event).await;
    let found = members(sync.joined(&crowd.room).expect("the room"));
    assert!(found.contains(&crowd.silent.id), "new to this device: {found:?}");
}

async fn memberships_that_change_in_a_gap_are_told(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    let watch = caught_up(&crowd.alice, &crowd.room, lazy()).await;
    crowd.silent.leave(&crowd.room).await;
    let last = crowd.alice.say_many(&crowd.room, 8).await.pop().expect("a message");
    let sync = crowd.alice.sync().since(&watch.since).filter(&lazy());
    let sync = sync.until_event(&crowd.room, &last).await;
    let room = sync.joined(&crowd.room).expect("the room");
    assert!(room.limited(), "{}", room.0);
    let left = room.state().iter().find(|it| it["state_key"] == crowd.silent.id.as_str());
    assert_eq!(left.expect("who left in the gap")["content"]["membership"], "leave");
}

async fn the_own_membership_is_told(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    let last = crowd.speaker.say_many(&crowd.room, 6).await.pop().expect("a message");
    let sync = crowd.silent.sync().filter(&lazy()).until_event(&crowd.room, &last).await;
    let found = members(sync.joined(&crowd.room).expect("the room"));
    assert!(found.contains(&crowd.silent.id), "oneself, though silent: {found:?}");
}

async fn heroes_are_told(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.private_room(&[&bob]).await;
    let last = alice.say_many(&room, 12).await.pop().expect("a message");
    let sync = alice.sync().filter(&lazy()).until_event(&room, &last).await;
    let section = sync.joined(&room).expect("the room");
    assert_eq!(section.0["summary"]["m.heroes"], json!([bob.id]), "{}", section.0);
    assert!(members(section).contains(&bob.id), "a hero needs a name: {}", section.0);
}

async fn messages_tell_the_senders_of_their_page(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    crowd.speaker.say_many(&crowd.room, 3).await;
    let filter = json!({ "lazy_load_members": true });
    let page = crowd.alice.messages(&crowd.room, "b").query("filter", filter).query("limit", 3);
    let page = page.ok().await;
    let state = page["state"].as_array().expect("the senders");
    let found: Vec<_> = state.iter().map(|it| &it["state_key"]).collect();
    assert_eq!(found, [crowd.speaker.id.as_str()], "{page}");
}

async fn without_lazy_loading_every_member_is_told(server: &Server) {
    let crowd = Crowd::gathered(server).await;
    let last = crowd.alice.say(&crowd.room, "marker").await;
    let sync = crowd.alice.sync().until_event(&crowd.room, &last).await;
    let room = sync.joined(&crowd.room).expect("the room");
    assert_eq!(members(room).len(), 8, "{}", room.0);
}
