//! What a room misses: it is asked of other servers, and believed no more than what they send
//! (T2, T3a to T3c, T8c).

use skerry_tests::{
    Host, Options, Server, User, Value, ids, json, message,
    peer::{Draft, Event, PeerRoom},
    remote::Remote,
};

both_hosts![
    what_was_missed_is_asked_for,
    much_that_was_missed_is_asked_for_in_rounds,
    where_too_much_was_missed_the_room_goes_on_behind_a_gap,
    t3a_what_the_sender_withholds_another_server_gives,
    what_authorizes_an_event_is_asked_for,
    t3b_who_lies_about_what_was_missed_is_not_believed,
    t3a_a_state_that_does_not_authorize_itself_is_not_believed,
    t3a_who_leads_on_for_ever_is_not_followed,
    t3a_nobody_has_an_event_of_another_server_rejected,
    history_before_a_join_is_fetched_when_somebody_reads_it,
    history_that_nobody_has_is_passed_over,
    t3c_nobody_has_history_of_another_server_rejected,
];

private_server![
    native_alone: Native => [what_waits_is_asked_for_after_a_crash],
    worker_alone: Worker => [what_waits_is_asked_for_after_a_crash],
];

const MISSING: &str = "/_matrix/federation/v1/get_missing_events/";
const BACKFILL: &str = "/_matrix/federation/v1/backfill/";
const STATE_IDS: &str = "/_matrix/federation/v1/state_ids/";
const EVENT_AUTH: &str = "/_matrix/federation/v1/event_auth/";
const STATE: &str = "/_matrix/federation/v1/state/";

async fn shared(remote: &Remote, server: &Server) -> (User, PeerRoom) {
    let alice = User::register(server, "alice").await;
    let room = remote.in_room_of(&alice, server).await;
    (alice, room)
}

fn say(room: &mut PeerRoom, count: usize) -> Vec<Event> {
    let carol = room.peer.user("carol");
    (0..count).map(|it| room.add(Draft::message(&carol, &format!("number {it}")))).collect()
}

fn id_list(events: &[Event]) -> Vec<String> {
    events.iter().map(|it| it.id.clone()).collect()
}

/// Waits until a user is shown an event.
async fn until_shown(alice: &User, room: &PeerRoom, event: &Event) {
    alice.sync().until_event(&room.id, &event.id).await;
}

/// All that a user finds going back, the newest first.
async fn backward(alice: &User, room: &PeerRoom, limit: usize) -> Vec<String> {
    let back = alice.paged_back(&room.id, limit).await;
    ids(&back).into_iter().map(str::to_owned).collect()
}

async fn what_was_missed_is_asked_for(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let said = say(&mut room, 5);
    remote.knows(&room);
    let (last, _) = said.split_last().expect("events");
    assert_eq!(remote.send(server, &[last]).await["pdus"][&last.id], json!({}));
    until_shown(&alice, &room, last).await;
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, id_list(&said));
    let asked = remote.asked(MISSING);
    assert_eq!(asked.len(), 1, "once: {asked:?}");
    assert!(remote.asked(STATE_IDS).is_empty(), "no state was needed");
}

async fn much_that_was_missed_is_asked_for_in_rounds(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let said = say(&mut room, 130);
    remote.knows(&room);
    let last = &said[129];
    remote.send(server, &[last]).await;
    until_shown(&alice, &room, last).await;
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, id_list(&said));
}

async fn where_too_much_was_missed_the_room_goes_on_behind_a_gap(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let hello = alice.say(&room.id, "hello").await;
    room.read(&alice, &hello).await;
    let before = alice.sync().until_event(&room.id, &hello).await;
    let said = say(&mut room, 20);
    let carol = room.peer.user("carol");
    room.add(Draft::join(&room.peer.user("dave")));
    let last = room.add(Draft::message(&carol, "at last"));
    remote.knows(&room);
    remote.answer(MISSING, |_| (200, json!({ "events": [] })));
    remote.send(server, &[&last]).await;
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &last.id).await;
    let section = sync.joined(&room.id).expect("the room");
    assert!(section.limited(), "much is missing: {}", section.0);
    assert!(remote.asked(EVENT_AUTH).is_empty(), "what authorizes the event is here");
    assert_eq!(ids(section.timeline()), [last.id.as_str()]);
    assert_eq!(alice.membership_in(&room.id, &room.peer.user("dave")).await, "join");
    // Who reads back finds what was missed.
    let mut expected: Vec<_> = room.before(&last).iter().map(|it| it.id.clone()).collect();
    expected.push(last.id.clone());
    expected.reverse();
    let back = backward(&alice, &room, 8).await;
    assert_eq!(back, expected);
    assert_eq!(alice.history_from(&room.id, &said[0].id).await.len(), 22);
}

