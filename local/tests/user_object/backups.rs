//! Backups of room keys: which keys are kept, and what goes with a backup.

use serde_json::json;
use skerry::messages::user::{
    BackupKey, CreateBackup, DeleteBackup, DeleteBackupKeys, GetBackup, GetBackupKeys, HeldKeys,
    PutBackupKeys, UpdateBackup, WhichKeys,
};
use skerry_core::key_backup::{Key, MAX_VERSIONS, PAGE_KEYS};

use super::{
    account::deactivate,
    stand::{World, raw},
};
use crate::host::Fate;

pub(crate) fn create() -> CreateBackup {
    CreateBackup { algorithm: "m.test".to_owned(), auth_data: raw(&json!({ "a": 1 })) }
}

fn key(index: u32) -> Key {
    Key {
        first_message_index: index.into(),
        forwarded_count: 0_u32.into(),
        is_verified: true,
        session_data: raw(&json!({ "x": "y" })),
    }
}

pub(crate) fn put(version: u64, keys: &[(&str, &str, u32)]) -> PutBackupKeys {
    let key = |(room_id, session_id, index): &(&str, &str, u32)| BackupKey {
        room_id: (*room_id).to_owned(),
        session_id: (*session_id).to_owned(),
        key: key(*index),
    };
    PutBackupKeys { version, keys: keys.iter().map(key).collect() }
}

fn which(room_id: Option<&str>, session_id: Option<&str>) -> WhichKeys {
    WhichKeys { room_id: room_id.map(str::to_owned), session_id: session_id.map(str::to_owned) }
}

impl World {
    async fn keys_of(&self, version: u64, which: WhichKeys) -> Vec<String> {
        let (mut found, mut from) = (Vec::new(), None);
        loop {
            let question = GetBackupKeys { version, which: which.clone(), from };
            let page = self.ask(question).await;
            found.extend(page.keys.into_iter().map(|it| {
                format!("{} {} {}", it.room_id, it.session_id, it.key.first_message_index)
            }));
            from = page.next;
            if from.is_none() {
                return found;
            }
        }
    }

    async fn key_rows(&self) -> u64 {
        self.count("SELECT COUNT(*) FROM user_backup_keys").await
    }

    async fn bytes(&self) -> u64 {
        self.count("SELECT sum(bytes) FROM user_backups").await
    }

    async fn purge(&self) {
        for _ in 0..5 {
            self.host.pass(1);
            self.alarm().await;
        }
    }
}

#[tokio::test]
async fn the_better_key_is_kept_and_only_changes_count() {
    let mut world = World::registered().await;
    assert_eq!(world.ask(create()).await, 1);
    let held = world.ask(put(1, &[("!a", "1", 5), ("!a", "2", 5), ("!b", "1", 5)])).await;
    assert_eq!(held, HeldKeys { count: 3, etag: 1 });
    let bytes = world.bytes().await;
    let held = world.ask(put(1, &[("!a", "1", 5), ("!a", "2", 9)])).await;
    assert_eq!(held, HeldKeys { count: 3, etag: 1 }, "neither is better");
    world = world.restarted();
    let held = world.ask(put(1, &[("!a", "1", 4), ("!a", "2", 9), ("!c", "1", 1)])).await;
    assert_eq!(held, HeldKeys { count: 4, etag: 2 });
    let all = ["!a 1 4", "!a 2 5", "!b 1 5", "!c 1 1"];
    assert_eq!(world.keys_of(1, which(None, None)).await, all);
    assert_eq!(world.keys_of(1, which(Some("!a"), None)).await, all[..2]);
    assert_eq!(world.keys_of(1, which(Some("!a"), Some("2"))).await, all[1..2]);
    assert_eq!(world.keys_of(1, which(Some("!a"), Some("0"))).await, [""; 0]);
    assert_eq!(world.keys_of(1, which(Some("!d"), None)).await, [""; 0]);
    let remove =
        |room_id, session_id| DeleteBackupKeys { version: 1, which: which(room_id, session_id) };
    assert_eq!(world.ask(remove(Some("!a"), Some("9"))).await, HeldKeys { count: 4, etag: 2 });
    assert_eq!(world.ask(remove(Some("!c"), Some("1"))).await, HeldKeys { count: 3, etag: 3 });
    assert_eq!(world.bytes().await, bytes, "what is removed is counted as it was when it came");
    assert_eq!(world.ask(remove(Some("!a"), None)).await, HeldKeys { count: 1, etag: 4 });
    assert_eq!(world.bytes().await * 3, bytes);
    assert_eq!(world.keys_of(1, which(None, None)).await, ["!b 1 5"]);
    assert_eq!(world.ask(remove(None, None)).await, HeldKeys { count: 0, etag: 5 });
    assert_eq!((world.bytes().await, world.key_rows().await), (0, 1));
    world.ask(put(1, &[("!b", "1", 7)])).await;
    assert_eq!(world.keys_of(1, which(None, None)).await, ["!b 1 7"], "the old one is gone");
    world.purge().await;
    assert_eq!(world.key_rows().await, 1);
}

