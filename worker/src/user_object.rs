//! The shell of a `User`, and the place where its clients wait for news.

use std::{cell::OnceCell, sync::Arc};

use ruma::OwnedUserId;
use skerry::{
    Error, Result,
    messages::user::{Command, Reply},
    objects::user::User,
    store::migrations,
};
use worker::{
    DurableObject, Env, Request, Response, State, WebSocket, WebSocketIncomingMessage,
    WebSocketPair, durable_object,
};

use crate::{
    host::EdgeHost,
    js::map_worker_error,
    wire::{self, WAIT_AFTER, WAIT_PATH},
};

/// Clients of one user that wait at the same time. Who comes after them does not wait at all.
const MAX_WAITING: usize = 1_000;

/// One user.
#[durable_object]
pub struct UserObject {
    pub(crate) host: Arc<EdgeHost>,
    user: OnceCell<Arc<User>>,
}

impl UserObject {
    async fn user(&self) -> Result<&Arc<User>> {
        if let Some(user) = self.user.get() {
            return Ok(user);
        }
        let server = self.host.server().await?;
        let id: OwnedUserId = self.host.name()?.try_into().map_err(Error::internal)?;
        // Another event may have been quicker: there is one instance.
        Ok(self.user.get_or_init(|| User::new(id, server, self.host.clone())))
    }

    async fn ask(&self, mut request: Request) -> Result<Reply> {
        let command: Command = wire::command(&mut request).await?;
        self.user().await?.ask(command).await
    }

    async fn on_alarm(&self) -> Result<()> {
        self.user().await?.alarm().await
    }

    /// Accepts a socket that is told of news. The object may sleep meanwhile: what it has to know
    /// of the socket is the platform's to keep.
    async fn accept_waiting(&self, request: &Request) -> Result<Response> {
        let url = request.url().map_err(map_worker_error)?;
        let after = url.query_pairs().find(|(name, _)| name == WAIT_AFTER);
        let after: u64 = after
            .and_then(|(_, value)| value.parse().ok())
            .ok_or_else(|| Error::internal("a wait without a position"))?;
        let pair = WebSocketPair::new().map_err(map_worker_error)?;
        let too_many = self.host.state.get_websockets().len() >= MAX_WAITING;
        // First listen, then look: news in between is not missed.
        self.host.state.accept_web_socket(&pair.server);
        let position = self.user().await?.position().await?;
        if position > after || too_many {
            pair.server.send_with_str(position.to_string()).map_err(map_worker_error)?;
        }
        Response::from_websocket(pair.client).map_err(map_worker_error)
    }
}

impl DurableObject for UserObject {
    fn new(state: State, env: Env) -> Self {
        let host = EdgeHost::new(state, env, "user", migrations::USER);
        #[cfg(feature = "test-routes")]
        crate::test_routes::count_construction(&host);
        Self { host, user: OnceCell::new() }
    }

    async fn fetch(&self, request: Request) -> worker::Result<Response> {
        #[cfg(feature = "test-routes")]
        if let Some(answer) = crate::test_routes::in_user(&self.host, &request).await {
            return answer;
        }
        if request.path() == WAIT_PATH {
            return match self.accept_waiting(&request).await {
                Ok(response) => Ok(response),
                Err(error) => wire::response(Err::<(), _>(error)),
            };
        }
        wire::response(self.ask(request).await)
    }

    async fn alarm(&self) -> worker::Result<Response> {
        wire::alarm_response(self.on_alarm().await)
    }

    /// Nobody says anything on these sockets.
    async fn websocket_message(
        &self,
        _: WebSocket,
        _: WebSocketIncomingMessage,
    ) -> worker::Result<()> {
        Ok(())
    }

    /// The wait is over. The platform forgets the socket when this end is closed too.
    async fn websocket_close(
        &self,
        socket: WebSocket,
        _: usize,
        _: String,
        _: bool,
    ) -> worker::Result<()> {
        // It may be closed already.
        let _ = socket.close(Some(1000), None::<&str>);
        Ok(())
    }

    /// The Worker at the other end is gone.
    async fn websocket_error(&self, _: WebSocket, _: worker::Error) -> worker::Result<()> {
        Ok(())
    }
}
