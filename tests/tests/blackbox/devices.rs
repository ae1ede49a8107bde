//! The devices of an account: list, rename, and deletion, which needs authentication.

use skerry_tests::{Server, User, Value, json, path};

both_hosts![
    devices_are_listed_with_their_names,
    a_device_is_renamed,
    an_unknown_device_is_not_found,
    devices_of_others_cannot_be_seen_or_changed,
    deleting_a_device_needs_the_password,
    a_deleted_device_loses_its_session,
    several_devices_are_deleted_at_once,
    the_password_of_another_user_deletes_nothing,
    a_session_for_one_device_does_not_delete_another,
];

async fn device_ids(user: &User) -> Vec<String> {
    let devices = user.get("/devices").ok().await;
    let devices = devices["devices"].as_array().expect("devices").iter();
    let mut ids: Vec<String> =
        devices.map(|it| it["device_id"].as_str().expect("an ID").to_owned()).collect();
    ids.sort();
    ids
}

fn sorted(devices: &[&User]) -> Vec<String> {
    let mut ids: Vec<String> = devices.iter().map(|it| it.device.clone()).collect();
    ids.sort();
    ids
}

async fn devices_are_listed_with_their_names(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut login = alice.password_auth();
    login["initial_device_display_name"] = json!("phone");
    let session = alice.post("/login").json(&login).ok().await;
    let phone = User::from_session(&alice, &session);
    assert_eq!(device_ids(&alice).await, sorted(&[&alice, &phone]));
    let device = alice.get(path(["devices", &phone.device])).ok().await;
    assert_eq!(device["device_id"], phone.device.as_str());
    assert_eq!(device["display_name"], "phone");
}

async fn a_device_is_renamed(server: &Server) {
    let alice = User::register(server, "alice").await;
    let device = path(["devices", &alice.device]);
    alice.put(&device).json(&json!({ "display_name": "new name" })).ok().await;
    assert_eq!(alice.get(&device).ok().await["display_name"], "new name");
    alice.put(&device).ok().await;
    assert_eq!(alice.get(&device).ok().await["display_name"], "new name");
}

async fn an_unknown_device_is_not_found(server: &Server) {
    let alice = User::register(server, "alice").await;
    alice.get("/devices/NOSUCHDEVICE").refused(404, "M_NOT_FOUND").await;
    let rename = alice.put("/devices/NOSUCHDEVICE").json(&json!({ "display_name": "x" }));
    rename.refused(404, "M_NOT_FOUND").await;
}

/// S-A4
async fn devices_of_others_cannot_be_seen_or_changed(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mallory = User::register(server, "mallory").await;
    let device = path(["devices", &alice.device]);
    mallory.get(&device).refused(404, "M_NOT_FOUND").await;
    let rename = mallory.put(&device).json(&json!({ "display_name": "mine" }));
    rename.refused(404, "M_NOT_FOUND").await;
    mallory.delete(&device).uia(json!({}), mallory.password_auth()).await;
    let both = json!({ "devices": [alice.device] });
    mallory.post("/delete_devices").uia(both, mallory.password_auth()).await;
    assert_eq!(device_ids(&alice).await, sorted(&[&alice]));
    alice.get("/account/whoami").ok().await;
}

/// S-A4
async fn deleting_a_device_needs_the_password(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let request = alice.delete(path(["devices", &phone.device]));
    // A body is optional for the request that only asks for the flows.
    let challenge = request.clone().send().await;
    assert_eq!(challenge.status, 401, "{challenge}");
    assert!(challenge.json["flows"].to_string().contains("m.login.password"), "{challenge}");
    let mut wrong = alice.password_auth();
    wrong["password"] = json!("wrong");
    request.uia(json!({}), wrong).await.refused(401, "M_FORBIDDEN");
    phone.get("/account/whoami").ok().await;
}

/// S-A4
async fn a_deleted_device_loses_its_session(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let request = alice.delete(path(["devices", &phone.device]));
    request.uia(json!({}), alice.password_auth()).await.ok();
    phone.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    alice.get(path(["devices", &phone.device])).refused(404, "M_NOT_FOUND").await;
    assert_eq!(device_ids(&alice).await, sorted(&[&alice]));
}

async fn several_devices_are_deleted_at_once(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let tablet = User::log_in(server, &alice.id).await;
    let kept = User::log_in(server, &alice.id).await;
    let body = json!({ "devices": [phone.device, tablet.device] });
    alice.post("/delete_devices").uia(body, alice.password_auth()).await.ok();
    assert_eq!(device_ids(&alice).await, sorted(&[&alice, &kept]));
    phone.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    tablet.get("/account/whoami").refused(401, "M_UNKNOWN_TOKEN").await;
    kept.get("/account/whoami").ok().await;
}

/// S-A4
async fn the_password_of_another_user_deletes_nothing(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let mallory = User::register(server, "mallory").await;
    let request = alice.delete(path(["devices", &phone.device]));
    let reply = request.uia(json!({}), mallory.password_auth()).await;
    reply.refused(403, "M_FORBIDDEN");
    phone.get("/account/whoami").ok().await;
}

/// S-A4: a session belongs to the operation that it was opened for.
async fn a_session_for_one_device_does_not_delete_another(server: &Server) {
    let alice = User::register(server, "alice").await;
    let phone = User::log_in(server, &alice.id).await;
    let tablet = User::log_in(server, &alice.id).await;
    let first = alice.delete(path(["devices", &phone.device]));
    let challenge = first.clone().json(&json!({})).send().await;
    let session: &Value = &challenge.json["session"];
    let mut auth = alice.password_auth();
    auth["session"] = session.clone();
    first.json(&json!({ "auth": auth })).ok().await;
    let replay = json!({ "auth": { "type": "m.login.password", "session": session } });
    let second = alice.delete(path(["devices", &tablet.device])).json(&replay).send().await;
    assert!((400..500).contains(&second.status), "no password was given: {second}");
    tablet.get("/account/whoami").ok().await;
}