#[tokio::test]
async fn keys_go_into_the_newest_backup_alone() {
    let world = World::registered().await;
    world.ask(create()).await;
    assert_eq!(world.ask(create()).await, 2);
    let refused = world.try_ask(put(1, &[("!a", "1", 1)])).await.unwrap_err().to_json();
    assert_eq!(refused["errcode"], "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(refused["current_version"], "2");
    assert_eq!(world.refused(put(3, &[])).await, 404);
    world.ask(put(2, &[("!a", "1", 1)])).await;
    world.ask(DeleteBackup { version: 2 }).await;
    world.ask(DeleteBackup { version: 2 }).await;
    assert_eq!(world.refused(DeleteBackup { version: 3 }).await, 404);
    assert_eq!(world.refused(put(2, &[])).await, 404, "what was deleted stays gone");
    let last = async || world.ask(GetBackup { version: None }).await.map(|it| it.version);
    assert_eq!(last().await, Some(1));
    world.ask(put(1, &[("!a", "1", 1)])).await;
    assert_eq!(world.ask(create()).await, 3, "a version is never another's");
    assert_eq!(world.key_rows().await, 2);
    world.purge().await;
    assert_eq!(world.key_rows().await, 1);
    let update = |algorithm: &str| UpdateBackup {
        version: 1,
        algorithm: algorithm.to_owned(),
        auth_data: raw(&json!({ "b": 2 })),
    };
    assert_eq!(world.refused(update("m.other")).await, 400);
    world.ask(update("m.test")).await;
    let known = world.ask(GetBackup { version: Some(1) }).await.unwrap();
    assert_eq!(known.auth_data.get(), r#"{"b":2}"#);
    assert_eq!(known.held, HeldKeys { count: 1, etag: 1 });
}

#[tokio::test]
async fn many_keys_come_by_the_page_and_go_by_the_page() {
    let world = World::registered().await;
    world.ask(create()).await;
    let count = 5 * PAGE_KEYS + 7;
    let ids: Vec<_> = (0..count).map(|it| (format!("!{}", it % 3), format!("{it:06}"))).collect();
    for ids in ids.chunks(700) {
        let keys: Vec<_> = ids.iter().map(|(room, session)| (&**room, &**session, 1)).collect();
        world.ask(put(1, &keys)).await;
    }
    assert_eq!(world.keys_of(1, which(None, None)).await.len(), count);
    let of_room = world.keys_of(1, which(Some("!1"), None)).await;
    assert_eq!(of_room.len(), ids.iter().filter(|(room, _)| room == "!1").count());
    let held = world.ask(DeleteBackupKeys { version: 1, which: which(None, None) }).await;
    assert_eq!(held.count, 0);
    assert_eq!(world.keys_of(1, which(None, None)).await.len(), 0);
    world.purge().await;
    assert_eq!(world.key_rows().await, 0);
}

#[tokio::test]
async fn a_batch_that_fails_leaves_no_half() {
    for fate in [Fate::Refused, Fate::WrittenAndFailed] {
        let world = World::registered().await;
        world.ask(create()).await;
        world.host.next_commit(fate);
        world.try_ask(put(1, &[("!a", "1", 5), ("!a", "2", 5)])).await.unwrap_err();
        let held = world.ask(put(1, &[("!a", "1", 5), ("!a", "2", 5)])).await;
        assert_eq!(held, HeldKeys { count: 2, etag: 1 }, "{fate:?}");
    }
}

#[tokio::test]
async fn of_backups_there_are_so_many_and_with_the_account_they_go() {
    let world = World::registered().await;
    for version in 1..=MAX_VERSIONS as u64 + 3 {
        assert_eq!(world.ask(create()).await, version);
        world.ask(put(version, &[("!a", "1", 1)])).await;
    }
    let alive = "SELECT COUNT(*) FROM user_backups WHERE is_deleted = 0";
    assert_eq!(world.count(alive).await, MAX_VERSIONS as u64);
    assert!(world.ask(GetBackup { version: Some(3) }).await.is_none());
    assert!(world.ask(GetBackup { version: Some(4) }).await.is_some());
    world.purge().await;
    assert_eq!(world.key_rows().await, MAX_VERSIONS as u64);
    world.ask(deactivate()).await;
    assert_eq!(world.count("SELECT COUNT(*) FROM user_backups").await, 0);
    for _ in 0..MAX_VERSIONS {
        world.purge().await;
    }
    assert_eq!(world.key_rows().await, 0);
    assert_eq!(world.refused(create()).await, 401);
}
