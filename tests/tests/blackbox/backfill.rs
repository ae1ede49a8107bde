//! History that comes after the room did: what was before a join, and what was missed in between.

use skerry_tests::{
    Server, Sync, User, Value, ids, json, message,
    peer::{Draft, Event, Peer, PeerRoom, StateIds, outcome_name},
};

both_hosts![
    a_room_of_another_server_is_joined,
    t3c_history_before_a_join_is_shown_in_order,
    t3c_altered_history_is_redacted_or_dropped,
    t3c_history_that_leads_nowhere_is_dropped,
    t3c_history_changes_nothing_that_is,
    history_comes_in_parts,
    an_event_behind_a_gap_limits_the_timeline,
    a_gap_is_filled_by_history,
    a_gap_is_filled_by_what_comes_late,
    what_comes_late_and_together_fills_a_gap_in_order,
    what_comes_late_and_backward_fills_a_gap_in_order,
    a_state_of_unknown_events_is_waited_for,
];

fn accepted() -> Value {
    json!({ "accepted": { "redacted": false } })
}

/// A room of the peer's in which Carol spoke a while before Alice joined, and what she said.
async fn joined(server: &Server, count: usize) -> (User, PeerRoom, Vec<Event>) {
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&Peer::new("peer.example"), "12", &[("dave", 50)]);
    let carol = room.peer.user("carol");
    let said = (0..count).map(|number| room.add(Draft::message(&carol, &number.to_string())));
    let said = said.collect();
    room.let_in(server, &alice).await;
    (alice, room, said)
}

fn id_list(events: &[Event]) -> Vec<String> {
    events.iter().map(|it| it.id.clone()).collect()
}

/// All that `/messages` shows going back from the end.
async fn backward(alice: &User, room: &PeerRoom) -> Vec<Value> {
    alice.paged_back(&room.id, 7).await
}

async fn a_room_of_another_server_is_joined(server: &Server) {
    let (alice, mut room, said) = joined(server, 3).await;
    let (carol, dave) = (room.peer.user("carol"), room.peer.user("dave"));
    let sync = alice.sync().until("the room", |it| it.joined(&room.id).map(|_| it.clone())).await;
    let join = room.end();
    let section = sync.joined(&room.id).expect("the room");
    assert_eq!(ids(section.timeline()), [join.id.as_str()]);
    assert!(section.limited(), "what was before is missing: {}", section.0);
    assert_eq!(section.0["summary"]["m.joined_member_count"], 3, "{}", section.0);
    let state = alice.state_ids(&room.id).await;
    assert_eq!(section.leads_to(StateIds::new()), state);
    for (kind, key) in
        [("m.room.create", ""), ("m.room.power_levels", ""), ("m.room.member", &dave)]
    {
        assert_eq!(state[&(kind.to_owned(), key.to_owned())], room.state(kind, key).id);
    }
    let mut members = vec![alice.id.clone(), carol.clone(), dave];
    members.sort();
    assert_eq!(alice.joined_members(&room.id).await, members);
    assert_eq!(ids(&alice.history(&room.id).await), [join.id.as_str()]);
    for event in &said {
        alice.event(&room.id, &event.id).refused(404, "M_NOT_FOUND").await;
    }
    let hello = alice.say(&room.id, "hello").await;
    assert_eq!(room.read(&alice, &hello).await.prev(), [join.id]);
    let answer = room.add(Draft::message(&carol, "welcome"));
    room.accept(server, &[&answer]).await;
    alice.is_shown(&room.id, &answer.id, &message("welcome")).await;
}

/// T3c
async fn t3c_history_before_a_join_is_shown_in_order(server: &Server) {
    let (alice, room, said) = joined(server, 20).await;
    let join = room.end();
    let before = alice.sync().until("the room", |it| it.joined(&room.id).map(|_| it.clone())).await;
    // All there is, from the create event on, in no order.
    let mut all = room.before(&join);
    let expected = id_list(&all);
    assert_eq!(expected.len(), said.len() + 6);
    all.rotate_left(9);
    for outcome in room.hand(server, "history", &all.iter().collect::<Vec<_>>()).await {
        assert_eq!(outcome, accepted());
    }
    let mut shown = expected.clone();
    shown.push(join.id.clone());
    assert_eq!(ids(&alice.history(&room.id).await), shown);
    let back = backward(&alice, &room).await;
    assert_eq!(ids(&back).into_iter().rev().collect::<Vec<_>>(), shown);
    assert_eq!(back[1]["content"], said[19].pdu["content"]);
    // To an incremental sync all of that is old.
    let sync = alice.sync().since(before.next_batch()).query("timeout", 0).get().await;
    assert!(sync.joined(&room.id).is_none(), "{}", sync.json);
    let next = alice.say(&room.id, "what a history").await;
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &next).await;
    let section = sync.joined(&room.id).expect("the room");
    assert_eq!(ids(section.timeline()), [next.as_str()]);
    assert!(section.state().is_empty(), "{}", section.0);
    // It comes once.
    for outcome in room.hand(server, "history", &all.iter().collect::<Vec<_>>()).await {
        assert_eq!(outcome, json!("known"));
    }
}

