//! Which device gets what, what goes to other servers and comes from them, and bounds.

use ruma::{device_id, owned_user_id, server_name, user_id};
use serde_json::{Value as JsonValue, json, value::to_raw_value};

use super::{inboxes::*, *};

fn content(content: &JsonValue) -> Raw<AnyToDeviceEventContent> {
    Raw::from_json(to_raw_value(content).unwrap())
}

fn contents(to: &[(&str, JsonValue)]) -> Contents {
    to.iter().map(|(to, it)| (DeviceIdOrAllDevices::try_from(*to).unwrap(), content(it))).collect()
}

fn message(to: &[(&str, JsonValue)]) -> Message {
    Message {
        id: "1".to_owned(),
        sender: owned_user_id!("@ann:a"),
        event_type: "m.\"x".to_owned(),
        contents: contents(to),
    }
}

#[test]
fn which_device_gets_what() {
    let cases = [
        ("a device", vec![("D", 1)], vec![("D", 1)]),
        ("one that is not there", vec![("X", 1)], vec![]),
        ("all", vec![("*", 1)], vec![("D", 1), ("E", 1)]),
        ("the one that is named comes first", vec![("*", 1), ("E", 2)], vec![("D", 1), ("E", 2)]),
        ("each", vec![("D", 1), ("E", 2), ("X", 3)], vec![("D", 1), ("E", 2)]),
        ("nobody", vec![], vec![]),
    ];
    for (name, to, expected) in cases {
        let to: Vec<_> = to.into_iter().map(|(to, n)| (to, json!({ "n": n }))).collect();
        let events = message(&to).events(&["D".into(), "E".into()]);
        let each = events.iter().flat_map(|(event, devices)| {
            let event: JsonValue = serde_json::from_str(event).unwrap();
            assert_eq!((&event["type"], &event["sender"]), (&json!("m.\"x"), &json!("@ann:a")));
            devices.iter().map(move |it| (it.to_string(), event["content"]["n"].as_i64().unwrap()))
        });
        let mut each: Vec<_> = each.collect();
        each.sort();
        let expected: Vec<_> = expected.into_iter().map(|(to, n)| (to.to_owned(), n)).collect();
        assert_eq!(each, expected, "{name}");
    }
}

#[test]
fn what_is_a_content() {
    let large = |bytes: usize| json!({ "a": "x".repeat(bytes - "{\"a\":\"\"}".len()) });
    let cases = [
        (json!({}), Ok(())),
        (json!([]), Err(ContentError::NoObject)),
        (json!("{}"), Err(ContentError::NoObject)),
        (json!(null), Err(ContentError::NoObject)),
        (large(MAX_CONTENT_BYTES), Ok(())),
        (large(MAX_CONTENT_BYTES + 1), Err(ContentError::TooLarge)),
    ];
    for (it, expected) in cases {
        assert_eq!(check(&content(&it)), expected);
        assert_eq!(check_signed(&content(&it)), expected);
    }
    let floats = content(&json!({ "a": [1.5] }));
    assert_eq!(check(&floats), Ok(()));
    assert_eq!(check_signed(&floats), Err(ContentError::NotCanonical));
}

#[test]
fn a_message_is_known_again_by_its_sender_and_id() {
    let key = |sender: &str, id: &str| {
        let sender = sender.try_into().unwrap();
        Message { sender, id: id.to_owned(), ..message(&[]) }.key()
    };
    assert_eq!(key("@ann:a", "1"), key("@ann:a", "1"));
    assert_ne!(key("@ann:a", "1"), key("@ann:a", "2"));
    assert_ne!(key("@ann:a", "1"), key("@ann:b", "1"));
    let id = |device: &str, kind: &str, txn: &str| id(user_id!("@ann:a"), device, kind, txn);
    let all = [id("D", "m.x", "1"), id("E", "m.x", "1"), id("D", "m.y", "1"), id("D", "m.x", "2")];
    for (index, it) in all.iter().enumerate() {
        assert!(!all[..index].contains(it));
        assert_eq!(it.len(), 22, "with its number it has no more than 32 characters");
    }
    let message = message(&[]);
    let day_ms = 24 * 60 * 60 * 1000;
    assert_eq!(message.remembered_until_ms(server_name!("a"), 5), 5 + day_ms);
    assert_eq!(message.remembered_until_ms(server_name!("b"), 5), 5 + 7 * day_ms);
}

#[test]
fn what_goes_out_comes_in() {
    let ann = user_id!("@ann:a");
    let large = json!({ "a": "x".repeat(EDU_BYTES / 3) });
    let to: Vec<_> = ["A", "B", "C", "D", "E"].map(|it| (it, large.clone())).into();
    let users = [owned_user_id!("@bob:b"), owned_user_id!("@carol:b")];
    let messages: BTreeMap<_, _> = users.iter().map(|it| (it.clone(), contents(&to))).collect();
    let out = edus(ann, "m.x", "id", messages.clone());
    assert_eq!(out.len(), 5);
    let out: Vec<_> = out.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
    assert!(out.iter().all(|it| it.len() < 2 * EDU_BYTES));
    let again = edus(ann, "m.x", "id", messages);
    let again: Vec<_> = again.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
    assert_eq!(again, out);
    let read = read(server_name!("a"), server_name!("b"), out.iter().map(String::as_str));
    for user_id in &users {
        let found: Vec<_> = read[user_id].iter().flat_map(|it| it.contents.keys()).collect();
        assert_eq!(found.len(), to.len(), "each device once");
        let mut ids: Vec<_> = read[user_id].iter().map(|it| &it.id).collect();
        ids.dedup();
        assert_eq!(ids.len(), read[user_id].len());
    }
    assert!(edus(ann, "m.x", "id", BTreeMap::new()).is_empty());
}

