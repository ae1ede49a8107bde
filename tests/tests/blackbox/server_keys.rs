//! The keys that this server publishes, its own (F14) and as a notary those of others.

use ruma::{
    CanonicalJsonObject,
    serde::{Base64, base64::Standard},
    signatures::{PublicKeyMap, verify_json},
};
use skerry_tests::{
    Client, Host, Options, Server, Value, json,
    remote::{Remote, in_a_day_ms, now_ms},
};

both_hosts![
    f14_own_keys_sign_for_themselves,
    a_notary_signs_what_a_server_has_signed,
    a_notary_answers_for_many_servers,
    a_notary_does_not_ask_again_what_it_knows,
];

private_server![
    native_alone: Native => [a_notary_is_asked_for_the_keys_of_a_server_that_is_gone],
    worker_alone: Worker => [a_notary_is_asked_for_the_keys_of_a_server_that_is_gone],
];

const OWN: &str = "/_matrix/key/v2/server";
const QUERY: &str = "/_matrix/key/v2/query";

async fn f14_own_keys_sign_for_themselves(server: &Server) {
    let keys = Client::new(server.url()).get(OWN).ok().await;
    assert_eq!(keys["server_name"], "localhost");
    assert_eq!(keys["old_verify_keys"], json!({}));
    let valid_until = keys["valid_until_ts"].as_u64().expect("a time");
    assert!((now_ms()..=in_a_day_ms()).contains(&valid_until), "{keys}");
    assert_signed(&keys, "localhost", &keys);
}

/// Asserts that this is signed with a key that a server publishes.
fn assert_signed(json: &Value, by: &str, published: &Value) {
    let object: CanonicalJsonObject = serde_json::from_value(json.clone()).expect("an object");
    let keys = published["verify_keys"].as_object().expect("keys");
    let keys = keys.iter().map(|(id, key)| {
        let key = key["key"].as_str().expect("a key");
        (id.clone(), Base64::<Standard>::parse(key).expect("base64").into_inner())
    });
    let map = keys.map(|(id, key)| (id, Base64::new(key))).collect();
    let map = PublicKeyMap::from([(by.to_owned(), map)]);
    // Signatures of others are not looked at.
    let mut object = object;
    let of_others = object.get_mut("signatures").and_then(|it| it.as_object_mut());
    of_others.expect("signatures").retain(|server, _| server == by);
    verify_json(&map, &object).unwrap_or_else(|error| panic!("{json}: {error}"));
}

async fn a_notary_signs_what_a_server_has_signed(server: &Server) {
    let remote = Remote::start();
    let anyone = Client::new(server.url());
    let own = anyone.get(OWN).ok().await;
    let path = format!("{QUERY}/{}", remote.peer.name);
    let answer = anyone.get(&path).ok().await;
    let keys = &answer["server_keys"][0];
    assert_eq!(keys["server_name"], remote.peer.name.as_str(), "{answer}");
    assert_eq!(keys["verify_keys"]["ed25519:1"]["key"], remote.peer.public_key());
    assert_signed(keys, "localhost", &own);
    assert_signed(keys, &remote.peer.name, keys);
    let about_itself = anyone.get(format!("{QUERY}/localhost")).ok().await;
    assert_eq!(about_itself["server_keys"][0]["verify_keys"], own["verify_keys"]);
    let silent = Remote::start_without_keys();
    let nothing = anyone.get(format!("{QUERY}/{}", silent.peer.name)).ok().await;
    assert_eq!(nothing, json!({ "server_keys": [] }));
}

async fn a_notary_answers_for_many_servers(server: &Server) {
    let (one, other, silent) = (Remote::start(), Remote::start(), Remote::start_without_keys());
    let anyone = Client::new(server.url());
    let criteria = json!({ "ed25519:1": { "minimum_valid_until_ts": now_ms() } });
    let mut wanted = json!({ "localhost": {} });
    for remote in [&one, &other, &silent] {
        wanted[&remote.peer.name] = criteria.clone();
    }
    let answer = anyone.post(QUERY).json(&json!({ "server_keys": wanted })).ok().await;
    let answers = answer["server_keys"].as_array().expect("answers");
    let mut names: Vec<_> = answers.iter().filter_map(|it| it["server_name"].as_str()).collect();
    names.sort_unstable();
    let mut expected = ["localhost", &one.peer.name, &other.peer.name];
    expected.sort_unstable();
    assert_eq!(names, expected);
    let nobody = anyone.post(QUERY).json(&json!({ "server_keys": {} })).ok().await;
    assert_eq!(nobody, json!({ "server_keys": [] }));
    let many = (0..101).map(|it| (format!("{it}.example"), json!({})));
    let many = Value::Object(many.collect());
    let many = anyone.post(QUERY).json(&json!({ "server_keys": many }));
    many.refused(400, "M_INVALID_PARAM").await;
}

async fn a_notary_does_not_ask_again_what_it_knows(server: &Server) {
    let remote = Remote::start();
    let anyone = Client::new(server.url());
    let path = format!("{QUERY}/{}", remote.peer.name);
    for _ in 0..3 {
        anyone.get(&path).ok().await;
    }
    assert_eq!(remote.asked(OWN).len(), 1);
    // What is to be valid for longer than it is may be had anew, but not at once.
    anyone.get(&path).query("minimum_valid_until_ts", in_a_day_ms() * 2).ok().await;
    assert_eq!(remote.asked(OWN).len(), 1);
}

/// T4: keys by way of a notary, which is believed of what both have signed.
async fn a_notary_is_asked_for_the_keys_of_a_server_that_is_gone(host: Host) {
    let (notary, gone, forged) =
        (Remote::start(), Remote::start_without_keys(), Remote::start_without_keys());
    let published = |remote: &Remote| remote.peer.published(in_a_day_ms());
    let both = notary.peer.sign_json(&published(&gone));
    let not_by_notary = published(&forged);
    notary.answer("/_matrix/key/v2/query", move |asked| {
        let body: Value = serde_json::from_slice(&asked.body).expect("JSON");
        let of_gone = body["server_keys"].get(both["server_name"].as_str().expect("a name"));
        let answer = if of_gone.is_some() { &both } else { &not_by_notary };
        (200, json!({ "server_keys": [answer] }))
    });
    let notaries = vec![notary.peer.name.clone()];
    let server = Server::start(host, Options { notaries, ..Options::default() });
    let rooms = "/_matrix/federation/v1/publicRooms";
    gone.get(&server, rooms).ok().await;
    gone.get(&server, rooms).ok().await;
    forged.get(&server, rooms).refused(401, "M_UNAUTHORIZED").await;
    assert_eq!(notary.asked("/_matrix/key/v2/query").len(), 2, "each is asked for once");
}
