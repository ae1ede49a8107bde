//! Tables of what becomes of a list.

use ruma::{owned_user_id, server_name, user_id};
use serde_json::{Value, json};

use super::*;
use crate::device_keys::{
    changes,
    testing::{cross_signing as key, device},
};

const DEVICES: &str = "m.device_list_update";
const SIGNING: &str = "m.signing_key_update";

/// What Bob's server says.
fn said(kind: &str, mut content: Value) -> Change {
    content["user_id"] = json!("@bob:b");
    let edu = json!({ "edu_type": kind, "content": content }).to_string();
    changes::read(server_name!("b"), [&*edu]).remove(0).change
}

/// A device has keys of a seed, or is gone.
fn update(device_id: &str, seed: Option<u8>, id: u64, after: &[u64]) -> Change {
    let mut content = json!({ "device_id": device_id, "stream_id": id, "prev_id": after });
    match seed {
        Some(seed) => content["keys"] = device(seed, user_id!("@bob:b"), device_id),
        None => content["deleted"] = json!(true),
    }
    said(DEVICES, content)
}

fn of_user(answer: &Value) -> Option<(DeviceList, u64)> {
    let raw = |it: &Value| Raw::from_json(RawJsonValue::from_string(it.to_string()).unwrap());
    let bob = owned_user_id!("@bob:b");
    let user_id = serde_json::from_value(answer["user_id"].clone()).unwrap();
    let id = answer["stream_id"].as_u64().unwrap();
    let id = ruma::UInt::new(id).unwrap();
    let mut response = get_devices::v1::Response::new(user_id, id);
    for it in answer["devices"].as_array().unwrap() {
        let id = it["device_id"].as_str().unwrap().into();
        let mut device = get_devices::v1::UserDevice::new(id, raw(&it["keys"]));
        device.device_display_name = it["device_display_name"].as_str().map(str::to_owned);
        response.devices.push(device);
    }
    let key = |field: &str| answer.get(field).map(|it| raw(it).cast_unchecked());
    response.master_key = key("master_key");
    response.self_signing_key = key("self_signing_key");
    DeviceList::of_user(&response, &bob)
}

/// Bob's list with one device, fetched at an ID, after others had come.
fn fetched(seed: u8, ids: &[u64]) -> KeptList {
    let keys = device(seed, user_id!("@bob:b"), "PHONE");
    let answer = json!({ "user_id": "@bob:b", "stream_id": 0,
        "devices": [{ "device_id": "PHONE", "keys": keys }] });
    let (list, _) = of_user(&answer).unwrap();
    let mut known = Known::default();
    for id in ids {
        known.note(*id);
    }
    KeptList { list, known, is_stale: false }
}

#[test]
fn an_update_is_applied_behind_those_that_are_known() {
    use Effect::{Changed, Nothing, Stale};
    // What is known, the update, and what comes of it.
    let phone = |seed, id, after: &[u64]| update("PHONE", Some(seed), id, after);
    let cases = [
        ("behind the list", &[5][..], phone(2, 6, &[5]), Changed),
        ("numbers left out", &[5], phone(2, 90, &[5]), Changed),
        ("behind what came before the list", &[5, 9], phone(2, 10, &[5]), Changed),
        ("behind two", &[5, 6], phone(2, 7, &[5, 6]), Changed),
        ("the same again", &[5], phone(1, 6, &[5]), Nothing),
        ("another device", &[5], update("TABLET", Some(3), 6, &[5]), Changed),
        ("a device is gone", &[5], update("PHONE", None, 6, &[5]), Changed),
        ("none was there", &[5], update("TABLET", None, 6, &[5]), Nothing),
        ("it has come", &[5, 6], phone(1, 6, &[5]), Nothing),
        ("its number was taken", &[5, 6], phone(2, 6, &[5]), Stale),
        ("something is missing", &[5], phone(2, 7, &[6]), Stale),
        ("one of two is missing", &[5], phone(2, 7, &[5, 6]), Stale),
        ("the first of a chain", &[5], phone(2, 6, &[]), Stale),
        ("the first again", &[5, 6], phone(1, 6, &[]), Stale),
        ("before the list", &[5, 9], phone(2, 8, &[5]), Stale),
        ("nothing is known", &[], phone(2, 6, &[5]), Stale),
        ("no number", &[5], said(DEVICES, json!({ "device_id": "PHONE", "stream_id": -1 })), Stale),
    ];
    for (name, known, change, expected) in cases {
        let mut kept = fetched(1, known);
        let before = kept.clone();
        assert_eq!(kept.take(&change), expected, "{name}");
        assert_eq!(kept.is_stale, expected == Stale, "{name}");
        assert_eq!(kept.list != before.list, expected == Changed, "{name}");
        let Change::Device(DeviceChange { id, .. }) = change else { continue };
        assert!(kept.known.has(id), "{name}: it is known from then on");
    }
}

