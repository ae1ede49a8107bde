//! Joining, leaving, inviting, kicking, banning, forgetting and knocking.

use skerry_tests::{Server, User, json, path, unique};

both_hosts![
    a_public_room_is_joined_by_id_and_by_alias,
    joining_twice_changes_nothing,
    a_room_that_does_not_exist_cannot_be_joined,
    an_invite_is_accepted,
    an_invite_is_rejected,
    an_invite_by_a_member_who_left_is_refused,
    a_member_or_oneself_cannot_be_invited_again,
    a_user_leaves_and_rejoins_a_public_room,
    a_user_who_left_an_invite_only_room_stays_out,
    a_kick_removes_a_member,
    an_invite_is_withdrawn_by_a_kick,
    a_stranger_cannot_be_kicked,
    a_ban_is_lifted_by_an_unban,
    a_user_who_is_not_banned_cannot_be_unbanned,
    reasons_are_kept,
    a_forgotten_room_is_closed_to_the_user,
    a_joined_room_cannot_be_forgotten,
    a_knock_is_answered_by_an_invite,
    a_knock_is_taken_back_or_denied,
    a_knock_needs_a_room_that_allows_it,
    a_restricted_room_admits_members_of_another,
    c9_who_was_kicked_from_the_other_room_a_moment_ago_is_not_admitted,
    a_restricted_room_admits_by_any_of_many_rooms,
    a_restricted_room_admits_in_the_name_of_any_member_who_may_invite,
    a_restricted_room_that_names_unknown_rooms_admits_nobody,
    joined_rooms_follow_the_membership,
    membership_events_carry_the_profile,
];

async fn pair(server: &Server) -> (User, User) {
    (User::register(server, "alice").await, User::register(server, "bob").await)
}

async fn a_public_room_is_joined_by_id_and_by_alias(server: &Server) {
    let (alice, bob) = pair(server).await;
    let carol = User::register(server, "carol").await;
    let name = unique("room");
    let options = json!({ "preset": "public_chat", "room_alias_name": name });
    let room = alice.create_room(&options).await;
    bob.join(&room).await;
    let joined = carol.post(path(["join", &format!("#{name}:localhost")])).ok().await;
    assert_eq!(joined["room_id"], room);
    let dave = User::register(server, "dave").await;
    assert_eq!(dave.post(path(["join", &room])).ok().await["room_id"], room);
    for user in [&bob, &carol, &dave] {
        assert_eq!(alice.membership_of(&room, user).await, "join");
    }
}

async fn joining_twice_changes_nothing(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    let before = alice.history(&room).await.len();
    bob.join(&room).await;
    assert_eq!(alice.history(&room).await.len(), before);
}

async fn a_room_that_does_not_exist_cannot_be_joined(server: &Server) {
    let alice = User::register(server, "alice").await;
    let missing = alice.post(path(["join", "#no-such-room:localhost"]));
    missing.refused(404, "M_NOT_FOUND").await;
    for room in ["!no-such-room:localhost", "!A7gWcZ0OVTQhUBSIHBbNeqxPjIaSQGiXhIBrz6XVsmI"] {
        for request in [alice.post(path(["join", room])), alice.post(path(["rooms", room, "join"]))]
        {
            let reply = request.send().await;
            reply.refused_with_any(&[(404, "M_NOT_FOUND"), (403, "M_FORBIDDEN")]);
        }
    }
}

async fn an_invite_is_accepted(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.create_room(&json!({})).await;
    alice.invite(&room, &bob).await;
    assert_eq!(alice.membership_of(&room, &bob).await, "invite");
    bob.join(&room).await;
    assert_eq!(alice.membership_of(&room, &bob).await, "join");
    bob.say(&room, "hello").await;
}

async fn an_invite_is_rejected(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    bob.leave(&room).await;
    assert_eq!(alice.membership_of(&room, &bob).await, "leave");
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
}

async fn an_invite_by_a_member_who_left_is_refused(server: &Server) {
    let (alice, bob) = pair(server).await;
    let carol = User::register(server, "carol").await;
    let room = alice.public_room(&[&bob]).await;
    bob.leave(&room).await;
    bob.on_member(&room, "invite", &carol).refused(403, "M_FORBIDDEN").await;
}

async fn a_member_or_oneself_cannot_be_invited_again(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    alice.on_member(&room, "invite", &bob).refused(403, "M_FORBIDDEN").await;
    alice.on_member(&room, "invite", &alice).refused(403, "M_FORBIDDEN").await;
}

async fn a_user_leaves_and_rejoins_a_public_room(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    bob.leave(&room).await;
    assert_eq!(alice.membership_of(&room, &bob).await, "leave");
    bob.sending(&room, "m.room.message", &json!({})).refused(403, "M_FORBIDDEN").await;
    bob.join(&room).await;
    bob.say(&room, "back again").await;
}

async fn a_user_who_left_an_invite_only_room_stays_out(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.private_room(&[&bob]).await;
    bob.leave(&room).await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
}

