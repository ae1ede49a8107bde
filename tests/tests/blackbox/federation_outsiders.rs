//! What servers try that are not in a room, are not who they say, or ask for too much (T1e, T5,
//! T14, T15a).

use skerry_tests::{
    Client, Request, Server, User, Value, encode, json, message, path,
    peer::{Draft, PeerRoom},
    remote::{Flaw, Remote, in_a_day_ms, now_ms},
    unique,
};
use std::{collections::BTreeSet, time::Duration};
use tokio::{task::JoinSet, time::Instant};

both_hosts![
    t15a_no_endpoint_tells_an_outsider_of_a_private_room,
    t1e_events_of_many_dead_servers_cost_few_requests,
    t5_a_flood_by_one_server_holds_up_no_other,
    t14_a_server_without_a_proper_certificate_is_not_asked,
    f14_an_old_key_is_good_for_what_was_signed_before_alone,
];

const V1: &str = "/_matrix/federation/v1";
const KEYS: &str = "/_matrix/key/v2/server";
const ROOMS: &str = "/_matrix/federation/v1/publicRooms";

/// Every question that names a room or an event, as a server asks it that knows the IDs of both.
async fn questions(remote: &Remote, server: &Server, room: &PeerRoom) -> Vec<(String, Request)> {
    let routes = Client::new(server.url()).get("/_skerry/test/routes").ok().await;
    let event = room.end().id;
    let (user, id) = (remote.peer.user("mallory"), encode(&event));
    let query = format!("event_id={id}&v={id}&limit=10&ts=1&dir=f&ver={}", room.version);
    let body = json!({ "earliest_events": [], "latest_events": [event], "limit": 10 });
    let mut questions = Vec::new();
    for route in routes.as_array().expect("a list of routes") {
        let text = |key: &str| route[key].as_str().expect("a route").to_owned();
        let (method, route) = (text("method"), text("path"));
        let names_it = route.contains("{room_id}") || route.contains("{event_id}");
        if !route.starts_with("/_matrix/federation/") || !names_it {
            continue;
        }
        let segments = route.split('/').map(|segment| match segment {
            "{room_id}" => encode(&room.id),
            "{event_id}" => id.clone(),
            "{user_id}" => encode(&user),
            other => {
                assert!(!other.starts_with('{'), "{route}: what is asked for?");
                other.to_owned()
            }
        });
        let path = format!("{}?{query}", segments.collect::<Vec<_>>().join("/"));
        let request = match method.as_str() {
            "GET" => remote.get(server, &path),
            "POST" => remote.post(server, &path, &body),
            _ => remote.put(server, &path, &room.end().pdu),
        };
        questions.push((format!("{method} {route}"), request));
    }
    questions
}

/// Whoever is not in it is told nothing of it, and by what reads not even whether it is there.
async fn t15a_no_endpoint_tells_an_outsider_of_a_private_room(server: &Server) {
    let (member, outsider) = (Remote::start(), Remote::start());
    let alice = User::register(server, "alice").await;
    let options = json!({ "preset": "private_chat", "name": "The hidden harbor" });
    let room = alice.create_room(&options).await;
    member.sign_invites();
    let carol = member.peer.user("carol");
    let invite = json!({ "user_id": carol });
    alice.post(path(["rooms", &room, "invite"])).json(&invite).ok().await;
    let mut room = PeerRoom::of(&member.peer, &alice, &room).await;
    member.ask_for(server, "join", &mut room, &carol).await.ok();
    let said = alice.say(&room.id, "the treasure is below the mast").await;
    room.read(&alice, &said).await;
    // They are answers to whoever is in it.
    let mut told = 0;
    for (route, request) in questions(&member, server, &room).await {
        let reply = request.send().await;
        assert!(reply.status < 500, "{route}: {reply}");
        told += usize::from(reply.status == 200);
    }
    assert!(told >= 7, "{told}");
    let nowhere = PeerRoom::create(&outsider.peer, &room.version, &[]);
    let unknown = questions(&outsider, server, &nowhere).await;
    for ((route, request), (_, unknown)) in
        questions(&outsider, server, &room).await.into_iter().zip(unknown)
    {
        let reply = request.send().await;
        let expected: &[u16] =
            if route.starts_with("PUT") { &[400, 403, 404] } else { &[403, 404] };
        assert!(expected.contains(&reply.status), "{route}: {reply}");
        for secret in ["harbor", "treasure", &alice.id, &carol, "signatures"] {
            assert!(!reply.text.contains(secret), "{route}: {reply}");
        }
        // Why somebody may not come in is said to whoever asks for it.
        if !route.starts_with("PUT") && !route.contains("/make_") {
            let unknown = unknown.send().await;
            assert_eq!((reply.status, reply.text), (unknown.status, unknown.text), "{route}");
        }
    }
}

/// The events of these servers are sent again and again.
const TIMES: usize = 25;

async fn t1e_events_of_many_dead_servers_cost_few_requests(server: &Server) {
    let remote = Remote::start();
    let alice = User::register(server, "alice").await;
    let mut room = remote.in_room_of(&alice, server).await;
    let dead: Vec<_> = (0..40).map(|_| Remote::start_without_keys()).collect();
    let events: Vec<_> = dead
        .iter()
        .map(|it| room.signed_by(&it.peer, Draft::join(&it.peer.user("nobody"))))
        .collect();
    let began = Instant::now();
    for number in 0..TIMES {
        let hello = room.add(Draft::message(&remote.peer.user("carol"), &format!("{number}")));
        let sent: Vec<_> = events.iter().chain([&hello]).collect();
        let answer = remote.send(server, &sent).await;
        assert_eq!(answer["pdus"][&hello.id], json!({}), "{answer}");
        assert!(events.iter().all(|it| answer["pdus"][&it.id]["error"].is_string()), "{answer}");
    }
    let asked: Vec<_> = dead.iter().map(|it| it.asked("/").len()).collect();
    // The first time for each ten seconds or more.
    let most = 1 + usize::try_from(began.elapsed().as_secs() / 10).expect("a short time");
    assert!(asked.iter().all(|it| *it <= most), "{asked:?} of {TIMES} transactions");
    for event in &events {
        alice.is_not_shown(&room.id, &event.id).await;
    }
}

