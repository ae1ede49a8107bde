//! Members on other servers: they join a room of Skerry's, speak, change and go, and local users
//! see all of it.

use skerry_tests::{
    Server, User, ids, json, message, path,
    peer::{Draft, Peer, PeerRoom},
    unique,
};

both_hosts![
    a_remote_user_joins_and_speaks,
    a_remote_member_is_listed_and_counted,
    a_remote_member_changes_their_name,
    a_remote_member_leaves,
    a_remote_member_who_is_banned_stays_out,
    a_remote_member_invites_a_local_user,
    a_remote_moderator_removes_a_local_user,
    a_private_room_is_closed_to_remote_users,
    the_directory_counts_remote_members,
    many_events_come_at_once,
];

/// A public room of Alice's with Bob in it, as a peer sees it.
async fn shared(server: &Server) -> (User, User, PeerRoom) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.public_room(&[&bob]).await;
    let room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    (alice, bob, room)
}

/// T3a: what an event names as before it is what the room has.
async fn a_remote_user_joins_and_speaks(server: &Server) {
    let (alice, bob, mut room) = shared(server).await;
    let carol = room.peer.user("carol");
    let (mut alices, mut bobs) = (alice.watch().await, bob.watch().await);
    let join = room.add(Draft::join(&carol));
    let hello = room.add(Draft::message(&carol, "hello from afar"));
    room.accept(server, &[&join, &hello]).await;
    for watch in [&mut alices, &mut bobs] {
        let seen = watch.event(&room.id, &hello.id).await;
        assert_eq!(seen["content"], message("hello from afar"));
        assert_eq!(seen["sender"], carol.as_str());
        assert_eq!(seen["origin_server_ts"], hello.pdu["origin_server_ts"]);
        assert_eq!(watch.seen_in(&room.id), [&join.id, &hello.id]);
    }
    alice.is_shown(&room.id, &hello.id, &message("hello from afar")).await;
    let answer = alice.say(&room.id, "hello back").await;
    let answer = room.read(&alice, &answer).await;
    assert_eq!(answer.prev(), [hello.id.as_str()]);
    assert_eq!(answer.pdu["depth"].as_u64(), hello.pdu["depth"].as_u64().map(|it| it + 1));
    let again = room.add(Draft::message(&carol, "and again"));
    assert_eq!(again.prev(), [answer.id.as_str()]);
    room.accept(server, &[&again]).await;
    let history = alice.history_from(&room.id, &join.id).await;
    assert_eq!(history, [join.id, hello.id, answer.id, again.id]);
}

async fn a_remote_member_is_listed_and_counted(server: &Server) {
    let (alice, bob, mut room) = shared(server).await;
    let carol = room.peer.user("carol");
    let before = alice.sync().get().await;
    let content =
        json!({ "membership": "join", "displayname": "Carol", "avatar_url": "mxc://a/b" });
    let join = room.add(Draft::state(&carol, "m.room.member", &carol, content.clone()));
    room.accept(server, &[&join]).await;
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &join.id).await;
    let summary = &sync.joined(&room.id).expect("the room").0["summary"];
    assert_eq!(summary["m.joined_member_count"], 3, "{summary}");
    let heroes = summary["m.heroes"].as_array().expect("heroes");
    assert!(heroes.contains(&json!(carol)), "{summary}");
    let joined = bob.get(path(["rooms", &room.id, "joined_members"])).ok().await;
    let profile = json!({ "display_name": "Carol", "avatar_url": "mxc://a/b" });
    assert_eq!(joined["joined"][&carol], profile, "{joined}");
    assert_eq!(joined["joined"].as_object().map(serde_json::Map::len), Some(3));
    let members = bob.get(path(["rooms", &room.id, "members"])).query("membership", "join");
    let members = members.ok().await;
    assert!(ids(members["chunk"].as_array().expect("a chunk")).contains(&join.id.as_str()));
    assert_eq!(bob.state(&room.id, "m.room.member", &carol).ok().await, content);
}

async fn a_remote_member_changes_their_name(server: &Server) {
    let (alice, _, mut room) = shared(server).await;
    let carol = room.peer.user("carol");
    let named = |name: &str| {
        let content = json!({ "membership": "join", "displayname": name });
        Draft::state(&carol, "m.room.member", &carol, content)
    };
    let first = room.add(named("Carol"));
    let second = room.add(named("Caroline"));
    room.accept(server, &[&first, &second]).await;
    let shown = alice.event(&room.id, &second.id).ok().await;
    assert_eq!(shown["unsigned"]["prev_content"]["displayname"], "Carol", "{shown}");
    assert_eq!(shown["unsigned"]["replaces_state"], first.id.as_str(), "{shown}");
    let joined = alice.get(path(["rooms", &room.id, "joined_members"])).ok().await;
    assert_eq!(joined["joined"][&carol]["display_name"], "Caroline", "{joined}");
}

async fn a_remote_member_leaves(server: &Server) {
    let (alice, _, mut room) = shared(server).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    let leave = room.add(Draft::member(&carol, &carol, "leave"));
    room.accept(server, &[&join, &leave]).await;
    assert_eq!(alice.membership_in(&room.id, &carol).await, "leave");
    assert_eq!(alice.joined_members(&room.id).await.len(), 2);
    let late = room.stray(Draft::message(&carol, "one more thing"));
    room.refuse(server, &late, "rejected").await;
    alice.is_not_shown(&room.id, &late.id).await;
}

