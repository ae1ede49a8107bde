//! Each bucket by itself: so many are served, and the next is not.

use super::*;

pub(super) async fn every_bucket_has_its_end(host: Host) {
    // That of answers counts no requests.
    let server = server_with(host, &format!("all=1/h:{BURST},answers=off"));
    addresses(&server).await;
    memberships(&server).await;
    writes(&server).await;
    rooms(&server).await;
}

/// Buckets of addresses.
async fn addresses(server: &Server) {
    let anyone = Client::new(server.url());
    let at = async |what: &str, request: &dyn Fn() -> Request| {
        let address = new_address();
        assert_ends(what, BURST, async || from(request(), &address)).await;
    };
    let name = unique("n");
    let address = new_address();
    assert_ends("login-address", BURST, async || login(server, &unique("x"), "wrong", &address))
        .await;
    let address = new_address();
    assert_ends("register", BURST, async || registration(server, &unique("r"), &address)).await;
    at("user-names", &|| anyone.get("/register/available").query("username", &name)).await;
    let validity = "/_matrix/client/v1/register/m.login.registration_token/validity";
    at("registration-token", &|| anyone.get(validity).query("token", "guess")).await;
    let refresh = json!({ "refresh_token": "invented" });
    at("refresh", &|| anyone.post("/refresh").json(&refresh)).await;
    at("open", &|| anyone.get("/_matrix/client/versions")).await;
    at("directory, of an address", &|| anyone.get("/publicRooms")).await;
    let forged = new_user(server, "forged").await;
    let forged = anyone.with_token(&format!("{}AAAA", &forged.token[..forged.token.len() - 4]));
    at("unknown-tokens", &|| forged.get("/account/whoami")).await;
    let victim = new_user(server, "victim").await;
    assert_ends("login-failed", BURST, async || login(server, &victim.id, "wrong", &new_address()))
        .await;
    let user = new_user(server, "user").await;
    assert_ends("login-account", BURST, async || login(server, &user.id, PASSWORD, &new_address()))
        .await;
}

/// Buckets of users, of what concerns memberships.
async fn memberships(server: &Server) {
    let user = new_user(server, "a").await;
    let room = "!nowhere:localhost";
    let by = |action: &str| {
        let action = action.to_owned();
        let user = &user;
        async move || user.post(path(["rooms", room, &action])).json(&json!({ "user_id": user.id }))
    };
    assert_ends("joins", BURST, by("join")).await;
    assert_ends("memberships", BURST, by("kick")).await;
    assert_ends("invites", BURST, by("invite")).await;
    assert_ends("create-room", BURST, async || user.post("/createRoom")).await;
    // Invitations of a new room count too.
    let (host, guest) = (new_user(server, "b").await, new_user(server, "c").await);
    let with_guest = || host.post("/createRoom").json(&json!({ "invite": [guest.id] }));
    for _ in 0..BURST {
        with_guest().ok().await;
    }
    refused(with_guest().send().await, "create-room");
    refused(host.on_member(room, "invite", &guest).send().await, "invites, by rooms");
    let other = new_user(server, "d").await;
    refused(other.on_member(room, "invite", &guest).send().await, "invited");
}

/// Buckets of users, of what else they write and read.
async fn writes(server: &Server) {
    let user = &new_user(server, "a").await;
    let own = |rest: &str| format!("{}/{rest}", path(["user", &user.id]));
    let room = "!nowhere:localhost";
    let of_room = |rest: &str| format!("{}/{rest}", path(["rooms", room]));
    let name = path(["profile", &user.id, "displayname"]);
    let new_name = json!({ "displayname": "x" });
    assert_ends("profile", BURST, async || user.put(&name).json(&new_name)).await;
    assert_ends("account-data", BURST, async || user.put(own("account_data/org.x"))).await;
    assert_ends("filters", BURST, async || user.post(own("filter"))).await;
    assert_ends("directory", BURST, async || user.post("/publicRooms")).await;
    let alias = path(["directory", "room", "#nowhere:localhost"]);
    assert_ends("aliases", BURST, async || user.delete(&alias)).await;
    assert_ends("receipts", BURST, async || user.post(of_room("read_markers"))).await;
    let typing = of_room(&format!("typing/{}", skerry_tests::encode(&user.id)));
    let is_typing = json!({ "typing": false });
    assert_ends("typing", BURST, async || user.put(&typing).json(&is_typing)).await;
    let presence = path(["presence", &user.id, "status"]);
    let online = json!({ "presence": "online" });
    assert_ends("presence", BURST, async || user.put(&presence).json(&online)).await;
    assert_ends("account", BURST, async || user.delete("/devices/NONE")).await;
    assert_ends("syncs", BURST, async || user.get("/sync").query("timeout", 0)).await;
    assert_ends("reads", BURST, async || user.get("/joined_rooms")).await;
    assert_ends("messages-device", BURST, async || {
        user.sending(room, "m.room.message", &message("x"))
    })
    .await;
    let mut devices = vec![new_user(server, "b").await];
    for _ in 0..BURST {
        let session = login(server, &devices[0].id, PASSWORD, &new_address()).ok().await;
        devices.push(User::from_session(&Client::new(server.url()), &session));
    }
    let devices = std::cell::RefCell::new(devices);
    assert_ends("writes", BURST, async || {
        let device = devices.borrow_mut().pop().expect("a device");
        device.post("/logout")
    })
    .await;
}

/// Buckets of rooms: only what would be written counts.
async fn rooms(server: &Server) {
    let owner = new_user(server, "owner").await;
    let all_invite = json!({ "preset": "public_chat",
        "power_level_content_override": { "invite": 0 } });
    let room = owner.create_room(&all_invite).await;
    let outsider = new_user(server, "outsider").await;
    for _ in 0..BURST {
        let request = outsider.sending(&room, "m.room.message", &message("x"));
        request.refused(403, "M_FORBIDDEN").await;
    }
    let mut members = Vec::new();
    for _ in 0..BURST {
        let member = new_user(server, "member").await;
        member.join(&room).await;
        members.push(member);
    }
    let join = outsider.post(path(["rooms", &room, "join"])).send().await;
    refused(join, "joins-room");
    for member in &members {
        let message = member.sending(&room, "m.room.message", &message("x")).ok().await;
        assert!(message["event_id"].is_string());
    }
    let one_more = owner.sending(&room, "m.room.message", &message("x")).send().await;
    refused(one_more, "messages-room");
    for inviter in &members {
        let guest = new_user(server, "guest").await;
        inviter.invite(&room, &guest).await;
    }
    let guest = new_user(server, "guest").await;
    refused(owner.on_member(&room, "invite", &guest).send().await, "invites-room");
    let member = path(["rooms", &room, "state", "m.room.member", &guest.id]);
    let invitation = owner.put(&member).json(&json!({ "membership": "invite" }));
    refused(invitation.send().await, "invites-room, by state");
    assert_eq!(owner.membership_of(&room, &guest).await, "");
}
