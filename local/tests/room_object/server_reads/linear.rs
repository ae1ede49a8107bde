//! What a server sees of a room without forks.

use std::collections::BTreeSet;

use ruma::OwnedServerName;
use serde_json::{Value as JsonValue, json};
use skerry::{
    messages::{RawJson, Requester, room::SyncRoom},
    store::room::state,
};
use skerry_core::Pdu;

use super::stand::{Stand, alice, server};
use crate::{
    host::SCOPE,
    own_room::whole_room,
    room_object::peer_room::{MEMBER, PEER, THIRD, user},
};

const VISIBILITIES: [&str; 4] = ["joined", "invited", "shared", "world_readable"];

/// The topics among state events.
fn topics(state: &[RawJson]) -> Vec<String> {
    let read = |it: &RawJson| serde_json::from_str::<JsonValue>(it.get()).unwrap();
    let topic = |it: JsonValue| it["content"]["topic"].as_str().map(str::to_owned);
    state.iter().filter_map(|it| topic(read(it))).collect()
}

/// What Zoe's and Yan's server sees while they come and go.
#[tokio::test]
async fn a_server_sees_what_its_users_together_may_see() {
    let everything = ["before", "invited", "zoe is here", "both are here", "yan is here"];
    let cases = [
        ("joined", &everything[2..]),
        ("invited", &everything[1..]),
        ("shared", &everything[..]),
        ("world_readable", &everything[..]),
    ];
    for (visibility, seen) in cases {
        let (third, carol) = (server(THIRD), user("carol", PEER));
        let (zoe, yan) = (user("zoe", THIRD), user("yan", THIRD));
        let mut stand = Stand::new(visibility).await;
        let mut said = vec![stand.say("before").await];
        stand.texts(&third).await.unwrap_err();
        stand.member(&carol, &zoe, "invite").await;
        said.push(stand.say("invited").await);
        stand.texts(&third).await.unwrap_err();
        stand.member(&zoe, &zoe, "join").await;
        said.push(stand.say("zoe is here").await);
        let until = |it: &str| -> Vec<_> {
            let end = seen.iter().position(|text| *text == it).unwrap();
            seen[..=end].to_vec()
        };
        assert_eq!(stand.texts(&third).await.unwrap(), until("zoe is here"), "{visibility}");
        stand.member(&yan, &yan, "join").await;
        said.push(stand.say("both are here").await);
        assert_eq!(stand.texts(&third).await.unwrap(), until("both are here"), "{visibility}");
        stand.member(&zoe, &zoe, "leave").await;
        said.push(stand.say("yan is here").await);
        assert_eq!(stand.texts(&third).await.unwrap(), seen, "{visibility}: one has left");
        let all = stand.state(&third).await.unwrap();
        let ids: BTreeSet<_> = stand.peer.state.values().map(|it| it.json.to_string()).collect();
        let told: BTreeSet<_> = all.iter().map(|it| it.get().to_owned()).collect();
        assert_eq!(told, ids, "{visibility}: the state, as it goes over federation");
        stand.topic("while they are here").await;
        let kick = stand.member(&carol, &yan, "leave").await;
        said.push(stand.say("after").await);
        let later = stand.topic("when they are gone").await;
        assert_eq!(stand.texts(&third).await.unwrap(), seen, "{visibility}: all have left");
        let state = stand.state(&third).await.unwrap();
        assert_eq!(topics(&state), ["while they are here"], "{visibility}");
        sees_exactly(&stand, &third, &said, seen).await;
        assert_eq!(stand.event(&third, &kick).await.unwrap().get(), &*kick.json);
        stand.event(&third, &later).await.unwrap_err();
        stand.member(&zoe, &zoe, "join").await;
        said.push(stand.say("zoe is back").await);
        let missed = matches!(visibility, "shared" | "world_readable").then_some("after");
        let seen: Vec<_> = seen.iter().copied().chain(missed).chain(["zoe is back"]).collect();
        assert_eq!(stand.texts(&third).await.unwrap(), seen, "{visibility}: one is back");
        sees_exactly(&stand, &third, &said, &seen).await;
    }
}

/// Of single events, a server is given those that it sees in the history, as they were sent; of
/// the others it is not told that they are there.
async fn sees_exactly(stand: &Stand, requester: &Requester, said: &[Pdu], seen: &[&str]) {
    let mut unknown = said[0].clone();
    unknown.event_id = "$nowhere".try_into().unwrap();
    let unknown = stand.event(requester, &unknown).await.unwrap_err();
    for pdu in said {
        let content: JsonValue = serde_json::from_str(pdu.content.get()).unwrap();
        let text = content["body"].as_str().unwrap();
        match stand.event(requester, pdu).await {
            Ok(event) => {
                assert_eq!(event.get(), &*pdu.json);
                assert!(seen.contains(&text), "{text}");
            }
            Err(error) => {
                assert_eq!(error.to_json(), unknown.to_json(), "{text}");
                assert!(!seen.contains(&text), "{text}");
            }
        }
    }
}

