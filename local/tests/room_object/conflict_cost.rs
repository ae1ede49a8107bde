//! What an event costs in a room whose forks differ in many keys (T2): statements that read, of
//! which each asks for a page or for one thing.

use serde_json::json;
use skerry::messages::room::Outcome;

use super::peer_room::{MEMBER, PEER, PeerRoom, own_server, user};
use crate::room::Stand;

/// A room of the peer that Alice and so many of its users are in.
async fn joined(members: usize) -> (Stand, PeerRoom) {
    let mut peer = PeerRoom::small();
    for number in 0..members {
        peer.join(&name(number));
    }
    let stand = Stand::empty(own_server(), &peer.create.room_id).await;
    stand.alice_joins(&mut peer).await;
    (stand, peer)
}

fn name(number: usize) -> String {
    format!("member{number}")
}

/// A member changes their name in a fork, which goes on from there.
async fn rename(stand: &Stand, fork: &mut PeerRoom, number: usize, name_: &str) -> u64 {
    let user_id = user(&name(number), PEER);
    let content = json!({ "membership": "join", "displayname": name_ });
    let event = fork.add(&user_id, MEMBER, Some(user_id.as_str()), content);
    cost(stand, &event).await
}

async fn say(stand: &Stand, fork: &mut PeerRoom, number: usize) -> u64 {
    let content = json!({ "msgtype": "m.text", "body": "hello" });
    let event = fork.add(&user(&name(number), PEER), "m.room.message", None, content);
    cost(stand, &event).await
}

async fn cost(stand: &Stand, event: &skerry_core::Pdu) -> u64 {
    let before = stand.host.reads();
    assert_eq!(stand.receive(event).await, Outcome::Accepted { redacted: false });
    let cost = stand.host.reads() - before;
    stand.run_deferred().await;
    cost
}

/// What events cost in a split room: a message, a change of the state in a fork, one more fork, and
/// a change of the state when nothing is in memory.
#[derive(Debug)]
struct Costs {
    message: u64,
    state: u64,
    fork: u64,
    cold: u64,
}

impl Costs {
    async fn of(stand: &mut Stand, base: &PeerRoom, forks: &mut [PeerRoom]) -> Self {
        let message = say(stand, &mut forks[0], 0).await;
        let state = rename(stand, &mut forks[1], 1, "other").await;
        let fork = rename(stand, &mut base.clone(), 2, "another").await;
        stand.crash();
        let cold = rename(stand, &mut forks[0], 0, "one more").await;
        Self { message, state, fork, cold }
    }

    /// Whether they are no more than in a smaller room, but for a page here and there.
    fn are_as(&self, smaller: &Self) -> bool {
        let costs = |it: &Self| [it.message, it.state, it.fork, it.cold];
        costs(self).iter().zip(costs(smaller)).all(|(cost, smaller)| *cost <= smaller + 3)
    }
}

/// So many forks, each of which changes one key.
async fn forks_of_one(keys: usize) -> Costs {
    let (mut stand, base) = joined(keys).await;
    let mut forks = Vec::new();
    for number in 0..keys {
        let mut fork = base.clone();
        rename(&stand, &mut fork, number, "first").await;
        forks.push(fork);
    }
    Costs::of(&mut stand, &base, &mut forks).await
}

/// Two forks that differ in so many keys.
async fn two_forks(keys: usize) -> Costs {
    let (mut stand, base) = joined(keys).await;
    let mut forks = [base.clone(), base.clone()];
    for number in 0..keys {
        for (fork, name) in forks.iter_mut().zip(["here", "there"]) {
            rename(&stand, fork, number, name).await;
        }
    }
    Costs::of(&mut stand, &base, &mut forks).await
}

#[tokio::test]
async fn t2_what_an_event_reads_does_not_grow_with_the_forks() {
    let (few, many) = (forks_of_one(10).await, forks_of_one(80).await);
    assert!(many.are_as(&few), "{few:?}, {many:?}");
}

#[tokio::test]
async fn t2_what_an_event_reads_does_not_grow_with_what_two_forks_differ_in() {
    let (few, many) = (two_forks(10).await, two_forks(80).await);
    assert!(many.are_as(&few), "{few:?}, {many:?}");
}
