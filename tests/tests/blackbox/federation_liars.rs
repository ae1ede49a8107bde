//! Servers that are in a room and answer about it what is not so, or are out of reach (T3a, T3c,
//! T4).

use skerry_tests::{
    Server, User, Value, encode, ids, json, message, path,
    peer::{Draft, Event, PeerRoom},
    remote::Remote,
};

both_hosts![
    t4_what_a_server_out_of_reach_says_comes_by_way_of_another,
    t3a_the_state_of_another_room_is_not_believed,
    t3a_events_of_another_room_fill_no_gap,
    t3c_history_that_was_altered_on_the_way_is_redacted_or_passed_over,
    t3c_history_of_another_room_is_passed_over,
];

const V1: &str = "/_matrix/federation/v1";

/// From now on a server answers such questions so.
fn says(remote: &Remote, question: &str, mut answer: Value) {
    answer["origin"] = json!(remote.peer.name);
    answer["origin_server_ts"] = json!(1);
    remote.answer(&format!("{V1}/{question}/"), move |_| (200, answer.clone()));
}

fn say(room: &mut PeerRoom, count: usize) -> Vec<Event> {
    let carol = room.peer.user("carol");
    (0..count).map(|it| room.add(Draft::message(&carol, &format!("number {it}")))).collect()
}

fn id_list<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<String> {
    events.into_iter().map(|it| it.id.clone()).collect()
}

async fn until_shown(alice: &User, room: &PeerRoom, event: &Event) {
    alice.sync().until_event(&room.id, &event.id).await;
}

/// Erin's server is gone before what she says has come from it.
async fn t4_what_a_server_out_of_reach_says_comes_by_way_of_another(server: &Server) {
    let (remote, gone) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let mut room = remote.in_room_of(&alice, server).await;
    let erin = gone.peer.user("erin");
    let join = room.signed_by(&gone.peer, Draft::join(&erin));
    gone.send(server, &[&join]).await;
    room.follow(&join.pdu);
    let said: Vec<_> = (0..5)
        .map(|it| {
            let said = room.signed_by(&gone.peer, Draft::message(&erin, &format!("number {it}")));
            room.follow(&said.pdu)
        })
        .collect();
    drop(gone);
    let heard = room.add(Draft::message(&remote.peer.user("carol"), "I have heard you"));
    remote.knows(&room);
    remote.send(server, &[&heard]).await;
    until_shown(&alice, &room, &heard).await;
    let expected = id_list(said.iter().chain([&heard]));
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, expected);
    // Once more, by way of the sender: it is known.
    remote.send(server, &said.iter().collect::<Vec<_>>()).await;
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, expected);
}

/// In a room of her own Mallory has all power.
async fn t3a_the_state_of_another_room_is_not_believed(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = remote.in_room_of(&alice, server).await;
    let elsewhere = PeerRoom::create(&remote.peer, &room.version, &[("mallory", 100)]);
    let mallory = remote.peer.user("mallory");
    let lost = room.add(Draft::message(&remote.peer.user("carol"), "withheld"));
    let state: Vec<_> = elsewhere.state_at(&elsewhere.end().id);
    let topic = Draft::state(&mallory, "m.room.topic", "", json!({ "topic": "mine" }));
    let power = elsewhere.state("m.room.power_levels", "").id;
    let member = elsewhere.state("m.room.member", &mallory).id;
    let stolen = room.stray(topic.after(&[&lost]).auth(vec![power, member]));
    let whole: Vec<_> = state.iter().map(|it| it.pdu.clone()).collect();
    says(&remote, "get_missing_events", json!({ "events": [] }));
    says(&remote, "state_ids", json!({ "pdu_ids": id_list(&state), "auth_chain_ids": [] }));
    says(&remote, "state", json!({ "pdus": whole, "auth_chain": [] }));
    says(&remote, "event_auth", json!({ "auth_chain": whole }));
    let given = state.clone();
    remote.answer(&format!("{V1}/event/"), move |asked| {
        let pdus: Vec<_> = given.iter().filter(|it| asked.path.contains(&it.id[1..])).collect();
        let pdus: Vec<_> = pdus.iter().map(|it| it.pdu.clone()).collect();
        (200, json!({ "origin": "x", "origin_server_ts": 1, "pdus": pdus }))
    });
    remote.send(server, &[&stolen]).await;
    remote.until(&format!("{V1}/event_auth/"), |_| true).await;
    let next = alice.say(&room.id, "undisturbed").await;
    alice.is_shown(&room.id, &next, &message("undisturbed")).await;
    alice.is_not_shown(&room.id, &stolen.id).await;
    for event in &state {
        alice.is_not_shown(&room.id, &event.id).await;
    }
    alice.state(&room.id, "m.room.topic", "").refused(404, "M_NOT_FOUND").await;
    assert_eq!(alice.membership_in(&room.id, &mallory).await, "");
}

