//! `/sync` of a user in more rooms than one answer has. The server that is tested gives four at a
//! time.

use std::collections::BTreeMap;

use skerry_tests::{Server, Sync, User, ids, json};

both_hosts![
    every_device_that_begins_is_given_all_rooms,
    who_was_away_is_given_everything_once,
    what_another_device_reads_meanwhile_is_not_passed_over,
    account_data_comes_with_its_room,
];

const ROOMS: usize = 11;

async fn rooms_of(user: &User) -> Vec<String> {
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(user.create_room(&json!({ "preset": "public_chat" })).await);
    }
    rooms
}

/// What a device has been given, answer by answer.
struct Device<'a> {
    user: &'a User,
    token: Option<String>,
    /// The events of each room's timeline, in order.
    events: BTreeMap<String, Vec<String>>,
    answers: Vec<Sync>,
}

impl<'a> Device<'a> {
    fn new(user: &'a User) -> Self {
        Self { user, token: None, events: BTreeMap::new(), answers: Vec::new() }
    }

    /// One answer; whether it has any room.
    async fn next(&mut self) -> bool {
        let request = self.user.sync().query("timeout", 0);
        let sync = match &self.token {
            Some(token) => request.since(token).get().await,
            None => request.get().await,
        };
        self.token = Some(sync.next_batch().to_owned());
        let rooms = sync.json["rooms"]["join"].as_object().cloned().unwrap_or_default();
        for room in rooms.keys() {
            let timeline = sync.joined(room).expect("the room").timeline();
            let seen = self.events.entry(room.clone()).or_default();
            seen.extend(ids(timeline).into_iter().map(ToOwned::to_owned));
        }
        self.answers.push(sync);
        !rooms.is_empty()
    }

    /// As many answers as it takes.
    async fn all(&mut self) {
        while self.next().await {
            assert!(self.answers.len() < 50, "it never ends");
        }
    }
}

async fn every_device_that_begins_is_given_all_rooms(server: &Server) {
    let alice = User::register(server, "alice").await;
    let mut rooms = rooms_of(&alice).await;
    rooms.sort_unstable();
    for _ in 0..3 {
        let phone = User::log_in(server, &alice.id).await;
        let mut device = Device::new(&phone);
        device.all().await;
        assert!(device.answers.len() > 2, "more than one page");
        assert_eq!(device.events.keys().collect::<Vec<_>>(), rooms.iter().collect::<Vec<_>>());
    }
}

async fn who_was_away_is_given_everything_once(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let rooms = rooms_of(&alice).await;
    for room in &rooms {
        bob.join(room).await;
    }
    let mut device = Device::new(&alice);
    device.all().await;
    device.events.clear();
    let mut said = BTreeMap::new();
    for room in rooms.iter().rev() {
        said.insert(room.clone(), bob.say_many(room, 2).await);
    }
    // Some are said while the device catches up.
    device.next().await;
    for room in &rooms {
        let event = bob.say(room, "meanwhile").await;
        said.get_mut(room).expect("the room").push(event);
    }
    device.all().await;
    for (room, mut events) in device.events {
        let given = events.len();
        events.dedup();
        assert_eq!(events, said[&room], "{given} events of {room}");
    }
}

/// A token that claims the stream up to some position claims what others read until then.
async fn what_another_device_reads_meanwhile_is_not_passed_over(server: &Server) {
    let (alice, bob) = (User::register(server, "alice").await, User::register(server, "bob").await);
    let phone = User::log_in(server, &alice.id).await;
    let rooms = rooms_of(&alice).await;
    for room in &rooms {
        bob.join(room).await;
    }
    let (mut first, mut second) = (Device::new(&alice), Device::new(&phone));
    first.all().await;
    second.all().await;
    (first.events, second.events) = (BTreeMap::new(), BTreeMap::new());
    let mut said = BTreeMap::new();
    for room in &rooms {
        said.insert(room.clone(), bob.say_many(room, 2).await);
        // The second device reads each room at once, the first none.
        second.all().await;
    }
    for room in rooms.iter().rev() {
        said.get_mut(room).expect("the room").push(bob.say(room, "again").await);
    }
    for _ in 0..ROOMS {
        first.next().await;
        second.next().await;
    }
    first.all().await;
    second.all().await;
    assert_eq!(first.events, said, "who was away");
    assert_eq!(second.events, said, "who was there");
}

async fn account_data_comes_with_its_room(server: &Server) {
    let alice = User::register(server, "alice").await;
    let rooms = rooms_of(&alice).await;
    for room in &rooms {
        let path = format!("/user/{}/rooms/{room}/account_data/org.example.n", alice.id);
        alice.put(&path).json(&json!({ "room": room })).ok().await;
    }
    let phone = User::log_in(server, &alice.id).await;
    let mut device = Device::new(&phone);
    device.all().await;
    for room in &rooms {
        let sections = device.answers.iter().filter_map(|it| it.joined(room));
        let found: Vec<_> = sections.filter_map(|it| it.account_data("org.example.n")).collect();
        assert_eq!(found.len(), 1, "once, with its room: {found:?}");
        assert_eq!(found[0]["room"], **room);
    }
}
