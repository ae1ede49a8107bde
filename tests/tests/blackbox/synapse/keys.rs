//! Servers that sign with another key than before, and are believed by the other one (F14).

use super::{agree, both_ways, joining, public_room, talk};
use crate::key_rotation::rotate;
use skerry_tests::{
    Client, Federated, Homeserver, Host, PATIENCE, Synapse, User, Value, json, remote::now_ms,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

private_server![
    native: Native => [f14_new_keys_are_believed_and_old_ones_of_what_was_before],
    worker: Worker => [f14_new_keys_are_believed_and_old_ones_of_what_was_before],
];

const OWN: &str = "/_matrix/key/v2/server";

/// The keys that a server signs with, as it says.
async fn keys(server: &impl Homeserver) -> Value {
    Client::new(server.url()).get(OWN).ok().await["verify_keys"].clone()
}

/// Waits until Skerry signs with a new key.
async fn until_rotated(skerry: &Federated, old: &Value) {
    let new = async {
        loop {
            let keys = keys(skerry).await;
            if keys != *old && keys.as_object().is_some_and(|it| it.len() == 1) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, new).await.expect("a new key that signs");
}

/// Whoever comes later believes what the old key has signed: they read all of it, and join rooms
/// whose state has it.
async fn a_newcomer_finds(home: &User, newcomer: &User, room: &str, said: &[String]) {
    joining(newcomer, room, home).ok().await;
    agree(home, newcomer, room).await;
    let found = newcomer.paged_back(room, 50).await;
    for id in said {
        let event = found.iter().find(|it| it["event_id"] == id.as_str());
        let event = event.unwrap_or_else(|| panic!("{id} of {} is missing", home.id));
        assert!(event["content"]["body"].is_string(), "{event}");
    }
    talk(home, newcomer, room).await;
}

async fn f14_new_keys_are_believed_and_old_ones_of_what_was_before(host: Host) {
    let (mut skerry, mut synapse) = (Federated::start(host), Synapse::start());
    let users = both_ways(&skerry, &synapse).await;
    let mut rooms = Vec::new();
    for (home, guest) in &users {
        // In the one both are, into the other one of them comes when the keys are others.
        let (both, later) = (public_room(home, guest).await, home.public_room(&[]).await);
        talk(home, guest, &both).await;
        rooms.push((both, later.clone(), home.say_many(&later, 3).await));
    }
    let (of_skerry, of_synapse) = (keys(&skerry).await, keys(&synapse).await);
    rotate(host, skerry.server());
    until_rotated(&skerry, &of_skerry).await;
    // What it says from here on has another key's signature.
    for ((home, guest), (both, ..)) in users.iter().zip(&rooms) {
        talk(home, guest, both).await;
        agree(home, guest, both).await;
    }
    synapse.restart_with_another_key(&of_synapse["ed25519:a_test"]["key"], now_ms());
    assert_ne!(keys(&synapse).await, of_synapse);
    // Whom it has asked within a minute it does not ask again, which is in memory alone.
    skerry.restart();
    for ((home, guest), (both, later, said)) in users.iter().zip(&rooms) {
        talk(home, guest, both).await;
        a_newcomer_finds(home, guest, later, said).await;
        let topic = json!({ "topic": "by another key" });
        home.set_state(both, "m.room.topic", "", &topic).await;
        agree(home, guest, both).await;
    }
}
