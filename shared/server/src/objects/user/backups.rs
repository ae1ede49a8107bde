//! Backups of room keys ([`skerry_core::key_backup`]).
//!
//! The keys of a backup are a *set*. Deleting a backup, or all of its keys, only takes its set from
//! it, which is one row however many keys there are; the agenda removes sets that no backup has.

use std::collections::BTreeMap;

use http::StatusCode;
use ruma::api::error::{ErrorKind, WrongRoomKeysVersionErrorData};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    gather::Gather as _,
    key_backup::{
        Key, MAX_AUTH_DATA_BYTES, MAX_BYTES, MAX_DELETED, MAX_VERSIONS, PAGE_BYTES, PAGE_KEYS,
    },
};

use super::{Due, State, User, limits};
use crate::{
    Error, Result,
    messages::user::{
        Backup as Known, BackupKey, BackupPage, CreateBackup, DeleteBackup, DeleteBackupKeys,
        GetBackup, GetBackupKeys, HeldKeys, PutBackupKeys, UpdateBackup, WhichKeys,
    },
    objects::agenda::AgendaPlan,
    ports::Stmt,
    store::user::{
        backup_keys::{self, KeyId},
        backups::{self, Backup},
    },
};

/// All backups of a user, the oldest first.
struct Backups(Vec<Backup>);

impl Backups {
    fn alive(&self) -> impl DoubleEndedIterator<Item = &Backup> {
        self.0.iter().filter(|it| !it.is_deleted)
    }

    /// The backup of a version; none: the last.
    fn find(&self, version: Option<u64>) -> Result<&Backup> {
        let mut alive = self.alive().rev();
        let found = alive.find(|it| version.is_none_or(|version| it.version == version));
        found.ok_or_else(|| Error::not_found("there is no such backup"))
    }

    /// A set of keys that no backup has had.
    fn next_set(&self) -> u64 {
        self.0.iter().map(|it| it.key_set).max().unwrap_or(0) + 1
    }
}

/// A backup without what it held.
fn deleted(backup: &Backup) -> Backup {
    Backup {
        is_deleted: true,
        algorithm: String::new(),
        auth_data: "{}".to_owned(),
        keys: 0,
        bytes: 0,
        ..backup.clone()
    }
}

fn held(backup: &Backup) -> HeldKeys {
    HeldKeys { count: backup.keys, etag: backup.etag }
}

fn check_auth_data(auth_data: &RawJsonValue) -> Result<()> {
    match auth_data.get().len() > MAX_AUTH_DATA_BYTES {
        true => Err(Error::api(ErrorKind::TooLarge, "the auth_data is too large")),
        false => Ok(()),
    }
}

impl User {
    async fn backups(&self) -> Result<Backups> {
        backups::list(self.sql(), self.scope()).await.map(Backups)
    }

    /// Begins a backup.
    pub(super) async fn create_backup(&self, it: CreateBackup) -> Result<u64> {
        check_auth_data(&it.auth_data)?;
        let mut state = self.lock_in_use().await?;
        let (backups, scope) = (self.backups().await?, self.scope());
        let version = backups.0.last().map_or(1, |it| it.version + 1);
        let new = Backup {
            version,
            is_deleted: false,
            algorithm: it.algorithm,
            auth_data: it.auth_data.get().to_owned(),
            key_set: backups.next_set(),
            keys: 0,
            bytes: 0,
            etag: 0,
        };
        let surplus = (backups.alive().count() + 1).saturating_sub(MAX_VERSIONS);
        let mut stmts: Vec<_> =
            backups.alive().take(surplus).map(|it| backups::upsert(scope, &deleted(it))).collect();
        let mut agenda = AgendaPlan::default();
        if surplus > 0 {
            agenda.set(Due::Clean, self.host.clock().now_ms());
        }
        if let Some(forgotten) = version.checked_sub(MAX_DELETED).filter(|it| *it > 0) {
            stmts.push(backups::remove_deleted(scope, forgotten));
        }
        stmts.push(backups::upsert(scope, &new));
        self.write(&mut state, stmts, agenda).await?;
        Ok(version)
    }

    /// What is known of a backup.
    pub(super) async fn get_backup(&self, it: GetBackup) -> Result<Option<Known>> {
        let _state = self.lock().await?;
        let backups = self.backups().await?;
        let Ok(backup) = backups.find(it.version) else { return Ok(None) };
        Ok(Some(Known {
            version: backup.version,
            algorithm: backup.algorithm.clone(),
            auth_data: RawJsonValue::from_string(backup.auth_data.clone())?,
            held: held(backup),
        }))
    }

