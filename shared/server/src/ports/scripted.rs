//! Adapters in memory, which answer by a script: for tests of what talks to other servers.
//!
//! They have no clock. An answer says how long each of its parts takes, and is cut off when that
//! adds up to more than the request allows.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use url::Url;

use super::{
    dns::{Answer, Dns, DnsError, Service},
    http::{self as port, Addresses, Body, Fault, Http, HttpError, Request, Response},
};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The method.
    pub method: Method,
    /// Where.
    pub url: Url,
    /// The `Host` header.
    pub host: String,
    /// The host that the certificate had to be for.
    pub certificate_host: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Vec<u8>,
    /// Which addresses might be connected to.
    pub addresses: Addresses,
}

/// An answer of the script.
#[derive(Clone, Debug)]
pub struct Scripted {
    fault: Option<Fault>,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    before_headers: Duration,
    chunk_bytes: usize,
    between_chunks: Duration,
    cut_after: Option<usize>,
}

impl Scripted {
    /// An answer with this status and body.
    pub fn new(status: StatusCode, body: impl Into<Vec<u8>>) -> Self {
        Self {
            fault: None,
            status,
            headers: HeaderMap::new(),
            body: body.into(),
            before_headers: Duration::ZERO,
            chunk_bytes: 16 * 1024,
            between_chunks: Duration::ZERO,
            cut_after: None,
        }
    }

    /// 200 with this body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::new(StatusCode::OK, body)
    }

    /// No answer.
    pub fn fails(fault: Fault) -> Self {
        Self { fault: Some(fault), ..Self::ok("") }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// The headers take so long.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.before_headers = delay;
        self
    }

    /// The body comes in chunks of so many bytes, and each takes so long.
    #[must_use]
    pub fn trickling(mut self, chunk_bytes: usize, delay: Duration) -> Self {
        self.chunk_bytes = chunk_bytes.max(1);
        self.between_chunks = delay;
        self
    }

    /// The connection breaks after so many bytes of the body.
    #[must_use]
    pub fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    fn respond(self, request: &Limits) -> Result<Response, HttpError> {
        if let Some(fault) = self.fault {
            return Err(HttpError::new(fault, format!("the script says {fault:?}")));
        }
        let timeout = || HttpError::new(Fault::Timeout, "the script takes too long");
        if self.before_headers > request.timeout {
            return Err(timeout());
        }
        let kept = self.cut_after.unwrap_or(self.body.len()).min(self.body.len());
        let mut taken = self.before_headers;
        let mut parts: Vec<_> = Vec::new();
        for chunk in self.body.get(..kept).unwrap_or_default().chunks(self.chunk_bytes) {
            taken += self.between_chunks;
            if taken > request.timeout {
                parts.push(Err(timeout()));
                break;
            }
            parts.push(Ok(Bytes::copy_from_slice(chunk)));
        }
        if self.cut_after.is_some() {
            parts.push(Err(HttpError::new(Fault::Protocol, "the script breaks the connection")));
        }
        let body =
            port::bounded(stream::iter(parts), request.max_answer_bytes, std::future::pending());
        Ok(Response { status: self.status, headers: self.headers, body })
    }
}

/// What a request allows its answer.
struct Limits {
    max_answer_bytes: u64,
    timeout: Duration,
}

type Handler = Box<dyn Fn(&Recorded) -> Scripted + Send + Sync>;

/// Servers that answer by a script. Where it says nothing, nobody listens.
#[derive(Default)]
pub struct ScriptedHttp {
    answers: Mutex<BTreeMap<String, VecDeque<Scripted>>>,
    otherwise: Option<Handler>,
    requests: Mutex<Vec<Recorded>>,
}

impl ScriptedHttp {
    /// Answers by a function.
    pub fn answering(handler: impl Fn(&Recorded) -> Scripted + Send + Sync + 'static) -> Self {
        Self { otherwise: Some(Box::new(handler)), ..Self::default() }
    }

    /// Answers the next request for this URL so. The last answer for a URL stays.
    pub fn on(&self, url: &str, answer: Scripted) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.entry(url.to_owned()).or_default().push_back(answer);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Recorded> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The URLs of all requests so far.
    pub fn urls(&self) -> Vec<String> {
        self.requests().into_iter().map(|it| it.url.into()).collect()
    }

    fn answer(&self, recorded: &Recorded) -> Scripted {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = answers.get_mut(recorded.url.as_str()) {
            let next = if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() };
            return next.unwrap_or_else(|| Scripted::fails(Fault::Connect));
        }
        match &self.otherwise {
            Some(handler) => handler(recorded),
            None => Scripted::fails(Fault::Connect),
        }
    }
}

#[async_trait]
impl Http for ScriptedHttp {
    async fn send(&self, request: Request) -> Result<Response, HttpError> {
        port::check(&request)?;
        let limits =
            Limits { max_answer_bytes: request.max_answer_bytes, timeout: request.timeout };
        let mut recorded = Recorded {
            host: request.host_header(),
            certificate_host: request.certificate_host(),
            method: request.method,
            url: request.url,
            headers: request.headers,
            body: Vec::new(),
            addresses: request.addresses,
        };
        match request.body {
            Body::Whole(bytes) => recorded.body = bytes.to_vec(),
            Body::Parts(_, mut parts) => {
                while let Some(part) = parts.next().await {
                    recorded.body.extend_from_slice(&part?);
                }
            }
        }
        let answer = self.answer(&recorded);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(recorded);
        answer.respond(&limits)
    }
}

