//! What is no event: who is typing, and what was read.

use super::{both_ways, public_room};
use skerry_tests::{Federated, Synapse, User, Value, Watch, json, path};

beside_synapse![who_is_typing_is_seen, what_was_read_is_seen];

async fn until_typing(watch: &mut Watch, room: &str, users: &[&User]) {
    let expected: Value = users.iter().map(|it| it.id.as_str()).collect();
    let is_so = |room: skerry_tests::Room<'_>| {
        (room.ephemeral("m.typing")?["user_ids"] == expected).then_some(())
    };
    watch.room("who is typing", room, is_so).await;
}

async fn who_is_typing_is_seen(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        for (user, other) in [(&home, &guest), (&guest, &home)] {
            let mut watch = other.watch().await;
            let path = path(["rooms", &room, "typing", &user.id]);
            let typing = json!({ "typing": true, "timeout": 30_000 });
            user.put(&path).json(&typing).ok().await;
            until_typing(&mut watch, &room, &[user]).await;
            user.put(&path).json(&json!({ "typing": false })).ok().await;
            until_typing(&mut watch, &room, &[]).await;
        }
    }
}

async fn what_was_read_is_seen(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        for (user, other) in [(&home, &guest), (&guest, &home)] {
            let mut watch = user.watch().await;
            let said = other.say(&room, "read this").await;
            watch.event(&room, &said).await;
            let read = async |kind: &str, body: &Value| {
                let path = path(["rooms", &room, "receipt", kind, &said]);
                user.post(path).json(body).ok().await;
            };
            let mut watch = other.watch().await;
            // A private one is nobody else's.
            read("m.read.private", &json!({})).await;
            for body in [json!({}), json!({ "thread_id": "main" })] {
                read("m.read", &body).await;
                let thread = body["thread_id"].as_str();
                let seen = |room: skerry_tests::Room<'_>| {
                    let receipts = &room.ephemeral("m.receipt")?[&said];
                    assert!(receipts.get("m.read.private").is_none(), "{receipts}");
                    let receipt = receipts["m.read"].get(&user.id)?;
                    (receipt["thread_id"].as_str() == thread).then_some(())
                };
                watch.room("the receipt", &room, seen).await;
            }
        }
    }
}
