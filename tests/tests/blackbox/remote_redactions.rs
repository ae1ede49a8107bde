//! What was said stays as it was said: others can neither edit nor redact it, unless the rules of
//! the room's version let them.

use skerry_tests::{
    Server, User, Value, json, message, path,
    peer::{Draft, Event, Peer, PeerRoom},
};

both_hosts![
    t8b_an_edit_by_another_user_changes_nothing,
    t8b_a_redaction_from_the_senders_server_applies,
    t8b_a_redaction_without_power_does_not_apply,
    t8b_a_redaction_with_power_applies,
    t8b_a_redaction_may_come_before_what_it_redacts,
    t8b_a_redaction_without_power_that_comes_first_does_not_apply,
    t8b_a_redaction_of_another_rooms_event_does_nothing,
    t8b_a_local_moderator_redacts_a_remote_event,
];

/// Versions in which redactions are judged in different ways.
const VERSIONS: [&str; 5] = ["1", "3", "10", "11", "12"];

/// A room of Alice's with Carol and Dave of one peer, and Eve of another.
struct Cast {
    alice: User,
    room: PeerRoom,
    other: Peer,
    carol: String,
    dave: String,
    eve: String,
}

impl Cast {
    async fn of(server: &Server, version: &str) -> Self {
        let alice = User::register(server, "alice").await;
        let options = json!({ "preset": "public_chat", "room_version": version });
        let room = alice.create_room(&options).await;
        let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
        let other = Peer::new("other.example");
        let (carol, dave) = (room.peer.user("carol"), room.peer.user("dave"));
        let joins = [room.add(Draft::join(&carol)), room.add(Draft::join(&dave))];
        room.accept(server, &[&joins[0], &joins[1]]).await;
        let mut cast = Self { alice, carol, dave, eve: other.user("eve"), room, other };
        let join = cast.by_eve(Draft::join(&cast.eve.clone()));
        cast.sent_by_eve(server, &join, "accepted").await;
        cast
    }

    /// An event of Eve's server, which others build on.
    fn by_eve(&mut self, draft: Draft) -> Event {
        let event = self.room.signed_by(&self.other, draft);
        self.room.ends = vec![event.id.clone()];
        event
    }

    async fn sent_by_eve(&self, server: &Server, event: &Event, fate: &str) {
        let keys = [&self.other, &self.room.peer];
        let outcome = self.room.hand_with(server, "live", &[event], json!([]), &keys).await;
        assert_eq!(skerry_tests::peer::outcome_name(&outcome[0]), fate, "{outcome:?}");
    }

    /// A redaction in the form of the room's version.
    fn redaction(&self, sender: &str, target: &str) -> Draft {
        let in_content = ["11", "12"].contains(&self.room.version.as_str());
        let reason = json!({ "reason": "for a test" });
        match in_content {
            true => {
                let content = json!({ "reason": "for a test", "redacts": target });
                Draft::new(sender, "m.room.redaction", content)
            }
            false => Draft::new(sender, "m.room.redaction", reason).with("redacts", json!(target)),
        }
    }

    async fn content(&self, event: &str) -> Value {
        self.alice.event(&self.room.id, event).ok().await["content"].clone()
    }

    async fn is_redacted(&self, event: &str, by: &str) {
        let shown = self.alice.event(&self.room.id, event).ok().await;
        assert_eq!(shown["content"], json!({}), "version {}: {shown}", self.room.version);
        let because = &shown["unsigned"]["redacted_because"];
        assert_eq!(because["event_id"], by, "version {}: {shown}", self.room.version);
    }
}

