//! Other objects, of which a test has only some: nobody else is asked.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ruma::{RoomId, ServerName, UserId};
use skerry::{
    Error, Result,
    messages::{destination, room, user},
    ports::Objects,
};

/// What a test has of other objects: whom it does not say anything of cannot be asked.
#[async_trait]
pub(crate) trait SomeObjects: Send + Sync + 'static {
    async fn room(&self, _: &RoomId, _: room::Command) -> Result<room::Reply> {
        Err(Error::internal("no room is asked"))
    }

    async fn user(&self, _: &UserId, _: user::Command) -> Result<user::Reply> {
        Err(Error::internal("no user is asked"))
    }

    async fn destination(
        &self,
        _: &ServerName,
        _: destination::Command,
    ) -> Result<destination::Reply> {
        Err(Error::internal("no other server is asked"))
    }
}

/// These, and no others. Nobody waits for anything new.
pub(crate) struct Only<T>(pub(crate) Arc<T>);

#[async_trait]
impl<T: SomeObjects> Objects for Only<T> {
    async fn room(&self, room_id: &RoomId, command: room::Command) -> Result<room::Reply> {
        self.0.room(room_id, command).await
    }

    async fn user(&self, user_id: &UserId, command: user::Command) -> Result<user::Reply> {
        self.0.user(user_id, command).await
    }

    async fn destination(
        &self,
        server: &ServerName,
        command: destination::Command,
    ) -> Result<destination::Reply> {
        self.0.destination(server, command).await
    }

    async fn wait_for_changes(
        &self,
        _: &UserId,
        _: user::GetChanges,
        _: Duration,
    ) -> Result<Box<user::Changes>> {
        Err(Error::internal("nobody waits"))
    }
}
