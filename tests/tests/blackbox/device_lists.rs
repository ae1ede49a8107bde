//! Lists of devices of other servers' users, which are kept as long as their server says when they
//! change (F12, T16).

use crate::federation_sending::{SEND, accept, shared};
use skerry_tests::{
    Key, PATIENCE, Server, Sync, User, Value, Watch, json,
    peer::{Draft, PeerRoom},
    remote::Remote,
    unique,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{sleep, timeout};

both_hosts![
    f12_a_second_query_asks_nobody,
    f12_an_update_in_order_is_applied_without_asking,
    f12_after_a_gap_the_list_is_fetched_and_clients_are_told,
    f12_of_a_server_that_is_away_the_list_is_still_given,
    f12_a_list_that_is_out_of_date_is_not_given_and_fetched_when_it_can_be,
    f12_who_leaves_is_forgotten,
    f12_when_the_last_of_ours_leaves_all_are_forgotten,
    f12_where_no_encrypted_room_is_shared_nothing_is_kept,
    t9b_nobody_changes_the_lists_of_others_users,
    t16_a_list_is_believed_as_an_answer_is,
    t1_a_list_of_very_many_devices_is_not_kept,
];

const QUERY: &str = "/_matrix/federation/v1/user/keys/query";
const DEVICES: &str = "/_matrix/federation/v1/user/devices/";

/// What a server says of a user's devices.
#[derive(Clone, Default)]
struct List {
    devices: BTreeMap<String, Value>,
    id: u64,
    is_away: bool,
}

/// A server with a user, who shares an encrypted room with Alice.
struct Carol {
    remote: Remote,
    user: String,
    list: Arc<Mutex<List>>,
    alice: User,
    room: PeerRoom,
}

impl Carol {
    async fn start(server: &Server) -> Self {
        Self::start_in(server, true).await
    }

    async fn start_in(server: &Server, is_encrypted: bool) -> Self {
        let remote = Remote::start();
        accept(&remote);
        let (alice, mut rooms) = shared(&[&remote], server).await;
        let mut room = rooms.remove(0);
        let (kind, content) = match is_encrypted {
            true => ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
            false => ("m.room.topic", json!({ "topic": "in clear" })),
        };
        let last = alice.set_state(&room.id, kind, "", &content).await;
        room.read(&alice, &last).await;
        // From then on the server is known to be in the room.
        remote.until(SEND, |it| String::from_utf8_lossy(&it.body).contains(kind)).await;
        let (user, list) = (remote.peer.user("carol"), Arc::new(Mutex::new(List::default())));
        let carol = Self { remote, user, list, alice, room };
        carol.answer();
        carol.has("PHONE");
        carol
    }

    fn answer(&self) {
        let away = || (503, json!({ "errcode": "M_UNKNOWN", "error": "away" }));
        let (list, user) = (self.list.clone(), self.user.clone());
        self.remote.answer(QUERY, move |_| {
            let list = list.lock().expect("a list");
            let devices = json!({ "device_keys": { (user.as_str()): list.devices } });
            if list.is_away { away() } else { (200, devices) }
        });
        let (list, user) = (self.list.clone(), self.user.clone());
        self.remote.answer(DEVICES, move |_| {
            let list = list.lock().expect("a list");
            let devices = list.devices.iter();
            let devices = devices.map(|(id, keys)| json!({ "device_id": id, "keys": keys }));
            let devices: Vec<_> = devices.collect();
            let devices = json!({ "user_id": user, "stream_id": list.id, "devices": devices });
            if list.is_away { away() } else { (200, devices) }
        });
    }

    /// A device has new keys.
    fn has(&self, device: &str) -> Value {
        let keys = Key::default().device(&self.user, device);
        let mut list = self.list.lock().expect("a list");
        list.devices.insert(device.to_owned(), keys.clone());
        keys
    }

    fn is_away(&self, is: bool) {
        self.list.lock().expect("a list").is_away = is;
    }

    /// A device has new keys, which the server tells.
    async fn update(&self, server: &Server, device: &str, id: u64, after: &[u64]) {
        let keys = self.has(device);
        self.list.lock().expect("a list").id = id;
        let content = json!({ "user_id": self.user, "device_id": device, "stream_id": id,
            "prev_id": after, "keys": keys });
        self.tell(server, &[json!({ "edu_type": "m.device_list_update", "content": content })])
            .await;
    }

    async fn tell(&self, server: &Server, edus: &[Value]) {
        tell(&self.remote, server, edus).await;
    }

    /// How often the server was asked: of several users, and of one.
    fn asked(&self) -> (usize, usize) {
        (self.remote.asked(QUERY).len(), self.remote.asked(DEVICES).len())
    }

    /// The answer to a query, as the devices' names, if the keys are right.
    async fn query(&self) -> Option<Vec<String>> {
        let found = self.alice.query_keys(&[&self.user]).await;
        let Some(devices) = found["device_keys"].get(&self.user) else {
            assert!(found["failures"].get(&self.remote.peer.name).is_some(), "{found}");
            return None;
        };
        assert!(found.get("failures").is_none(), "{found}");
        let list = self.list.lock().expect("a list").devices.clone();
        let devices = devices.as_object().expect("devices").iter();
        let devices = devices.map(|(id, keys)| {
            assert_eq!(list.get(id), Some(keys), "{id}");
            id.clone()
        });
        Some(devices.collect())
    }

    async fn devices(&self) -> Vec<String> {
        self.query().await.expect("a list")
    }

    /// Queries until the server was asked: the list is forgotten.
    async fn until_asked(&self) {
        let before = self.asked().0;
        let asked = async {
            while self.asked().0 == before {
                self.devices().await;
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, asked).await.expect("it is forgotten");
    }

    /// Alice's client, from here on.
    async fn watch(&self) -> Watch {
        let last = self.alice.say(&self.room.id, "so far").await;
        let sync = self.alice.sync().until_event(&self.room.id, &last).await;
        Watch::from(&self.alice, sync.next_batch())
    }

    async fn until_told(&self, watch: &mut Watch) {
        let is_told = |sync: &Sync| {
            let changed = sync.json["device_lists"]["changed"].as_array()?;
            changed.contains(&json!(self.user)).then_some(())
        };
        watch.until("the change of Carol's devices", is_told).await;
    }
}

/// Sends EDUs of a server.
async fn tell(remote: &Remote, server: &Server, edus: &[Value]) {
    let body = json!({ "origin": remote.peer.name, "origin_server_ts": 1, "pdus": [],
        "edus": edus });
    remote.put(server, &format!("{SEND}{}", unique("txn")), &body).ok().await;
}

async fn f12_a_second_query_asks_nobody(server: &Server) {
    let carol = Carol::start(server).await;
    assert_eq!(carol.devices().await, ["PHONE"]);
    assert_eq!(carol.asked(), (1, 0));
    let bob = User::register(server, "bob").await;
    for user in [&carol.alice, &bob] {
        let found = user.query_keys(&[&carol.user]).await;
        assert_eq!(found["device_keys"][&carol.user].as_object().expect("devices").len(), 1);
    }
    let one = json!({ "device_keys": { (carol.user.as_str()): ["OTHER"] } });
    let found = bob.post("/keys/query").json(&one).ok().await;
    assert_eq!(found["device_keys"][&carol.user], json!({}), "{found}");
    assert_eq!(carol.asked(), (1, 0), "of a list that is kept nobody is asked");
}

async fn f12_an_update_in_order_is_applied_without_asking(server: &Server) {
    let carol = Carol::start(server).await;
    carol.devices().await;
    // What comes first has no other before it, and the list is fetched with its ID.
    carol.update(server, "PHONE", 5, &[]).await;
    carol.remote.until(DEVICES, |_| true).await;
    assert_eq!(carol.devices().await, ["PHONE"]);
    assert_eq!(carol.asked(), (1, 1));
    let mut watch = carol.watch().await;
    carol.update(server, "TABLET", 7, &[5]).await;
    carol.until_told(&mut watch).await;
    assert_eq!(carol.devices().await, ["PHONE", "TABLET"]);
    let gone = json!({ "user_id": carol.user, "device_id": "PHONE", "stream_id": 8,
        "prev_id": [7], "deleted": true });
    carol.list.lock().expect("a list").devices.remove("PHONE");
    carol.tell(server, &[json!({ "edu_type": "m.device_list_update", "content": gone })]).await;
    assert_eq!(carol.devices().await, ["TABLET"], "it is there when the server is answered");
    let key = Key::default();
    let master = key.cross_signing(&carol.user, "master", None);
    let content = json!({ "user_id": carol.user, "master_key": master });
    carol.tell(server, &[json!({ "edu_type": "m.signing_key_update", "content": content })]).await;
    let found = carol.alice.query_keys(&[&carol.user]).await;
    assert_eq!(found["master_keys"][&carol.user], master, "{found}");
    assert_eq!(carol.asked(), (1, 1), "{found}");
}

async fn f12_after_a_gap_the_list_is_fetched_and_clients_are_told(server: &Server) {
    let carol = Carol::start(server).await;
    carol.devices().await;
    carol.update(server, "PHONE", 5, &[]).await;
    carol.devices().await;
    let mut watch = carol.watch().await;
    carol.has("MISSED");
    carol.update(server, "TABLET", 7, &[6]).await;
    carol.until_told(&mut watch).await;
    assert_eq!(carol.devices().await, ["MISSED", "PHONE", "TABLET"]);
    let asked = carol.asked();
    carol.devices().await;
    assert_eq!(carol.asked(), asked);
    assert_eq!(asked.0, 1, "{asked:?}");
}

async fn f12_of_a_server_that_is_away_the_list_is_still_given(server: &Server) {
    let carol = Carol::start(server).await;
    carol.devices().await;
    carol.is_away(true);
    assert_eq!(carol.devices().await, ["PHONE"]);
    assert_eq!(carol.asked(), (1, 0));
}

async fn f12_a_list_that_is_out_of_date_is_not_given_and_fetched_when_it_can_be(server: &Server) {
    let carol = Carol::start(server).await;
    carol.devices().await;
    let mut watch = carol.watch().await;
    carol.is_away(true);
    carol.update(server, "TABLET", 7, &[6]).await;
    carol.until_told(&mut watch).await;
    assert_eq!(carol.query().await, None, "it is known that it is not right");
    carol.is_away(false);
    // It comes without a question, and who was told nothing is told that it is there.
    carol.until_told(&mut watch).await;
    let asked = carol.asked();
    assert_eq!(carol.devices().await, ["PHONE", "TABLET"]);
    assert_eq!(carol.asked(), asked);
}

async fn f12_who_leaves_is_forgotten(server: &Server) {
    let mut carol = Carol::start(server).await;
    carol.devices().await;
    let leave = carol.room.add(Draft::member(&carol.user, &carol.user, "leave"));
    carol.remote.send(server, &[&leave]).await;
    carol.until_asked().await;
    let asked = carol.asked().0;
    carol.devices().await;
    assert_eq!(carol.asked().0, asked + 1, "nothing is kept any more");
}

async fn f12_when_the_last_of_ours_leaves_all_are_forgotten(server: &Server) {
    let carol = Carol::start(server).await;
    let bob = User::register(server, "bob").await;
    bob.join(&carol.room.id).await;
    carol.devices().await;
    bob.leave(&carol.room.id).await;
    carol.remote.until(SEND, |it| String::from_utf8_lossy(&it.body).contains("leave")).await;
    carol.devices().await;
    assert_eq!(carol.asked().0, 1, "somebody is there");
    carol.alice.leave(&carol.room.id).await;
    carol.until_asked().await;
}

async fn f12_where_no_encrypted_room_is_shared_nothing_is_kept(server: &Server) {
    let carol = Carol::start_in(server, false).await;
    for count in 1..4 {
        carol.devices().await;
        assert_eq!(carol.asked(), (count, 0));
    }
}

/// T9b
async fn t9b_nobody_changes_the_lists_of_others_users(server: &Server) {
    let (carol, other) = (Carol::start(server).await, Remote::start());
    carol.devices().await;
    let forged = Key::default().device(&carol.user, "FORGED");
    let content = json!({ "user_id": carol.user, "device_id": "FORGED", "stream_id": 1,
        "prev_id": [], "keys": forged });
    let master = Key::default().cross_signing(&carol.user, "master", None);
    let signing = json!({ "user_id": carol.user, "master_key": master });
    let edus = [
        json!({ "edu_type": "m.device_list_update", "content": content }),
        json!({ "edu_type": "m.signing_key_update", "content": signing }),
    ];
    tell(&other, server, &edus).await;
    assert_eq!(carol.devices().await, ["PHONE"]);
    assert_eq!(carol.asked(), (1, 0), "nothing has changed");
}

/// T16
async fn t16_a_list_is_believed_as_an_answer_is(server: &Server) {
    let carol = Carol::start(server).await;
    carol.devices().await;
    let (user, eve) = (carol.user.clone(), carol.remote.peer.user("eve"));
    let key = Key::default();
    let good = key.device(&user, "GOOD");
    let answers = [
        // Of another user, with an ID that is none, or with one that is too large.
        json!({ "user_id": eve, "stream_id": 9, "devices": [] }),
        json!({ "user_id": user, "stream_id": -9, "devices": [] }),
        json!({ "user_id": user, "stream_id": 1_u64 << 60, "devices": [] }),
        json!({ "user_id": user, "stream_id": 9, "devices": [
            { "device_id": "GOOD", "keys": good },
            { "device_id": "OTHER", "keys": good },
            { "device_id": "EVE", "keys": key.device(&eve, "EVE") },
            { "device_id": "ALICE", "keys": key.device(&carol.alice.id, "ALICE") },
        ], "master_key": key.cross_signing(&eve, "master", None) }),
    ];
    let last = answers.len() - 1;
    for (number, answer) in answers.into_iter().enumerate() {
        carol.remote.answer(DEVICES, move |_| (200, answer.clone()));
        let before = carol.asked().1;
        let bad = json!({ "user_id": user, "device_id": "x", "stream_id": "forged" });
        carol.tell(server, &[json!({ "edu_type": "m.device_list_update", "content": bad })]).await;
        let found = carol.alice.query_keys(&[&user]).await;
        assert!(carol.asked().1 > before, "nobody knows what has changed");
        let expected = match number == last {
            true => json!({ "GOOD": good }),
            // What is asked in another way is answered as ever.
            false => json!(carol.list.lock().expect("a list").devices),
        };
        assert_eq!(found["device_keys"][&user], expected, "{number}: {found}");
        assert!(found.get("master_keys").is_none(), "{found}");
    }
    // An update with another user's keys is none either.
    let stolen = json!({ "user_id": user, "device_id": "GOOD", "stream_id": 10, "prev_id": [9],
        "keys": key.device(&eve, "GOOD") });
    let before = carol.asked().1;
    carol.tell(server, &[json!({ "edu_type": "m.device_list_update", "content": stolen })]).await;
    let found = carol.alice.query_keys(&[&user]).await;
    assert_eq!(found["device_keys"][&user], json!({ "GOOD": good }), "{found}");
    assert!(carol.asked().1 > before);
}

/// T1
async fn t1_a_list_of_very_many_devices_is_not_kept(server: &Server) {
    let carol = Carol::start(server).await;
    let key = Key::default();
    let many = |count: usize| {
        let devices = (0..count).map(|it| format!("DEVICE{it:06}"));
        devices.map(|it| (it.clone(), key.device(&carol.user, &it))).collect::<BTreeMap<_, _>>()
    };
    carol.list.lock().expect("a list").devices = many(1_000);
    for count in 1..3 {
        assert_eq!(carol.devices().await.len(), 1_000);
        assert_eq!(carol.asked().0, count, "it is given, and not kept");
    }
    carol.list.lock().expect("a list").devices = many(10_000);
    assert_eq!(carol.query().await, None, "it is more than a server may answer");
    carol.list.lock().expect("a list").devices = many(3);
    assert_eq!(carol.devices().await.len(), 3);
    let asked = carol.asked().0;
    carol.update(server, "DEVICE000001", 5, &[4]).await;
    assert_eq!(carol.devices().await.len(), 3);
    assert_eq!(carol.asked().0, asked, "from then on it is kept");
}
