//! Two branches of a room that conflict.

use std::{path::Path, sync::Arc};

use ruma::OwnedUserId;
use skerry::objects::room::Room;
use skerry_core::Pdu;

use crate::{
    ingest,
    peers::Peers,
    stand::{Cost, Stand, memory, receive},
    world::World,
};

/// Of so many changes one is a power event.
const POWER_EVERY: usize = 50;

/// Members are left for these.
const SIZES: [u64; 2] = [50, 500];

/// Joins a room, and has it fork twice.
pub(crate) async fn measure(folder: &Path, members: u64) {
    let stand = Stand::open(folder).await;
    let peers = Peers::new(&stand.server);
    ingest::run(&stand, &peers, members).await;
    let mut from = 0;
    for size in SIZES {
        fork(&stand, &peers, (from, size)).await;
        from += size + 2;
    }
}

/// Two branches from the newest event, with so many conflicting keys, which are merged again.
pub(crate) async fn fork(stand: &Stand, peers: &Peers, (from, size): (u64, u64)) {
    let world = World::read(stand).await;
    // Two more, for events of their own.
    let members = world.members(stand, from, size + 2).await;
    let (shared, own) = members.split_at(members.len() - 2);
    let mut room = stand.room(&world.create.room_id);
    println!("resolve, {size} conflicting keys");
    let first = branch(&world, peers, shared, 'a');
    let costs = receive_each(stand, &room, peers, &first).await;
    say("the first branch, each", &costs);
    let mut second = branch(&world, peers, shared, 'b');
    let newest = second.pop().expect("an event");
    let costs = receive_each(stand, &room, peers, &second).await;
    say("the second branch, each", &costs);
    let take_in = async |room: &Arc<Room>, what: &str, event: &Pdu| {
        let cost = receive(stand, room, peers.send(std::slice::from_ref(event))).await;
        println!("  {what:38} {cost}");
    };
    take_in(&room, "its newest, warm", &newest).await;
    let [warm, cold] = own else { panic!("two members") };
    let inner = second.last().expect("an event");
    let ends = |it: &[&Pdu]| world.message(it, peers);
    let message = ends(&[&newest]);
    take_in(&room, "a message behind it, warm", &message).await;
    let (first, mut last) = (first.last().expect("an event"), message);
    let aside = ends(&[first, inner]);
    take_in(&room, "a message that merges older ends, warm", &aside).await;
    room = stand.room(&world.create.room_id);
    last = world.rename(cold, "Cold", &last, peers);
    take_in(&room, "one more change, cold", &last).await;
    last = world.rename(warm, "Warm", &last, peers);
    take_in(&room, "one more change, warm", &last).await;
    room = stand.room(&world.create.room_id);
    let merge = ends(&[first, &last, &aside]);
    take_in(&room, "the message that merges all, cold", &merge).await;
    take_in(&room, "a message after it", &ends(&[&merge])).await;
    println!("  {}", memory());
}

/// Changes of each of these members: names and joins, and some power events.
fn branch(world: &World, peers: &Peers, members: &[Pdu], name: char) -> Vec<Pdu> {
    let mut events: Vec<Pdu> = Vec::with_capacity(members.len());
    for (place, member) in members.iter().enumerate() {
        let prev = events.last().unwrap_or(&world.tip);
        let event = match place % POWER_EVERY {
            // A level of its own for each branch.
            0 if place == 0 => world.empower(member, name as u8, prev, peers),
            0 if name == 'b' => world.kick(member, prev, peers),
            it if it % 10 == 3 => {
                let newcomer = format!("@new{}", member.sender.as_str().trim_start_matches('@'));
                let newcomer: OwnedUserId = newcomer.try_into().expect("an ID");
                world.join(&newcomer, &name.to_string(), prev, peers)
            }
            _ => world.rename(member, &format!("{place} of {name}"), prev, peers),
        };
        events.push(event);
    }
    events
}

async fn receive_each(stand: &Stand, room: &Arc<Room>, peers: &Peers, events: &[Pdu]) -> Vec<Cost> {
    let mut costs = Vec::with_capacity(events.len());
    for event in events {
        costs.push(receive(stand, room, peers.send(std::slice::from_ref(event))).await);
    }
    costs
}

/// What the middle one and the most expensive one cost.
fn say(what: &str, costs: &[Cost]) {
    let mut costs = costs.to_vec();
    costs.sort_by_key(|it| it.time);
    for (name, cost) in [("half", costs.get(costs.len() / 2)), ("most", costs.last())] {
        if let Some(cost) = cost {
            println!("  {:38} {cost}", format!("{what}: {name}"));
        }
    }
}