/// T3c
async fn t3c_altered_history_is_redacted_or_dropped(server: &Server) {
    let (alice, mut room, said) = joined(server, 6).await;
    let join = room.end();
    let mallory = room.peer.user("mallory");
    let (carol, dave) = (room.peer.user("carol"), room.peer.user("dave"));
    let changed = said[3].altered(|it| it["content"]["body"] = json!("never said"));
    let forged = said[5].altered(|it| it["sender"] = json!(dave));
    let mut all = room.before(&join);
    for event in &mut all {
        if event.id == changed.id {
            *event = changed.clone();
        }
    }
    let receive = json!({ "events": [forged.pdu], "keys": [room.peer.key()], "kind": "history",
        "states": [] });
    // From version 3 on another event, and one that nobody has signed.
    let outcome = room.ask(server, &json!({ "receive": receive })).await.remove(0);
    assert_eq!(outcome_name(&outcome["outcome"]), "dropped", "{outcome}");
    let outcomes = room.hand(server, "history", &all.iter().collect::<Vec<_>>()).await;
    for (event, outcome) in all.iter().zip(&outcomes) {
        let redacted = event.id == changed.id;
        assert_eq!(*outcome, json!({ "accepted": { "redacted": redacted } }), "{}", event.pdu);
    }
    alice.is_shown(&room.id, &changed.id, &json!({})).await;
    alice.is_shown(&room.id, &said[5].id, &message("5")).await;
    // A made-up past of somebody who never was there, and of power that nobody had.
    let fake = room.stray(Draft::message(&mallory, "I was here").after(&[&said[2]]));
    let topic = json!({ "topic": "always mine" });
    let stolen = Draft::state(&mallory, "m.room.topic", "", topic).after(&[&said[2]]);
    let stolen = room.stray(stolen);
    let lone = room.stray(Draft::message(&carol, "behind them").after(&[&fake, &stolen]));
    for event in [&fake, &stolen, &lone] {
        let outcomes = room.hand(server, "history", &[event]).await;
        assert!(["dropped", "rejected"].contains(&outcome_name(&outcomes[0])), "{outcomes:?}");
        alice.is_not_shown(&room.id, &event.id).await;
    }
    assert_eq!(alice.history(&room.id).await.len(), all.len() + 1);
}

/// T3c
async fn t3c_history_that_leads_nowhere_is_dropped(server: &Server) {
    let (alice, mut room, said) = joined(server, 4).await;
    let carol = room.peer.user("carol");
    let join = room.end();
    let aside = room.stray(Draft::message(&carol, "nobody names me").after(&[&said[1]]));
    let after = room.stray(Draft::message(&carol, "nor me").after(&[&join]));
    for event in [&aside, &after, &said[2]] {
        let outcome = room.hand(server, "history", &[event]).await.remove(0);
        assert_eq!(outcome_name(&outcome), "dropped", "{outcome}");
        alice.is_not_shown(&room.id, &event.id).await;
    }
    // What is missing before the join.
    let mut all = room.before(&join);
    all.push(aside.clone());
    let outcomes = room.hand(server, "history", &all.iter().collect::<Vec<_>>()).await;
    let (last, others) = outcomes.split_last().expect("outcomes");
    assert_eq!(outcome_name(last), "dropped", "{last}");
    assert!(others.iter().all(|it| *it == accepted()), "{others:?}");
    alice.is_not_shown(&room.id, &aside.id).await;
}

