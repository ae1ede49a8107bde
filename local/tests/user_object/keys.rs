//! Keys: what is stored and given of them whatever fails, and how rooms learn of a change (T16,
//! S-C7).

use std::collections::BTreeMap;

use ruma::{RoomId, events::room::member::MembershipState, room_id};
use serde_json::json;
use skerry::messages::user::{
    ClaimKeys, EndSessions, GetDeviceUpdates, GetUserKeys, KeyCounts, KeysFor, SetDeviceName,
    UploadKeys, UserKeys,
};
use skerry_core::{
    device_keys::{
        MAX_CLAIMED_KEYS,
        upload::{OneTimeKey, Upload},
    },
    sync_token::SyncToken,
};

use super::{
    account::{HOUR_MS, a_membership, login},
    stand::World,
};

const ALGORITHM: &str = "signed_curve25519";

fn key(number: u64) -> OneTimeKey {
    let json = json!({ "key": number }).to_string();
    OneTimeKey { algorithm: ALGORITHM.to_owned(), key_id: format!("{number:05}"), json }
}

fn upload(device: &str, keys: impl IntoIterator<Item = u64>, fallback: Option<u64>) -> UploadKeys {
    let upload = Upload {
        device_keys: None,
        one_time_keys: keys.into_iter().map(key).collect(),
        fallback_keys: fallback.map(key).into_iter().collect(),
    };
    UploadKeys { device_id: device.into(), upload }
}

fn device(name: &str, version: u64) -> UploadKeys {
    let device_keys = Some(json!({ "keys": {}, "version": version }).to_string());
    UploadKeys { device_id: name.into(), upload: Upload { device_keys, ..Upload::default() } }
}

async fn claim(world: &World, device: &str) -> Option<String> {
    let devices = BTreeMap::from([(device.into(), ALGORITHM.to_owned())]);
    world.ask(ClaimKeys { devices }).await.into_values().next().map(|it| it.key_id)
}

/// Which rooms were told of a change.
fn told(world: &World) -> Vec<String> {
    let asked = world.rooms.asked().into_iter();
    asked.filter(|it| it.1["change_devices"].is_object()).map(|it| it.0).collect()
}

async fn in_rooms(rooms: &[&RoomId]) -> World {
    let world = World::registered().await;
    for room_id in rooms {
        world.ask(a_membership(room_id, MembershipState::Join, 1)).await;
    }
    world
}

/// T16
#[tokio::test]
async fn a_key_is_given_once_also_after_a_crash() {
    let mut world = World::registered().await;
    assert_eq!(world.ask(upload("D", 0..3, Some(9))).await[ALGORITHM], 3);
    assert_eq!(claim(&world, "D").await.as_deref(), Some("00000"));
    world = world.restarted();
    assert_eq!(claim(&world, "D").await.as_deref(), Some("00001"));
    assert_eq!(world.ask(upload("D", 0..2, None)).await[ALGORITHM], 1, "none comes again");
    assert_eq!(claim(&world, "D").await.as_deref(), Some("00002"));
    for _ in 0..2 {
        assert_eq!(claim(&world, "D").await.as_deref(), Some("00009"), "the fallback key");
        world = world.restarted();
    }
    assert_eq!(claim(&world, "E").await, None);
}

/// What is in memory of the keys is what is stored.
#[tokio::test]
async fn others_are_shown_every_change() {
    let mut world = World::registered().await;
    world.ask(login("E", "e")).await;
    let large = "x".repeat(100 << 10);
    let shown = async |world: &World| {
        let reader = KeysFor::User;
        let ask = || GetUserKeys { device_ids: Vec::new(), reader };
        let (first, again) = (world.ask(ask()).await, world.ask(ask()).await);
        let json = |it: &UserKeys| serde_json::to_value(it).unwrap();
        assert_eq!(json(&first), json(&again));
        first.devices.values().map(|it| it.get().to_owned()).collect::<Vec<_>>()
    };
    let mut before = shown(&world).await;
    assert!(before.is_empty());
    let device_keys = Some(json!({ "keys": {}, "large": large }).to_string());
    let upload = Upload { device_keys, ..Upload::default() };
    for restarts in [false, true] {
        for number in 0..5 {
            let version = number + 10 * u64::from(restarts);
            match number {
                0 => drop(world.ask(device("D", version)).await),
                1 => {
                    let display_name = format!("phone {version}");
                    world.ask(SetDeviceName { device_id: "D".into(), display_name }).await;
                }
                2 => drop(world.ask(device("E", version)).await),
                3 => {
                    let upload = upload.clone();
                    world.ask(UploadKeys { device_id: "E".into(), upload }).await;
                }
                _ => world.ask(EndSessions { device_ids: vec!["E".into()] }).await,
            }
            if restarts {
                world = world.restarted();
            }
            let now = shown(&world).await;
            assert_ne!(now, before, "{number}");
            before = now;
        }
        world.ask(login("E", "e")).await;
    }
}

