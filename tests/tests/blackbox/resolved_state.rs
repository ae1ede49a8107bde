//! F16: the current state is what resolution makes of all forks, and everything that shows it
//! follows, even where no new state event says so.

use std::collections::BTreeSet;

use skerry_tests::{
    Server, Sync, User, ids, json, path,
    peer::{Draft, Event, Peer, PeerRoom, StateIds},
    unique,
};

both_hosts![
    f16_a_state_event_that_loses_is_not_shown_as_state,
    f16_a_late_state_event_that_wins_is_the_state,
    f16_the_state_goes_back_without_a_new_event,
    f16_memberships_go_back_without_a_new_event,
    f16_the_directory_follows_the_resolved_state,
    f16_a_soft_failed_state_event_is_not_the_state,
    f16_a_fork_from_the_beginning_puts_the_whole_state_in_question,
];

/// A room of Alice's with Bob in it, and of a peer Carol, a moderator, and Dave, an administrator.
struct Scene {
    alice: User,
    bob: User,
    carol: String,
    dave: String,
    room: PeerRoom,
    /// The event behind which the room forks.
    base: Event,
    levels: Event,
}

impl Scene {
    async fn set(server: &Server, options: &skerry_tests::Value) -> Self {
        let alice = User::register(server, "alice").await;
        let bob = User::register(server, "bob").await;
        let room = alice.create_room(options).await;
        bob.join(&room).await;
        let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
        let (carol, dave) = (room.peer.user("carol"), room.peer.user("dave"));
        let joins = [room.add(Draft::join(&carol)), room.add(Draft::join(&dave))];
        room.accept(server, &[&joins[0], &joins[1]]).await;
        let levels = alice.give_powers(&room.id, &[(&carol, 50), (&dave, 100)]).await;
        let levels = room.read(&alice, &levels).await;
        // So that both joins authorize what all forks have: else they are a part of the conflict,
        // and an event may come before a stronger one whose sender joined later.
        for user in [&carol, &dave] {
            let mark = room.add(Draft::state(user, "org.example.mark", user, json!({})));
            room.accept(server, &[&mark]).await;
        }
        let base = room.end();
        Self { alice, bob, carol, dave, room, base, levels }
    }

    async fn in_public(server: &Server) -> Self {
        Self::set(server, &json!({ "preset": "public_chat" })).await
    }

    /// Dave takes Carol's power away, behind the base.
    fn demotion(&mut self) -> Event {
        let mut content = self.levels.pdu["content"].clone();
        content["users"][&self.carol] = json!(0);
        let draft = Draft::state(&self.dave, "m.room.power_levels", "", content);
        self.room.stray(draft.after(&[&self.base]))
    }

    /// Asserts that the state that a client was told is what the room says it is.
    async fn leads_to_the_state(&self, sync: &Sync, before: StateIds) {
        let section = sync.joined(&self.room.id).expect("the room");
        let state = self.alice.state_ids(&self.room.id).await;
        assert_eq!(section.leads_to(before), state, "{}", section.0);
        let initial = self.bob.sync().get().await;
        let section = initial.joined(&self.room.id).expect("the room");
        assert_eq!(section.leads_to(StateIds::new()), state, "{}", section.0);
    }
}

fn topic(sender: &str, text: &str) -> Draft {
    Draft::state(sender, "m.room.topic", "", json!({ "topic": text }))
}

async fn f16_a_state_event_that_loses_is_not_shown_as_state(server: &Server) {
    let mut scene = Scene::in_public(server).await;
    let (alice, id) = (scene.alice.clone(), scene.room.id.clone());
    let own = alice.set_state(&id, "m.room.topic", "", &json!({ "topic": "Alice's" })).await;
    let before = scene.bob.sync().until_event(&id, &own).await;
    let told = before.joined(&id).expect("the room").leads_to(StateIds::new());
    // Older than Alice's, as far as the two times say.
    let ts = &scene.base.pdu["origin_server_ts"];
    let draft = topic(&scene.carol, "Carol's").with("origin_server_ts", ts.clone());
    let late = scene.room.stray(draft.after(&[&scene.base]));
    scene.room.accept(server, &[&late]).await;
    let last = alice.say(&id, "which topic?").await;
    assert_eq!(alice.state(&id, "m.room.topic", "").ok().await["topic"], "Alice's");
    let sync = scene.bob.sync().since(before.next_batch()).until_event(&id, &last).await;
    assert_eq!(ids(sync.joined(&id).expect("the room").timeline()), [last.as_str()]);
    scene.leads_to_the_state(&sync, told).await;
    let initial = scene.bob.sync().get().await;
    assert!(initial.joined(&id).expect("the room").event(&late.id).is_none(), "{}", initial.json);
    // It is a part of the room all the same.
    alice.is_shown(&id, &late.id, &json!({ "topic": "Carol's" })).await;
    let mut prev = scene.room.read(&alice, &last).await.prev();
    let mut expected = vec![own, late.id];
    prev.sort();
    expected.sort();
    assert_eq!(prev, expected);
}

