//! `/sync`: an idle poll, coming back after an absence, the first sync.

use skerry_tests::Sync;

use crate::{
    bench::Bench,
    readers::Reader,
    world::{self, say},
};

/// Rooms of the user who polls.
const ROOMS: usize = 20;
/// Messages in each of them during an absence.
const MISSED: usize = 2;
/// How long the idle poll waits: a longer one costs the same.
const IDLE_MS: u64 = 3_000;

/// A user in some rooms: nothing happens; a lot has happened.
pub(super) async fn polls(bench: &mut Bench) {
    let users = world::register(&bench.server, "sailor", 2).await;
    let (user, other) = (users.first().expect("a user"), users.last().expect("a user"));
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(world::room(&[other.clone(), user.clone()]).await);
    }
    let mut reader = Reader::new(user).await;
    let does = format!("idle poll, {ROOMS} rooms");
    bench
        .row("poll.idle", &does, async |bench| {
            bench.meter.calm().await;
            // Two in turn: the second finds nothing that the first left behind.
            while !reader.poll(0).await.is_empty() {}
            bench.forget([], [user]);
            let poll = async {
                assert!(reader.poll(IDLE_MS).await.is_empty(), "something happened");
            };
            bench.meter.measure(poll).await
        })
        .await;
    let does = format!("sync after an absence, news in {ROOMS} rooms, all of them cold");
    bench
        .row("poll.catch_up", &does, async |bench| {
            for room in &rooms {
                for _ in 0..MISSED {
                    say(other, room).await;
                }
            }
            bench.meter.calm().await;
            bench.forget(&rooms, [user]);
            let poll = async {
                let sync = reader.poll(0).await;
                assert!(rooms.iter().all(|it| sync.joined(it).is_some()), "a room is missing");
            };
            bench.meter.measure(poll).await
        })
        .await;
}

/// How many joined rooms an answer has.
fn rooms_in(sync: &Sync) -> usize {
    sync.json["rooms"]["join"].as_object().map_or(0, serde_json::Map::len)
}

/// The first sync of a user in so many rooms of one member with a message each, all of them cold.
pub(super) async fn initial_syncs(bench: &mut Bench, counts: [usize; 2]) {
    let users = world::register(&bench.server, "captain", counts.len()).await;
    for (user, count) in users.iter().zip(counts) {
        let rooms = world::rooms_of(user, count).await;
        let mut reader = Reader::before_first(user).await;
        let does = format!("initial sync, {count} rooms, all of them cold");
        let name = format!("initial_sync.{count}");
        bench
            .row(&name, &does, async |bench| {
                bench.meter.calm().await;
                bench.forget(&rooms, [user]);
                let sync = async {
                    // Many rooms come by the page.
                    let mut joined = rooms_in(&reader.first().await);
                    while joined < count {
                        let page = rooms_in(&reader.poll(0).await);
                        assert!(page > 0, "only {joined} of {count} rooms have come");
                        joined += page;
                    }
                };
                bench.meter.measure(sync).await
            })
            .await;
    }
}
