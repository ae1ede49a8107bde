//! The stream of a user: what a `/sync` token has seen, and what is new to it.

use ruma::{
    RoomId, events::room::member::MembershipState, owned_device_id, owned_user_id, user_id,
};
use serde_json::json;
use skerry::{
    messages::{
        room::Position,
        user::{Changes, Membership, Read, ReadRoom, RoomActivity},
    },
    ports::{Sql as _, Stmt},
    store::user::rooms,
};
use skerry_core::{sync_token::SyncToken, user_stream::MAX_MARKS_PER_ROOM};

use super::stand::{World, a_room, get_changes};
use crate::host::SCOPE;

impl World {
    pub(crate) async fn membership(
        &self,
        room_id: &RoomId,
        membership: MembershipState,
        position: Position,
    ) {
        let membership = Membership {
            room_id: room_id.to_owned(),
            membership,
            position,
            sender: owned_user_id!("@eve:localhost"),
            stripped_state: Vec::new(),
            shown: None,
        };
        self.ask(membership).await;
    }

    pub(crate) async fn activity(&self, position: Position) {
        self.ask(RoomActivity { room_id: a_room().to_owned(), position }).await;
    }

    pub(crate) async fn changes(&self, since: Option<SyncToken>) -> Changes {
        *self.ask(get_changes("d", since)).await
    }

    /// What of the room is to be read, if anything.
    pub(crate) async fn from(&self, since: Option<SyncToken>) -> Option<Option<Position>> {
        let changes = self.changes(since).await;
        changes.joined.first().filter(|it| it.has_events).map(|it| it.from)
    }

    pub(crate) async fn read(&self, position: u64, to: Position) -> SyncToken {
        let room = ReadRoom { room_id: a_room().to_owned(), to, members: Vec::new() };
        let device_id = owned_device_id!("D");
        let instance = self.changes(None).await.instance;
        let rooms = vec![room];
        self.ask(Read { position, instance, device_id, rooms, active_ms: None }).await.token
    }

    pub(crate) async fn position(&self) -> u64 {
        self.changes(None).await.position
    }
}

#[tokio::test]
async fn a_token_outlives_the_object() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    assert_eq!(world.from(None).await, Some(None), "new to the client");
    let token = world.read(world.position().await, 3).await;
    assert_eq!(world.from(Some(token)).await, None);
    let world = world.restarted();
    world.activity(9).await;
    assert_eq!(world.from(Some(token)).await, Some(Some(3)));
    let position = world.position().await;
    assert_eq!(world.host.woken(), 2, "by the membership and the activity");
    let later = world.read(position, 10).await;
    assert_eq!(world.from(Some(later)).await, None);
    assert_eq!(world.from(Some(token)).await, Some(Some(3)), "an answer that got lost");
    world.activity(10).await;
    assert_eq!(world.from(Some(later)).await, None, "told late");
}

#[tokio::test]
async fn what_happens_during_a_read_is_not_lost() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let first = world.read(world.position().await, 3).await;
    world.activity(4).await;
    let position = world.changes(Some(first)).await.position;
    // One device reads up to 4; meanwhile another gets further, and the user changes something.
    world.set(None, "m.direct", json!({})).await;
    let other = world.read(world.position().await, 6).await;
    let token = world.read(position, 4).await;
    assert_eq!(world.from(Some(token)).await, Some(Some(4)));
    assert_eq!(world.changes(Some(token)).await.account_data.len(), 1);
    assert_eq!(world.from(Some(other)).await, None);
}

#[tokio::test]
async fn a_room_nobody_reads_stays_new_to_every_token() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let token = world.read(world.position().await, 3).await;
    world.activity(4).await;
    // The room's events are filtered out for a while: nothing is read, the token goes on.
    let later = SyncToken::at(world.changes(Some(token)).await.position);
    assert_eq!(world.from(Some(later)).await, Some(Some(3)));
}

#[tokio::test]
async fn who_comes_back_begins_anew() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Join, 3).await;
    let token = world.read(world.position().await, 5).await;
    world.membership(a_room(), MembershipState::Leave, 8).await;
    let left = world.changes(Some(token)).await;
    assert_eq!(left.left.first().map(|it| it.from), Some(Some(5)));
    assert_eq!(world.changes(None).await.left.len(), 0);
    world.membership(a_room(), MembershipState::Leave, 7).await;
    world.membership(a_room(), MembershipState::Join, 12).await;
    assert_eq!(world.from(Some(token)).await, Some(None));
    assert_eq!(world.from(Some(SyncToken::at(left.position))).await, Some(None));
}

#[tokio::test]
async fn marks_stay_few() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Join, 1).await;
    let first = world.read(world.position().await, 1).await;
    for position in 2..200 {
        world.activity(position).await;
        world.read(world.position().await, position).await;
    }
    let marks = world.count("SELECT json_array_length(marks) FROM user_rooms").await;
    assert!(marks <= MAX_MARKS_PER_ROOM as u64 + 1, "{marks}");
    let from = world.from(Some(first)).await.unwrap();
    assert!(from.is_none_or(|it| it <= 1), "a gap: {from:?}");
}

#[tokio::test]
async fn an_invitation_from_someone_ignored_is_not_told() {
    let world = World::registered().await;
    world.membership(a_room(), MembershipState::Invite, 3).await;
    assert_eq!(world.changes(None).await.invited.len(), 1);
    let list = json!({ "ignored_users": { "@eve:localhost": {}, "@ann:localhost": {}, "x": {} } });
    world.set(None, "m.ignored_user_list", list).await;
    let changes = world.changes(None).await;
    assert_eq!(changes.invited.len(), 0);
    assert_eq!(changes.ignored_users, [user_id!("@eve:localhost")]);
}

/// However many rooms the user has: SQLite would else read all of them for each one that was read.
#[tokio::test]
async fn a_recorded_read_looks_each_room_up_by_its_key() {
    let world = World::new().await;
    let stmt = rooms::update_read_list(SCOPE, &[], 1).unwrap();
    let sql = format!("EXPLAIN QUERY PLAN {}", stmt.sql);
    let stmt = Stmt { sql: Box::leak(sql.into_boxed_str()), ..stmt };
    let mut rows = world.host.sqlite.rows(stmt).await.unwrap();
    let steps: Vec<String> = rows.iter_mut().map(|row| row.take(3).unwrap()).collect();
    assert!(steps.iter().any(|it| it.contains("room_id=?")), "{steps:?}");
}
