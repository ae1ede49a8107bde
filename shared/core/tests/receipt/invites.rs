//! What is checked of invitations by other servers, and of what ends them.

use ruma::{
    EventId, OwnedEventId, RoomId, event_id, room_version_rules::RoomVersionRules, server_name,
    user_id,
};
use serde_json::{Value as JsonValue, json};
use skerry_core::{
    invite::{self, InviteError, Pending, Sent},
    receipt::{self, Dropped, Unverified},
};

use super::{
    V11,
    server::{SENT_MS, Server, keyring, made_up, raw, room, versions},
};

/// An invitation of `@bob:two` by `@alice:one`, unsigned.
pub(super) fn invitation(rules: &RoomVersionRules) -> JsonValue {
    let mut event = json!({
        "auth_events": [], "content": { "membership": "invite" }, "depth": 5,
        "origin_server_ts": SENT_MS, "prev_events": [], "room_id": room(),
        "sender": "@alice:one", "state_key": "@bob:two", "type": "m.room.member",
    });
    if rules.event_format.require_event_id {
        event["event_id"] = json!(made_up(server_name!("one")));
    }
    event
}

fn id_of(event: &JsonValue, rules: &RoomVersionRules) -> OwnedEventId {
    receipt::event_id(&raw(event), rules).unwrap()
}

/// What comes of an event that server one sends to server two as an invitation.
fn read(event: &JsonValue, rules: &RoomVersionRules) -> Result<(), InviteError> {
    read_as(event, &id_of(event, rules), room(), rules)
}

fn read_as(
    event: &JsonValue,
    event_id: &EventId,
    room_id: &RoomId,
    rules: &RoomVersionRules,
) -> Result<(), InviteError> {
    let event = &raw(event);
    let sent = Sent { event, origin: server_name!("one"), event_id, room_id };
    let (received, target) = invite::read(sent, server_name!("two"), rules)?;
    assert_eq!(target, "@bob:two");
    assert_eq!(received.signers().collect::<Vec<_>>(), ["one"]);
    Ok(())
}

#[test]
fn an_invitation_is_read_in_every_room_version() {
    let one = Server::new("one");
    for (version, rules) in versions() {
        let event = one.sign(invitation(&rules), &rules);
        assert_eq!(read(&event, &rules), Ok(()), "version {version}");
    }
}

/// T9c
#[test]
fn nothing_else_than_an_invitation_of_a_user_of_ours_is_taken_for_one() {
    let one = Server::new("one");
    let third = json!({ "membership": "invite", "third_party_invite": {} });
    let cases: [(&str, JsonValue, InviteError); 12] = [
        ("type", json!("m.room.message"), InviteError::Membership),
        ("content", json!({ "membership": "join" }), InviteError::Membership),
        ("content", json!({ "membership": "leave" }), InviteError::Membership),
        ("content", json!({ "membership": "ban" }), InviteError::Membership),
        ("content", json!({ "membership": 1 }), InviteError::Membership),
        ("content", json!({}), InviteError::Membership),
        ("content", third, InviteError::ThirdParty),
        ("state_key", json!("@bob:one"), InviteError::Target),
        ("state_key", json!("@bob:three"), InviteError::Target),
        ("state_key", json!("bob"), InviteError::Target),
        ("state_key", JsonValue::Null, InviteError::Target),
        ("room_id", json!("!other:one"), {
            let other = RoomId::parse("!other:one").unwrap();
            InviteError::Dropped(Dropped::Room(other))
        }),
    ];
    for (field, value, expected) in cases {
        let mut event = invitation(&V11);
        match &value {
            JsonValue::Null => drop(event.as_object_mut().unwrap().remove(field)),
            value => event[field] = value.clone(),
        }
        let event = one.sign(event, &V11);
        assert_eq!(read(&event, &V11), Err(expected), "{field}: {value}");
    }
}

/// T9c: in a room, any server may send what an identity server has signed.
#[test]
fn an_invitation_by_a_third_party_is_signed_by_who_sends_it_and_for_whom_it_invites() {
    let one = Server::new("one");
    for (version, rules) in versions() {
        let of = |mxid: &str| {
            let mut event = invitation(&rules);
            event["content"]["third_party_invite"] = json!({ "display_name": "b...",
                "signed": { "mxid": mxid, "token": "abc", "signatures": {} } });
            event
        };
        let event = one.sign(of("@bob:two"), &rules);
        assert_eq!(read(&event, &rules), Ok(()), "version {version}");
        let other = one.sign(of("@carol:two"), &rules);
        assert_eq!(read(&other, &rules), Err(InviteError::ThirdParty), "version {version}");
        let by_others = Server::new("three").sign(of("@bob:two"), &rules);
        let dropped = read(&by_others, &rules);
        let is_unsigned = matches!(dropped, Err(InviteError::Dropped(Dropped::Signature(_))));
        assert!(is_unsigned, "version {version}: {dropped:?}");
    }
}

/// T9a, T9c
#[test]
fn nobody_is_invited_in_the_name_of_another_servers_user() {
    for sender in ["@alice:two", "@alice:three"] {
        let mut event = invitation(&V11);
        event["sender"] = json!(sender);
        let servers = ["one", "two", "three"].map(Server::new);
        let event = servers.iter().fold(event, |event, it| it.sign(event, &V11));
        assert_eq!(read(&event, &V11), Err(InviteError::Sender), "{sender}");
    }
    // This server asks itself for nothing.
    let two = Server::new("two");
    let mut event = invitation(&V11);
    event["sender"] = json!("@alice:two");
    let event = two.sign(event, &V11);
    let own = server_name!("two");
    let (event_id, json) = (id_of(&event, &V11), raw(&event));
    let sent = Sent { event: &json, origin: own, event_id: &event_id, room_id: room() };
    assert_eq!(invite::read(sent, own, &V11).err(), Some(InviteError::Sender));
}

