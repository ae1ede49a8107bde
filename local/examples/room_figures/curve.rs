//! How the database of a room grows: with its history, not with the size of its state.

use std::{path::Path, sync::Arc, time::Instant};

use ruma::{OwnedUserId, UserId, owned_device_id};
use skerry::{
    messages::{
        Caller,
        room::{ChangeMembership, MembershipAction, UpdateProfile},
    },
    objects::room::Room,
};

use crate::{
    own_room::{creation, membership},
    stand::{Stand, ask, memory},
};

/// Changes between two lines.
const STEP: u64 = 10_000;

/// Local users join a room, then change their names in turn.
pub(crate) async fn measure(folder: &Path, members: u64, changes: u64) {
    let stand = Stand::open(folder).await;
    let room = create(&stand).await;
    println!("curve, {members} members, {changes} changes");
    let began = Instant::now();
    for number in 1..members {
        ask(&stand, &room, join(user(number))).await;
    }
    let time = began.elapsed();
    let mut bytes = stand.bytes().await;
    let each = time.as_micros() / u128::from(members);
    println!("  joined: {bytes} bytes, {} a member, {each} µs each", bytes / members);
    for last in (STEP..=changes).step_by(usize::try_from(STEP).expect("small")) {
        let began = Instant::now();
        for number in last - STEP..last {
            let user_id = user(number % members);
            let displayname = Some(format!("Name {number}"));
            let command = UpdateProfile { user_id, displayname, avatar_url: None };
            ask(&stand, &room, command).await;
        }
        let each = began.elapsed().as_micros() / u128::from(STEP);
        let now = stand.bytes().await;
        let grown = (now - bytes) / STEP;
        println!("  {last:7}: {now:10} bytes, {grown} a change, {each} µs each, {}", memory());
        bytes = now;
    }
    let tables = "SELECT name, sum(pgsize), sum(payload) FROM dbstat GROUP BY name \
                  HAVING sum(pgsize) > 500000 ORDER BY 2 DESC";
    for mut row in stand.rows(tables).await {
        let name: String = row.take(0).expect("a name");
        let sizes: (u64, u64) = (row.take(1).expect("bytes"), row.take(2).expect("bytes"));
        println!("  {name}: {} bytes, {} of them rows", sizes.0, sizes.1);
    }
}

fn user(number: u64) -> OwnedUserId {
    UserId::parse(format!("@member{number}:localhost")).expect("an ID")
}

fn caller(user_id: OwnedUserId) -> Caller {
    Caller { user_id, device_id: owned_device_id!("FIGURES") }
}

fn join(user_id: OwnedUserId) -> ChangeMembership {
    membership(caller(user_id.clone()), user_id, MembershipAction::Join)
}

async fn create(stand: &Stand) -> Arc<Room> {
    let (room_id, question) = creation(&stand.server, caller(user(0)));
    let room = stand.room(&room_id);
    ask(stand, &room, question).await;
    room
}