#[test]
fn what_came_before_a_list_was_fetched_is_known() {
    let mut kept = fetched(1, &[5]);
    assert_eq!(kept.take(&update("PHONE", Some(2), 8, &[7])), Effect::Stale);
    assert_eq!(kept.take(&update("PHONE", Some(3), 9, &[8])), Effect::Stale);
    assert_eq!(kept.known, Known(vec![8, 9]), "and nothing from before the gap");
    // It is fetched.
    kept.is_stale = false;
    kept.known.note(40);
    assert_eq!(kept.take(&update("PHONE", Some(4), 41, &[9])), Effect::Changed);
    assert_eq!(kept.take(&update("PHONE", Some(5), 42, &[41])), Effect::Changed);
    assert_eq!(kept.take(&update("PHONE", Some(5), 43, &[6])), Effect::Stale);
}

#[test]
fn of_what_is_known_the_newest_is_remembered() {
    let mut kept = fetched(1, &[1]);
    for id in 2..200 {
        let change = update("PHONE", Some(u8::try_from(id % 2).unwrap()), id, &[id - 1]);
        assert_ne!(kept.take(&change), Effect::Stale, "{id}");
    }
    assert_eq!(kept.known.0.len(), MAX_KNOWN);
    assert_eq!(kept.take(&update("PHONE", Some(9), 200, &[1])), Effect::Stale);
}

#[test]
fn cross_signing_keys_are_replaced() {
    let bob = user_id!("@bob:b");
    let master = |seed| key(MASTER, bob, seed, None);
    let own = |seed, by| key(SELF_SIGNING, bob, seed, Some(by));
    let mut kept = fetched(1, &[]);
    let both = json!({ "master_key": master(2), "self_signing_key": own(3, 2) });
    assert_eq!(kept.take(&said(SIGNING, both.clone())), Effect::Changed);
    assert_eq!(kept.take(&said(SIGNING, both)), Effect::Nothing, "twice");
    let own_only = json!({ "self_signing_key": own(4, 2) });
    assert_eq!(kept.take(&said(SIGNING, own_only)), Effect::Changed);
    assert!(kept.list.master.is_some());
    let same = json!({ "master_key": master(2) });
    assert_eq!(kept.take(&said(SIGNING, same)), Effect::Nothing);
    assert!(kept.list.self_signing.is_some());
    assert_eq!(kept.take(&said(SIGNING, json!({ "master_key": master(5) }))), Effect::Changed);
    assert_eq!(kept.list.self_signing, None, "the old key has signed it");
    let bad = json!({ "master_key": own(5, 2) });
    assert_eq!(kept.take(&said(SIGNING, bad)), Effect::Stale, "none of them is believed");
}

#[test]
fn an_answer_is_believed_about_whom_it_was_asked() {
    let (bob, eve) = (user_id!("@bob:b"), user_id!("@eve:b"));
    let of = |user_id: &UserId, id: &str, of: &UserId, of_id: &str| {
        let keys = device(1, of, of_id);
        json!({ "user_id": user_id, "stream_id": 7, "devices":
            [{ "device_id": id, "keys": keys, "device_display_name": "Bob's" }] })
    };
    let (list, id) = of_user(&of(bob, "PHONE", bob, "PHONE")).unwrap();
    assert_eq!((id, list.devices.len()), (7, 1));
    let shown: Value = serde_json::from_str(list.devices.values().next().unwrap().get()).unwrap();
    assert_eq!(shown["unsigned"]["device_display_name"], "Bob's");
    assert!(list.bytes() > 300);
    assert_eq!(of_user(&of(eve, "PHONE", eve, "PHONE")), None);
    for other in [of(bob, "PHONE", eve, "PHONE"), of(bob, "PHONE", bob, "TABLET")] {
        let (list, _) = of_user(&other).unwrap();
        assert!(list.devices.is_empty(), "{list:?}");
    }
    let mut forged = of(bob, "PHONE", bob, "PHONE");
    forged["master_key"] = key(MASTER, eve, 2, None);
    forged["self_signing_key"] = key(MASTER, bob, 2, None);
    let (list, _) = of_user(&forged).unwrap();
    assert_eq!((list.master, list.self_signing), (None, None));

    let mut answer = get_keys::v1::Response::default();
    let raw =
        Raw::from_json(RawJsonValue::from_string(device(1, bob, "PHONE").to_string()).unwrap());
    let devices = BTreeMap::from([("PHONE".into(), raw.clone()), ("TABLET".into(), raw)]);
    answer.device_keys.insert(bob.to_owned(), devices);
    let (list, is_said) = DeviceList::of_query(&answer, bob);
    assert_eq!(list.devices.keys().map(|it| it.as_str()).collect::<Vec<_>>(), ["PHONE"]);
    assert!(is_said);
    assert_eq!(DeviceList::of_query(&answer, eve), (DeviceList::default(), false));
}
