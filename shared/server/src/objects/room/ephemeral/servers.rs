//! Telling other servers of what local users have read and who of them types. A receipt is stored,
//! and a server reads it when it reads events: it is told, after a while and of many at once, that
//! something waits. Who types is told at once, and kept nowhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedServerName, OwnedUserId};
use skerry_core::delivery::SERVER_WEAK_WINDOW_MS;

use crate::{
    Result,
    messages::{
        destination::{RoomActivity, TypingActivity},
        room::Position,
    },
    objects::room::{Room, limits},
    store::room::{readers::Reader, servers},
};

impl Room {
    /// A local user has set a receipt for all to see: servers that have read everything before it
    /// are told at the end of the window, unless they have read it by then. Those that have not
    /// will read it with what they have not read. Called under the lock of the commit, so that a
    /// server reads it or is told.
    pub(super) fn announce_receipt_to_servers(self: &Arc<Self>, at: Position) {
        let now_ms = self.now_ms();
        let readers =
            self.deliveries().activity.advance_weak(now_ms, SERVER_WEAK_WINDOW_MS, is_server);
        let servers = readers.into_iter().filter_map(|it| match it {
            Reader::Server(server) => Some(server),
            Reader::User(_) => None,
        });
        {
            let mut window = self.receipt_window();
            window.servers.extend(servers);
            window.newest = at;
            if window.is_open || window.servers.is_empty() {
                return;
            }
            window.is_open = true;
        }
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.tell_servers_of_receipts().await }));
    }

    async fn tell_servers_of_receipts(self: &Arc<Self>) {
        loop {
            let servers = self.receipt_window().servers.len() as u64;
            let more_ms = servers.saturating_mul(limits::RECEIPT_WINDOW_PER_SERVER_MS);
            let window = Duration::from_millis(limits::RECEIPT_WINDOW_MS.max(more_ms));
            self.host.sleep(window).await;
            let (servers, newest) = {
                let mut window = self.receipt_window();
                window.is_open = !window.servers.is_empty();
                if !window.is_open {
                    return;
                }
                (std::mem::take(&mut window.servers), window.newest)
            };
            self.tell_servers_of_receipt(servers, newest).await;
        }
    }

    async fn tell_servers_of_receipt(
        &self,
        servers: BTreeSet<OwnedServerName>,
        position: Position,
    ) {
        let tell = |server: OwnedServerName| async move {
            if !self.deliveries().activity.is_told_weak(&Reader::Server(server.clone())) {
                return;
            }
            let room_id = self.id.clone();
            let activity = RoomActivity { room_id, position, is_weak: true };
            if let Err(error) = self.host.objects().ask(&*server, activity).await {
                tracing::debug!(%error, %server, "a server was not told of receipts");
            }
        };
        stream::iter(servers).for_each_concurrent(limits::DELIVERIES_AT_ONCE, tell).await;
    }

    /// Tells the servers in the room which local users type, or do not any more.
    pub(super) async fn tell_servers_of_typing(
        self: &Arc<Self>,
        users: &BTreeMap<OwnedUserId, bool>,
    ) {
        if users.is_empty() {
            return;
        }
        let servers = match self.servers_to_be_told().await {
            Ok(servers) => servers,
            Err(error) => {
                tracing::debug!(%error, "servers were not told who types");
                return;
            }
        };
        let tell = |server: OwnedServerName| async move {
            let activity = TypingActivity { room_id: self.id.clone(), users: users.clone() };
            if let Err(error) = self.host.objects().ask(&*server, activity).await {
                tracing::debug!(%error, %server, "a server was not told who types");
            }
        };
        stream::iter(servers).for_each_concurrent(limits::DELIVERIES_AT_ONCE, tell).await;
    }

    /// The servers in the room that the room lets in.
    async fn servers_to_be_told(self: &Arc<Self>) -> Result<Vec<OwnedServerName>> {
        let room = self.read().await?;
        let mut servers = servers::list_all(self.sql(), self.scope()).await?;
        servers.truncate(limits::TYPING_SERVERS);
        self.let_in(&room, servers).await
    }
}

fn is_server(reader: &Reader) -> bool {
    matches!(reader, Reader::Server(_))
}
