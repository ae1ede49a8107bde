//! Coming and going.

use super::{
    LOOK, VERSIONS, address, agree, both_ways, joining, public_room, server_of, shared_room, talk,
    until_member,
};
use skerry_tests::{
    Federated, Homeserver as _, PATIENCE, Synapse, Sync, User, Value, Watch, encode, json, path,
};
use tokio::time::{Instant, sleep};

beside_synapse![
    rooms_of_each_version_are_joined_by_address_and_spoken_in,
    rooms_of_older_versions_are_joined_and_spoken_in,
    a_room_with_much_state_is_joined,
    a_room_is_joined_before_all_its_members_are_known,
    a_room_whose_history_is_hidden_is_joined_with_all_its_members,
    a_room_is_joined_by_way_of_a_server_that_is_named,
    further_users_of_both_servers_join,
    who_leaves_is_gone_and_may_come_back,
    who_is_kicked_may_come_back_and_who_is_banned_may_not,
    a_restricted_room_is_joined_by_members_of_another_one,
    a_room_that_nobody_may_join_is_refused,
    who_comes_back_finds_the_room_as_it_is_now,
];

async fn rooms_of_each_version_are_joined_by_address_and_spoken_in(
    skerry: &Federated,
    synapse: &Synapse,
) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in VERSIONS {
            let (local, address) = address(&home);
            let options = json!({ "preset": "public_chat", "room_version": version,
                "name": "The harbor", "room_alias_name": local });
            let room = home.create_room(&options).await;
            let found = guest.get(format!("/directory/room/{}", encode(&address))).ok().await;
            assert_eq!(found["room_id"], room.as_str());
            let joined = joining(&guest, &address, &home).ok().await;
            assert_eq!(joined["room_id"], room.as_str());
            let name = guest.state(&room, "m.room.name", "").ok().await;
            assert_eq!(name["name"], "The harbor");
            agree(&home, &guest, &room).await;
            talk(&home, &guest, &room).await;
        }
    }
}

/// Before the third version servers chose the IDs of events themselves.
async fn rooms_of_older_versions_are_joined_and_spoken_in(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in ["1", "2", "3", "4", "5", "6", "7", "8", "9"] {
            let options = json!({ "preset": "public_chat", "room_version": version });
            let room = shared_room(&home, &guest, &options).await;
            talk(&home, &guest, &room).await;
            let said = guest.say(&room, "I did not mean it").await;
            let mut watch = home.watch().await;
            let redaction = guest.redact(&room, &said).await;
            watch.event(&room, &redaction).await;
            let event = home.event(&room, &said).ok().await;
            assert_eq!(event["content"], json!({}), "version {version}: {event}");
            agree(&home, &guest, &room).await;
        }
    }
}

async fn a_room_is_joined_by_way_of_a_server_that_is_named(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        let members = guest.joined_members(&room).await;
        assert!(members.contains(&home.id) && members.contains(&guest.id), "{members:?}");
        talk(&guest, &home, &room).await;
    }
}

async fn further_users_of_both_servers_join(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        let (one, other): (User, User) = match server_of(&home) == skerry.name() {
            true => (User::register(skerry, "a").await, User::register(synapse, "b").await),
            false => (User::register(synapse, "a").await, User::register(skerry, "b").await),
        };
        // Their servers are in the room: nobody is asked.
        one.join(&room).await;
        other.join(&room).await;
        let state = agree(&home, &guest, &room).await;
        let members = state.keys().filter(|(kind, _)| kind == "m.room.member").count();
        assert_eq!(members, 4);
        talk(&one, &other, &room).await;
    }
}

async fn who_leaves_is_gone_and_may_come_back(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        talk(&home, &guest, &room).await;
        guest.leave(&room).await;
        until_member(&home, &room, &guest, "leave").await;
        home.say(&room, "nobody hears this").await;
        joining(&guest, &room, &home).ok().await;
        agree(&home, &guest, &room).await;
        talk(&home, &guest, &room).await;
    }
}

/// Waits until a client is told that its user is no member any more, and what they are instead.
async fn until_removed(mut watch: Watch, room: &str, membership: &str) {
    let is_so = |it: &Value| it["content"]["membership"] == membership;
    let removed = |sync: &Sync| {
        let room = sync.room("leave", room)?;
        room.timeline().iter().any(is_so).then_some(())
    };
    watch.until(membership, removed).await;
}

async fn who_is_kicked_may_come_back_and_who_is_banned_may_not(
    skerry: &Federated,
    synapse: &Synapse,
) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        let watch = guest.watch().await;
        home.on_member(&room, "kick", &guest).ok().await;
        until_removed(watch, &room, "leave").await;
        joining(&guest, &room, &home).ok().await;
        until_member(&home, &room, &guest, "join").await;
        let watch = guest.watch().await;
        home.on_member(&room, "ban", &guest).ok().await;
        until_removed(watch, &room, "ban").await;
        joining(&guest, &room, &home).refused(403, "M_FORBIDDEN").await;
        home.on_member(&room, "unban", &guest).ok().await;
        joining(&guest, &room, &home).ok().await;
        agree(&home, &guest, &room).await;
        talk(&home, &guest, &room).await;
        // A guest with the power to do so kicks and bans others at their home.
        home.give_power(&room, &guest, 100).await;
        agree(&home, &guest, &room).await;
        let other = match server_of(&home) == skerry.name() {
            true => User::register(skerry, "other").await,
            false => User::register(synapse, "other").await,
        };
        other.join(&room).await;
        until_member(&guest, &room, &other, "join").await;
        let watch = other.watch().await;
        guest.on_member(&room, "ban", &other).ok().await;
        until_removed(watch, &room, "ban").await;
        let refused = other.post(path(["rooms", &room, "join"])).send().await;
        assert_eq!(refused.status, 403, "{refused}");
        agree(&home, &guest, &room).await;
    }
}

