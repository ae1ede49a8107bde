//! A signing key that takes the place of another one while the server runs (F14).

use ruma::{
    CanonicalJsonObject,
    serde::{Base64, base64::Standard},
    signatures::{PublicKeyMap, verify_json},
};
use skerry_tests::{
    Client, Host, Options, PATIENCE, Server, User, Value, encode, json,
    peer::{Draft, PeerRoom},
    remote::{Remote, now_ms},
    repository,
};
use std::{collections::BTreeSet, fs, process::Command, time::Duration};
use tokio::time::{sleep, timeout};

private_server![
    native: Native => [
        f14_a_new_key_takes_the_place_of_an_old_one,
        where_there_is_no_server_no_key_is_made,
    ],
    worker: Worker => [
        f14_a_new_key_takes_the_place_of_an_old_one,
        f14_a_row_that_is_no_key_is_passed_over,
    ],
];

const OWN: &str = "/_matrix/key/v2/server";

fn ids(keys: &Value, of: &str) -> BTreeSet<String> {
    keys[of].as_object().expect("keys").keys().cloned().collect()
}

/// Asks for the server's keys until they are so, and checks each answer.
async fn until(server: &Server, what: &str, are_so: impl Fn(&Value) -> bool) -> Value {
    let asking = async {
        loop {
            let keys = Client::new(server.url()).get(OWN).ok().await;
            check(&keys);
            if are_so(&keys) {
                return keys;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what}"))
}

/// Some key that is published as a current one has signed the answer.
fn check(keys: &Value) {
    let signed = ids(&keys["signatures"], "localhost");
    let key = signed.first().expect("a signature");
    let public = keys["verify_keys"][key]["key"].as_str().expect("a current key");
    let public = Base64::<Standard>::parse(public).expect("base64").into_inner();
    let map = [(key.clone(), Base64::new(public))].into();
    let object: CanonicalJsonObject = serde_json::from_value(keys.clone()).expect("an object");
    let map = PublicKeyMap::from([("localhost".to_owned(), map)]);
    verify_json(&map, &object).unwrap_or_else(|error| panic!("{keys}: {error}"));
}

/// Makes a new key as the README says, and gives what it is called, if that is said.
pub(crate) fn rotate(host: Host, server: &mut Server) -> Option<String> {
    match host {
        Host::Native => {
            let (is_done, printed) = server.command(&["rotate-key"]);
            assert!(is_done, "{printed}");
            printed.split(' ').next().map(str::to_owned)
        }
        Host::Worker => {
            server.execute(&documented_statement());
            None
        }
    }
}

/// The statement of the README, as a shell reads it.
fn documented_statement() -> String {
    let readme = fs::read_to_string(repository().join("README.md")).expect("a file");
    let (_, rest) = readme.split_once("wrangler d1 execute DB --remote --command ").expect("it");
    let (quoted, _) = rest.split_once("```").expect("the end of it");
    assert!(quoted.contains("INSERT INTO signing_keys"), "{quoted}");
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", &format!("printf %s {quoted}")]).output().expect("a shell");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).replace('\n', " ")
}

async fn f14_a_new_key_takes_the_place_of_an_old_one(host: Host) {
    let mut server = Server::start(host, Options::default());
    let (alice, remote) = (User::register(&server, "alice").await, Remote::start());
    let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
    let mut room = PeerRoom::of(&remote.peer, &alice, &room).await;
    let join = room.add(Draft::join(&remote.peer.user("carol")));
    room.accept(&server, &[&join]).await;
    let old = until(&server, "a key", |_| true).await;
    let old = ids(&old, "verify_keys").pop_first().expect("a key");
    let before_ms = now_ms();
    let said = rotate(host, &mut server);
    // It is known before it signs.
    let both = until(&server, "two keys", |it| ids(it, "verify_keys").len() == 2).await;
    let new = ids(&both, "verify_keys").into_iter().find(|it| *it != old).expect("a new key");
    assert!(said.is_none_or(|it| it == new));
    assert_eq!(ids(&both, "verify_keys"), [new.clone(), old.clone()].into());
    assert_eq!(ids(&both["signatures"], "localhost"), [old.clone()].into());
    let said = alice.say(&room.id, "before").await;
    let said = room.read(&alice, &said).await;
    assert_eq!(ids(&said.pdu["signatures"], "localhost"), [old.clone()].into());
    // Then it signs, and the old one is good for what was signed with it.
    let is_new = |it: &Value| ids(it, "verify_keys").len() == 1;
    let keys = until(&server, "the new key alone", is_new).await;
    assert_eq!(ids(&keys, "verify_keys"), [new.clone()].into());
    assert_eq!(ids(&keys, "old_verify_keys"), [old.clone()].into());
    let expired_ms = keys["old_verify_keys"][&old]["expired_ts"].as_u64().expect("a time");
    assert!(expired_ms > before_ms, "{keys}");
    let said = alice.say(&room.id, "after").await;
    let said = room.read(&alice, &said).await;
    assert_eq!(ids(&said.pdu["signatures"], "localhost"), [new.clone()].into());
    // Requests too: the remote server is told of it by one.
    let path = "/_matrix/federation/v1/send/";
    remote.answer(path, |_| (200, json!({ "pdus": {} })));
    alice.say(&room.id, "for the remote server").await;
    remote.until(path, |it| it.headers["authorization"][0].contains(&new)).await;
    // All of it outlives the process, and what the old key has signed is known as this server's.
    server.restart();
    let kept = until(&server, "the new key", |_| true).await;
    assert_eq!(ids(&kept, "verify_keys"), [new].into());
    assert_eq!(ids(&kept, "old_verify_keys"), [old].into());
    let event = format!("/_matrix/federation/v1/event/{}", encode(&said.id));
    let answer = remote.get(&server, &event).ok().await;
    assert_eq!(answer["pdus"], json!([said.pdu]));
    let alice = alice.at(&server);
    alice.say(&room.id, "and on").await;
}

/// What becomes of the documented statement where there is no `openssl`.
async fn f14_a_row_that_is_no_key_is_passed_over(host: Host) {
    let mut server = Server::start(host, Options::default());
    let before = until(&server, "a key", |_| true).await;
    server.execute(
        "INSERT INTO signing_keys (version, seed, created_at_ms) \
         SELECT 'a_', '', max(created_at_ms) + 1 FROM signing_keys",
    );
    server.restart();
    let alice = User::register(&server, "alice").await;
    let room = alice.create_room(&json!({})).await;
    let kept = until(&server, "the same key", |_| true).await;
    assert_eq!(ids(&kept, "verify_keys"), ids(&before, "verify_keys"));
    rotate(host, &mut server);
    let new = |it: &Value| {
        ids(it, "verify_keys").len() == 1 && ids(it, "verify_keys") != ids(&before, "verify_keys")
    };
    until(&server, "the new key", new).await;
    alice.say(&room, "it signs").await;
}

async fn where_there_is_no_server_no_key_is_made(host: Host) {
    let server = Server::start(host, Options::default());
    let elsewhere = server.data().join("elsewhere");
    let elsewhere = elsewhere.to_str().expect("a path");
    let (is_done, printed) = server.command(&["rotate-key", "--data-dir", elsewhere]);
    assert!(!is_done && printed.contains("there is no skerry.db"), "{printed}");
    assert!(!std::path::Path::new(elsewhere).exists());
}
