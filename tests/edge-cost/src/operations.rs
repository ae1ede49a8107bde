//! What is measured, in groups.

mod federation;
mod keys;
mod membership;
mod reading;
mod receipts;
mod send;

use crate::{bench::Bench, options::Options, world};

/// Messages before anything is measured, so that the code that is measured has been compiled.
const WARM_UP: usize = 200;

/// Measures all groups that are asked for.
pub(crate) async fn run(bench: &mut Bench, options: &Options) {
    let wants = |group: &str| options.only.is_empty() || options.only.iter().any(|it| it == group);
    warm_up(bench, options).await;
    if wants("send") || wants("delivery") || wants("receipts") {
        send::alone(bench).await;
    }
    if wants("delivery") {
        send::delivery(bench).await;
    }
    if wants("send") {
        for (members, active) in options.size.rooms {
            send::read_by(bench, members, active).await;
        }
    }
    if wants("poll") {
        reading::polls(bench).await;
    }
    if wants("receipts") {
        receipts::alone(bench).await;
        let [_, (members, active), _] = options.size.rooms;
        receipts::read_by(bench, members, active).await;
    }
    if wants("membership") {
        membership::join(bench).await;
        membership::create(bench).await;
        membership::unknown(bench).await;
    }
    if wants("keys") {
        let [.., (members, _)] = options.size.rooms;
        keys::of_many(bench, members).await;
        keys::change(bench).await;
    }
    if wants("federation") {
        federation::messages(bench).await;
    }
    if wants("sync") {
        reading::initial_syncs(bench, options.size.synced).await;
    }
}

/// Makes the accounts that operations share and uses the Worker for a while.
async fn warm_up(bench: &mut Bench, options: &Options) {
    let [.., (count, _)] = options.size.rooms;
    let users = bench.users(count).await;
    let room = world::room(users.get(..2).unwrap_or(&users)).await;
    let user = users.first().expect("a user");
    for _ in 0..WARM_UP {
        world::say(user, &room).await;
        user.sync().query("timeout", 0).get().await;
    }
}
