//! What may be known of who is in a room: whoever is outside is answered as if there were no room,
//! and a member without power as if everybody were what they are not.

use skerry_tests::{Reply, Server, User, json, path};

both_hosts![
    who_is_outside_learns_nothing_of_members,
    a_member_without_power_is_refused_whoever_is_meant,
    a_member_with_power_is_told_why,
    a_demoted_member_cannot_set_again_what_they_had_set,
    forgetting_says_nothing_of_strange_rooms,
];

const ACTIONS: [&str; 4] = ["invite", "kick", "ban", "unban"];

/// A private room of Alice's, and one user of each membership in it.
struct Scene {
    alice: User,
    room: String,
    targets: [(&'static str, User); 5],
}

impl Scene {
    async fn new(server: &Server) -> Self {
        let alice = User::register(server, "alice").await;
        let mut users = Vec::new();
        for name in ["member", "invited", "banned", "left", "nobody"] {
            users.push(User::register(server, name).await);
        }
        let [member, invited, banned, left, nobody] =
            <[User; 5]>::try_from(users).expect("five users");
        let room = alice.private_room(&[&member, &banned, &left]).await;
        alice.invite(&room, &invited).await;
        alice.on_member(&room, "ban", &banned).ok().await;
        left.leave(&room).await;
        let targets = [
            ("member", member),
            ("invited", invited),
            ("banned", banned),
            ("left", left),
            ("nobody", nobody),
        ];
        Self { alice, room, targets }
    }

    fn user(&self, wanted: &str) -> &User {
        let mut users = self.targets.iter().filter(|(name, _)| *name == wanted);
        &users.next().expect("such a user").1
    }
}

fn said(reply: &Reply) -> (u16, String) {
    (reply.status, reply.text.clone())
}

/// T6a
async fn who_is_outside_learns_nothing_of_members(server: &Server) {
    let scene = Scene::new(server).await;
    let stranger = User::register(server, "stranger").await;
    let outside = [&stranger, scene.user("invited"), scene.user("banned"), scene.user("left")];
    for action in ACTIONS {
        let nowhere = stranger.on_member("!nowhere:localhost", action, &scene.alice).send().await;
        let expected = said(&nowhere);
        assert_eq!(expected.0, 403, "{nowhere}");
        for asker in outside {
            for (name, target) in scene.targets.iter().filter(|(_, it)| it.id != asker.id) {
                let reply = asker.on_member(&scene.room, action, target).send().await;
                assert_eq!(said(&reply), expected, "{action} of the user who is {name}");
            }
        }
    }
    let leave = |room: &str| stranger.post(path(["rooms", room, "leave"])).send();
    assert_eq!(said(&leave(&scene.room).await), said(&leave("!nowhere:localhost").await));
}

/// T6a
async fn a_member_without_power_is_refused_whoever_is_meant(server: &Server) {
    let scene = Scene::new(server).await;
    let member = scene.user("member");
    for action in ["kick", "ban", "unban"] {
        for (_, target) in scene.targets.iter().filter(|(_, it)| it.id != member.id) {
            let request = member.on_member(&scene.room, action, target);
            request.refused(403, "M_FORBIDDEN").await;
        }
    }
    assert_eq!(scene.alice.membership_of(&scene.room, scene.user("banned")).await, "ban");
}

async fn a_member_with_power_is_told_why(server: &Server) {
    let scene = Scene::new(server).await;
    let ask =
        |action: &str, target: &str| scene.alice.on_member(&scene.room, action, scene.user(target));
    ask("ban", "banned").ok().await;
    for (action, target, said) in [
        ("kick", "nobody", "not in the room"),
        ("kick", "banned", "not in the room"),
        ("unban", "member", "not banned"),
        ("invite", "member", "already"),
    ] {
        let refusal = ask(action, target).refused(403, "M_FORBIDDEN").await;
        let error = refusal["error"].as_str().unwrap_or_default();
        assert!(error.contains(said), "{action} of the user who is {target}: {error}");
    }
}

async fn a_demoted_member_cannot_set_again_what_they_had_set(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let room = alice.private_room(&[&bob]).await;
    alice.give_power(&room, &bob, 50).await;
    let topic = json!({ "topic": "mine" });
    let first = bob.set_state(&room, "m.room.topic", "", &topic).await;
    assert_eq!(bob.set_state(&room, "m.room.topic", "", &topic).await, first);
    alice.give_power(&room, &bob, 0).await;
    bob.setting(&room, "m.room.topic", "", &topic).refused(403, "M_FORBIDDEN").await;
}

async fn forgetting_says_nothing_of_strange_rooms(server: &Server) {
    let scene = Scene::new(server).await;
    let stranger = User::register(server, "stranger").await;
    let forget = async |room: &str| {
        let reply = stranger.post(path(["rooms", room, "forget"])).send().await;
        (reply.status, reply.errcode().to_owned())
    };
    assert_eq!(forget(&scene.room).await, forget("!nowhere:localhost").await);
}
