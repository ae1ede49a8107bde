//! Every room version between two servers: what each makes is what the other reads.

use ruma::{
    CanonicalJsonObject, RoomVersionId,
    signatures::{content_hash, reference_hash},
};
use skerry_tests::{
    Server, User, Value, ids, json, message,
    peer::{Draft, Event, Peer, PeerRoom},
};

both_hosts![
    a_room_of_every_version_is_shared_with_a_peer,
    a_peers_room_of_every_version_is_joined,
    f11_own_events_have_the_format_of_their_version,
];

const VERSIONS: [&str; 9] = ["1", "2", "3", "5", "6", "9", "10", "11", "12"];

async fn a_room_of_every_version_is_shared_with_a_peer(server: &Server) {
    let alice = User::register(server, "alice").await;
    for version in VERSIONS {
        let options = json!({ "preset": "public_chat", "room_version": version });
        let room = alice.create_room(&options).await;
        let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
        assert_eq!(room.version, version);
        let carol = room.peer.user("carol");
        let join = room.add(Draft::join(&carol));
        let hello = room.add(Draft::message(&carol, "hello"));
        room.accept(server, &[&join, &hello]).await;
        let answer = alice.say(&room.id, "hello back").await;
        let answer = room.read(&alice, &answer).await;
        assert_eq!(answer.prev(), [hello.id.as_str()], "version {version}");
        let fork = room.stray(Draft::message(&carol, "meanwhile").after(&[&hello]));
        room.accept(server, &[&fork]).await;
        let merge = alice.say(&room.id, "both").await;
        let merge = room.read(&alice, &merge).await;
        assert_eq!(merge.prev().len(), 2, "version {version}");
        let last = room.add(Draft::message(&carol, "bye"));
        room.accept(server, &[&last]).await;
        let history = alice.history_from(&room.id, &join.id).await;
        let expected = [join.id, hello.id, answer.id, fork.id, merge.id, last.id];
        assert_eq!(history, expected, "version {version}");
    }
}

async fn a_peers_room_of_every_version_is_joined(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    for version in VERSIONS {
        let mut room = PeerRoom::create(&Peer::new("peer.example"), version, &[("dave", 50)]);
        let dave = room.peer.user("dave");
        room.let_in(server, &alice).await;
        let hello = alice.say(&room.id, "hello").await;
        room.read(&alice, &hello).await;
        let name = Draft::state(&dave, "m.room.name", "", json!({ "name": "afar" }));
        let name = room.add(name);
        room.accept(server, &[&name]).await;
        assert_eq!(alice.state(&room.id, "m.room.name", "").ok().await["name"], "afar");
        // Whoever is on a server that is in the room joins without any other.
        bob.join(&room.id).await;
        let last = bob.say(&room.id, "me too").await;
        alice.is_shown(&room.id, &last, &message("me too")).await;
        room.read(&alice, &last).await;
        let rejected = Draft::state(&bob.id, "m.room.name", "", json!({ "name": "mine" }));
        let rejected = room.stray(rejected);
        room.refuse(server, &rejected, "dropped").await;
        let create = alice.state(&room.id, "m.room.create", "").ok().await;
        assert_eq!(create["room_version"], version);
    }
}

/// F11
async fn f11_own_events_have_the_format_of_their_version(server: &Server) {
    let alice = User::register(server, "alice").await;
    for version in VERSIONS {
        let options = json!({ "preset": "public_chat", "room_version": version, "name": "x" });
        let room = alice.create_room(&options).await;
        let first = alice.say(&room, "first").await;
        let redaction = alice.redact(&room, &first).await;
        let mut room = PeerRoom::of(&Peer::new("peer.example"), &alice, &room).await;
        let redaction = room.read(&alice, &redaction).await;
        assert_eq!(redaction.prev(), [first.as_str()], "version {version}");
        let events = room.before(&redaction);
        let served = alice.history(&room.id).await;
        let mut known = ids(&served);
        known.retain(|it| *it != redaction.id);
        let found: Vec<_> = events.iter().map(|it| it.id.as_str()).collect();
        assert_eq!(found, known, "version {version}: IDs are what the hashes say");
        for event in &events {
            has_the_format(version, &room, event);
            let redacted = event.id == first;
            assert_eq!(is_hashed(&event.pdu), !redacted, "version {version}: {}", event.pdu);
        }
    }
}

fn has_the_format(version: &str, room: &PeerRoom, event: &Event) {
    let pdu = &event.pdu;
    let early = ["1", "2"].contains(&version);
    let shown = format!("version {version}: {pdu}");
    assert_eq!(pdu["event_id"].is_string(), early, "{shown}");
    if early {
        assert!(event.id.ends_with(":localhost"), "{shown}");
    }
    let creates = pdu["type"] == "m.room.create";
    assert_eq!(pdu["room_id"] == room.id.as_str(), !(creates && version == "12"), "{shown}");
    assert!(pdu["depth"].as_u64() > Some(0) && pdu["origin_server_ts"].is_u64(), "{shown}");
    for server in pdu["signatures"].as_object().expect("signatures").keys() {
        assert_eq!(server, "localhost", "{shown}");
    }
    for field in ["prev_events", "auth_events"] {
        for reference in pdu[field].as_array().expect("references") {
            assert_eq!(reference.is_string(), !early, "{shown}");
            if early {
                let named = room.event(reference[0].as_str().expect("an ID"));
                assert_eq!(reference[1]["sha256"], hash_of(version, &named.pdu), "{shown}");
            }
        }
    }
    let create = room.state("m.room.create", "").id;
    let names_create = event.auth().contains(&create);
    assert_eq!(names_create, !creates && version != "12", "{shown}");
}

fn hash_of(version: &str, pdu: &Value) -> String {
    let rules = RoomVersionId::try_from(version).expect("a version").rules().expect("rules");
    reference_hash(&object(pdu), &rules).expect("a hash")
}

fn is_hashed(pdu: &Value) -> bool {
    pdu["hashes"]["sha256"] == content_hash(&object(pdu)).expect("a hash").encode()
}

fn object(pdu: &Value) -> CanonicalJsonObject {
    serde_json::from_value(pdu.clone()).expect("canonical JSON")
}
