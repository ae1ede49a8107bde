//! What goes over two objects or two stores comes to one end, whatever happens beside it.

use std::time::Duration;

use skerry_tests::{PATIENCE, Reply, Request, Server, User, Value, json, path, unique};
use tokio::{task::JoinSet, time::Instant};

both_hosts![
    whose_account_is_closed_beside_joins_is_in_no_room_in_the_end,
    whose_account_is_closed_beside_invitations_is_invited_to_no_room_in_the_end,
    a_refresh_that_is_repeated_at_once_leaves_the_device_logged_in,
    a_refresh_whose_answer_was_lost_is_repeated,
    a_login_beside_a_logout_of_its_device_leaves_a_session_with_its_device_or_none,
    a_name_that_changes_beside_joins_is_shown_in_every_room,
    an_alias_of_a_room_that_is_being_left_leads_to_a_room_or_nowhere,
];

/// How often each race is run.
const ROUNDS: usize = 4;

/// Sends requests at the same time, and gives their replies in the order in which they come.
async fn at_once(requests: Vec<Request>) -> Vec<Reply> {
    let mut sending = JoinSet::new();
    for request in requests {
        sending.spawn(request.send());
    }
    sending.join_all().await
}

/// Asks again and again until the answer is what the test waits for.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Closes an account; the password is shown with the first request, so that nothing comes before.
fn closing(user: &User) -> Request {
    user.post("/account/deactivate").json(&json!({ "auth": user.password_auth() }))
}

async fn members(of: &User, room: &str) -> Vec<Value> {
    let members = of.get(path(["rooms", room, "members"])).ok().await;
    members["chunk"].as_array().expect("a chunk").clone()
}

async fn has(of: &User, room: &str, user: &str, memberships: [&str; 2]) -> bool {
    members(of, room).await.iter().any(|it| {
        it["state_key"] == user && memberships.iter().any(|is| it["content"]["membership"] == *is)
    })
}

/// Every room that the user was let into beside the end of their account lets go of them.
async fn whose_account_is_closed_beside_joins_is_in_no_room_in_the_end(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut rooms = Vec::new();
    for _ in 0..6 {
        rooms.push(alice.public_room(&[]).await);
    }
    for _ in 0..ROUNDS {
        let bob = User::register(server, "bob").await;
        let mut requests: Vec<_> =
            rooms.iter().map(|it| bob.post(path(["rooms", it, "join"]))).collect();
        requests.push(bob.post("/createRoom").json(&json!({ "invite": [alice.id] })));
        requests.insert(2, closing(&bob));
        for reply in at_once(requests).await {
            assert!([200, 401].contains(&reply.status), "{reply}");
        }
        for room in &rooms {
            let what = format!("{} is gone from {room}", bob.id);
            until(&what, async || !has(&alice, room, &bob.id, ["join", "invite"]).await).await;
        }
    }
}

async fn whose_account_is_closed_beside_invitations_is_invited_to_no_room_in_the_end(
    server: &Server,
) {
    let alice = User::register(server, "alice").await;
    for _ in 0..ROUNDS {
        let bob = User::register(server, "bob").await;
        let mut rooms = Vec::new();
        for _ in 0..4 {
            rooms.push(alice.create_room(&json!({})).await);
        }
        let mut requests: Vec<_> =
            rooms.iter().map(|it| alice.on_member(it, "invite", &bob)).collect();
        requests.insert(1, closing(&bob));
        for reply in at_once(requests).await {
            assert!([200, 404].contains(&reply.status), "{reply}");
        }
        for room in &rooms {
            let what = format!("{} is gone from {room}", bob.id);
            until(&what, async || !has(&alice, room, &bob.id, ["join", "invite"]).await).await;
        }
    }
}

/// A session that can be refreshed.
async fn refreshable(server: &Server, user: &User) -> (User, String) {
    let mut body = user.password_auth();
    body["refresh_token"] = true.into();
    let session = user.post("/login").json(&body).ok().await;
    let refresh = session["refresh_token"].as_str().expect("a refresh token").to_owned();
    (User::from_session(user, &session).at(server), refresh)
}

fn refreshing(user: &User, token: &str) -> Request {
    user.post("/refresh").json(&json!({ "refresh_token": token }))
}

/// The same user with the tokens of an answer.
fn refreshed(user: &User, answer: &Value) -> (User, String) {
    let token = answer["access_token"].as_str().expect("an access token");
    let refresh = answer["refresh_token"].as_str().expect("a refresh token").to_owned();
    let session = json!({ "user_id": user.id, "device_id": user.device, "access_token": token });
    (User::from_session(user, &session), refresh)
}