async fn t3a_events_of_another_room_fill_no_gap(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = remote.in_room_of(&alice, server).await;
    let mut elsewhere = PeerRoom::create(&remote.peer, &room.version, &[]);
    let wrong: Vec<_> = say(&mut elsewhere, 3).iter().map(|it| it.pdu.clone()).collect();
    let said = say(&mut room, 4);
    for question in ["get_missing_events", "backfill", "event"] {
        says(&remote, question, json!({ "events": wrong, "pdus": wrong }));
    }
    remote.send(server, &[&said[3]]).await;
    remote.until(&format!("{V1}/state_ids/"), |_| true).await;
    alice.is_not_shown(&room.id, &said[3].id).await;
    remote.knows(&room);
    until_shown(&alice, &room, &said[3]).await;
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, id_list(&said));
    for event in elsewhere.ids(&json!(wrong)) {
        alice.is_not_shown(&room.id, &event).await;
    }
}

/// A room of the remote server in which something was said before Alice came.
async fn with_past(remote: &Remote, alice: &User) -> (PeerRoom, Vec<Event>) {
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let said = say(&mut room, 6);
    remote.open(&room);
    remote.knows(&room);
    let via = encode(&remote.peer.name);
    alice.post(format!("/join{}?via={via}", path([&room.id]))).ok().await;
    (room, said)
}

async fn t3c_history_that_was_altered_on_the_way_is_redacted_or_passed_over(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let (room, said) = with_past(&remote, &alice).await;
    let altered = said[3].altered(|it| it["content"] = message("never said"));
    // Of this one the ID is another one: nothing names it.
    let other = said[1].altered(|it| it["origin_server_ts"] = json!(1));
    let forged = room.clone().stray(Draft::message(&alice.id, "never said either"));
    let given = [&said[5], &said[4], &altered, &said[2], &other, &forged];
    let given: Vec<_> = given.iter().map(|it| it.pdu.clone()).collect();
    says(&remote, "backfill", json!({ "pdus": given }));
    let found = alice.paged_back(&room.id, 50).await;
    let newest = id_list(said[2..].iter().rev());
    assert_eq!(ids(&found)[1..5], newest, "{found:?}");
    alice.is_shown(&room.id, &said[3].id, &json!({})).await;
    let texts: Vec<_> = found.iter().filter_map(|it| it["content"]["body"].as_str()).collect();
    assert!(texts.iter().all(|it| !it.starts_with("never said")), "{texts:?}");
    for event in [&said[1], &forged] {
        alice.event(&room.id, &event.id).refused(404, "M_NOT_FOUND").await;
    }
}

async fn t3c_history_of_another_room_is_passed_over(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let (room, _) = with_past(&remote, &alice).await;
    let mut elsewhere = PeerRoom::create(&remote.peer, "11", &[]);
    let wrong: Vec<_> = say(&mut elsewhere, 5).iter().map(|it| it.pdu.clone()).collect();
    says(&remote, "backfill", json!({ "pdus": wrong }));
    let found = alice.paged_back(&room.id, 50).await;
    assert_eq!(found.len(), 1, "the join: {found:?}");
    for event in elsewhere.ids(&json!(wrong)) {
        alice.is_not_shown(&room.id, &event).await;
    }
}
