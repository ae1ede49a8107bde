//! How the database of a room grows: with its history, not with the size of its state.

use std::{path::Path, sync::Arc, time::Instant};

use ruma::{OwnedUserId, UserId, owned_device_id};
use serde_json::{json, value::to_raw_value};
use skerry::{
    messages::{
        Caller,
        room::{ChangeMembership, Create, MembershipAction, NewState, UpdateProfile},
    },
    objects::room::Room,
};
use skerry_core::{pdu, room_version};

use crate::stand::{Stand, ask, memory};

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
    ChangeMembership {
        caller: caller(user_id.clone()),
        target: user_id,
        action: MembershipAction::Join,
        reason: None,
        displayname: None,
        avatar_url: None,
        is_direct: false,
    }
}

async fn create(stand: &Stand) -> Arc<Room> {
    let rules = room_version::rules(&room_version::DEFAULT).expect("supported");
    let content = serde_json::from_value(json!({ "room_version": room_version::DEFAULT }));
    let (creator, key) = (user(0), &stand.server.signing_key);
    let content = content.expect("canonical");
    let create = pdu::create_event(content, &creator, None, None, &rules, 1, key);
    let create = create.expect("an event");
    let state = |event_type: &str, state_key: &str, content| NewState {
        event_type: event_type.to_owned(),
        state_key: state_key.to_owned(),
        content: to_raw_value(&content).expect("JSON"),
    };
    let room = stand.room(&create.room_id);
    let question = Create {
        creator: caller(creator.clone()),
        room_version: room_version::DEFAULT,
        create_event: serde_json::from_str(&create.json).expect("JSON"),
        state: vec![
            state("m.room.member", creator.as_str(), json!({ "membership": "join" })),
            state("m.room.power_levels", "", json!({})),
            state("m.room.join_rules", "", json!({ "join_rule": "public" })),
        ],
        invites: Vec::new(),
        listed: false,
        alias: None,
    };
    ask(stand, &room, question).await;
    room
}