/// T8b
async fn t8b_an_edit_by_another_user_changes_nothing(server: &Server) {
    let mut cast = Cast::of(server, "12").await;
    let id = cast.room.id.clone();
    let own = cast.alice.say(&id, "what Alice said").await;
    cast.room.read(&cast.alice, &own).await;
    let said = cast.room.add(Draft::message(&cast.carol, "what Carol said"));
    cast.room.accept(server, &[&said]).await;
    for target in [&own, &said.id] {
        let before = cast.alice.event(&id, target).ok().await;
        let content = json!({ "msgtype": "m.text", "body": "* changed",
            "m.new_content": message("changed"),
            "m.relates_to": { "rel_type": "m.replace", "event_id": target } });
        let edit = cast.room.add(Draft::new(&cast.dave, "m.room.message", content));
        cast.room.accept(server, &[&edit]).await;
        let after = cast.alice.event(&id, target).ok().await;
        assert_eq!(after["content"], before["content"]);
        assert_eq!(after["sender"], before["sender"]);
        assert!(after["unsigned"]["m.relations"].get("m.replace").is_none(), "{after}");
        // Not even its own sender's edit changes what is served as the event.
        let history = cast.alice.history(&id).await;
        let served = history.iter().find(|it| it["event_id"] == target.as_str());
        assert_eq!(served.expect("the event")["content"], before["content"]);
    }
}

/// T8b
async fn t8b_a_redaction_from_the_senders_server_applies(server: &Server) {
    for version in VERSIONS {
        let mut cast = Cast::of(server, version).await;
        for redactor in [cast.carol.clone(), cast.dave.clone()] {
            let said = cast.room.add(Draft::message(&cast.carol, "regretted"));
            let redaction = cast.room.add(cast.redaction(&redactor, &said.id));
            let mut watch = cast.alice.watch().await;
            cast.room.accept(server, &[&said, &redaction]).await;
            let seen = watch.event(&cast.room.id, &redaction.id).await;
            assert_eq!(seen["redacts"], said.id.as_str(), "{seen}");
            assert_eq!(seen["content"]["redacts"], said.id.as_str(), "{seen}");
            cast.is_redacted(&said.id, &redaction.id).await;
        }
    }
}

/// T8b, T6a
async fn t8b_a_redaction_without_power_does_not_apply(server: &Server) {
    for version in VERSIONS {
        let mut cast = Cast::of(server, version).await;
        let own = cast.alice.say(&cast.room.id, "what Alice said").await;
        cast.room.read(&cast.alice, &own).await;
        let said = cast.room.add(Draft::message(&cast.carol, "what Carol said"));
        cast.room.accept(server, &[&said]).await;
        // Until version 2 it is the event that is not allowed, later its effect. What tells the
        // servers apart there are the IDs of the events.
        let fate = if version == "1" { "rejected" } else { "accepted" };
        for target in [&own, &said.id] {
            let draft = cast.redaction(&cast.eve, target);
            let redaction = cast.room.signed_by(&cast.other, draft);
            let fate = if version == "1" { fate_of(&redaction, target, fate) } else { fate };
            cast.sent_by_eve(server, &redaction, fate).await;
        }
        assert_eq!(cast.content(&own).await, message("what Alice said"), "version {version}");
        assert_eq!(cast.content(&said.id).await, message("what Carol said"), "version {version}");
    }
}

/// In version 1 a redaction is allowed when the IDs of both events name the same server.
fn fate_of<'a>(redaction: &Event, target: &str, otherwise: &'a str) -> &'a str {
    let server = |id: &str| id.split_once(':').map(|it| it.1.to_owned());
    if server(&redaction.id) == server(target) { "accepted" } else { otherwise }
}

/// T8b
async fn t8b_a_redaction_with_power_applies(server: &Server) {
    for version in VERSIONS {
        let mut cast = Cast::of(server, version).await;
        let own = cast.alice.say(&cast.room.id, "what Alice said").await;
        let levels = cast.alice.give_powers(&cast.room.id, &[(&cast.eve, 50)]).await;
        cast.room.read(&cast.alice, &levels).await;
        let draft = cast.redaction(&cast.eve, &own);
        let redaction = cast.by_eve(draft);
        cast.sent_by_eve(server, &redaction, "accepted").await;
        cast.is_redacted(&own, &redaction.id).await;
    }
}