/// T3a
async fn t3a_what_the_sender_withholds_another_server_gives(server: &Server) {
    let (remote, other) = (Remote::start(), Remote::start());
    let (alice, mut room) = shared(&remote, server).await;
    let erin = other.peer.user("erin");
    let join = room.signed_by(&other.peer, Draft::join(&erin));
    remote.send(server, &[&join]).await;
    room.follow(&join.pdu);
    let said = say(&mut room, 4);
    other.knows(&room);
    remote.send(server, &[&said[3]]).await;
    until_shown(&alice, &room, &said[3]).await;
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, id_list(&said));
    assert!(!remote.asked(MISSING).is_empty(), "the sender was asked first");
}

async fn what_authorizes_an_event_is_asked_for(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let carol = room.peer.user("carol");
    // Erin's join is known to nobody here, and what she says builds on nothing that is missing.
    let base = room.end();
    let join = room.stray(Draft::join(&room.peer.user("erin")).after(&[&base]));
    room.add(Draft::message(&carol, "in between"));
    let mut known = room.clone();
    known.follow(&join.pdu);
    let hello = known.add(Draft::message(&room.peer.user("erin"), "hello"));
    remote.knows(&known);
    remote.send(server, &[&hello]).await;
    until_shown(&alice, &room, &hello).await;
    assert_eq!(alice.membership_in(&room.id, &room.peer.user("erin")).await, "join");
}

/// T3b, T8c
async fn t3b_who_lies_about_what_was_missed_is_not_believed(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let elsewhere = PeerRoom::create(&remote.peer, "11", &[]).end();
    let said = say(&mut room, 3);
    let altered = said[1].altered(|it| it["content"] = message("never said"));
    let forged = room.stray(Draft::message(&alice.id, "never said either"));
    let power = json!({ "users": { room.peer.user("carol"): 100 } });
    let power =
        room.stray(Draft::state(&room.peer.user("carol"), "m.room.power_levels", "", power));
    let answer: Value = [&said[0], &altered, &forged, &elsewhere, &power]
        .iter()
        .map(|it| it.pdu.clone())
        .chain([json!(3), json!({}), json!({ "room_id": room.id })])
        .collect();
    remote.answer(MISSING, move |_| (200, json!({ "events": answer })));
    remote.send(server, &[&said[2]]).await;
    until_shown(&alice, &room, &said[2]).await;
    // What was changed is redacted, and is the event all the same; what nobody asked for is not.
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, id_list(&said));
    alice.is_shown(&room.id, &said[1].id, &json!({})).await;
    for event in [&forged, &elsewhere, &power] {
        alice.is_not_shown(&room.id, &event.id).await;
    }
}

/// T3a
async fn t3a_a_state_that_does_not_authorize_itself_is_not_believed(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let mallory = room.peer.user("mallory");
    let levels = json!({ "users": { &mallory: 100 }, "users_default": 100 });
    let lost = room.add(Draft::message(&room.peer.user("carol"), "withheld"));
    let power = room.stray(Draft::state(&mallory, "m.room.power_levels", "", levels));
    let join = room.stray(Draft::join(&mallory).after(&[&lost]));
    let topic = json!({ "topic": "mine" });
    let stolen = Draft::state(&mallory, "m.room.topic", "", topic).after(&[&lost]);
    let create = room.state("m.room.create", "");
    let auth = [&power, &join].map(|it| it.id.clone());
    let stolen = room.stray(stolen.auth(auth.to_vec()));
    remote.knows(&room);
    let create_pdu = create.pdu.clone();
    let state = json!({ "pdu_ids": [create.id, power.id, join.id], "auth_chain_ids": [] });
    let whole = json!({ "pdus": [create_pdu, power.pdu, join.pdu], "auth_chain": [] });
    remote.answer(MISSING, |_| (200, json!({ "events": [] })));
    remote.answer(STATE_IDS, move |_| (200, state.clone()));
    remote.answer(STATE, move |_| (200, whole.clone()));
    remote.send(server, &[&stolen]).await;
    remote.until(EVENT_AUTH, |_| true).await;
    alice.is_not_shown(&room.id, &stolen.id).await;
    // The room goes on as it was.
    let next = alice.say(&room.id, "undisturbed").await;
    alice.is_shown(&room.id, &next, &message("undisturbed")).await;
    alice.state(&room.id, "m.room.topic", "").refused(404, "M_NOT_FOUND").await;
    let levels = alice.state(&room.id, "m.room.power_levels", "").ok().await;
    assert_eq!(levels["users"][&mallory], Value::Null, "{levels}");
}

/// T3a
async fn t3a_who_leads_on_for_ever_is_not_followed(server: &Server) {
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, server).await;
    let carol = room.peer.user("carol");
    // Each event names one that is made when it is asked for.
    let chain: Vec<Event> = {
        let mut chain: Vec<Event> = Vec::new();
        let mut prev = room.stray(Draft::message(&carol, "the beginning that nobody gives"));
        for number in 0..2_000 {
            let next = Draft::message(&carol, &number.to_string()).after(&[&prev]);
            prev = room.stray(next.with("depth", json!(10_000 + number)));
            chain.push(prev.clone());
        }
        chain
    };
    let mut given = chain.len() - 1;
    let pdus: Vec<_> = chain.iter().map(|it| it.pdu.clone()).collect();
    remote.answer(MISSING, move |_| {
        given -= 1;
        (200, json!({ "events": [pdus[given]] }))
    });
    remote.send(server, &[&chain[1_999]]).await;
    remote.until(STATE_IDS, |_| true).await;
    let next = alice.say(&room.id, "undisturbed").await;
    alice.is_shown(&room.id, &next, &message("undisturbed")).await;
    assert!(remote.asked(MISSING).len() < 50, "{}", remote.asked(MISSING).len());
    alice.is_not_shown(&room.id, &chain[1_999].id).await;
}

