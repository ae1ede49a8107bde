//! Many signatures at a time say what each says.

use ruma::serde::{Base64, base64::Standard};

use super::*;

/// Points of small order, signs included.
fn small_order() -> Vec<[u8; 32]> {
    let hex = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    ];
    let byte = |digits: &str, at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    hex.iter().map(|it| std::array::from_fn(|index| byte(it, 2 * index))).collect()
}

fn read_all(events: &[JsonValue]) -> Vec<receipt::Received> {
    events.iter().map(|it| receipt::read(&raw(it), room(), &V11).unwrap()).collect()
}

fn messages(one: &Server, number: usize) -> Vec<JsonValue> {
    (0..number).map(|it| value(&one.message(&it.to_string(), &V11))).collect()
}

#[test]
fn all_at_once_says_what_each_says() {
    let [one, two] = [Server::new("one"), Server::new("two")];
    let keys = keyring(&[&one]);
    for number in [0_usize, 1, 15, 16, 17, 64] {
        for bad in [None, Some(0), Some(number / 2), number.checked_sub(1)] {
            let mut events = messages(&one, number);
            if let Some(bad) = bad.filter(|it| *it < number) {
                events[bad]["signatures"]["one"]["ed25519:1"] = json!("A".repeat(86));
            }
            if number > 16 {
                // One that no key is known for, and one whose content was changed.
                events[1] = two.sign(bare(&V11), &V11);
                events[1]["sender"] = json!("@alice:two");
                events[1] = two.sign(events[1].clone(), &V11);
                events[2]["content"]["body"] = json!("changed");
            }
            let each: Vec<_> = read_all(&events)
                .into_iter()
                .map(|it| format!("{:?}", receipt::verify(it, &keys, &V11)))
                .collect();
            let all: Vec<_> = receipt::verify_all(read_all(&events), &keys, &V11)
                .iter()
                .map(|it| format!("{it:?}"))
                .collect();
            assert_eq!(all, each, "{number}, {bad:?}");
            let invalid = each.iter().filter(|it| it.contains("is not valid")).count();
            assert_eq!(invalid, usize::from(bad.is_some_and(|it| it < number)));
        }
    }
}

#[test]
fn keys_of_small_order_are_none() {
    for point in small_order() {
        assert!(VerifyKey::current(&point, 0).is_err(), "{point:?}");
    }
    assert!(VerifyKey::current(&[0xff; 32], 0).is_err());
    assert!(VerifyKey::current(&[1; 31], 0).is_err());
    assert!(VerifyKey::decode("é").is_err());
}

#[test]
fn signatures_with_a_point_of_small_order_are_invalid_alone_and_together() {
    let one = Server::new("one");
    let keys = keyring(&[&one]);
    for point in small_order() {
        let mut events = messages(&one, 32);
        let mut signature = vec![0; 64];
        signature[..32].copy_from_slice(&point);
        let signature = Base64::<Standard>::new(signature).encode();
        events[7]["signatures"]["one"]["ed25519:1"] = json!(signature);
        let all = receipt::verify_all(read_all(&events), &keys, &V11);
        for (index, outcome) in all.iter().enumerate() {
            assert_eq!(outcome.is_ok(), index != 7, "{point:?}");
        }
        dropped(&events[7], &keys, &V11);
    }
}

#[test]
fn a_scalar_beyond_its_range_is_invalid_alone_and_together() {
    let one = Server::new("one");
    let keys = keyring(&[&one]);
    let mut events = messages(&one, 32);
    let signature = events[7]["signatures"]["one"]["ed25519:1"].as_str().unwrap().to_owned();
    let mut bytes = Base64::<Standard>::parse(signature).unwrap().into_inner();
    // The scalar and the order of the group: the same in the equation, and not canonical.
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut carry = 0;
    for (byte, more) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + more + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    events[7]["signatures"]["one"]["ed25519:1"] = json!(Base64::<Standard>::new(bytes).encode());
    let all = receipt::verify_all(read_all(&events), &keys, &V11);
    assert!(all.iter().enumerate().all(|(index, it)| it.is_ok() == (index != 7)));
    dropped(&events[7], &keys, &V11);
}