/// Whichever of the answers the client goes on with, it goes on.
async fn a_refresh_that_is_repeated_at_once_leaves_the_device_logged_in(server: &Server) {
    let alice = User::register(server, "alice").await;
    for round in 0..2 * ROUNDS {
        let (device, refresh) = refreshable(server, &alice).await;
        let requests = (0..3).map(|_| refreshing(&device, &refresh)).collect();
        let answers: Vec<_> = at_once(requests).await.into_iter().map(Reply::ok).collect();
        let (renewed, next) = refreshed(&device, &answers[round % answers.len()]);
        let whoami = renewed.get("/account/whoami").ok().await;
        assert_eq!(whoami["device_id"], device.device.as_str());
        let again = refreshing(&renewed, &next).ok().await;
        refreshed(&device, &again).0.get("/account/whoami").ok().await;
        let devices = alice.get("/devices").ok().await;
        let devices = devices["devices"].as_array().expect("devices");
        assert!(devices.iter().any(|it| it["device_id"] == device.device.as_str()));
    }
}

/// The client hangs up before the answer comes, and asks again. What it has got no answer to may be
/// carried out later than what it asks then.
async fn a_refresh_whose_answer_was_lost_is_repeated(server: &Server) {
    let alice = User::register(server, "alice").await;
    for round in 0..2 * ROUNDS {
        let (device, refresh) = refreshable(server, &alice).await;
        let lost = tokio::spawn(refreshing(&device, &refresh).send());
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        lost.abort();
        let answer = refreshing(&device, &refresh).ok().await;
        let (renewed, next) = refreshed(&device, &answer);
        renewed.get("/account/whoami").ok().await;
        device.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
        let answer = refreshing(&renewed, &next).ok().await;
        refreshed(&renewed, &answer).0.get("/account/whoami").ok().await;
    }
}

async fn a_login_beside_a_logout_of_its_device_leaves_a_session_with_its_device_or_none(
    server: &Server,
) {
    let alice = User::register(server, "alice").await;
    for round in 0..2 * ROUNDS {
        let phone = User::log_in(server, &alice.id).await;
        let mut login = alice.password_auth();
        login["device_id"] = phone.device.as_str().into();
        let mut requests =
            vec![phone.post("/logout").json(&json!({})), alice.post("/login").json(&login)];
        if round % 2 == 1 {
            requests.reverse();
        }
        let mut new = None;
        for reply in at_once(requests).await {
            if reply.status == 200 && reply.json["access_token"].is_string() {
                new = Some(User::from_session(&alice, &reply.json));
            }
        }
        let new = new.expect("the login is answered");
        phone.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
        let is_valid = new.get("/account/whoami").send().await.status == 200;
        let devices = alice.get("/devices").ok().await;
        let devices = devices["devices"].as_array().expect("devices");
        let is_listed = devices.iter().any(|it| it["device_id"] == phone.device.as_str());
        assert_eq!(is_valid, is_listed, "round {round}: {devices:?}");
        if is_valid {
            new.post("/logout").json(&json!({})).ok().await;
        }
    }
}

async fn a_name_that_changes_beside_joins_is_shown_in_every_room(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    for round in 0..ROUNDS {
        let mut rooms = Vec::new();
        for _ in 0..5 {
            rooms.push(alice.public_room(&[]).await);
        }
        let name = format!("Bob the {round}th");
        let rename = bob.put(path(["profile", &bob.id, "displayname"]));
        let mut requests: Vec<_> =
            rooms.iter().map(|it| bob.post(path(["rooms", it, "join"]))).collect();
        requests.insert(round, rename.json(&json!({ "displayname": name })));
        for reply in at_once(requests).await {
            reply.ok();
        }
        for room in &rooms {
            until(&format!("{name} in {room}"), async || {
                alice.state(room, "m.room.member", &bob.id).ok().await["displayname"] == name
            })
            .await;
        }
    }
}

/// An alias is given to a room whose last member leaves and forgets it.
async fn an_alias_of_a_room_that_is_being_left_leads_to_a_room_or_nowhere(server: &Server) {
    let alice = User::register(server, "alice").await;
    for _ in 0..ROUNDS {
        let room = alice.create_room(&json!({})).await;
        let alias = format!("#{}:localhost", unique("left"));
        let entry = path(["directory", "room", &alias]);
        let put = alice.put(&entry).json(&json!({ "room_id": room }));
        at_once(vec![alice.post(path(["rooms", &room, "leave"])), put]).await;
        alice.post(path(["rooms", &room, "forget"])).ok().await;
        until("the alias is gone", async || alice.get(&entry).send().await.status == 404).await;
        let again = alice.create_room(&json!({})).await;
        alice.put(&entry).json(&json!({ "room_id": again })).ok().await;
        assert_eq!(alice.get(&entry).ok().await["room_id"], again);
    }
}
