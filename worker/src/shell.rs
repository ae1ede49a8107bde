//! The shell of every Durable Object: it hands commands and alarms to the object's logic, and
//! keeps the sockets behind which clients wait.

use std::{cell::OnceCell, sync::Arc, time::Duration};

use skerry::{
    Error, Result,
    objects::{CommandOf, Context as _, Object, ReplyOf},
    ports::{Clock as _, ObjectHost},
};
use worker::{Env, Request, Response, State, WebSocketPair};

use crate::{host::EdgeHost, js::map_worker_error, machine::EdgeClock, wire};

/// Clients of one object that wait at the same time. Who comes after them takes the place of the
/// one who has waited longest.
const MAX_WAITING: usize = 1_000;

/// When an alarm that failed goes off again.
const ALARM_RETRY: Duration = Duration::from_secs(30);

/// What every class of Durable Objects is made of.
pub(crate) struct Shell<O> {
    pub(crate) host: Arc<EdgeHost>,
    object: OnceCell<Arc<O>>,
}

impl<O: Object> Shell<O> {
    pub(crate) fn new(state: State, env: Env) -> Self {
        let host = EdgeHost::new(state, env, O::KIND, O::MIGRATIONS);
        #[cfg(feature = "test-routes")]
        if O::KIND == skerry::objects::user::User::KIND {
            crate::test_routes::count_construction(&host);
        }
        Self { host, object: OnceCell::new() }
    }

    async fn object(&self) -> Result<&Arc<O>> {
        if let Some(object) = self.object.get() {
            return Ok(object);
        }
        let id = O::Id::try_from(self.host.name()?).map_err(Error::internal)?;
        let context = O::Context::load(&*self.host).await?;
        // Another event may have been quicker: there is one instance.
        Ok(self.object.get_or_init(|| O::new(id, context, self.host.clone())))
    }

    /// A request from a Worker or from another object.
    pub(crate) async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        #[cfg(feature = "test-routes")]
        if let Some(answer) = crate::test_routes::in_object(&self.host, &request).await {
            return answer;
        }
        if request.path() == wire::WAIT_PATH {
            return match self.accept_waiting(&request).await {
                Ok(response) => Ok(response),
                Err(error) => wire::response(Err::<(), _>(error)),
            };
        }
        wire::response(self.ask(&mut request).await)
    }

    async fn ask(&self, request: &mut Request) -> Result<ReplyOf<O>> {
        let command: CommandOf<O> = wire::command(request).await?;
        self.object().await?.ask(command).await
    }

    /// The alarm. What fails is tried again by an alarm of our own: the platform gives up after
    /// some attempts.
    pub(crate) async fn alarm(&self) -> worker::Result<Response> {
        self.host.alarm_goes_off();
        let result = match self.object().await {
            Ok(object) => object.alarm().await,
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            tracing::warn!(?error, kind = O::KIND, "an alarm failed and goes off again later");
            let retry_ms = u64::try_from(ALARM_RETRY.as_millis()).unwrap_or(u64::MAX);
            let at_ms = EdgeClock.now_ms().saturating_add(retry_ms);
            self.host.commit(Vec::new(), Some(at_ms)).await.map_err(wire::to_platform)?;
        }
        Response::empty()
    }

    /// Accepts a socket that is told of news. The object may sleep meanwhile: what it has to know
    /// of the socket is the platform's to keep.
    async fn accept_waiting(&self, request: &Request) -> Result<Response> {
        let after = wire::wait_after(request)?;
        // What may fail comes first: a socket that was accepted and dropped is nobody's.
        let object = self.object().await?;
        object.position().await?;
        let pair = WebSocketPair::new().map_err(map_worker_error)?;
        let waiting = self.host.state.get_websockets();
        if let Some(longest) = waiting.first().filter(|_| waiting.len() >= MAX_WAITING) {
            // It may be closed already.
            let _ = longest.close(Some(1000), None::<&str>);
        }
        // First listen, then look: news in between is not missed.
        self.host.state.accept_web_socket(&pair.server);
        let position = object.position().await?;
        if position > after {
            pair.server.send_with_str(position.to_string()).map_err(map_worker_error)?;
        }
        Response::from_websocket(pair.client).map_err(map_worker_error)
    }
}

/// Makes a class of Durable Objects of a kind of object.
macro_rules! durable_object {
    ($class:ident, $object:ty) => {
        #[worker::durable_object]
        pub struct $class {
            shell: crate::shell::Shell<$object>,
        }

        impl worker::DurableObject for $class {
            fn new(state: worker::State, env: worker::Env) -> Self {
                Self { shell: crate::shell::Shell::new(state, env) }
            }

            async fn fetch(&self, request: worker::Request) -> worker::Result<worker::Response> {
                self.shell.fetch(request).await
            }

            async fn alarm(&self) -> worker::Result<worker::Response> {
                self.shell.alarm().await
            }

            /// Nobody says anything on the sockets of those who wait.
            async fn websocket_message(
                &self,
                _: worker::WebSocket,
                _: worker::WebSocketIncomingMessage,
            ) -> worker::Result<()> {
                Ok(())
            }

            /// The wait is over. The platform forgets the socket when this end is closed too.
            async fn websocket_close(
                &self,
                socket: worker::WebSocket,
                _: usize,
                _: String,
                _: bool,
            ) -> worker::Result<()> {
                // It may be closed already.
                let _ = socket.close(Some(1000), None::<&str>);
                Ok(())
            }

            /// The Worker at the other end is gone.
            async fn websocket_error(
                &self,
                _: worker::WebSocket,
                _: worker::Error,
            ) -> worker::Result<()> {
                Ok(())
            }
        }
    };
}
pub(crate) use durable_object;
