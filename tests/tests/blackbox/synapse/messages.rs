//! What is said.

use super::{both_ways, long_timelines, public_room, shared_room, talk};
use skerry_tests::{Federated, Synapse, Watch, json};

beside_synapse![
    messages_go_both_ways_whole_and_in_order,
    what_is_redacted_on_one_side_is_so_on_both,
    everything_that_an_event_may_have_arrives_as_it_was,
];

/// Follows a room until an event comes.
async fn heard(mut watch: Watch, room: &str, last: &str) -> Vec<String> {
    watch.event(room, last).await;
    watch.seen_in(room).into_iter().map(str::to_owned).collect()
}

async fn messages_go_both_ways_whole_and_in_order(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        for (speaker, listener) in [(&home, &guest), (&guest, &home)] {
            let watch = listener.watch().await.filtered(long_timelines());
            let said = speaker.say_many(&room, 60).await;
            let heard = heard(watch, &room, said.last().expect("a message")).await;
            assert_eq!(heard, said);
        }
        // Both at once.
        let watches = [home.watch().await, guest.watch().await];
        let (one, other) = tokio::join!(home.say_many(&room, 20), guest.say_many(&room, 20));
        for mut watch in watches.map(|it| it.filtered(long_timelines())) {
            for id in one.iter().chain(&other) {
                if !watch.seen_in(&room).contains(&id.as_str()) {
                    watch.event(&room, id).await;
                }
            }
        }
        talk(&home, &guest, &room).await;
    }
}

async fn what_is_redacted_on_one_side_is_so_on_both(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in ["10", "11"] {
            let options = json!({ "preset": "public_chat", "room_version": version });
            let room = shared_room(&home, &guest, &options).await;
            for (speaker, listener, who) in
                [(&home, &guest, &home), (&guest, &home, &guest), (&guest, &home, &home)]
            {
                let mut watch = listener.watch().await;
                let said = speaker.say(&room, "I did not mean it").await;
                watch.event(&room, &said).await;
                let other = if who.id == home.id { &guest } else { &home };
                let mut watch = other.watch().await;
                let redaction = who.redact(&room, &said).await;
                watch.event(&room, &redaction).await;
                for user in [&home, &guest] {
                    let event = user.event(&room, &said).ok().await;
                    assert_eq!(event["content"], json!({}), "{}: {event}", user.id);
                    let because = &event["unsigned"]["redacted_because"];
                    assert_eq!(because["event_id"], redaction.as_str(), "{}: {event}", user.id);
                }
            }
        }
    }
}

async fn everything_that_an_event_may_have_arrives_as_it_was(
    skerry: &Federated,
    synapse: &Synapse,
) {
    let contents = [
        json!({ "msgtype": "m.text", "body": "\u{0}\u{1f}\"\\/\u{7f}é漢🏴\u{2028}" }),
        json!({ "msgtype": "m.text", "body": "", "é": { "\u{fffd}": [null, true, -0, []] } }),
        json!({ "msgtype": "m.text", "body": "n", "n": [0, -1, 9_007_199_254_740_991_i64] }),
        json!({ "msgtype": "m.text", "body": "x".repeat(40_000) }),
        json!({ "msgtype": "x", "body": "a thread", "m.relates_to": { "rel_type": "m.thread", "event_id": "$x" } }),
    ];
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = public_room(&home, &guest).await;
        for (speaker, listener) in [(&home, &guest), (&guest, &home)] {
            let mut watch = listener.watch().await.filtered(long_timelines());
            for content in &contents {
                let sent = speaker.send(&room, "m.room.message", content).await;
                assert_eq!(watch.event(&room, &sent).await["content"], *content);
            }
        }
    }
}