async fn a_kick_removes_a_member(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    alice.on_member(&room, "kick", &bob).ok().await;
    let member = alice.state(&room, "m.room.member", &bob.id).query("format", "event").ok().await;
    assert_eq!(member["content"]["membership"], "leave");
    assert_eq!(member["sender"], alice.id.as_str());
    bob.sending(&room, "m.room.message", &json!({})).refused(403, "M_FORBIDDEN").await;
    bob.join(&room).await;
}

async fn an_invite_is_withdrawn_by_a_kick(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    alice.on_member(&room, "kick", &bob).ok().await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
}

async fn a_stranger_cannot_be_kicked(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.create_room(&json!({ "preset": "public_chat" })).await;
    alice.on_member(&room, "kick", &bob).refused(403, "M_FORBIDDEN").await;
    assert_eq!(alice.membership_of(&room, &bob).await, "");
}

async fn a_ban_is_lifted_by_an_unban(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    alice.on_member(&room, "ban", &bob).ok().await;
    assert_eq!(alice.membership_of(&room, &bob).await, "ban");
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    alice.on_member(&room, "unban", &bob).ok().await;
    assert_eq!(alice.membership_of(&room, &bob).await, "leave");
    bob.join(&room).await;
}

async fn a_user_who_is_not_banned_cannot_be_unbanned(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.public_room(&[&bob]).await;
    // An unban that set `leave` would be a kick with another name.
    let reply = alice.on_member(&room, "unban", &bob).send().await;
    reply.refused_with_any(&[(403, "M_BAD_STATE"), (403, "M_FORBIDDEN"), (400, "M_BAD_STATE")]);
    assert_eq!(alice.membership_of(&room, &bob).await, "join");
}

async fn reasons_are_kept(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.create_room(&json!({})).await;
    let of_bob = json!({ "user_id": bob.id, "reason": "because" });
    let own = json!({ "reason": "because" });
    for (user, action, body) in [
        (&alice, "invite", &of_bob),
        (&bob, "join", &own),
        (&bob, "leave", &own),
        (&alice, "invite", &of_bob),
        (&alice, "kick", &of_bob),
        (&alice, "ban", &of_bob),
        (&alice, "unban", &of_bob),
    ] {
        user.post(path(["rooms", &room, action])).json(body).ok().await;
        let member = alice.state(&room, "m.room.member", &bob.id).ok().await;
        assert_eq!(member["reason"], "because", "after {action}: {member}");
    }
}

async fn a_forgotten_room_is_closed_to_the_user(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.private_room(&[&bob]).await;
    bob.leave(&room).await;
    bob.messages(&room, "b").ok().await;
    bob.post(path(["rooms", &room, "forget"])).ok().await;
    bob.messages(&room, "b").refused(403, "M_FORBIDDEN").await;
    bob.get(path(["rooms", &room, "state"])).refused(403, "M_FORBIDDEN").await;
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    bob.messages(&room, "b").ok().await;
}

async fn a_joined_room_cannot_be_forgotten(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = alice.private_room(&[&bob]).await;
    let reply = bob.post(path(["rooms", &room, "forget"])).send().await;
    assert_eq!(reply.status, 400, "{reply}");
    reply.client_error();
    bob.say(&room, "still here").await;
}

/// A room on which one may knock.
async fn knock_room(alice: &User) -> String {
    let rule = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    alice.create_room(&json!({ "initial_state": [rule] })).await
}

async fn a_knock_is_answered_by_an_invite(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = knock_room(&alice).await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    let knock = bob.post(path(["knock", &room])).json(&json!({ "reason": "let me in" }));
    assert_eq!(knock.ok().await["room_id"], room);
    let member = alice.state(&room, "m.room.member", &bob.id).ok().await;
    assert_eq!(member["membership"], "knock");
    assert_eq!(member["reason"], "let me in");
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    bob.post(path(["knock", &room])).refused(403, "M_FORBIDDEN").await;
}

async fn a_knock_is_taken_back_or_denied(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = knock_room(&alice).await;
    bob.post(path(["knock", &room])).ok().await;
    bob.leave(&room).await;
    assert_eq!(alice.membership_of(&room, &bob).await, "leave");
    bob.post(path(["knock", &room])).ok().await;
    alice.on_member(&room, "kick", &bob).ok().await;
    assert_eq!(alice.membership_of(&room, &bob).await, "leave");
}

async fn a_knock_needs_a_room_that_allows_it(server: &Server) {
    let (alice, bob) = pair(server).await;
    for preset in ["private_chat", "public_chat"] {
        let room = alice.create_room(&json!({ "preset": preset })).await;
        bob.post(path(["knock", &room])).refused(403, "M_FORBIDDEN").await;
    }
    bob.post(path(["knock", "#no-such-room:localhost"])).refused(404, "M_NOT_FOUND").await;
}

