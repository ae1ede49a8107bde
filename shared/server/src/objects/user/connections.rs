//! Connections of sliding sync: the state of one is one row, of which those that were used last are
//! in memory too.

use lru::LruCache;
use ruma::{DeviceId, OwnedDeviceId};
use skerry_core::{
    sliding_sync::{Connection, Given, MAX_CONNECTIONS, UnknownPos},
    sync_token::SyncToken,
};

use super::{State, User, limits};
use crate::{
    Error, Result,
    messages::user::{ConnectionRead, ReadRoom},
    objects::held::Held,
    ports::Stmt,
    store::user::connections,
};

/// The device, and which of its connections.
pub(super) type Key = (OwnedDeviceId, String);

/// A connection in memory.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) connection: Connection,
    /// When the newest request came: an earlier one is not answered any more.
    pub(super) asked_us: u64,
}

/// Connections in memory: those that were used last.
#[derive(Debug)]
pub(super) struct Connections {
    /// Bounded by what they hold.
    open: LruCache<Key, Open>,
    held: Held,
}

/// What becomes of a connection when a batch is written.
pub(super) struct ConnectionPlan {
    key: Key,
    open: Open,
    pos: String,
    begins: bool,
    pub(super) stmts: Vec<Stmt>,
}

impl Default for Connections {
    fn default() -> Self {
        Self { open: LruCache::unbounded(), held: Held::of(&limits::USERS) }
    }
}

impl Connections {
    /// Keeps a connection in memory.
    pub(super) fn keep(&mut self, key: Key, open: Open) {
        let bytes = open.connection.bytes();
        self.drop_one(&key);
        self.held.grow(bytes);
        self.open.put(key, open);
        while self.held.exceeds(limits::CONNECTIONS_BYTES)
            && let Some((_, dropped)) = self.open.pop_lru()
        {
            self.held.shrink(dropped.connection.bytes());
        }
    }

    /// The batch of a plan is written: the connection's position. Where one more has begun, another
    /// one of the device may be gone.
    pub(super) fn put(&mut self, plan: ConnectionPlan) -> String {
        if plan.begins {
            self.forget(std::slice::from_ref(&plan.key.0));
        }
        self.keep(plan.key, plan.open);
        plan.pos
    }

    fn drop_one(&mut self, key: &Key) {
        let dropped = self.open.pop(key);
        self.held.shrink(dropped.map_or(0, |it| it.connection.bytes()));
    }

    /// Devices have gone.
    pub(super) fn forget(&mut self, device_ids: &[OwnedDeviceId]) {
        let keys = self.open.iter().map(|(key, _)| key.clone());
        let keys: Vec<_> = keys.filter(|(device_id, _)| device_ids.contains(device_id)).collect();
        for key in &keys {
            self.drop_one(key);
        }
    }

    /// All devices have gone.
    pub(super) fn forget_all(&mut self) {
        self.open.clear();
        self.held.set(0);
    }
}

impl User {
    /// A connection, taken out of memory or read; none: there is no such connection.
    pub(super) async fn take_connection(
        &self,
        state: &mut State,
        key: &Key,
    ) -> Result<Option<Open>> {
        if let Some(open) = state.connections.open.pop(key) {
            state.connections.held.shrink(open.connection.bytes());
            return Ok(Some(open));
        }
        let (device_id, conn_id) = key;
        let stored = connections::find(self.sql(), self.scope(), device_id, conn_id).await?;
        let connection = stored.map(|it| serde_json::from_str(&it)).transpose()?;
        Ok(connection.map(|connection| Open { connection, asked_us: 0 }))
    }

    /// Plans what a connection is given. Of rooms that are `lost` nobody remembers that they were
    /// read: they are given again.
    pub(super) async fn plan_connection(
        &self,
        state: &mut State,
        device_id: &DeviceId,
        read: &ConnectionRead,
        (token, lost): (SyncToken, &[ReadRoom]),
    ) -> Result<ConnectionPlan> {
        let key = (device_id.to_owned(), read.conn_id.clone());
        let begins = read
            .begins
            .map(|nonce| Open { connection: Connection::new(nonce), asked_us: read.asked_us });
        let mut open = match begins {
            Some(open) => open,
            None => self.take_connection(state, &key).await?.ok_or_else(unknown_pos)?,
        };
        if open.asked_us > read.asked_us {
            state.connections.keep(key, open);
            return Err(unknown_pos());
        }
        let mut given = Given::new(token, read.looked_up_us);
        for it in &read.rooms {
            if !lost.iter().any(|lost| lost.room_id == it.room_id) {
                given.put(it.room_id.clone(), it.given, &it.required_state);
            }
        }
        let pos = open.connection.answer(given).to_string();
        let json = serde_json::to_string(&open.connection)?;
        let scope = self.scope();
        let place = (device_id, read.conn_id.as_str());
        let mut stmts = vec![connections::upsert(scope, place, read.looked_up_us, json)];
        if read.begins.is_some() {
            let kept = MAX_CONNECTIONS as u64;
            stmts.push(connections::remove_surplus(scope, device_id, kept));
        }
        Ok(ConnectionPlan { key, open, pos, begins: read.begins.is_some(), stmts })
    }
}

/// `400 M_UNKNOWN_POS`.
pub(super) fn unknown_pos() -> Error {
    Error::api(ruma::api::error::ErrorKind::UnknownPos, UnknownPos.to_string())
}