/// Name servers that answer by a script. Names that it does not have do not exist.
#[derive(Default)]
pub struct ScriptedDns {
    addresses: Mutex<BTreeMap<String, Result<Answer<IpAddr>, DnsError>>>,
    services: Mutex<BTreeMap<String, Result<Answer<Service>, DnsError>>>,
    questions: Mutex<Vec<String>>,
}

impl ScriptedDns {
    /// The addresses of a host.
    pub fn on_addresses(&self, name: &str, answer: Result<Answer<IpAddr>, DnsError>) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.insert(name.to_owned(), answer);
    }

    /// The services of a name.
    pub fn on_services(&self, name: &str, answer: Result<Answer<Service>, DnsError>) {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        services.insert(name.to_owned(), answer);
    }

    /// The names that were asked for so far.
    pub fn questions(&self) -> Vec<String> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn find<T: Clone>(
        &self,
        answers: &Mutex<BTreeMap<String, Result<Answer<T>, DnsError>>>,
        name: &str,
    ) -> Result<Answer<T>, DnsError> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner).push(name.to_owned());
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(name).cloned().unwrap_or_else(|| Ok(Answer::empty(0)))
    }
}

#[async_trait]
impl Dns for ScriptedDns {
    async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>, DnsError> {
        self.find(&self.addresses, name)
    }

    async fn services(&self, name: &str) -> Result<Answer<Service>, DnsError> {
        self.find(&self.services, name)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http::header;
    use serde_json::json;

    use super::*;
    use crate::ports::conformance;

    fn echo(request: &Recorded) -> Scripted {
        let path = request.url.path().to_owned();
        let path = request.url.query().map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut headers = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in &request.headers {
            headers.entry(name.as_str()).or_default().push(value.to_str().unwrap());
        }
        let echo = json!({
            "method": request.method.as_str(),
            "path": path,
            "host": request.host,
            "headers": headers,
        });
        let name = HeaderName::from_static("echo");
        Scripted::ok(echo.to_string())
            .header(name.clone(), HeaderValue::from_static("one"))
            .header(name, HeaderValue::from_static("two"))
    }

    fn site(request: &Recorded) -> Scripted {
        let names = ["localhost", "federation.test"];
        match request.url.port().unwrap() {
            1 => return Scripted::fails(Fault::Connect),
            3 => return Scripted::fails(Fault::Tls),
            2 if !names.contains(&&*request.certificate_host) => {
                return Scripted::fails(Fault::Tls);
            }
            _ => {}
        }
        let mut segments = request.url.path_segments().unwrap();
        let (route, argument) = (segments.next().unwrap(), segments.next());
        let length = argument.map_or(0, |it| it.parse().unwrap());
        let pattern = || (0_u8..251).cycle().take(length).collect::<Vec<_>>();
        match route {
            "echo" => echo(request),
            "missing" => Scripted::new(StatusCode::NOT_FOUND, "missing"),
            "redirect" => Scripted::new(StatusCode::FOUND, "")
                .header(header::LOCATION, HeaderValue::from_static("/echo")),
            "count" => {
                let sum: u32 = request.body.iter().map(|it| u32::from(*it)).sum();
                Scripted::ok(json!({ "bytes": request.body.len(), "sum": sum }).to_string())
            }
            "bytes" | "chunks" => Scripted::ok(pattern()),
            "cut" | "cut-chunks" => Scripted::ok(pattern()).cut_after(length / 2),
            "trickle" => Scripted::ok("x".repeat(10_000)).trickling(1, Duration::from_millis(20)),
            "silent" => Scripted::ok("").after(Duration::from_hours(24)),
            _ => Scripted::fails(Fault::Protocol),
        }
    }

    #[test]
    fn the_scripted_adapter_conforms() {
        let url = |url: &str| url.parse().unwrap();
        let addresses = conformance::http::Site {
            plain: url("http://127.0.0.1:4"),
            secure: url("https://localhost:2"),
            name: "federation.test".try_into().unwrap(),
            untrusted: url("https://localhost:3"),
            closed: url("https://127.0.0.1:1"),
        };
        let http = ScriptedHttp::answering(site);
        let without = conformance::http::Without { reasons: false };
        conformance::http::run(&http, &addresses, without).now_or_never().unwrap().unwrap();
    }

    #[test]
    fn the_last_answer_of_a_script_stays() {
        let http = ScriptedHttp::default();
        for status in [StatusCode::OK, StatusCode::NOT_FOUND] {
            http.on("https://a.example/", Scripted::new(status, ""));
        }
        let ask = || {
            let url = "https://a.example/".parse().unwrap();
            let request = Request::new(Method::GET, url, 1, Duration::from_secs(1));
            http.send(request).now_or_never().unwrap().unwrap().status.as_u16()
        };
        assert_eq!([ask(), ask(), ask()], [200, 404, 404]);
        assert_eq!(http.urls().len(), 3);
    }
}