/// T8b
async fn t8b_a_redaction_may_come_before_what_it_redacts(server: &Server) {
    for version in VERSIONS {
        let mut cast = Cast::of(server, version).await;
        let base = cast.room.end();
        let said = cast.room.stray(Draft::message(&cast.carol, "regretted").after(&[&base]));
        let redaction = cast.redaction(&cast.carol, &said.id).after(&[&base]);
        let redaction = cast.room.stray(redaction);
        let mut watch = cast.alice.watch().await;
        cast.room.accept(server, &[&redaction]).await;
        cast.alice.event(&cast.room.id, &said.id).refused(404, "M_NOT_FOUND").await;
        cast.room.accept(server, &[&said]).await;
        cast.is_redacted(&said.id, &redaction.id).await;
        let seen = watch.event(&cast.room.id, &said.id).await;
        assert_eq!(seen["content"], json!({}), "version {version}: {seen}");
    }
}

/// T8b
async fn t8b_a_redaction_without_power_that_comes_first_does_not_apply(server: &Server) {
    for version in ["3", "12"] {
        let mut cast = Cast::of(server, version).await;
        let base = cast.room.end();
        let said = cast.room.stray(Draft::message(&cast.carol, "stays").after(&[&base]));
        let by_eve = cast.redaction(&cast.eve, &said.id).after(&[&base]);
        let by_eve = cast.room.signed_by(&cast.other, by_eve);
        cast.sent_by_eve(server, &by_eve, "accepted").await;
        cast.room.accept(server, &[&said]).await;
        assert_eq!(cast.content(&said.id).await, message("stays"), "version {version}");
        // That of the sender, which comes later, does.
        let by_carol = cast.redaction(&cast.carol, &said.id).after(&[&said]);
        let by_carol = cast.room.stray(by_carol);
        cast.room.accept(server, &[&by_carol]).await;
        cast.is_redacted(&said.id, &by_carol.id).await;
    }
}

/// T8b
async fn t8b_a_redaction_of_another_rooms_event_does_nothing(server: &Server) {
    let mut cast = Cast::of(server, "12").await;
    let other = cast.alice.public_room(&[]).await;
    let mut other = PeerRoom::of(&cast.room.peer, &cast.alice, &other).await;
    let join = other.add(Draft::join(&cast.carol));
    let said = other.add(Draft::message(&cast.carol, "elsewhere"));
    other.accept(server, &[&join, &said]).await;
    let redaction = cast.room.add(cast.redaction(&cast.carol, &said.id));
    cast.room.accept(server, &[&redaction]).await;
    cast.alice.is_shown(&other.id, &said.id, &message("elsewhere")).await;
    // A create event is not redacted by anybody.
    let create = cast.room.state("m.room.create", "");
    let redaction = cast.room.stray(cast.redaction(&cast.carol, &create.id));
    cast.room.send(server, &[&redaction]).await;
    assert_eq!(cast.content(&create.id).await, create.pdu["content"]);
}

/// T8b
async fn t8b_a_local_moderator_redacts_a_remote_event(server: &Server) {
    for version in VERSIONS {
        let mut cast = Cast::of(server, version).await;
        let said = cast.room.add(Draft::message(&cast.carol, "spam"));
        cast.room.accept(server, &[&said]).await;
        let id = cast.room.id.clone();
        let redaction = cast.alice.redact(&id, &said.id).await;
        cast.is_redacted(&said.id, &redaction).await;
        let pdu = cast.room.read(&cast.alice, &redaction).await.pdu;
        let redacts = match ["11", "12"].contains(&version) {
            true => &pdu["content"]["redacts"],
            false => &pdu["redacts"],
        };
        assert_eq!(*redacts, said.id.as_str(), "version {version}: {pdu}");
        let state = cast.alice.get(path(["rooms", &id, "state"])).ok().await;
        assert!(state.as_array().is_some_and(|it| it.len() > 5), "{state}");
    }
}