async fn f16_a_late_state_event_that_wins_is_the_state(server: &Server) {
    let mut scene = Scene::in_public(server).await;
    let (alice, id) = (scene.alice.clone(), scene.room.id.clone());
    let own = alice.set_state(&id, "m.room.topic", "", &json!({ "topic": "Alice's" })).await;
    let own = scene.room.read(&alice, &own).await;
    let before = scene.bob.sync().until_event(&id, &own.id).await;
    let told = before.joined(&id).expect("the room").leads_to(StateIds::new());
    let late = scene.room.stray(topic(&scene.carol, "Carol's").after(&[&scene.base]));
    assert!(late.pdu["origin_server_ts"].as_u64() > own.pdu["origin_server_ts"].as_u64());
    scene.room.accept(server, &[&late]).await;
    assert_eq!(alice.state(&id, "m.room.topic", "").ok().await["topic"], "Carol's");
    let sync = scene.bob.sync().since(before.next_batch()).until_event(&id, &late.id).await;
    scene.leads_to_the_state(&sync, told).await;
}

async fn f16_the_state_goes_back_without_a_new_event(server: &Server) {
    let options = json!({ "preset": "public_chat", "topic": "the first" });
    let mut scene = Scene::set(server, &options).await;
    let (alice, id) = (scene.alice.clone(), scene.room.id.clone());
    let carols = scene.room.stray(topic(&scene.carol, "Carol's").after(&[&scene.base]));
    scene.room.accept(server, &[&carols]).await;
    assert_eq!(alice.state(&id, "m.room.topic", "").ok().await["topic"], "Carol's");
    let before = scene.bob.sync().until_event(&id, &carols.id).await;
    let told = before.joined(&id).expect("the room").leads_to(StateIds::new());
    let demotion = scene.demotion();
    scene.room.accept(server, &[&demotion]).await;
    assert_eq!(alice.state(&id, "m.room.topic", "").ok().await["topic"], "the first");
    let sync = scene.bob.sync().since(before.next_batch()).until_event(&id, &demotion.id).await;
    let section = sync.joined(&id).expect("the room");
    assert_eq!(ids(section.timeline()), [demotion.id.as_str()]);
    let changed: Vec<_> = section.state().iter().map(|it| &it["content"]["topic"]).collect();
    assert_eq!(changed, [&json!("the first")], "{}", section.0);
    scene.leads_to_the_state(&sync, told).await;
    // With `state_after` nothing has to be left out of the timeline.
    let after = scene.bob.sync().since(before.next_batch()).query("use_state_after", true);
    let after = after.until_event(&id, &demotion.id).await;
    let state = skerry_tests::events(&after.joined(&id).expect("the room").0["state_after"]);
    let mut kinds: Vec<_> = state.iter().filter_map(|it| it["type"].as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["m.room.power_levels", "m.room.topic"], "{}", after.json);
}