    /// Changes what a backup says of itself.
    pub(super) async fn update_backup(&self, it: UpdateBackup) -> Result<()> {
        check_auth_data(&it.auth_data)?;
        let mut state = self.lock_in_use().await?;
        let backups = self.backups().await?;
        let backup = backups.find(Some(it.version))?;
        if backup.algorithm != it.algorithm {
            return Err(Error::invalid_param("the backup has another algorithm"));
        }
        let new = Backup { auth_data: it.auth_data.get().to_owned(), ..backup.clone() };
        self.write_backup(&mut state, Vec::new(), &new, false).await
    }

    /// Deletes a backup.
    pub(super) async fn delete_backup(&self, it: DeleteBackup) -> Result<()> {
        let mut state = self.lock_in_use().await?;
        let backups = self.backups().await?;
        match backups.0.iter().find(|known| known.version == it.version) {
            Some(it) if it.is_deleted => Ok(()),
            Some(it) => self.write_backup(&mut state, Vec::new(), &deleted(it), true).await,
            None => Err(Error::not_found("there is no such backup")),
        }
    }

    /// Writes a backup, and what changes of its keys. `drops_set`: they are gone together.
    async fn write_backup(
        &self,
        state: &mut State,
        mut stmts: Vec<Stmt>,
        new: &Backup,
        drops_set: bool,
    ) -> Result<()> {
        let mut agenda = AgendaPlan::default();
        if drops_set {
            agenda.set(Due::Clean, self.host.clock().now_ms());
        }
        stmts.push(backups::upsert(self.scope(), new));
        self.write(state, stmts, agenda).await
    }

    /// Puts keys into the last backup.
    pub(super) async fn put_backup_keys(&self, it: PutBackupKeys) -> Result<HeldKeys> {
        let mut state = self.lock_in_use().await?;
        let backups = self.backups().await?;
        backups.find(Some(it.version))?;
        let backup = backups.find(None)?;
        if backup.version != it.version {
            return Err(wrong_version(backup.version));
        }
        let id = |it: &BackupKey| (it.room_id.clone(), it.session_id.clone());
        let ids: Vec<_> = it.keys.iter().map(id).collect();
        let (sql, scope) = (self.sql(), self.scope());
        let known = backup_keys::list_ranks(sql, scope, backup.key_set, &ids).await?;
        let known: BTreeMap<_, _> =
            known.into_iter().map(|(id, rank, bytes)| (id, (rank, bytes))).gather();
        let mut new = backup.clone();
        let mut changed = Vec::new();
        for (id, key) in ids.into_iter().zip(it.keys.iter().map(|it| &it.key)) {
            match known.get(&id) {
                Some((rank, _)) if !key.rank().replaces(*rank) => continue,
                Some((_, bytes)) => new.bytes = new.bytes.saturating_sub(*bytes),
                None => {
                    new.keys += 1;
                    new.bytes += Key::row_bytes(&id.0, &id.1);
                }
            }
            new.bytes += key.session_data.get().len() as u64;
            changed.push((id, key));
        }
        if changed.is_empty() {
            return Ok(held(backup));
        }
        let all: u64 = backups.alive().map(|it| it.bytes).sum();
        if all.saturating_sub(backup.bytes).saturating_add(new.bytes) > MAX_BYTES {
            return Err(Error::api(ErrorKind::TooLarge, "there are too many keys in backups"));
        }
        new.etag += 1;
        let chunks = changed.chunks(limits::BACKUP_KEYS_PER_STMT);
        let stmts = chunks.map(|it| backup_keys::upsert_list(scope, backup.key_set, it));
        self.write_backup(&mut state, stmts.collect::<Result<_>>()?, &new, false).await?;
        Ok(held(&new))
    }