/// T6b
async fn a_remote_member_who_is_banned_stays_out(server: &Server) {
    let (alice, _, mut room) = shared(server).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    room.accept(server, &[&join]).await;
    alice.ban(&room.id, &carol).await;
    let ban = alice.state_ids(&room.id).await;
    let ban = room.read(&alice, &ban[&("m.room.member".to_owned(), carol.clone())]).await;
    assert_eq!(ban.prev(), [join.id.as_str()]);
    for draft in [
        Draft::message(&carol, "still here"),
        Draft::join(&carol),
        Draft::member(&carol, &carol, "leave"),
        Draft::member(&carol, &carol, "knock"),
        Draft::member(&carol, &room.peer.user("dave"), "invite"),
    ] {
        let event = room.stray(draft.after(&[&ban]));
        room.refuse(server, &event, "rejected").await;
        alice.is_not_shown(&room.id, &event.id).await;
    }
    assert_eq!(alice.membership_in(&room.id, &carol).await, "ban");
}

async fn a_remote_member_invites_a_local_user(server: &Server) {
    let (alice, _, mut room) = shared(server).await;
    let carol = room.peer.user("carol");
    let dora = User::register(server, "dora").await;
    let mut watch = dora.watch().await;
    let join = room.add(Draft::join(&carol));
    room.accept(server, &[&join]).await;
    let levels = alice.give_powers(&room.id, &[(&carol, 50)]).await;
    room.read(&alice, &levels).await;
    let invite = room.add(Draft::member(&carol, &dora.id, "invite"));
    room.accept(server, &[&invite]).await;
    let what = "the invitation";
    let invited = watch.until(what, |it| Some(it.room("invite", &room.id)?.0.clone())).await;
    let state = invited["invite_state"]["events"].as_array().expect("stripped state");
    assert!(state.iter().any(|it| it["sender"] == carol.as_str()), "{invited}");
    dora.join(&room.id).await;
    assert_eq!(alice.membership_of(&room.id, &dora).await, "join");
}

async fn a_remote_moderator_removes_a_local_user(server: &Server) {
    let (alice, bob, mut room) = shared(server).await;
    let carol = room.peer.user("carol");
    let join = room.add(Draft::join(&carol));
    room.accept(server, &[&join]).await;
    let levels = alice.give_powers(&room.id, &[(&carol, 50)]).await;
    room.read(&alice, &levels).await;
    let mut watch = bob.watch().await;
    let kick = room.add(Draft::member(&carol, &bob.id, "leave"));
    room.accept(server, &[&kick]).await;
    watch.until("the kick", |it| it.room("leave", &room.id)?.event(&kick.id).cloned()).await;
    bob.sending(&room.id, "m.room.message", &message("?")).refused(403, "M_FORBIDDEN").await;
    bob.join(&room.id).await;
    let rejoin = alice.state_ids(&room.id).await;
    room.read(&alice, &rejoin[&("m.room.member".to_owned(), bob.id.clone())]).await;
    let ban = room.add(Draft::member(&carol, &bob.id, "ban"));
    room.accept(server, &[&ban]).await;
    bob.post(path(["rooms", &room.id, "join"])).refused(403, "M_FORBIDDEN").await;
}

/// T6a
async fn a_private_room_is_closed_to_remote_users(server: &Server) {
    let alice = User::register(server, "alice").await;
    let room = alice.private_room(&[]).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let (carol, dave) = (room.peer.user("carol"), room.peer.user("dave"));
    for draft in [
        Draft::join(&carol),
        Draft::member(&dave, &carol, "invite"),
        Draft::member(&alice.id, &carol, "invite"),
        Draft::member(&carol, &carol, "knock"),
        Draft::message(&carol, "let me in"),
    ] {
        let event = room.stray(draft);
        let outcome = room.send(server, &[&event]).await.remove(0);
        let name = skerry_tests::peer::outcome_name(&outcome);
        // What is said to be Alice's lacks her server's signature.
        assert!(["rejected", "dropped"].contains(&name), "{outcome} for {}", event.pdu);
        alice.is_not_shown(&room.id, &event.id).await;
    }
    assert_eq!(alice.joined_members(&room.id).await, [alice.id.as_str()]);
}

async fn the_directory_counts_remote_members(server: &Server) {
    let alice = User::register(server, "alice").await;
    let name = unique("Ferry");
    let options = json!({ "preset": "public_chat", "visibility": "public", "name": name });
    let room = alice.create_room(&options).await;
    let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
    let join = room.add(Draft::join(&room.peer.user("carol")));
    room.accept(server, &[&join]).await;
    let search = json!({ "filter": { "generic_search_term": name } });
    let found = alice.post("/publicRooms").json(&search).ok().await;
    assert_eq!(found["chunk"][0]["num_joined_members"], 2, "{found}");
}

async fn many_events_come_at_once(server: &Server) {
    let (alice, _, mut room) = shared(server).await;
    let carol = room.peer.user("carol");
    let mut watch = alice.watch().await;
    let mut events = vec![room.add(Draft::join(&carol))];
    for number in 0..49 {
        events.push(room.add(Draft::message(&carol, &number.to_string())));
    }
    // In the worst order; the room puts them into that in which they build on each other.
    let backward: Vec<_> = events.iter().rev().collect();
    for outcome in room.send(server, &backward).await {
        assert_eq!(outcome, json!({ "accepted": { "redacted": false } }));
    }
    let sent: Vec<_> = events.iter().map(|it| it.id.clone()).collect();
    watch.event(&room.id, &sent[49]).await;
    assert_eq!(alice.history_from(&room.id, &sent[0]).await, sent);
}
