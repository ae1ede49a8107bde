//! Coming into rooms, and making them.

use skerry_tests::json;

use crate::{bench::Bench, world};

/// Users who are invited to a new room.
const INVITED: usize = 25;

/// Into a public room of two that is listed in the directory.
pub(super) async fn join(bench: &mut Bench) {
    let mut users = bench.users(3).await;
    let guest = users.pop().expect("a user");
    let room = world::room(&users).await;
    bench
        .row("join", "join, public listed room of 2, none waits", async |bench| {
            bench.meter.calm().await;
            bench.meter.measure(guest.join(&room)).await
        })
        .await;
}

/// What a stranger's question about an invented room makes the server do.
pub(super) async fn unknown(bench: &mut Bench) {
    let users = bench.users(1).await;
    let user = users.first().expect("a user");
    let ask = async || {
        let room = format!("!{}:localhost", "n".repeat(18));
        let refused = user.state(&room, "m.room.create", "").send().await;
        assert!((400..500).contains(&refused.status), "there is such a room: {refused}");
    };
    let does = "a question about a room that does not exist";
    bench.row("unknown_room", does, async |bench| bench.meter.measure(ask()).await).await;
    let does = "a question about a room that does not exist, asked again";
    bench.row("unknown_room.again", does, async |bench| bench.meter.measure(ask()).await).await;
}

/// A room with many invitations.
pub(super) async fn create(bench: &mut Bench) {
    let users = bench.users(INVITED + 1).await;
    let (creator, invited) = users.split_first().expect("a user");
    let invited: Vec<&str> = invited.iter().map(|it| it.id.as_str()).collect();
    let does = format!("createRoom, {INVITED} invitations, none waits");
    bench
        .row("create_room", &does, async |bench| {
            bench.meter.calm().await;
            let options = json!({ "preset": "private_chat", "name": "Crew", "invite": invited });
            bench.meter.measure(async { drop(creator.create_room(&options).await) }).await
        })
        .await;
}