    /// Keys of a backup, by the page.
    pub(super) async fn get_backup_keys(&self, it: GetBackupKeys) -> Result<BackupPage> {
        let GetBackupKeys { version, which: WhichKeys { room_id, session_id }, from } = it;
        let _state = self.lock().await?;
        let backups = self.backups().await?;
        let backup = backups.find(Some(version))?;
        let text = Option::unwrap_or_default;
        let (begin, limit) = match &session_id {
            Some(session_id) => ((text(room_id.as_deref()), &**session_id), 1),
            None => match &from {
                Some((room_id, session_id)) => ((&**room_id, &**session_id), PAGE_KEYS + 1),
                None => ((text(room_id.as_deref()), ""), PAGE_KEYS + 1),
            },
        };
        let last = room_id.as_deref().unwrap_or("\u{10FFFF}");
        let (sql, scope) = (self.sql(), self.scope());
        let mut found = backup_keys::list(sql, scope, backup.key_set, begin, last, limit).await?;
        if let Some(session_id) = &session_id {
            found.retain(|((_, it), _)| it == session_id);
        }
        let sizes = found.iter().map(|(_, key)| key.session_data.get().len());
        let rest = found.split_off(skerry_core::to_device::fitting(sizes, PAGE_KEYS, PAGE_BYTES));
        let next = rest.into_iter().next().map(|(id, _)| id);
        let key = |((room_id, session_id), key)| BackupKey { room_id, session_id, key };
        Ok(BackupPage { keys: found.into_iter().map(key).collect(), next })
    }

    /// Removes keys of a backup.
    pub(super) async fn delete_backup_keys(&self, it: DeleteBackupKeys) -> Result<HeldKeys> {
        let mut state = self.lock_in_use().await?;
        let backups = self.backups().await?;
        let backup = backups.find(Some(it.version))?;
        let (sql, scope, key_set) = (self.sql(), self.scope(), backup.key_set);
        let mut new = Backup { etag: backup.etag + 1, ..backup.clone() };
        let WhichKeys { room_id, session_id } = it.which;
        let (stmt, (keys, bytes)) = match (room_id, session_id) {
            (Some(room_id), Some(session_id)) => {
                let id: KeyId = (room_id, session_id);
                let known =
                    backup_keys::list_ranks(sql, scope, key_set, std::slice::from_ref(&id)).await?;
                let size = known
                    .first()
                    .map_or((0, 0), |(_, _, bytes)| (1, bytes + Key::row_bytes(&id.0, &id.1)));
                (Some(backup_keys::remove(scope, key_set, (&id.0, &id.1))), size)
            }
            (Some(room_id), None) => {
                let (keys, bytes) = backup_keys::find_size(sql, scope, key_set, &room_id).await?;
                let bytes = bytes + keys * Key::row_bytes(&room_id, "");
                (Some(backup_keys::remove_of_room(scope, key_set, &room_id)), (keys, bytes))
            }
            (None, _) => {
                new.key_set = backups.next_set();
                (None, (backup.keys, backup.bytes))
            }
        };
        if keys == 0 {
            return Ok(held(backup));
        }
        new.keys = new.keys.saturating_sub(keys);
        new.bytes = new.bytes.saturating_sub(bytes);
        let drops_set = stmt.is_none();
        self.write_backup(&mut state, stmt.into_iter().collect(), &new, drops_set).await?;
        Ok(held(&new))
    }

    /// The statement that drops all backups, if there are any. The keys go by the page.
    pub(super) async fn drop_backups(&self, agenda: &mut AgendaPlan<Due>) -> Result<Option<Stmt>> {
        let is_any = !self.backups().await?.0.is_empty();
        if is_any {
            agenda.set(Due::Clean, self.host.clock().now_ms());
        }
        Ok(is_any.then(|| backups::remove_all(self.scope())))
    }

    /// Removes a page of the keys that no backup has. Whether there may be more.
    pub(super) async fn purge_keys(&self, stmts: &mut Vec<Stmt>) -> Result<bool> {
        let (sql, scope) = (self.sql(), self.scope());
        let backups = self.backups().await?;
        let mut last = 0;
        while let Some(key_set) = backup_keys::find_set_after(sql, scope, last).await? {
            if !backups.alive().any(|it| it.key_set == key_set) {
                let limit = limits::BACKUP_KEYS_PER_ROUND;
                stmts.push(backup_keys::remove_page(scope, key_set, limit));
                return Ok(true);
            }
            last = key_set;
        }
        Ok(false)
    }
}

fn wrong_version(current: u64) -> Error {
    let data = WrongRoomKeysVersionErrorData::new(current.to_string());
    let kind = ErrorKind::WrongRoomKeysVersion(data);
    Error::with_status(StatusCode::FORBIDDEN, kind, "keys go into the newest backup alone")
}