#[test]
fn what_another_server_says_is_believed_of_its_own_users() {
    let edu = |sender: &str, to: &str, content: JsonValue| {
        let content = json!({ "sender": sender, "type": "m.x", "message_id": "1",
            "messages": { to: { "D": content } } });
        json!({ "edu_type": "m.direct_to_device", "content": content })
    };
    let good = || edu("@bob:b", "@ann:a", json!({}));
    let without = |field: &str| {
        let mut edu = good();
        edu["content"].as_object_mut().unwrap().remove(field);
        edu
    };
    let mut long_type = good();
    long_type["content"]["type"] = json!("x".repeat(MAX_TYPE_BYTES + 1));
    let cases = [
        ("one", good(), true),
        ("another server's sender", edu("@bob:c", "@ann:a", json!({})), false),
        ("a user of this server as sender", edu("@ann:a", "@ann:a", json!({})), false),
        ("another server's user", edu("@bob:b", "@ann:c", json!({})), false),
        ("no object", edu("@bob:b", "@ann:a", json!([])), false),
        ("no sender", without("sender"), false),
        ("no type", without("type"), false),
        ("no ID", without("message_id"), false),
        ("no messages", without("messages"), false),
        ("a long type", long_type, false),
        ("what is no EDU", json!(7), false),
        ("another one", json!({ "edu_type": "m.typing", "content": good()["content"] }), false),
    ];
    for (name, edu, is_taken) in cases {
        let edus = [json!({}).to_string(), edu.to_string()];
        let edus = edus.iter().map(String::as_str);
        let read = read(server_name!("b"), server_name!("a"), edus);
        assert_eq!(read.contains_key(user_id!("@ann:a")), is_taken, "{name}");
        assert_eq!(read.len(), usize::from(is_taken), "{name}");
    }
    let many: Vec<_> = (0..MAX_USERS + 5)
        .map(|it| edu("@bob:b", &format!("@{it}:a"), json!({})).to_string())
        .collect();
    let many = many.iter().map(String::as_str);
    assert_eq!(read(server_name!("b"), server_name!("a"), many).len(), MAX_USERS);
}

#[test]
fn what_fits() {
    let cases = [
        (vec![], 0),
        (vec![5], 1),
        (vec![50], 1),
        (vec![5, 5], 2),
        (vec![5, 6], 1),
        (vec![50, 1], 1),
        (vec![1, 1, 1, 1], 3),
    ];
    for (sizes, expected) in cases {
        assert_eq!(fitting(sizes.clone(), 3, 10), expected, "{sizes:?}");
    }
}

#[test]
fn what_waits_for_devices_has_bounds() {
    let (d, e) = (device_id!("D"), device_id!("E"));
    let mut inboxes = Inboxes::new([(d.to_owned(), Size { messages: MAX_MESSAGES, bytes: 7 })]);
    assert!(!inboxes.is_empty(d) && inboxes.is_empty(e));
    assert_eq!(inboxes.excess(), None);
    inboxes.add(d, Size::of(1));
    assert_eq!(inboxes.excess(), Some((d, Size { messages: 1, bytes: 0 })));
    inboxes.remove(d, Size::of(8));
    assert_eq!(inboxes.excess(), None);
    inboxes.add(e, Size::of(MAX_BYTES + 3));
    assert_eq!(inboxes.excess(), Some((e, Size { messages: 0, bytes: 3 })));
    inboxes.forget(e);
    assert!(inboxes.is_empty(e));
    let each = Size::of(MAX_BYTES);
    let many = (0..MAX_TOTAL_BYTES / MAX_BYTES).map(|it| (format!("{it}").into(), each));
    let mut inboxes = Inboxes::new(many);
    assert_eq!(inboxes.excess(), None);
    inboxes.add(d, Size::of(9));
    let (device_id, excess) = inboxes.excess().unwrap();
    assert_eq!(excess, Size { messages: 0, bytes: 9 });
    assert_ne!(device_id, d, "the largest shrinks");
}

#[test]
fn the_oldest_go_first() {
    let size = |messages, bytes| Size { messages, bytes };
    let cases = [
        (size(0, 0), 0, size(0, 0)),
        (size(1, 0), 1, size(1, 4)),
        (size(0, 5), 2, size(2, 8)),
        (size(2, 1), 2, size(2, 8)),
        (size(9, 9), 3, size(3, 12)),
    ];
    for (excess, count, gone) in cases {
        assert_eq!(cut([4, 4, 4], excess), (count, gone), "{excess:?}");
    }
}