async fn a_restricted_room_is_joined_by_members_of_another_one(
    skerry: &Federated,
    synapse: &Synapse,
) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in VERSIONS {
            let club = home.public_room(&[]).await;
            let allow = json!([{ "type": "m.room_membership", "room_id": club }]);
            let rule = json!({ "type": "m.room.join_rules",
                "content": { "join_rule": "restricted", "allow": allow } });
            let options = json!({ "preset": "private_chat", "room_version": version,
                "initial_state": [rule] });
            let room = home.create_room(&options).await;
            joining(&guest, &room, &home).refused(403, "M_FORBIDDEN").await;
            joining(&guest, &club, &home).ok().await;
            until_member(&home, &club, &guest, "join").await;
            joining(&guest, &room, &home).ok().await;
            let state = agree(&home, &guest, &room).await;
            let join = &state[&("m.room.member".to_owned(), guest.id.clone())];
            let join = home.event(&room, join).ok().await;
            let voucher = &join["content"]["join_authorised_via_users_server"];
            assert_eq!(*voucher, home.id.as_str(), "{join}");
            talk(&home, &guest, &room).await;
        }
    }
}

async fn a_room_that_nobody_may_join_is_refused(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = home.private_room(&[]).await;
        joining(&guest, &room, &home).refused(403, "M_FORBIDDEN").await;
        let (_, address) = address(&home);
        joining(&guest, &address, &home).refused(404, "M_NOT_FOUND").await;
        assert_eq!(home.joined_members(&room).await, [home.id.as_str()]);
    }
}

/// All users of a server have left, the room has gone on, and they come back.
async fn who_comes_back_finds_the_room_as_it_is_now(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let options = json!({ "preset": "public_chat", "room_version": "11", "topic": "before" });
        let room = shared_room(&home, &guest, &options).await;
        guest.leave(&room).await;
        until_member(&home, &room, &guest, "leave").await;
        home.say_many(&room, 30).await;
        home.set_state(&room, "m.room.topic", "", &json!({ "topic": "after" })).await;
        home.set_state(&room, "m.room.name", "", &json!({ "name": "new" })).await;
        joining(&guest, &room, &home).ok().await;
        agree(&home, &guest, &room).await;
        let topic = guest.state(&room, "m.room.topic", "").ok().await;
        assert_eq!(topic["topic"], "after");
        talk(&home, &guest, &room).await;
    }
}

async fn a_room_with_much_state_is_joined(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let state = |number: usize| {
            json!({ "type": "org.example.berth", "state_key": format!("berth {number}"),
                "content": { "ship": "⚓".repeat(number * 20) } })
        };
        let state: Vec<_> = (0..90).map(state).collect();
        let options = json!({ "preset": "public_chat", "room_version": "11",
            "initial_state": state });
        let room = shared_room(&home, &guest, &options).await;
        assert!(guest.state_ids(&room).await.len() > 90);
        talk(&home, &guest, &room).await;
    }
}

/// Users of the same server as this one who join its room.
async fn crowd(home: &User, skerry: &Federated, synapse: &Synapse, room: &str) {
    for _ in 0..8 {
        match server_of(home) == skerry.name() {
            true => User::register(skerry, "member").await.join(room).await,
            false => User::register(synapse, "member").await.join(room).await,
        }
    }
}

/// Synapse goes on without members, and asks for them later.
async fn a_room_is_joined_before_all_its_members_are_known(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let options = json!({ "preset": "public_chat", "room_version": "11", "name": "Harbor" });
        let room = home.create_room(&options).await;
        crowd(&home, skerry, synapse, &room).await;
        joining(&guest, &room, &home).ok().await;
        let state = agree(&home, &guest, &room).await;
        assert_eq!(state.keys().filter(|(kind, _)| kind == "m.room.member").count(), 10);
        talk(&home, &guest, &room).await;
        if server_of(&guest) == synapse.name() {
            until_logged(synapse, &format!("State resync complete for {room}")).await;
        }
        talk(&home, &guest, &room).await;
    }
}

/// Synapse could not ask for them later.
async fn a_room_whose_history_is_hidden_is_joined_with_all_its_members(
    skerry: &Federated,
    synapse: &Synapse,
) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let hidden = json!({ "type": "m.room.history_visibility",
            "content": { "history_visibility": "joined" } });
        let options = json!({ "preset": "public_chat", "room_version": "11", "name": "Harbor",
            "initial_state": [hidden] });
        let room = home.create_room(&options).await;
        crowd(&home, skerry, synapse, &room).await;
        joining(&guest, &room, &home).ok().await;
        agree(&home, &guest, &room).await;
        talk(&home, &guest, &room).await;
        assert!(!synapse.log().contains(&format!("Syncing state for room {room}")));
    }
}

async fn until_logged(synapse: &Synapse, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !synapse.log().contains(line) {
        assert!(Instant::now() < deadline, "{line}");
        sleep(LOOK).await;
    }
}
