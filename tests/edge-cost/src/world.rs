//! The accounts and rooms that operations need, made as cheaply as the server allows.

use std::{future::Future, time::Duration};

use skerry_tests::{Client, PASSWORD, Server, User, json, message, path};
use tokio::task::JoinSet;

/// How long anything that must happen is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);
/// Requests at the same time while the world is made.
const AT_ONCE: usize = 8;

/// Registers so many accounts, whose names begin with that word.
pub(crate) async fn register(server: &Server, stem: &str, count: usize) -> Vec<User> {
    let client = Client::new(server.url());
    let accounts = (0..count).map(|number| {
        let (client, name) = (client.clone(), format!("{stem}{number}"));
        async move {
            let dummy = json!({ "type": "m.login.dummy" });
            let body = json!({ "username": name, "password": PASSWORD, "auth": dummy });
            let session = client.post("/register").json(&body).ok().await;
            (number, User::from_session(&client, &session))
        }
    });
    in_order(accounts).await
}

/// A public room of these members, the first of whom makes it.
pub(crate) async fn room(members: &[User]) -> String {
    let (first, others) = members.split_first().expect("a member");
    let options = json!({ "preset": "public_chat", "name": "Harbour", "visibility": "public" });
    let room = first.create_room(&options).await;
    let joins = others.iter().cloned().enumerate().map(|(number, user)| {
        let room = room.clone();
        async move {
            user.join(&room).await;
            (number, ())
        }
    });
    in_order(joins).await;
    room
}

/// So many rooms of one user, with a message each.
pub(crate) async fn rooms_of(user: &User, count: usize) -> Vec<String> {
    let rooms = (0..count).map(|number| {
        let user = user.clone();
        async move {
            let name = format!("Room {number}");
            let room = user.create_room(&json!({ "name": name })).await;
            user.say(&room, "The ferry leaves at noon.").await;
            (number, room)
        }
    });
    in_order(rooms).await
}

/// Sends a message of ordinary length and tells its event ID.
pub(crate) async fn say(user: &User, room: &str) -> String {
    let text = "The ferry leaves the skerry at noon, wind permitting; bring bread and rope.";
    let body = message(text);
    let transaction = skerry_tests::unique("cost");
    let to = path(["rooms", room, "send", "m.room.message", &transaction]);
    let sent = user.put(to).json(&body).ok().await;
    sent["event_id"].as_str().expect("an event ID").to_owned()
}

/// Does things a few at a time and gives their results in order.
async fn in_order<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = (usize, T)> + Send + 'static>,
) -> Vec<T> {
    let mut tasks = JoinSet::new();
    let mut done = Vec::new();
    for it in work {
        if tasks.len() >= AT_ONCE {
            done.extend(tasks.join_next().await.map(|it| it.expect("a task that ends")));
        }
        tasks.spawn(it);
    }
    done.extend(tasks.join_all().await);
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, it)| it).collect()
}
