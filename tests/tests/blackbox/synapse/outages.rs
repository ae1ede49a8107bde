//! Servers that are away for a while, or kept out.

use super::{
    VERSIONS, agree, both_ways, joining, long_timelines, public_room, server_of, shared_room, talk,
};
use skerry_tests::{Federated, Host, Synapse, User, json};

private_server![
    native: Native => [
        what_synapse_says_while_skerry_is_away_comes_later,
        what_skerry_says_while_synapse_is_away_comes_later,
        what_both_say_while_the_network_is_cut_comes_later,
        a_server_that_the_room_keeps_out_is_not_heard,
    ],
    worker: Worker => [
        what_synapse_says_while_skerry_is_away_comes_later,
        what_skerry_says_while_synapse_is_away_comes_later,
        what_both_say_while_the_network_is_cut_comes_later,
        a_server_that_the_room_keeps_out_is_not_heard,
    ],
];

async fn users(skerry: &Federated, synapse: &Synapse) -> (User, User, String) {
    let (alice, bob) =
        (User::register(skerry, "alice").await, User::register(synapse, "bob").await);
    let room = public_room(&alice, &bob).await;
    talk(&alice, &bob, &room).await;
    (alice, bob, room)
}

async fn what_synapse_says_while_skerry_is_away_comes_later(host: Host) {
    let (mut skerry, synapse) = (Federated::start(host), Synapse::shared());
    let (alice, bob, room) = users(&skerry, synapse).await;
    let mut watch = alice.watch().await;
    skerry.kill();
    let said = bob.say(&room, "is anybody there?").await;
    skerry.restart();
    // It shows that it is there.
    alice.say(&room, "good morning").await;
    watch.event(&room, &said).await;
    talk(&alice, &bob, &room).await;
    agree(&alice, &bob, &room).await;
}

async fn what_skerry_says_while_synapse_is_away_comes_later(host: Host) {
    let (skerry, mut synapse) = (Federated::start(host), Synapse::start());
    let (alice, bob, room) = users(&skerry, &synapse).await;
    let mut watch = bob.watch().await.filtered(long_timelines());
    synapse.kill();
    let said = alice.say_many(&room, 30).await;
    alice.set_state(&room, "m.room.topic", "", &json!({ "topic": "alone" })).await;
    synapse.restart();
    // It shows that it is there.
    bob.say(&room, "good morning").await;
    for id in &said {
        if !watch.seen_in(&room).contains(&id.as_str()) {
            watch.event(&room, id).await;
        }
    }
    talk(&alice, &bob, &room).await;
    agree(&alice, &bob, &room).await;
}

/// The same state is changed on both sides meanwhile.
async fn what_both_say_while_the_network_is_cut_comes_later(host: Host) {
    let (skerry, synapse) = (Federated::start(host), Synapse::start());
    let mut rooms = Vec::new();
    for (home, guest) in both_ways(&skerry, &synapse).await {
        for version in VERSIONS {
            let options = json!({ "preset": "public_chat", "room_version": version });
            let room = shared_room(&home, &guest, &options).await;
            home.give_power(&room, &guest, 50).await;
            agree(&home, &guest, &room).await;
            rooms.push((home.clone(), guest.clone(), room));
        }
    }
    skerry.cut();
    synapse.cut();
    for (home, guest, room) in &rooms {
        for user in [home, guest] {
            for kind in ["name", "topic"] {
                let content = json!({ kind: format!("by {}", user.id) });
                user.set_state(room, &format!("m.room.{kind}"), "", &content).await;
            }
            user.say(room, "nobody hears me").await;
        }
    }
    skerry.mend();
    synapse.mend();
    for (home, guest, room) in &rooms {
        talk(guest, home, room).await;
        agree(home, guest, room).await;
    }
}

async fn a_server_that_the_room_keeps_out_is_not_heard(host: Host) {
    let (skerry, synapse) = (Federated::start(host), Synapse::start_at_address());
    for (home, guest) in both_ways(&skerry, &synapse).await {
        let (room, other) = (public_room(&home, &guest).await, public_room(&home, &guest).await);
        // Of the two servers the one is at a name, and the other at an address.
        let acl = match server_of(&home).starts_with("localhost:") {
            true => json!({ "allow": ["*"], "allow_ip_literals": false }),
            false => json!({ "allow": ["*"], "deny": ["localhost"] }),
        };
        home.set_state(&room, "m.room.server_acl", "", &acl).await;
        let mut watch = home.watch().await;
        let unheard = guest.say(&room, "is anybody there?").await;
        let heard = guest.say(&other, "here I am").await;
        watch.event(&other, &heard).await;
        let reply = home.event(&room, &unheard).send().await;
        assert_eq!(reply.status, 404, "{reply}");
        guest.leave(&room).await;
        joining(&guest, &room, &home).refused(403, "M_FORBIDDEN").await;
    }
}
