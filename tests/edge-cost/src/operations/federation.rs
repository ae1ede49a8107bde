//! Rooms that other servers are in: what is said goes to each of them, and comes from them.

use skerry_tests::{
    User, json,
    peer::{Draft, Event, PeerRoom},
    remote::Remote,
};

use crate::{
    bench::Bench,
    report::Measured,
    world::{self, say},
};

/// Other servers in a room.
const SERVERS: usize = 3;

/// The path of transactions.
const TRANSACTIONS: &str = "/_matrix/federation/v1/send/";

/// A room of two local members, of whom none waits, and of a user of each of some servers.
struct Scene {
    room: PeerRoom,
    members: Vec<User>,
    remotes: Vec<Remote>,
}

impl Scene {
    async fn set(bench: &mut Bench, servers: usize) -> Self {
        let members = bench.users(2).await;
        let first = members.first().expect("a member");
        let id = world::room(&members).await;
        let remotes: Vec<_> = (0..servers).map(|_| Remote::start()).collect();
        let remote = remotes.first().expect("a server");
        let mut room = PeerRoom::of(&remote.peer, first, &id).await;
        for remote in &remotes {
            remote.answer(TRANSACTIONS, |_| (200, json!({ "pdus": {} })));
            let join = room.signed_by(&remote.peer, Draft::join(&remote.peer.user("carol")));
            room.follow(&join.pdu);
            remote.send(&bench.server, &[&join]).await;
        }
        Self { room, members, remotes }
    }

    fn first(&self) -> &User {
        self.members.first().expect("a member")
    }

    /// One message, until all servers have it.
    async fn message(&self) {
        let text = skerry_tests::unique("cost");
        self.first().say(&self.room.id, &text).await;
        for remote in &self.remotes {
            remote.until(TRANSACTIONS, |it| it.text().contains(&text)).await;
        }
    }

    /// One message of another server.
    async fn receive(&self, bench: &Bench, event: &Event) {
        self.remotes.first().expect("a server").send(&bench.server, &[event]).await;
    }

    async fn calm(&self, bench: &Bench) {
        bench.calm_and_warm(self.first(), &self.room.id).await;
    }
}

/// A message to other servers, and one from them.
pub(super) async fn messages(bench: &mut Bench) {
    for servers in [1, SERVERS] {
        let scene = Scene::set(bench, servers).await;
        let does = format!("send, 2 members, none waits, {servers} other servers");
        let sent = async |bench: &mut Bench| -> Measured {
            scene.message().await;
            scene.calm(bench).await;
            bench.meter.measure(scene.message()).await
        };
        bench.row(&format!("federation.send.{servers}"), &does, sent).await;
    }
    let mut scene = Scene::set(bench, 1).await;
    let event = say(scene.first(), &scene.room.id).await;
    let reader = scene.first().clone();
    scene.room.read(&reader, &event).await;
    let carol = scene.room.peer.user("carol");
    let mut next = || scene.room.add(Draft::message(&carol, "noon"));
    let (first, second) = (next(), next());
    let does = "a message of another server, 2 members, none waits";
    bench
        .row("federation.receive", does, async |bench| {
            scene.receive(bench, &first).await;
            scene.calm(bench).await;
            bench.meter.measure(scene.receive(bench, &second)).await
        })
        .await;
}