/// Who waits hears of every change of what is left, and is not answered for that.
#[tokio::test]
async fn who_waits_is_told_how_many_keys_are_left() {
    let mut world = World::registered().await;
    let since = SyncToken::at(world.changes(None).await.position);
    for (restarts, first) in [(false, 0), (true, 10)] {
        let before = world.host.woken();
        world.ask(upload("D", first..first + 2, Some(first + 9))).await;
        assert!(world.host.woken() > before);
        let mut left = Vec::new();
        for _ in 0..3 {
            if restarts {
                world = world.restarted();
            }
            let before = world.host.woken();
            claim(&world, "D").await;
            assert!(world.host.woken() > before);
            let KeyCounts { one_time_keys, unused_fallback } =
                world.nothing_new(since).await.unwrap().key_counts;
            left.push((one_time_keys.get(ALGORITHM).copied(), unused_fallback.len()));
        }
        assert_eq!(left, [(Some(1), 1), (None, 1), (None, 0)]);
    }
}

#[tokio::test]
async fn claimed_keys_are_forgotten_when_there_are_many() {
    let world = World::registered().await;
    for page in 0..3 {
        world.ask(upload("D", page * 300..(page + 1) * 300, None)).await;
        for _ in 0..300 {
            claim(&world, "D").await;
        }
    }
    world.ask(upload("D", [1_000], None)).await;
    let stored = world.count("SELECT count(*) FROM user_one_time_keys").await;
    assert_eq!(stored, MAX_CLAIMED_KEYS + 1);
}

#[tokio::test]
async fn every_room_is_told_of_a_change_whatever_fails() {
    let (a, b) = (room_id!("!a:localhost"), room_id!("!b:localhost"));
    for dies in [false, true] {
        let mut world = in_rooms(&[a, b]).await;
        world.rooms.fail(b.as_str());
        world.ask(device("D", 1)).await;
        world.drain().await;
        assert_eq!(told(&world), [a.as_str(), b.as_str()]);
        world.rooms.mend();
        if dies {
            world = world.restarted();
        }
        world.host.pass(HOUR_MS);
        world.alarm().await;
        assert_eq!(told(&world), [b.as_str()], "who was not told, dies: {dies}");
        // The same again is no change; a device that goes is.
        world.ask(device("D", 1)).await;
        world.drain().await;
        assert!(told(&world).is_empty());
        world.ask(login("E", "e")).await;
        world.ask(device("E", 1)).await;
        world.drain().await;
        assert_eq!(told(&world).len(), 2);
        world.ask(EndSessions { device_ids: vec!["E".into()] }).await;
        world.drain().await;
        assert_eq!(told(&world).len(), 2);
        // Another room that the user comes to.
        world.ask(a_membership(room_id!("!c:localhost"), MembershipState::Join, 1)).await;
        world.drain().await;
        assert_eq!(told(&world), ["!c:localhost"]);
    }
}

#[tokio::test]
async fn who_has_no_keys_tells_nobody() {
    let world = in_rooms(&[room_id!("!a:localhost")]).await;
    world.ask(upload("D", 0..3, Some(9))).await;
    world.ask(EndSessions { device_ids: vec!["D".into()] }).await;
    world.drain().await;
    assert!(told(&world).is_empty());
    assert_eq!(world.count("SELECT count(*) FROM user_one_time_keys").await, 0);
    assert_eq!(world.count("SELECT count(*) FROM user_fallback_keys").await, 0);
}

#[tokio::test]
async fn other_servers_are_told_what_they_do_not_know() {
    let world = World::registered().await;
    world.ask(login("E", "e")).await;
    world.ask(device("D", 1)).await;
    let first = world.ask(GetDeviceUpdates { sent: None }).await;
    assert_eq!(first.edus.len(), 1);
    world.ask(device("E", 1)).await;
    world.ask(EndSessions { device_ids: vec!["E".into()] }).await;
    let world = world.restarted();
    let second = world.ask(GetDeviceUpdates { sent: Some(first.sent) }).await;
    assert!(second.edus[0].get().contains("\"deleted\":true"), "{:?}", second.edus);
    let none = world.ask(GetDeviceUpdates { sent: Some(second.sent) }).await;
    assert!(none.edus.is_empty());
    let reader = KeysFor::Server;
    let keys = world.ask(GetUserKeys { device_ids: Vec::new(), reader }).await;
    assert_eq!(keys.devices.keys().map(|it| it.as_str()).collect::<Vec<_>>(), ["D"]);
    assert_eq!(keys.seq, second.sent.devices);
}
