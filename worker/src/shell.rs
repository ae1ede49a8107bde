//! The shell of every Durable Object: it hands commands and alarms to the object's logic, and
//! keeps the sockets behind which clients wait.

use std::{cell::OnceCell, rc::Rc, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use skerry::{
    Error, Result,
    objects::{ALARM_RETRY_MS, Answer, CommandOf, Context as _, Object, ReplyOf, user::limits},
    ports::{Clock as _, ObjectHost},
};
use worker::{Env, Request, Response, State, WebSocket, WebSocketPair};

use crate::{host::EdgeHost, js::map_worker_error, machine::EdgeClock, wire};

/// The largest answer that goes out on a socket; whoever waits for a larger one asks without
/// waiting.
const MAX_ANSWER_BYTES: usize = 512 * 1024;

/// Of those who wait, so many are answered before others have a turn: one thread serves them all.
const ANSWERED_AT_ONCE: usize = 25;

/// What the platform keeps of a client that waits.
#[derive(Serialize, Deserialize)]
struct Waiting {
    since_ms: u64,
    command: String,
}

impl Waiting {
    fn of(socket: &WebSocket) -> Option<Self> {
        socket.deserialize_attachment().ok().flatten()
    }
}

/// What every class of Durable Objects is made of.
pub(crate) struct Shell<O> {
    host: Arc<EdgeHost>,
    object: OnceCell<Arc<O>>,
}

impl<O: Object> Shell<O> {
    pub(crate) fn new(state: State, env: Env) -> Rc<Self> {
        let host = EdgeHost::new(state, env, O::KIND, O::MIGRATIONS);
        #[cfg(feature = "test-routes")]
        if O::KIND == skerry::objects::user::User::KIND {
            crate::test_routes::count_construction(&host);
        }
        let shell = Rc::new(Self { host, object: OnceCell::new() });
        let weak = Rc::downgrade(&shell);
        shell.host.on_wake(move || {
            let weak = weak.clone();
            Box::pin(async move {
                if let Some(shell) = weak.upgrade() {
                    shell.answer_all().await;
                }
            })
        });
        shell
    }

    async fn object(&self) -> Result<&Arc<O>> {
        if let Some(object) = self.object.get() {
            self.host.reload_keys_if_due().await;
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
            return match self.answer_waiting(&request).await {
                Ok(response) => Ok(response),
                Err(error) => wire::response(Err::<(), _>(error)),
            };
        }
        wire::response(self.ask(&mut request).await)
    }

    async fn ask(&self, request: &mut Request) -> Result<ReplyOf<O>> {
        for charge in wire::charges(request)? {
            charge.take(self.host.limits())?;
        }
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
        self.host.alarm_was_heard();
        if let Err(error) = result {
            tracing::warn!(?error, kind = O::KIND, "an alarm failed and goes off again later");
            let at_ms = EdgeClock.now_ms().saturating_add(ALARM_RETRY_MS);
            self.host.commit(Vec::new(), Some(at_ms)).await.map_err(wire::to_platform)?;
        }
        Response::empty()
    }

    /// Answers a command of somebody who can wait: at once when there is something to say, or on a
    /// socket as soon as there is. The object may sleep meanwhile: what it has to know of the
    /// socket is the platform's to keep.
    async fn answer_waiting(&self, request: &Request) -> Result<Response> {
        let command = wire::waiting_command(request)?;
        let object = self.object().await?;
        // What may fail comes first: a socket that was accepted and dropped is nobody's.
        if let Answer::News(news) = object.answer_waiting(serde_json::from_str(&command)?).await? {
            return wire::response(Ok(news)).map_err(map_worker_error);
        }
        let pair = WebSocketPair::new().map_err(map_worker_error)?;
        let sockets = self.host.state.get_websockets();
        if sockets.len() >= limits::WAITING {
            end_longest(&sockets);
        }
        let waiting = Waiting { since_ms: EdgeClock.now_ms(), command };
        pair.server.serialize_attachment(&waiting).map_err(map_worker_error)?;
        self.host.state.accept_web_socket(&pair.server);
        // First listen, then look again: news in between is not missed.
        self.answer_on(&pair.server, object).await;
        Response::from_websocket(pair.client).map_err(map_worker_error)
    }

    /// There may be something new for those who wait.
    pub(crate) async fn answer_all(&self) {
        let object = match self.object().await {
            Ok(object) => object,
            Err(error) => return tracing::warn!(%error, "those who wait cannot be answered"),
        };
        for some in self.host.state.get_websockets().chunks(ANSWERED_AT_ONCE) {
            for socket in some {
                self.answer_on(socket, object).await;
            }
            if some.len() == ANSWERED_AT_ONCE {
                self.host.sleep(Duration::ZERO).await;
            }
        }
    }

    async fn answer_on(&self, socket: &WebSocket, object: &Arc<O>) {
        let command = Waiting::of(socket).map(|it| it.command);
        let Some(command) = command.and_then(|it| serde_json::from_str(&it).ok()) else {
            return end(socket);
        };
        match object.answer_waiting(command).await {
            // What is said last is what counts.
            Ok(Answer::NothingNew(so_far)) => say(socket, &so_far),
            Ok(Answer::News(news)) => {
                say(socket, &news);
                end(socket);
            }
            // Who waits asks again and hears why.
            Err(error) => {
                if !error.is_refusal() {
                    tracing::warn!(%error, kind = O::KIND, "somebody who waits cannot be answered");
                }
                end(socket);
            }
        }
    }
}

/// Says something to whoever waits behind a socket. One that is closed already has nobody waiting
/// behind it.
fn say(socket: &WebSocket, answer: &impl Serialize) {
    if let Ok(answer) = serde_json::to_string(answer)
        && answer.len() <= MAX_ANSWER_BYTES
    {
        let _ = socket.send_with_str(answer);
    }
}

/// Ends a wait: whoever is at the other end asks again.
fn end(socket: &WebSocket) {
    close(socket, wire::WAIT_IS_OVER);
}

/// Ends the wait that has lasted longest. In which order the platform lists the sockets is not
/// said: workerd has the newest first.
fn end_longest(sockets: &[WebSocket]) {
    let longest = sockets.iter().min_by_key(|it| Waiting::of(it).map(|it| it.since_ms));
    if let Some(socket) = longest {
        close(socket, wire::PLACE_TAKEN);
    }
}

/// Closes a socket, which may be closed already.
fn close(socket: &WebSocket, code: u16) {
    let _ = socket.close(Some(code), None::<&str>);
}

/// Makes a class of Durable Objects of a kind of object.
macro_rules! durable_object {
    ($class:ident, $object:ty) => {
        #[worker::durable_object]
        pub struct $class {
            shell: std::rc::Rc<crate::shell::Shell<$object>>,
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