/// T15a
#[tokio::test]
async fn a_server_that_was_never_there_does_not_learn_that_there_is_a_room() {
    let nowhere = Stand::empty().await;
    for visibility in VISIBILITIES {
        let mut stand = Stand::new(visibility).await;
        let (carol, zoe) = (user("carol", PEER), user("zoe", THIRD));
        stand.member(&zoe, &zoe, "join").await;
        let (invited, banned) = (user("xia", "invited.example"), user("wu", "banned.example"));
        stand.member(&carol, &invited, "invite").await;
        stand.member(&carol, &banned, "ban").await;
        let said = stand.say("hello").await.event_id;
        // The last ones are what a member's server is called in part.
        let strangers = [
            "stranger.example",
            "invited.example",
            "banned.example",
            "third.example",
            "8448",
            "example:8448",
        ];
        for stranger in strangers.map(server) {
            let refused = stand.refusals(&stranger, &said).await;
            let absent = nowhere.refusals(&stranger, &said).await;
            assert_eq!(refused, absent, "{visibility}, {stranger:?}");
            assert!(refused.iter().all(|(status, _)| *status == 403), "{refused:?}");
        }
        assert_eq!(stand.texts(&server(THIRD)).await.unwrap(), ["hello"]);
    }
}

/// T15a
#[tokio::test]
async fn a_server_that_the_room_denies_is_refused_like_a_stranger() {
    let mut stand = Stand::new("shared").await;
    let (third, zoe) = (server(THIRD), user("zoe", THIRD));
    stand.member(&zoe, &zoe, "join").await;
    let said = stand.say("hello").await.event_id;
    let refused = stand.refusals(&server("stranger.example"), &said).await;
    let list = |allow: JsonValue, deny: &[&str]| json!({ "allow": allow, "deny": deny });
    let cases = [
        ("denied", list(json!(["*"]), &["third.*"]), false),
        ("another one is denied", list(json!(["*"]), &["fourth.*"]), true),
        ("not allowed", list(json!(["peer.example", "own.example"]), &[]), false),
        ("no list at all", list(json!("*"), &[]), false),
        ("allowed", list(json!(["third.example"]), &[]), true),
    ];
    for (name, content, is_allowed) in cases {
        stand.by_carol("m.room.server_acl", content).await;
        match is_allowed {
            true => assert_eq!(stand.texts(&third).await.unwrap(), ["hello"], "{name}"),
            false => assert_eq!(stand.refusals(&third, &said).await, refused, "{name}"),
        }
    }
}

#[tokio::test]
async fn a_change_of_visibility_holds_for_what_is_sent_from_then_on() {
    let mut stand = Stand::new("joined").await;
    let (third, zoe) = (server(THIRD), user("zoe", THIRD));
    stand.say("for those who are here").await;
    stand.by_carol("m.room.history_visibility", json!({ "history_visibility": "shared" })).await;
    stand.say("for all who come").await;
    stand.member(&zoe, &zoe, "join").await;
    assert_eq!(stand.texts(&third).await.unwrap(), ["for all who come"]);
    stand.by_carol("m.room.history_visibility", json!({ "history_visibility": "joined" })).await;
    stand.member(&zoe, &zoe, "leave").await;
    stand.say("for those who are here").await;
    stand.member(&zoe, &zoe, "join").await;
    assert_eq!(stand.texts(&third).await.unwrap(), ["for all who come"]);
}

#[tokio::test]
async fn who_comes_and_goes_beside_others_of_their_server_costs_no_row() {
    let mut stand = Stand::new("joined").await;
    let name = OwnedServerName::try_from(THIRD).unwrap();
    for number in 0..12 {
        let member = user(&format!("member{number}"), THIRD);
        stand.member(&member, &member, "join").await;
        if number % 2 == 0 && number > 0 {
            stand.member(&member, &member, "leave").await;
        }
    }
    let present = state::list_present(&*stand.own.host.sqlite, SCOPE, &name).await.unwrap();
    let joined: Vec<_> = present.iter().map(|(_, it)| it.joined).collect();
    assert_eq!(joined, [1, 7], "the first join, and the end");
    let (first, last) = (present[0], present[1]);
    let rest =
        state::list_present_after(&*stand.own.host.sqlite, SCOPE, &name, first).await.unwrap();
    assert_eq!(rest.last(), Some(&last), "the log says the same as the state");
    let rest =
        state::list_present_after(&*stand.own.host.sqlite, SCOPE, &name, last).await.unwrap();
    assert_eq!(rest, []);
}

#[tokio::test]
async fn a_client_gets_the_client_format_unless_its_filter_says_otherwise() {
    let mut stand = Stand::new("shared").await;
    let said = stand.say("hello").await;
    let user = Requester::User(alice());
    let event: JsonValue =
        serde_json::from_str(stand.event(&user, &said).await.unwrap().get()).unwrap();
    assert_eq!(event["unsigned"]["membership"], "join");
    assert_eq!(event.get("auth_events"), None);
    for federation_format in [false, true] {
        let sync = SyncRoom { federation_format, ..whole_room(alice()) };
        let sync = stand.ask(sync).await.unwrap();
        let last = sync.timeline.last().unwrap().get();
        assert_eq!(last == &*said.json, federation_format, "{last}");
        let event: JsonValue = serde_json::from_str(last).unwrap();
        assert_eq!(event.get("room_id").is_some(), federation_format, "{last}");
        let is_member = |it: &&RawJson| it.get().contains(MEMBER);
        assert!(sync.state.iter().any(|it| is_member(&it)));
    }
}