#[test]
fn an_invitation_is_what_it_is_said_to_be() {
    let one = Server::new("one");
    let event = one.sign(invitation(&V11), &V11);
    let misnamed = read_as(&event, event_id!("$other"), room(), &V11);
    assert_eq!(misnamed, Err(InviteError::EventId));
    let mut altered = event.clone();
    altered["content"]["displayname"] = json!("not said");
    assert_eq!(read(&altered, &V11), Err(InviteError::Altered));
    let mut unsigned = event.clone();
    unsigned["signatures"] = json!({ "two": { "ed25519:1": "x" } });
    let dropped = read(&unsigned, &V11);
    assert!(matches!(dropped, Err(InviteError::Dropped(Dropped::Signature(_)))), "{dropped:?}");
}

fn known() -> &'static EventId {
    event_id!("$known")
}

/// What comes of an event that ends an invitation of `@bob:two` by `@alice:one`, or their knock.
fn read_end(event: &JsonValue, is_knock: bool) -> Result<String, InviteError> {
    let inviter = (!is_knock).then_some(user_id!("@alice:one"));
    let user_id = user_id!("@bob:two");
    let pending = Pending { user_id, event_id: known(), room_id: room(), inviter };
    let (_, membership) = invite::read_end(&raw(event), pending, &V11)?;
    Ok(membership.to_string())
}

#[test]
fn who_may_end_what() {
    let event = |sender: &str, membership: &str| {
        let mut event = invitation(&V11);
        event["auth_events"] = json!(["$create", known()]);
        event["sender"] = json!(sender);
        event["content"]["membership"] = json!(membership);
        Server::new(sender.split_once(':').unwrap().1).sign(event, &V11)
    };
    let cases = [
        ("@alice:one", "leave", Ok("leave"), Ok("leave")),
        ("@alice:one", "ban", Ok("ban"), Ok("ban")),
        ("@carol:one", "leave", Err(InviteError::Sender), Ok("leave")),
        ("@carol:three", "leave", Err(InviteError::Sender), Ok("leave")),
        ("@bob:two", "leave", Err(InviteError::Sender), Err(InviteError::Sender)),
        ("@alice:one", "invite", Err(InviteError::Membership), Err(InviteError::Membership)),
        ("@alice:one", "join", Err(InviteError::Membership), Err(InviteError::Membership)),
    ];
    for (sender, membership, invitation, knock) in cases {
        let event = event(sender, membership);
        let name = format!("{membership} by {sender}");
        assert_eq!(read_end(&event, false), invitation.map(str::to_owned), "{name}");
        assert_eq!(read_end(&event, true), knock.map(str::to_owned), "{name} of a knock");
    }
}

#[test]
fn what_ends_an_invitation_names_it() {
    let one = Server::new("one");
    let changes = [
        ("auth_events", json!(["$create"]), InviteError::Unrelated),
        ("state_key", json!("@dora:two"), InviteError::Target),
        ("type", json!("m.room.message"), InviteError::Membership),
    ];
    for (field, value, expected) in changes {
        let mut event = invitation(&V11);
        event["content"]["membership"] = json!("leave");
        event["auth_events"] = json!([known()]);
        event[field] = value;
        assert_eq!(read_end(&one.sign(event, &V11), false), Err(expected), "{field}");
    }
}

/// What comes of an answer to the question to sign an invitation.
fn cosigned(answer: &JsonValue) -> Result<JsonValue, Unverified> {
    let (one, two) = (Server::new("one"), Server::new("two"));
    let ours = raw(one.sign(invitation(&V11), &V11));
    let (received, event) =
        receipt::cosigned(&ours, &raw(answer), room(), &V11, server_name!("two"))?;
    receipt::verify(received, &keyring(&[&two]), &V11)?;
    Ok(serde_json::from_str(event.get()).unwrap())
}

#[test]
fn of_what_another_server_was_asked_to_sign_its_signature_is_taken_and_nothing_else() {
    let (one, two) = (Server::new("one"), Server::new("two"));
    let ours = one.sign(invitation(&V11), &V11);
    let both = two.sign(ours.clone(), &V11);
    assert_eq!(cosigned(&both).unwrap(), both);
    // What is not signed may be anything.
    let mut answer = both.clone();
    answer["content"]["displayname"] = json!("not said");
    answer["unsigned"] = json!({ "x": 1 });
    answer["signatures"]["one"] = json!({});
    answer["signatures"]["three"] = json!({ "ed25519:1": "x" });
    assert_eq!(cosigned(&answer).unwrap(), both);
    let dropped = |answer: &JsonValue| match cosigned(answer) {
        Err(Unverified::Dropped(dropped)) => dropped,
        other => panic!("{other:?}"),
    };
    assert!(matches!(dropped(&ours), Dropped::Signature(_)), "not signed");
    let mut other = invitation(&V11);
    other["depth"] = json!(6);
    let other = two.sign(one.sign(other, &V11), &V11);
    assert!(matches!(dropped(&other), Dropped::Format(_)), "another event");
    let mut forged = both.clone();
    forged["signatures"]["two"] = both["signatures"]["one"].clone();
    assert!(matches!(dropped(&forged), Dropped::Signature(_)), "another's signature");
    let mut strange = both;
    strange["signatures"]["two"] = json!("x");
    assert!(matches!(dropped(&strange), Dropped::Format(_)), "no signatures");
}