async fn f16_memberships_go_back_without_a_new_event(server: &Server) {
    let mut scene = Scene::in_public(server).await;
    let (alice, bob, id) = (scene.alice.clone(), scene.bob.clone(), scene.room.id.clone());
    let mut watch = bob.watch().await;
    let kick = Draft::member(&scene.carol, &bob.id, "ban");
    let ban = scene.room.stray(kick.after(&[&scene.base]));
    scene.room.accept(server, &[&ban]).await;
    watch.until("the ban", |it| it.room("leave", &id)?.event(&ban.id).cloned()).await;
    assert!(!alice.joined_members(&id).await.contains(&bob.id));
    bob.sending(&id, "m.room.message", &json!({})).refused(403, "M_FORBIDDEN").await;
    let before = alice.sync().get().await;
    let demotion = scene.demotion();
    scene.room.accept(server, &[&demotion]).await;
    let expected = [&alice.id, &bob.id, &scene.carol, &scene.dave].map(String::as_str);
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(alice.membership_of(&id, &bob).await, "join");
    assert_eq!(alice.joined_members(&id).await, expected);
    let members = alice.get(path(["rooms", &id, "members"])).query("membership", "ban").ok().await;
    assert_eq!(members["chunk"], json!([]), "{members}");
    let sync = alice.sync().since(before.next_batch()).until_event(&id, &demotion.id).await;
    let summary = &sync.joined(&id).expect("the room").0["summary"];
    assert_eq!(summary["m.joined_member_count"], 4, "{summary}");
    watch.until("the room again", |it| it.joined(&id).map(|_| ())).await;
    let rooms = bob.get("/joined_rooms").ok().await;
    assert_eq!(rooms["joined_rooms"], json!([id]));
    let back = bob.say(&id, "I was never banned").await;
    alice.is_shown(&id, &back, &skerry_tests::message("I was never banned")).await;
}

async fn f16_the_directory_follows_the_resolved_state(server: &Server) {
    let name = unique("Harbor");
    let options = json!({ "preset": "public_chat", "visibility": "public", "name": name });
    let mut scene = Scene::set(server, &options).await;
    let renamed = unique("Carols");
    let content = json!({ "name": renamed });
    let draft = Draft::state(&scene.carol, "m.room.name", "", content);
    let carols = scene.room.stray(draft.after(&[&scene.base]));
    let ban = Draft::member(&scene.carol, &scene.bob.id, "ban").after(&[&carols]);
    let ban = scene.room.stray(ban);
    scene.room.accept(server, &[&carols, &ban]).await;
    let alice = scene.alice.clone();
    let listed = |name: &str| {
        let search = json!({ "filter": { "generic_search_term": name } });
        let request = alice.post("/publicRooms").json(&search);
        async move { request.ok().await["chunk"].clone() }
    };
    let entry = listed(&renamed).await;
    assert_eq!(entry[0]["name"], renamed, "{entry}");
    assert_eq!(entry[0]["num_joined_members"], 3, "{entry}");
    let demotion = scene.demotion();
    scene.room.accept(server, &[&demotion]).await;
    assert_eq!(listed(&renamed).await, json!([]));
    let entry = listed(&name).await;
    assert_eq!(entry[0]["name"], name, "{entry}");
    assert_eq!(entry[0]["num_joined_members"], 4, "{entry}");
}

async fn f16_a_soft_failed_state_event_is_not_the_state(server: &Server) {
    let mut scene = Scene::in_public(server).await;
    let (alice, id) = (scene.alice.clone(), scene.room.id.clone());
    alice.ban(&id, &scene.carol).await;
    let late = scene.room.stray(topic(&scene.carol, "Carol's").after(&[&scene.base]));
    scene.room.refuse(server, &late, "soft_failed").await;
    alice.state(&id, "m.room.topic", "").refused(404, "M_NOT_FOUND").await;
    alice.is_not_shown(&id, &late.id).await;
}

async fn f16_a_fork_from_the_beginning_puts_the_whole_state_in_question(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&Peer::new("peer.example"), "11", &[("dave", 50)]);
    let (carol, dave) = (room.peer.user("carol"), room.peer.user("dave"));
    let begin = room.state("m.room.member", &carol);
    let topic = room.add(topic(&dave, "Dave's"));
    let mut content = room.state("m.room.power_levels", "").pdu["content"].clone();
    content["users"][&dave] = json!(0);
    room.add(Draft::state(&carol, "m.room.power_levels", "", content));
    let join = room.let_in(server, &alice).await;
    let key = ("m.room.topic".to_owned(), String::new());
    assert_eq!(alice.state_ids(&room.id).await[&key], topic.id);
    room.tell_history(server, &join).await;
    // Where nothing else is settled, the topic is asked again of who may set it.
    let fork = Draft::state(&carol, "org.example.fork", "", json!({})).after(&[&begin]);
    let fork = room.stray(fork);
    room.accept(server, &[&fork]).await;
    let mut expected = room.state_at(&join.id);
    expected.retain(|it| it.id != topic.id);
    expected.push(fork);
    let expected: BTreeSet<_> = expected.into_iter().map(|it| it.id).collect();
    let found: BTreeSet<_> = alice.state_ids(&room.id).await.into_values().collect();
    assert_eq!(found, expected);
}
