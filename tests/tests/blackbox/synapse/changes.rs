//! What a room is, changed from both sides.

use super::{VERSIONS, agree, both_ways, joining, public_room, shared_room, talk, until_member};
use skerry_tests::{Federated, Synapse, User, encode, json, path};

beside_synapse![
    what_either_side_changes_is_so_on_both,
    who_has_which_power_is_the_same_on_both,
    what_is_changed_at_the_same_moment_ends_alike,
    a_name_that_a_user_takes_is_seen_in_the_room,
    a_room_that_was_replaced_leads_to_the_new_one,
];

async fn what_either_side_changes_is_so_on_both(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in VERSIONS {
            let options = json!({ "preset": "public_chat", "room_version": version });
            let room = shared_room(&home, &guest, &options).await;
            home.give_power(&room, &guest, 50).await;
            agree(&home, &guest, &room).await;
            let changes = [
                (&home, "m.room.topic", json!({ "topic": "of the one" })),
                (&guest, "m.room.name", json!({ "name": "of the other" })),
                (&guest, "m.room.topic", json!({ "topic": "of the other" })),
                (&home, "m.room.name", json!({ "name": "of the one" })),
                (&home, "org.example.test", json!({ "deep": { "list": [1, "two", null] } })),
            ];
            for (user, kind, content) in changes {
                user.set_state(&room, kind, "", &content).await;
                agree(&home, &guest, &room).await;
                for user in [&home, &guest] {
                    assert_eq!(user.state(&room, kind, "").ok().await, content);
                }
            }
        }
    }
}

async fn who_has_which_power_is_the_same_on_both(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        let topic = json!({ "topic": "mine" });
        guest.setting(&room, "m.room.topic", "", &topic).refused(403, "M_FORBIDDEN").await;
        home.give_power(&room, &guest, 100).await;
        agree(&home, &guest, &room).await;
        guest.set_state(&room, "m.room.topic", "", &topic).await;
        agree(&home, &guest, &room).await;
        // The guest gives it up, and has it no more on either side.
        guest.give_power(&room, &guest, 0).await;
        agree(&home, &guest, &room).await;
        let topic = json!({ "topic": "still mine" });
        guest.setting(&room, "m.room.topic", "", &topic).refused(403, "M_FORBIDDEN").await;
        talk(&home, &guest, &room).await;
    }
}

/// Neither side waits for the other: both have forks, and resolve them.
async fn what_is_changed_at_the_same_moment_ends_alike(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in VERSIONS {
            let options = json!({ "preset": "public_chat", "room_version": version });
            let room = shared_room(&home, &guest, &options).await;
            home.give_power(&room, &guest, 50).await;
            agree(&home, &guest, &room).await;
            for round in 0..3 {
                let change = async |user: &User, whose: &str| {
                    for kind in ["name", "topic"] {
                        let content = json!({ kind: format!("{whose} {round}") });
                        user.set_state(&room, &format!("m.room.{kind}"), "", &content).await;
                    }
                };
                tokio::join!(change(&home, "home"), change(&guest, "guest"));
            }
            talk(&home, &guest, &room).await;
            agree(&home, &guest, &room).await;
        }
    }
}

async fn a_name_that_a_user_takes_is_seen_in_the_room(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        for (user, other) in [(&home, &guest), (&guest, &home)] {
            let mut watch = other.watch().await;
            let name = json!({ "displayname": "Captain" });
            user.put(path(["profile", &user.id, "displayname"])).json(&name).ok().await;
            let found = watch.room("the name", &room, |it| {
                let member = |it: &&skerry_tests::Value| it["state_key"] == user.id.as_str();
                it.timeline().iter().find(member).cloned()
            });
            assert_eq!(found.await["content"]["displayname"], "Captain");
        }
        agree(&home, &guest, &room).await;
    }
}

async fn a_room_that_was_replaced_leads_to_the_new_one(skerry: &Federated, synapse: &Synapse) {
    let (home, guest) =
        (User::register(synapse, "home").await, User::register(skerry, "guest").await);
    let room = public_room(&home, &guest).await;
    let upgrade = home.post(format!("/rooms/{}/upgrade", encode(&room)));
    let new = upgrade.json(&json!({ "new_version": "12" })).ok().await;
    let new = new["replacement_room"].as_str().expect("a room");
    agree(&home, &guest, &room).await;
    let tombstone = guest.state(&room, "m.room.tombstone", "").ok().await;
    assert_eq!(tombstone["replacement_room"], new);
    joining(&guest, new, &home).ok().await;
    until_member(&home, new, &guest, "join").await;
    let create = guest.state(new, "m.room.create", "").ok().await;
    assert_eq!(create["predecessor"]["room_id"], room.as_str());
    agree(&home, &guest, new).await;
    talk(&home, &guest, new).await;
}