/// How long a server waits at most that floods nobody, on machines that run other tests beside.
const PATIENCE: Duration = Duration::from_secs(10);

async fn t5_a_flood_by_one_server_holds_up_no_other(server: &Server) {
    let (flooding, quiet) = (Remote::start(), Remote::start());
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let mut flooded = flooding.in_room_of(&alice, server).await;
    let mut other = quiet.in_room_of(&bob, server).await;
    let (carol, text) = (flooding.peer.user("carol"), "x".repeat(2_000));
    let events: Vec<_> = (0..1_200).map(|_| flooded.add(Draft::message(&carol, &text))).collect();
    let mut flood = JoinSet::new();
    for part in events.chunks(300) {
        let requests: Vec<_> = part
            .chunks(50)
            .map(|events| {
                let pdus: Vec<_> = events.iter().map(|it| &it.pdu).collect();
                let body =
                    json!({ "origin": flooding.peer.name, "origin_server_ts": 1, "pdus": pdus });
                let path = format!("{V1}/send/{}", unique("flood"));
                flooding.put(server, &path, &body)
            })
            .collect();
        flood.spawn(async move {
            for request in requests {
                let reply = request.send().await;
                assert!(reply.status < 500, "{reply}");
            }
        });
    }
    let mut watch = bob.watch().await;
    let mut slowest = Duration::ZERO;
    for number in 0..10 {
        let hello = other.add(Draft::message(&quiet.peer.user("carol"), &format!("{number}")));
        let began = Instant::now();
        quiet.send(server, &[&hello]).await;
        watch.event(&other.id, &hello.id).await;
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < PATIENCE, "{slowest:?}");
    while let Some(ended) = flood.join_next().await {
        ended.expect("a flood to its end");
    }
    // All of it is here, too, in whatever order it came.
    let last = &events[events.len() - 1];
    alice.sync().until_event(&flooded.id, &last.id).await;
    let history: BTreeSet<_> =
        alice.history_from(&flooded.id, &events[0].id).await.into_iter().collect();
    assert!(events.iter().all(|it| history.contains(&it.id)), "{}", history.len());
}

/// It is told nothing, and nothing that it says is believed.
async fn t14_a_server_without_a_proper_certificate_is_not_asked(server: &Server) {
    let alice = User::register(server, "alice").await;
    for flaw in [Flaw::UnknownAuthority, Flaw::OtherName, Flaw::Expired] {
        let remote = Remote::start_with(flaw);
        remote.get(server, ROOMS).refused(401, "M_UNAUTHORIZED").await;
        let carol = remote.peer.user("carol");
        alice.get(path(["profile", &carol])).refused(404, "M_NOT_FOUND").await;
        let room = PeerRoom::create(&remote.peer, "11", &[]);
        remote.open(&room);
        let join = format!("/join{}?via={}", path([&room.id]), encode(&remote.peer.name));
        alice.post(&join).refused(404, "M_NOT_FOUND").await;
        let own = alice.private_room(&[]).await;
        let invite = alice.post(path(["rooms", &own, "invite"])).json(&json!({ "user_id": carol }));
        let reply = invite.send().await;
        assert!((400..=502).contains(&reply.status) && reply.status != 500, "{reply}");
        assert!(remote.asked("/").is_empty(), "{flaw:?}: {:?}", remote.asked("/"));
    }
}

/// A server that had another key up to some time ago.
async fn f14_an_old_key_is_good_for_what_was_signed_before_alone(server: &Server) {
    let remote = Remote::start();
    let (old, expired_ms) = (remote.peer.with_another_key("old"), now_ms() - 60_000);
    let keys = json!({ old.key_id(): { "key": old.public_key(), "expired_ts": expired_ms } });
    let published = remote.peer.published_beside(keys, in_a_day_ms());
    remote.answer(KEYS, move |_| (200, published.clone()));
    let alice = User::register(server, "alice").await;
    let mut room = remote.in_room_of(&alice, server).await;
    let carol = remote.peer.user("carol");
    let said = |room: &mut PeerRoom, text: &str, at_ms: u64| {
        let draft = Draft::message(&carol, text).with("origin_server_ts", json!(at_ms));
        room.signed_by(&old, draft)
    };
    let before = said(&mut room, "before", expired_ms - 1);
    let after = said(&mut room, "after", expired_ms + 1);
    let other = room.signed_by(&old.with_another_key("old"), Draft::message(&carol, "another"));
    let answer = remote.send(server, &[&before, &after, &other]).await;
    assert_eq!(answer["pdus"][&before.id], json!({}), "{answer}");
    for event in [&after, &other] {
        assert!(answer["pdus"][&event.id]["error"].is_string(), "{answer}");
        alice.is_not_shown(&room.id, &event.id).await;
    }
    alice.is_shown(&room.id, &before.id, &message("before")).await;
    // It authorizes no request either.
    let authorization = old.authorization(server, "GET", ROOMS, None);
    let request = Client::new(server.url()).get(ROOMS).header("Authorization", &authorization);
    let refused: Value = request.refused(401, "M_UNAUTHORIZED").await;
    assert!(refused.get("chunk").is_none(), "{refused}");
    remote.get(server, ROOMS).ok().await;
}