/// T3c, F16
async fn t3c_history_changes_nothing_that_is(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut room = PeerRoom::create(&Peer::new("peer.example"), "11", &[("dave", 50)]);
    let (carol, dave) = (room.peer.user("carol"), room.peer.user("dave"));
    for topic in ["first", "second", "third"] {
        room.add(Draft::state(&dave, "m.room.topic", "", json!({ "topic": topic })));
    }
    room.add(Draft::member(&carol, &dave, "ban"));
    room.let_in(server, &alice).await;
    let join = room.end();
    let all = room.before(&join);
    let state = alice.state_ids(&room.id).await;
    for outcome in room.hand(server, "history", &all.iter().collect::<Vec<_>>()).await {
        assert_eq!(outcome, accepted());
    }
    assert_eq!(alice.state_ids(&room.id).await, state);
    assert_eq!(alice.state(&room.id, "m.room.topic", "").ok().await["topic"], "third");
    assert_eq!(alice.membership_in(&room.id, &dave).await, "ban");
    let mut members = [alice.id.as_str(), carol.as_str()];
    members.sort_unstable();
    assert_eq!(alice.joined_members(&room.id).await, members);
    let initial = alice.sync().get().await;
    let section = initial.joined(&room.id).expect("the room");
    assert_eq!(section.leads_to(StateIds::new()), state, "{}", section.0);
    let next = alice.say(&room.id, "undisturbed").await;
    assert_eq!(room.read(&alice, &next).await.prev(), [join.id]);
}

async fn history_comes_in_parts(server: &Server) {
    let (alice, room, said) = joined(server, 12).await;
    let join = room.end();
    let ids_of = |state: Vec<Event>| state.into_iter().map(|it| it.id).collect::<Vec<_>>();
    // The newest part first, as a server asks for it, with the state before each.
    for part in [&said[8..], &said[4..8], &said[..4]] {
        let before = part[0].prev().remove(0);
        let states = json!([{ "before": part[0].id, "state": ids_of(room.state_at(&before)) }]);
        let part: Vec<_> = part.iter().collect();
        let outcomes = room.hand_with(server, "history", &part, states, &[&room.peer]).await;
        assert!(outcomes.iter().all(|it| *it == accepted()), "{outcomes:?}");
    }
    let mut expected = id_list(&said);
    expected.push(join.id);
    assert_eq!(ids(&alice.history(&room.id).await), expected);
    let back = backward(&alice, &room).await;
    assert_eq!(ids(&back).into_iter().rev().collect::<Vec<_>>(), expected);
}

/// Carol's further messages of which only the last is handed over, with the state before it.
async fn behind_a_gap(server: &Server, room: &mut PeerRoom) -> Vec<Event> {
    let carol = room.peer.user("carol");
    let missed: Vec<_> = (0..6)
        .map(|number| room.add(Draft::message(&carol, &format!("missed {number}"))))
        .collect();
    let state: Vec<_> = room.state_at(&missed[4].id).into_iter().map(|it| it.id).collect();
    let states = json!([{ "before": missed[5].id, "state": state }]);
    let outcomes = room.hand_with(server, "live", &[&missed[5]], states, &[&room.peer]).await;
    assert_eq!(outcomes, [accepted()]);
    missed
}

async fn an_event_behind_a_gap_limits_the_timeline(server: &Server) {
    let (alice, mut room, _) = joined(server, 2).await;
    let hello = alice.say(&room.id, "hello").await;
    let before = alice.sync().until_event(&room.id, &hello).await;
    room.read(&alice, &hello).await;
    let missed = behind_a_gap(server, &mut room).await;
    let sync = alice.sync().since(before.next_batch()).until_event(&room.id, &missed[5].id).await;
    let section = sync.joined(&room.id).expect("the room");
    assert_eq!(ids(section.timeline()), [missed[5].id.as_str()]);
    assert!(section.limited(), "five events are missing: {}", section.0);
    for event in &missed[..5] {
        alice.is_not_shown(&room.id, &event.id).await;
    }
    let next = alice.say(&room.id, "what did I miss?").await;
    let next = room.read(&alice, &next).await;
    assert!(next.prev().contains(&missed[5].id), "{:?}", next.prev());
    let history = alice.history_from(&room.id, &hello).await;
    assert_eq!(history, [hello, missed[5].id.clone(), next.id]);
}

async fn a_gap_is_filled_by_history(server: &Server) {
    let (alice, mut room, _) = joined(server, 2).await;
    let hello = alice.say(&room.id, "hello").await;
    room.read(&alice, &hello).await;
    let missed = behind_a_gap(server, &mut room).await;
    let sync = alice.sync().until_event(&room.id, &missed[5].id).await;
    let section = sync.joined(&room.id).expect("the room");
    let prev_batch = section.prev_batch().to_owned();
    let page = || alice.messages(&room.id, "b").query("from", &prev_batch).query("limit", 6);
    let part: Vec<_> = missed[..5].iter().collect();
    let outcomes = room.hand(server, "history", &part).await;
    assert!(outcomes.iter().all(|it| *it == accepted()), "{outcomes:?}");
    let mut expected = vec![hello.clone()];
    expected.extend(id_list(&missed));
    assert_eq!(alice.history_from(&room.id, &hello).await, expected);
    // A client that pages back from the gap finds what has come since.
    let page = page().ok().await;
    let chunk = ids(page["chunk"].as_array().expect("a chunk"));
    let back: Vec<_> = expected[..6].iter().rev().collect();
    assert_eq!(chunk, back);
    let sync = alice.sync().since(sync.next_batch()).query("timeout", 0).get().await;
    assert!(sync.joined(&room.id).is_none(), "{}", sync.json);
}

