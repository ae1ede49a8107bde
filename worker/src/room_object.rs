//! The shell of a `Room`.

use std::{cell::OnceCell, sync::Arc};

use ruma::OwnedRoomId;
use skerry::{
    Error, Result,
    messages::room::{Command, Reply},
    objects::room::Room,
    store::migrations,
};
use worker::{DurableObject, Env, Request, Response, State, durable_object};

use crate::{host::EdgeHost, wire};

/// One room.
#[durable_object(alarm)]
pub struct RoomObject {
    host: Arc<EdgeHost>,
    room: OnceCell<Arc<Room>>,
}

impl RoomObject {
    async fn room(&self) -> Result<&Arc<Room>> {
        if let Some(room) = self.room.get() {
            return Ok(room);
        }
        let server = self.host.server().await?;
        let id: OwnedRoomId = self.host.name()?.try_into().map_err(Error::internal)?;
        // Another event may have been quicker: there is one instance.
        Ok(self.room.get_or_init(|| Room::new(id, server, self.host.clone())))
    }

    async fn ask(&self, mut request: Request) -> Result<Reply> {
        let command: Command = wire::command(&mut request).await?;
        self.room().await?.ask(command).await
    }

    async fn on_alarm(&self) -> Result<()> {
        self.room().await?.alarm().await
    }
}

impl DurableObject for RoomObject {
    fn new(state: State, env: Env) -> Self {
        let host = EdgeHost::new(state, env, "room", migrations::ROOM);
        Self { host, room: OnceCell::new() }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        #[cfg(feature = "test-routes")]
        if let Some(answer) = crate::test_routes::in_room(&request).await {
            return answer;
        }
        wire::response(self.ask(request).await)
    }

    async fn alarm(&self) -> worker::Result<Response> {
        wire::alarm_response(self.on_alarm().await)
    }
}
