//! Another server that is really asked: it listens at its name with TLS, publishes its key, and
//! answers what a test tells it to. Skerry meets it as any other server of the federation.

mod memberships;
mod policy;
mod rooms;

use crate::{
    Client, PATIENCE, Request, Server, Value, authority, json, peer::Peer, ports,
    site::serve::Given,
};
use http::{Method, Uri};
use ruma::{
    api::federation::authentication::{XMatrix, XMatrixSigningInput},
    signatures::{KeyPair as _, sign_json},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

pub use crate::{
    authority::Flaw,
    site::serve::{Asked, Said},
};
pub use memberships::shown;
pub use policy::{PolicyKey, SIGN, signature_of};
pub use rooms::{QUESTIONS, join_answer, told};

/// What is answered: a status and JSON.
pub type Answer = (u16, Value);

type Answering = Box<dyn FnMut(&Asked) -> Option<Given> + Send>;

/// What the server does.
#[derive(Default)]
struct Script {
    answers: Vec<Answering>,
    asked: Vec<Asked>,
}

/// A running server. It ends when it is dropped.
pub struct Remote {
    /// The server: its name, which is where it listens, and its key.
    pub peer: Peer,
    script: Arc<Mutex<Script>>,
    _stop: oneshot::Sender<()>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Remote").field(&self.peer.name).finish()
    }
}

impl Remote {
    /// Starts a server that publishes its key and knows nothing else.
    pub fn start() -> Self {
        Self::start_as("localhost").publishing()
    }

    /// Starts one whose certificate is not what it ought to be.
    pub fn start_with(flaw: Flaw) -> Self {
        Self::start_with_tls("localhost", authority::flawed(flaw)).publishing()
    }

    /// Starts a server that publishes its key, and whose name is an address.
    pub fn start_at_address() -> Self {
        Self::start_as("127.0.0.1").publishing()
    }

    /// Starts a server that answers nothing.
    pub fn start_without_keys() -> Self {
        Self::start_as("localhost")
    }

    fn publishing(self) -> Self {
        let peer = self.peer.clone();
        self.answer("/_matrix/key/v2/server", move |_| (200, peer.published(in_a_day_ms())));
        self
    }

    fn start_as(host: &str) -> Self {
        Self::start_with_tls(host, authority::of_suite().acceptor(&[host]))
    }

