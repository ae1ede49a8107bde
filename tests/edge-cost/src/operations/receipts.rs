//! What is said about messages: receipts, read markers, typing.

use skerry_tests::{User, json, path};

use crate::{
    bench::Bench,
    readers::{Reader, Readers},
    report::Measured,
    world::{self, say},
};

/// How long somebody is said to type unless they stop.
const TYPING_MS: u64 = 20_000;

async fn receipt(user: &User, room: &str, event: &str) {
    user.post(path(["rooms", room, "receipt", "m.read", event])).ok().await;
}

async fn typing(user: &User, room: &str, is_typing: bool) {
    let body = match is_typing {
        true => json!({ "typing": true, "timeout": TYPING_MS }),
        false => json!({ "typing": false }),
    };
    user.put(path(["rooms", room, "typing", &user.id])).json(&body).ok().await;
}

/// Somebody begins to type and, some seconds later, stops.
async fn typed(bench: &Bench, user: &User, room: &str) -> Measured {
    let started = bench.meter.measure_without_alarms(typing(user, room, true)).await;
    started.and(&bench.meter.measure(typing(user, room, false)).await)
}

/// In a room of two, where nobody waits; then where the other one does.
pub(super) async fn alone(bench: &mut Bench) {
    let members = bench.users(2).await;
    let room = &world::room(&members).await;
    let (other, user) = (members.first().expect("a user"), members.last().expect("a user"));
    bench
        .row("receipt", "receipt, 2 members, none waits", async |bench| {
            let event = say(other, room).await;
            bench.calm_and_warm(user, room).await;
            bench.meter.measure(receipt(user, room, &event)).await
        })
        .await;
    bench
        .row("typing", "typing, start and stop, 2 members, none waits", async |bench| {
            typing(user, room, true).await;
            typing(user, room, false).await;
            bench.calm_and_warm(user, room).await;
            typed(bench, user, room).await
        })
        .await;
    bench
        .row("read_markers", "/read_markers, all three, 2 members, none waits", async |bench| {
            let event = say(other, room).await;
            let (fully, read, private) = (event.clone(), event.clone(), event);
            let body = json!({
                "m.fully_read": fully, "m.read": read, "m.read.private": private,
            });
            bench.calm_and_warm(user, room).await;
            let request = user.post(path(["rooms", room, "read_markers"])).json(&body);
            bench.meter.measure(async { drop(request.ok().await) }).await
        })
        .await;
    let reader = Reader::new(other).await;
    let mut readers = Readers::start(&[reader]);
    let does = "one delivery of a receipt, and the client's next poll begins";
    bench
        .row("receipt.next_poll", does, async |bench| {
            let event = say(other, room).await;
            readers.have_read(&event).await;
            bench.meter.calm().await;
            let measured = bench.meter.measure_without_alarms(receipt(user, room, &event)).await;
            measured.beyond(&bench.earlier("receipt"))
        })
        .await;
    readers.stop().await;
    bench.meter.calm().await;
}

/// In a room of so many, of whom some wait for news, the one who does it among them.
pub(super) async fn read_by(bench: &mut Bench, count: usize, active: usize) {
    let members = bench.users(count).await;
    let room = &world::room(&members).await;
    let (sender, user) = (members.first().expect("a user"), members.get(1).expect("a user"));
    let readers = bench.readers(active).await;
    let mut readers = Readers::start(&readers);
    let does = format!("receipt, {count} members, {active} read and poll again");
    bench
        .row(&format!("receipt.{count}"), &does, async |bench| {
            let event = say(sender, room).await;
            readers.have_read(&event).await;
            bench.calm_and_warm(user, room).await;
            bench.meter.measure(receipt(user, room, &event)).await
        })
        .await;
    let does = format!("typing, start and stop, {count} members, {active} read and poll again");
    bench
        .row(&format!("typing.{count}"), &does, async |bench| {
            readers.have_read(&say(sender, room).await).await;
            bench.calm_and_warm(user, room).await;
            typed(bench, user, room).await
        })
        .await;
    readers.stop().await;
    bench.meter.calm().await;
}
