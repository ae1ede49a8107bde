//! Rooms in which Synapse, this host and a native Skerry are.

use super::{agree, joining, public_room};
use skerry_tests::{Federated, Host, Synapse, User, Watch, json};

private_server![
    native: Native => [three_servers_share_a_room],
    worker: Worker => [three_servers_share_a_room],
];

/// Whoever speaks, the others hear it: each server sends its own to all.
async fn all_talk(users: &[&User], room: &str) {
    for speaker in users {
        let others = users.iter().filter(|it| it.id != speaker.id);
        let mut watches = Vec::new();
        for other in others {
            watches.push(Watch::from(other, other.sync().get().await.next_batch()));
        }
        let said = speaker.say(room, "hello, all of you").await;
        for mut watch in watches {
            watch.event(room, &said).await;
        }
    }
}

async fn three_servers_share_a_room(host: Host) {
    let (skerry, native) = (Federated::start(host), Federated::start(Host::Native));
    let synapse = Synapse::shared();
    let alice = User::register(&skerry, "alice").await;
    let ben = User::register(&native, "ben").await;
    let carol = User::register(synapse, "carol").await;
    let rotated = [[&alice, &ben, &carol], [&ben, &carol, &alice], [&carol, &alice, &ben]];
    for users in rotated {
        let [home, first, second] = users;
        let room = public_room(home, first).await;
        joining(second, &room, first).ok().await;
        agree(home, second, &room).await;
        agree(first, second, &room).await;
        all_talk(&users, &room).await;
        home.give_powers(&room, &[(&first.id, 50), (&second.id, 50)]).await;
        agree(home, second, &room).await;
        agree(first, second, &room).await;
        let change = async |user: &User, kind: &str| {
            let content = json!({ kind: format!("by {}", user.id) });
            user.set_state(&room, &format!("m.room.{kind}"), "", &content).await;
        };
        tokio::join!(change(home, "topic"), change(first, "topic"), change(second, "topic"));
        all_talk(&users, &room).await;
        agree(home, second, &room).await;
        agree(first, second, &room).await;
        // Two of them go on without the third.
        home.leave(&room).await;
        super::until_member(first, &room, home, "leave").await;
        super::until_member(second, &room, home, "leave").await;
        all_talk(&[first, second], &room).await;
    }
}