/// T3a
async fn t3a_nobody_has_an_event_of_another_server_rejected(server: &Server) {
    let (remote, liar) = (Remote::start(), Remote::start());
    let (alice, mut room) = shared(&remote, server).await;
    let join = room.signed_by(&liar.peer, Draft::join(&liar.peer.user("mallory")));
    remote.send(server, &[&join]).await;
    room.follow(&join.pdu);
    let said = say(&mut room, 3);
    liar.knows(&room);
    liar.answer(MISSING, |_| (200, json!({ "events": [] })));
    // In this state Carol is not there.
    let create = room.state("m.room.create", "").id;
    let state = json!({ "pdu_ids": [create], "auth_chain_ids": [] });
    liar.answer(STATE_IDS, move |_| (200, state.clone()));
    remote.send(server, &[&said[2]]).await;
    liar.until(STATE_IDS, |_| true).await;
    alice.is_not_shown(&room.id, &said[2].id).await;
    remote.knows(&room);
    until_shown(&alice, &room, &said[2]).await;
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, id_list(&said));
}

async fn history_before_a_join_is_fetched_when_somebody_reads_it(server: &Server) {
    for version in ["6", "11", "12"] {
        let remote = Remote::start();
        let alice = User::register(server, "alice").await;
        let mut room = PeerRoom::create(&remote.peer, version, &[("dave", 0)]);
        let said = say(&mut room, 120);
        remote.open(&room);
        remote.knows(&room);
        alice.post(format!("/join/{}?via={}", room.id, remote.peer.name)).ok().await;
        assert!(remote.asked(BACKFILL).is_empty(), "nobody has read it yet");
        let back = backward(&alice, &room, 50).await;
        let mut expected: Vec<_> = room.before(&said[119]).into_iter().map(|it| it.id).collect();
        expected.push(said[119].id.clone());
        expected.reverse();
        assert_eq!(back[1..], expected, "version {version}");
        // It is here now.
        let asked = remote.asked(BACKFILL).len();
        assert_eq!(backward(&alice, &room, 50).await, back);
        assert_eq!(remote.asked(BACKFILL).len(), asked);
    }
}

async fn history_that_nobody_has_is_passed_over(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    say(&mut room, 3);
    remote.open(&room);
    alice.post(format!("/join/{}?via={}", room.id, remote.peer.name)).ok().await;
    for _ in 0..3 {
        assert_eq!(backward(&alice, &room, 50).await.len(), 1, "the join");
    }
    assert_eq!(remote.asked(BACKFILL).len(), 1, "it is not asked again at once");
}

/// T3c
async fn t3c_nobody_has_history_of_another_server_rejected(server: &Server) {
    // Of two servers with a member each, that with the smaller name is asked first.
    let (liar, remote) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&remote.peer, "11", &[]);
    let join = room.signed_by(&liar.peer, Draft::join(&liar.peer.user("mallory")));
    room.follow(&join.pdu);
    let said = say(&mut room, 6);
    remote.open(&room);
    remote.knows(&room);
    liar.knows(&room);
    // In this state Carol is not there.
    let create = room.state("m.room.create", "").id;
    let state = json!({ "pdu_ids": [create], "auth_chain_ids": [] });
    liar.answer(STATE_IDS, move |_| (200, state.clone()));
    let newest = [&said[5], &said[4]].map(|it| it.pdu.clone());
    let part = json!({ "origin": liar.peer.name, "origin_server_ts": 1, "pdus": newest });
    liar.answer(BACKFILL, move |_| (200, part.clone()));
    alice.post(format!("/join/{}?via={}", room.id, remote.peer.name)).ok().await;
    let mut expected: Vec<_> = room.before(&said[5]).into_iter().map(|it| it.id).collect();
    expected.push(said[5].id.clone());
    expected.reverse();
    assert_eq!(backward(&alice, &room, 50).await[1..], expected);
    assert!(!liar.asked(STATE_IDS).is_empty(), "it was asked, and not believed");
}

/// What a room misses is on its agenda.
async fn what_waits_is_asked_for_after_a_crash(host: Host) {
    let mut server = Server::start(host, Options::default());
    let remote = Remote::start();
    let (alice, mut room) = shared(&remote, &server).await;
    let said = say(&mut room, 3);
    remote.send(&server, &[&said[2]]).await;
    remote.until(MISSING, |_| true).await;
    alice.is_not_shown(&room.id, &said[2].id).await;
    server.restart();
    remote.knows(&room);
    let alice = alice.at(&server);
    until_shown(&alice, &room, &said[2]).await;
    assert_eq!(alice.history_from(&room.id, &said[0].id).await, id_list(&said));
}