async fn a_restricted_room_admits_members_of_another(server: &Server) {
    let (alice, bob) = pair(server).await;
    let carol = User::register(server, "carol").await;
    let club = alice.public_room(&[&bob]).await;
    let allow = json!([{ "type": "m.room_membership", "room_id": club }]);
    let content = json!({ "join_rule": "restricted", "allow": allow });
    let rule = json!({ "type": "m.room.join_rules", "content": content });
    let room = alice.create_room(&json!({ "initial_state": [rule] })).await;
    carol.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    bob.join(&room).await;
    let member = alice.state(&room, "m.room.member", &bob.id).ok().await;
    assert_eq!(member["join_authorised_via_users_server"], alice.id.as_str(), "{member}");
    // Leaving the other room later changes nothing, and an invite needs no condition.
    bob.leave(&club).await;
    bob.say(&room, "still here").await;
    alice.invite(&room, &carol).await;
    carol.join(&room).await;
}

/// A room that admits the members of these, in this order.
async fn restricted_room(alice: &User, rooms: &[String]) -> String {
    let allow = rooms.iter().map(|it| json!({ "type": "m.room_membership", "room_id": it }));
    let content = json!({ "join_rule": "restricted", "allow": allow.collect::<Vec<_>>() });
    let rule = json!({ "type": "m.room.join_rules", "content": content });
    alice.create_room(&json!({ "initial_state": [rule] })).await
}

/// C9: the user has not been told yet that they are out of the room that admits.
async fn c9_who_was_kicked_from_the_other_room_a_moment_ago_is_not_admitted(server: &Server) {
    let (alice, bob) = pair(server).await;
    let club = alice.public_room(&[&bob]).await;
    let room = restricted_room(&alice, std::slice::from_ref(&club)).await;
    alice.on_member(&club, "kick", &bob).ok().await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    bob.join(&club).await;
    bob.join(&room).await;
    // Once in, the other room decides nothing; once out, it does again.
    alice.on_member(&club, "kick", &bob).ok().await;
    bob.join(&room).await;
    bob.leave(&room).await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
}

async fn a_restricted_room_admits_by_any_of_many_rooms(server: &Server) {
    let (alice, bob) = pair(server).await;
    let mut rooms: Vec<_> = (0..40).map(|it| format!("!nowhere{it}:localhost")).collect();
    let club = alice.public_room(&[&bob]).await;
    rooms.insert(31, club.clone());
    let last = restricted_room(&alice, &rooms).await;
    bob.join(&last).await;
    // So many are asked, and the others are not.
    rooms.swap(31, 32);
    let beyond = restricted_room(&alice, &rooms).await;
    bob.post(path(["rooms", &beyond, "join"])).refused(403, "M_FORBIDDEN").await;
}

async fn a_restricted_room_admits_in_the_name_of_any_member_who_may_invite(server: &Server) {
    let (alice, bob) = pair(server).await;
    let carol = User::register(server, "carol").await;
    let club = alice.public_room(&[&bob, &carol]).await;
    let room = restricted_room(&alice, &[club]).await;
    alice.set_state(&room, "m.room.power_levels", "", &json!({ "invite": 0 })).await;
    bob.join(&room).await;
    alice.leave(&room).await;
    carol.join(&room).await;
    let member = bob.state(&room, "m.room.member", &carol.id).ok().await;
    assert_eq!(member["join_authorised_via_users_server"], bob.id.as_str(), "{member}");
}

async fn a_restricted_room_that_names_unknown_rooms_admits_nobody(server: &Server) {
    let (alice, bob) = pair(server).await;
    let room = restricted_room(&alice, &["!nowhere:elsewhere.example".to_owned()]).await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
    // The room itself admits nobody to itself.
    let allow = json!([{ "type": "m.room_membership", "room_id": room }]);
    let content = json!({ "join_rule": "restricted", "allow": allow });
    alice.set_state(&room, "m.room.join_rules", "", &content).await;
    bob.post(path(["rooms", &room, "join"])).refused(403, "M_FORBIDDEN").await;
}

async fn joined_rooms_follow_the_membership(server: &Server) {
    let (alice, bob) = pair(server).await;
    let joined = async || bob.get("/joined_rooms").ok().await["joined_rooms"].clone();
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    assert_eq!(joined().await, json!([]), "an invite is no membership");
    bob.join(&room).await;
    assert_eq!(joined().await, json!([room]));
    bob.leave(&room).await;
    assert_eq!(joined().await, json!([]));
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
    alice.on_member(&room, "ban", &bob).ok().await;
    assert_eq!(joined().await, json!([]));
}

async fn membership_events_carry_the_profile(server: &Server) {
    let (alice, bob) = pair(server).await;
    let name = bob.put(path(["profile", &bob.id, "displayname"]));
    name.json(&json!({ "displayname": "Bob" })).ok().await;
    let avatar = bob.put(path(["profile", &bob.id, "avatar_url"]));
    avatar.json(&json!({ "avatar_url": "mxc://localhost/bob" })).ok().await;
    let room = alice.create_room(&json!({ "invite": [bob.id] })).await;
    for membership in ["invite", "join"] {
        let member = alice.state(&room, "m.room.member", &bob.id).ok().await;
        assert_eq!(member["membership"], membership);
        assert_eq!(member["displayname"], "Bob", "{member}");
        assert_eq!(member["avatar_url"], "mxc://localhost/bob", "{member}");
        bob.join(&room).await;
    }
}
