//! Invitations and knocks across servers.

use super::{agree, both_ways, joining, server_of, talk, until_member};
use skerry_tests::{
    Federated, Homeserver as _, Host, Synapse, User, Value, encode, events, json, path,
};

beside_synapse![
    invitations_are_accepted,
    invitations_are_declined,
    invitations_are_withdrawn,
    a_direct_chat_begins,
    knocks_are_answered,
    a_knock_is_taken_back,
];

private_server![
    native_alone: Native => [an_invitation_is_declined_whose_server_is_gone],
    worker_alone: Worker => [an_invitation_is_declined_whose_server_is_gone],
];

/// Waits until a client is told of an invitation, and gives the state that comes with it.
async fn until_invited(user: &User, room: &str) -> Vec<Value> {
    let invited = user.sync().until("the invitation", |sync| {
        let room = sync.room("invite", room)?;
        Some(events(&room.0["invite_state"]).to_vec())
    });
    invited.await
}

/// Waits until a client is told that its user is no more invited, or knocks no more.
async fn until_removed(user: &User, room: &str) {
    let gone = |sync: &skerry_tests::Sync| {
        let left = ["invite", "knock"].iter().all(|it| sync.room(it, room).is_none());
        left.then_some(())
    };
    user.sync().until("the end of it", gone).await;
}

fn has(state: &[Value], kind: &str, field: &str, value: &str) -> bool {
    state.iter().any(|it| it["type"] == kind && it["content"][field] == value)
}

async fn private_room(home: &User, version: &str) -> String {
    let options = json!({ "preset": "private_chat", "room_version": version, "name": "Harbor" });
    home.create_room(&options).await
}

async fn invitations_are_accepted(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in super::VERSIONS {
            let room = private_room(&home, version).await;
            home.invite(&room, &guest).await;
            let state = until_invited(&guest, &room).await;
            assert!(has(&state, "m.room.name", "name", "Harbor"), "{state:?}");
            assert!(has(&state, "m.room.member", "membership", "invite"), "{state:?}");
            assert!(has(&state, "m.room.create", "room_version", version), "{state:?}");
            guest.join(&room).await;
            agree(&home, &guest, &room).await;
            talk(&home, &guest, &room).await;
            // A guest invites to the room, too: somebody of the home's server.
            let other = of_server(&home, skerry, synapse).await;
            guest.invite(&room, &other).await;
            until_invited(&other, &room).await;
            other.join(&room).await;
            agree(&home, &guest, &room).await;
        }
    }
}

/// Another user of the same server.
async fn of_server(user: &User, skerry: &Federated, synapse: &Synapse) -> User {
    match server_of(user) == skerry.name() {
        true => User::register(skerry, "other").await,
        false => User::register(synapse, "other").await,
    }
}

async fn invitations_are_declined(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in super::VERSIONS {
            let room = private_room(&home, version).await;
            home.invite(&room, &guest).await;
            until_invited(&guest, &room).await;
            guest.leave(&room).await;
            until_member(&home, &room, &guest, "leave").await;
            until_removed(&guest, &room).await;
            // They may be invited again.
            home.invite(&room, &guest).await;
            until_invited(&guest, &room).await;
            guest.join(&room).await;
            agree(&home, &guest, &room).await;
        }
    }
}

async fn invitations_are_withdrawn(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let room = private_room(&home, "11").await;
        home.invite(&room, &guest).await;
        until_invited(&guest, &room).await;
        home.on_member(&room, "kick", &guest).ok().await;
        until_removed(&guest, &room).await;
        let refused = joining(&guest, &room, &home).send().await;
        assert_eq!(refused.status, 403, "{refused}");
    }
}

async fn a_direct_chat_begins(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        let options = json!({ "preset": "trusted_private_chat", "is_direct": true,
            "invite": [guest.id], "room_version": "11" });
        let room = home.create_room(&options).await;
        let state = until_invited(&guest, &room).await;
        let direct = state.iter().find(|it| it["state_key"] == guest.id.as_str());
        assert_eq!(direct.expect("the invitation")["content"]["is_direct"], true, "{state:?}");
        guest.join(&room).await;
        agree(&home, &guest, &room).await;
        talk(&home, &guest, &room).await;
    }
}

async fn knocking_room(home: &User, version: &str) -> String {
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let options = json!({ "preset": "private_chat", "room_version": version, "name": "Harbor",
        "initial_state": [rule] });
    home.create_room(&options).await
}

async fn knock(user: &User, room: &str, via: &User) {
    let knock = format!("/knock{}?via={}", path([room]), encode(server_of(via)));
    user.post(knock).json(&json!({ "reason": "let me in" })).ok().await;
}

async fn knocks_are_answered(skerry: &Federated, synapse: &Synapse) {
    for (home, guest) in both_ways(skerry, synapse).await {
        for version in super::VERSIONS {
            let room = knocking_room(&home, version).await;
            knock(&guest, &room, &home).await;
            until_member(&home, &room, &guest, "knock").await;
            let shown = guest.sync().until("the knock", |sync| {
                let room = sync.room("knock", &room)?;
                Some(events(&room.0["knock_state"]).to_vec())
            });
            let shown = shown.await;
            assert!(has(&shown, "m.room.name", "name", "Harbor"), "{shown:?}");
            home.invite(&room, &guest).await;
            until_invited(&guest, &room).await;
            guest.join(&room).await;
            agree(&home, &guest, &room).await;
            talk(&home, &guest, &room).await;
        }
    }
}

/// Synapse itself neither takes back a knock by way of another server nor tells another server that
/// one was refused.
async fn a_knock_is_taken_back(skerry: &Federated, synapse: &Synapse) {
    let (home, guest) =
        (User::register(synapse, "home").await, User::register(skerry, "guest").await);
    let room = knocking_room(&home, "11").await;
    knock(&guest, &room, &home).await;
    until_member(&home, &room, &guest, "knock").await;
    guest.leave(&room).await;
    until_member(&home, &room, &guest, "leave").await;
    until_removed(&guest, &room).await;
}

async fn an_invitation_is_declined_whose_server_is_gone(host: Host) {
    let (skerry, mut synapse) = (Federated::start(host), Synapse::start());
    let (alice, bob) =
        (User::register(&skerry, "alice").await, User::register(&synapse, "bob").await);
    let room = private_room(&bob, "11").await;
    bob.invite(&room, &alice).await;
    until_invited(&alice, &room).await;
    synapse.kill();
    alice.leave(&room).await;
    until_removed(&alice, &room).await;
    // Nothing of it comes back with the server.
    synapse.restart();
    let other = private_room(&bob, "11").await;
    bob.invite(&other, &alice).await;
    until_invited(&alice, &other).await;
    until_removed(&alice, &room).await;
}