/// Alice said hello, and then was shown the last of six events of which five are missing.
struct Late {
    alice: User,
    room: PeerRoom,
    hello: String,
    missed: Vec<Event>,
    since: Sync,
}

impl Late {
    async fn set(server: &Server) -> Self {
        let (alice, mut room, _) = joined(server, 2).await;
        let hello = alice.say(&room.id, "hello").await;
        room.read(&alice, &hello).await;
        let missed = behind_a_gap(server, &mut room).await;
        let since = alice.sync().until_event(&room.id, &missed[5].id).await;
        Self { alice, room, hello, missed, since }
    }

    /// Alice is shown what she missed where it belongs, and not as if it were new.
    async fn is_shown_in_order(&self) {
        let mut expected = vec![self.hello.clone()];
        expected.extend(id_list(&self.missed));
        assert_eq!(self.alice.history_from(&self.room.id, &self.hello).await, expected);
        let back = backward(&self.alice, &self.room).await;
        let newest = ids(&back).into_iter().take(expected.len());
        assert_eq!(newest.collect::<Vec<_>>(), expected.iter().rev().collect::<Vec<_>>());
        let sync = self.alice.sync().since(self.since.next_batch()).query("timeout", 0).get().await;
        assert!(sync.joined(&self.room.id).is_none(), "{}", sync.json);
    }
}

async fn a_gap_is_filled_by_what_comes_late(server: &Server) {
    let Late { alice, room, hello, missed, since } = Late::set(server).await;
    // As a server sends them that had been away.
    for event in &missed[..5] {
        room.send(server, &[event]).await;
    }
    // Where depends on how they came; each is shown once.
    let mut history = alice.history_from(&room.id, &hello).await;
    let mut expected = vec![hello];
    expected.extend(id_list(&missed));
    history.sort();
    expected.sort();
    assert_eq!(history, expected);
    let next = alice.say(&room.id, "and on it goes").await;
    alice.sync().since(since.next_batch()).until_event(&room.id, &next).await;
}

async fn what_comes_late_and_together_fills_a_gap_in_order(server: &Server) {
    let late = Late::set(server).await;
    let outcomes = late.room.send(server, &late.missed[..5].iter().collect::<Vec<_>>()).await;
    assert!(outcomes.iter().all(|it| *it == accepted()), "{outcomes:?}");
    late.is_shown_in_order().await;
}

async fn what_comes_late_and_backward_fills_a_gap_in_order(server: &Server) {
    let mut late = Late::set(server).await;
    for event in late.missed[1..5].iter().rev() {
        let outcome = late.room.send(server, &[event]).await.remove(0);
        assert_eq!(outcome_name(&outcome), "waits", "{outcome}");
    }
    late.room.accept(server, &[&late.missed[0]]).await;
    late.is_shown_in_order().await;
    let next = late.alice.say(&late.room.id, "and on it goes").await;
    let next = late.room.read(&late.alice, &next).await;
    assert_eq!(next.prev(), [late.missed[5].id.as_str()], "nothing old is an end of the room");
}

async fn a_state_of_unknown_events_is_waited_for(server: &Server) {
    let (alice, mut room, _) = joined(server, 2).await;
    let carol = room.peer.user("carol");
    let erin = room.peer.user("erin");
    let join = room.add(Draft::join(&erin));
    let lost = room.add(Draft::message(&carol, "lost"));
    let last = room.add(Draft::message(&erin, "hello"));
    let state: Vec<_> = room.state_at(&lost.id).into_iter().map(|it| it.id).collect();
    let states = json!([{ "before": last.id, "state": state }]);
    let (events, peers) = ([&last], [&room.peer]);
    let hand = || room.hand_with(server, "live", &events, states.clone(), &peers);
    let waits = json!({ "waits": { "auth": [join.id], "prev": [] } });
    assert_eq!(hand().await, [waits]);
    assert_eq!(room.hand(server, "outlier", &[&join]).await, [accepted()]);
    assert_eq!(hand().await, [accepted()]);
    alice.is_shown(&room.id, &last.id, &message("hello")).await;
    assert_eq!(alice.membership_in(&room.id, &erin).await, "join");
}