    fn start_with_tls(host: &str, tls: TlsAcceptor) -> Self {
        let listener = ports::listen();
        let port = listener.local_addr().expect("an address").port();
        let script = Arc::new(Mutex::new(Script::default()));
        let (stop, stopped) = oneshot::channel();
        let answering = script.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let answer = move |asked: &Asked| answer(&answering, asked);
                tokio::spawn(crate::site::serve::serve_json(listener, tls, Arc::new(answer)));
                // It ends when the other end is dropped.
                let _ = stopped.await;
            });
        });
        Self { peer: Peer::new(&format!("{host}:{port}")), script, _stop: stop }
    }

    /// From now on paths that begin so are answered so. What was said last counts.
    pub fn answer(&self, path: &str, mut answer: impl FnMut(&Asked) -> Answer + Send + 'static) {
        self.say(path, move |asked| said(answer(asked)));
    }

    /// The same, byte by byte.
    pub fn say(&self, path: &str, mut say: impl FnMut(&Asked) -> Said + Send + 'static) {
        self.give(path, move |asked| Given::Said(say(asked)));
    }

    /// The same with bytes that are all of the answer, its head too. The connection ends then.
    pub fn answer_bytes(
        &self,
        path: &str,
        mut answer: impl FnMut(&Asked) -> Vec<u8> + Send + 'static,
    ) {
        self.give(path, move |asked| Given::Bytes(answer(asked)));
    }

    fn give(&self, path: &str, mut give: impl FnMut(&Asked) -> Given + Send + 'static) {
        let path = path.to_owned();
        let answering = move |asked: &Asked| asked.path.starts_with(&path).then(|| give(asked));
        self.script().answers.push(Box::new(answering));
    }

    /// What it was asked of paths that begin so, and has answered.
    pub fn asked(&self, path: &str) -> Vec<Asked> {
        let script = self.script();
        script.asked.iter().filter(|it| it.path.starts_with(path)).cloned().collect()
    }

    /// Waits until it was asked something of a path that begins so, and gives that.
    pub async fn until(&self, path: &str, is_meant: impl Fn(&Asked) -> bool) -> Asked {
        let found = async {
            loop {
                if let Some(found) = self.asked(path).into_iter().find(&is_meant) {
                    return found;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        let found = timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("{path}: {:?}", self.asked(path)))
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request of this server to Skerry, signed.
    #[track_caller]
    pub fn get(&self, server: &Server, path: &str) -> Request {
        let authorization = self.peer.authorization(server, "GET", path, None);
        Client::new(server.url()).request("GET", path).header("Authorization", &authorization)
    }

    /// The same with a body.
    #[track_caller]
    pub fn put(&self, server: &Server, path: &str, body: &Value) -> Request {
        self.with_body(server, "PUT", path, body)
    }

    /// The same with another method.
    #[track_caller]
    pub fn post(&self, server: &Server, path: &str, body: &Value) -> Request {
        self.with_body(server, "POST", path, body)
    }

    #[track_caller]
    fn with_body(&self, server: &Server, method: &str, path: &str, body: &Value) -> Request {
        let authorization = self.peer.authorization(server, method, path, Some(body));
        let request = Client::new(server.url()).request(method, path).json(body);
        request.header("Authorization", &authorization)
    }
}

fn said((status, json): Answer) -> Said {
    Said { status, body: json.to_string().into_bytes(), breaks_off: false }
}

fn answer(script: &Mutex<Script>, asked: &Asked) -> Given {
    let mut script = script.lock().unwrap_or_else(PoisonError::into_inner);
    script.asked.push(asked.clone());
    let found = script.answers.iter_mut().rev().find_map(|answer| answer(asked));
    let unknown = || json!({ "errcode": "M_UNRECOGNIZED", "error": "unknown" });
    found.unwrap_or_else(|| Given::Said(said((404, unknown()))))
}

/// Now, in milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a test has no port for the clock")]
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    u64::try_from(now.as_millis()).expect("a time before the end of time")
}

/// Until when keys are usually published to be valid.
pub fn in_a_day_ms() -> u64 {
    now_ms() + u64::try_from(Duration::from_hours(24).as_millis()).expect("a day")
}

impl Peer {
    /// What it publishes of its key.
    pub fn published(&self, valid_until_ms: u64) -> Value {
        self.published_beside(json!({}), valid_until_ms)
    }

    /// The same, where it had other keys before.
    pub fn published_beside(&self, old: Value, valid_until_ms: u64) -> Value {
        let keys = BTreeMap::from([(self.key_id(), json!({ "key": self.public_key() }))]);
        let mut published = json!({ "server_name": self.name, "verify_keys": keys,
            "valid_until_ts": valid_until_ms });
        published["old_verify_keys"] = old;
        self.sign_json(&published)
    }

    /// JSON with its signature.
    pub fn sign_json(&self, value: &Value) -> Value {
        let mut object = super::peer::object(value);
        sign_json(&self.name, self.pair(), &mut object).expect("JSON that can be signed");
        serde_json::to_value(object).expect("JSON")
    }

    /// What a request of it to Skerry is authorized by.
    pub fn authorization(
        &self,
        server: &Server,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> String {
        self.authorization_for(&server.name(), method, path, body)
    }

    /// What a request is authorized by of which this is signed.
    pub fn authorization_of(&self, signed: &str) -> String {
        let signature = self.pair().sign(signed.as_bytes()).base64();
        format!(r#"X-Matrix origin="{}",key="{}",sig="{signature}""#, self.name, self.key_id())
    }

    /// What a request of it to a server of this name is authorized by.
    pub fn authorization_for(
        &self,
        destination: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> String {
        let mut request = http::Request::new(body.map(Value::to_string).unwrap_or_default());
        *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a method");
        *request.uri_mut() = path.parse::<Uri>().expect("a path");
        let name = |name: &str| name.try_into().expect("a server name");
        let input = XMatrixSigningInput::new(name(&self.name), name(destination), self.pair());
        XMatrix::sign_http_request(&request, input).expect("a signature").to_string()
    }
}
