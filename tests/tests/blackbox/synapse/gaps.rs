//! What one server has and the other one has to ask for: history, and what it has missed.

use super::{agree, both_ways, joining, long_timelines, public_room, talk, until_member};
use skerry_tests::{Federated, Host, Synapse, User, ids, json};

beside_synapse![
    history_from_before_a_join_is_paged_back,
    what_was_said_while_all_had_left_is_paged_back,
    synapse_comes_back_to_a_room_that_has_gone_on_for_long,
];

private_server![
    native_alone: Native => [what_is_missed_in_an_outage_is_asked_for],
    worker_alone: Worker => [what_is_missed_in_an_outage_is_asked_for],
];

/// Messages as the user pages back to them from the newest, in the order in which they were sent:
/// of those that were sent those that are found.
async fn found(user: &User, room: &str, sent: &[String]) -> Vec<String> {
    let back = user.paged_back(room, 50).await;
    let mut found: Vec<_> = ids(&back).into_iter().map(str::to_owned).collect();
    found.reverse();
    found.retain(|it| sent.contains(it));
    found
}

fn count_of_missing(found: &[String], sent: &[String]) -> usize {
    sent.iter().filter(|it| !found.contains(it)).count()
}

async fn history_from_before_a_join_is_paged_back(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = home.public_room(&[]).await;
        let said = home.say_many(&room, 200).await;
        joining(&guest, &room, &home).ok().await;
        let found = found(&guest, &room, &said).await;
        assert_eq!(count_of_missing(&found, &said), 0, "of {} not all", home.id);
        assert!(found == said, "not in their order: {found:?} {said:?}");
        talk(&home, &guest, &room).await;
    }
}

/// Synapse itself asks for the first hundred events of such a gap, and then passes over the others.
async fn what_was_said_while_all_had_left_is_paged_back(skerry: &Federated, synapse: &Synapse) {
    let (home, guest) =
        (User::register(synapse, "home").await, User::register(skerry, "guest").await);
    let room = public_room(&home, &guest).await;
    let mut said = home.say_many(&room, 20).await;
    guest.leave(&room).await;
    until_member(&home, &room, &guest, "leave").await;
    said.extend(home.say_many(&room, 500).await);
    joining(&guest, &room, &home).ok().await;
    agree(&home, &guest, &room).await;
    said.push(home.say(&room, "welcome back").await);
    talk(&home, &guest, &room).await;
    let found = found(&guest, &room, &said).await;
    assert_eq!(count_of_missing(&found, &said), 0, "not all");
    assert!(found == said, "not in their order: {found:?} {said:?}");
}

/// What was said meanwhile it asks for or passes over, as it likes.
async fn synapse_comes_back_to_a_room_that_has_gone_on_for_long(
    skerry: &Federated,
    synapse: &Synapse,
) {
    let (home, guest) =
        (User::register(skerry, "home").await, User::register(synapse, "guest").await);
    let room = public_room(&home, &guest).await;
    guest.leave(&room).await;
    until_member(&home, &room, &guest, "leave").await;
    home.say_many(&room, 500).await;
    home.set_state(&room, "m.room.topic", "", &json!({ "topic": "while you were away" })).await;
    joining(&guest, &room, &home).ok().await;
    agree(&home, &guest, &room).await;
    talk(&home, &guest, &room).await;
    agree(&home, &guest, &room).await;
}

/// Of what it could not send Synapse sends the newest event alone.
async fn what_is_missed_in_an_outage_is_asked_for(host: Host) {
    let (mut skerry, synapse) = (Federated::start(host), Synapse::shared());
    let (alice, bob) =
        (User::register(&skerry, "alice").await, User::register(synapse, "bob").await);
    let room = public_room(&alice, &bob).await;
    alice.give_power(&room, &bob, 50).await;
    agree(&alice, &bob, &room).await;
    let mut watch = alice.watch().await.filtered(long_timelines());
    skerry.kill();
    let mut said = bob.say_many(&room, 10).await;
    let topic = json!({ "topic": "while you were away" });
    bob.set_state(&room, "m.room.topic", "", &topic).await;
    said.extend(bob.say_many(&room, 10).await);
    skerry.restart();
    // It shows that it is there.
    alice.say(&room, "good morning").await;
    for id in &said {
        if !watch.seen_in(&room).contains(&id.as_str()) {
            watch.event(&room, id).await;
        }
    }
    agree(&alice, &bob, &room).await;
    assert_eq!(alice.state(&room, "m.room.topic", "").ok().await, topic);
    talk(&alice, &bob, &room).await;
}
