//! Routes that only tests may reach. Not compiled into what is deployed.
//!
//! | route | what it does |
//! |---|---|
//! | `POST /_skerry/test/panic/{roomId}` | panics inside the `Room` object |
//! | `POST /_skerry/test/hang/{roomId}` | a call to the `Room` object that never ends by itself |
//! | `GET /_skerry/test/memory/{roomId}` | bytes of Wasm memory where the `Room` object is |
//! | `GET /_skerry/test/constructed/{userId}` | how often the `User` object was constructed |
//! | `POST /_skerry/test/conformance/{d1\|object}` | runs the conformance suite of the SQL port |
//! | `POST /_skerry/test/conformance/dns` | runs that of the DNS port |
//! | `POST /_skerry/test/conformance/{site as JSON}` | runs that of the HTTP port |

use serde_json::json;
use skerry::{
    Error, Result,
    ports::{
        Sql, Stmt,
        conformance::{self, sql::Without},
    },
};
use wasm_bindgen::JsCast as _;
use worker::{Env, Method, Request, RequestInit, Response, js_sys};

use crate::{
    d1::D1,
    dns::EdgeDns,
    host::EdgeHost,
    http::EdgeHttp,
    js::map_worker_error,
    limits::Charges,
    objects::{EdgeObjects, ROOM, USER},
    wire,
};

const PREFIX: &str = "/_skerry/test/";

/// Answers a request from outside, if it is for one of these routes.
pub(crate) async fn answer(request: &Request, env: &Env) -> Option<worker::Result<Response>> {
    let path = request.path();
    let (route, argument) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let argument = String::from(js_sys::decode_uri_component(argument).ok()?);
    let objects = EdgeObjects::new(env.clone(), Charges::default());
    let result = match (request.method(), route) {
        (Method::Post, "panic" | "hang") | (Method::Get, "memory") => {
            forward(&objects, ROOM, &argument, route).await
        }
        (Method::Get, "constructed") => forward(&objects, USER, &argument, route).await,
        (Method::Post, "conformance") if argument == "object" => {
            forward(&objects, USER, "@conformance:localhost", route).await
        }
        (Method::Post, "conformance") if argument == "d1" => conformance_of_d1(env).await,
        (Method::Post, "conformance") if argument == "dns" => {
            let result = conformance::dns::run(&EdgeDns::new(env.clone())).await;
            report(result).map_err(map_worker_error)
        }
        (Method::Post, "conformance") => conformance_of_http(&argument).await,
        _ => return None,
    };
    Some(result.or_else(|error| wire::response(Err::<(), _>(error))))
}

/// Sends the request on to an object.
async fn forward(
    objects: &EdgeObjects,
    binding: &str,
    name: &str,
    route: &str,
) -> Result<Response> {
    let mut init = RequestInit::new();
    init.with_method(Method::Post);
    let url = format!("https://object{PREFIX}{route}");
    let request = Request::new_with_init(&url, &init).map_err(map_worker_error)?;
    let answer = objects.stub(binding, name)?.fetch_with_request(request).await;
    answer.map_err(map_worker_error)
}

/// Answers inside an object.
pub(crate) async fn in_object(
    host: &EdgeHost,
    request: &Request,
) -> Option<worker::Result<Response>> {
    match request.path().strip_prefix(PREFIX)? {
        #[expect(clippy::panic, reason = "this is what the test wants to see")]
        "panic" => panic!("a test asked for a panic"),
        "hang" => std::future::pending().await,
        "memory" => {
            let buffer = wasm_bindgen::memory().unchecked_into::<js_sys::WebAssembly::Memory>();
            let bytes = buffer.buffer().unchecked_into::<js_sys::ArrayBuffer>().byte_length();
            Some(Response::from_json(&json!({ "bytes": bytes })))
        }
        "constructed" => Some(wire::response(constructed(host))),
        "conformance" => {
            let fresh = async || {
                let sql: Box<dyn Sql> = Box::new(host.plain_sql());
                Ok(sql)
            };
            Some(report(conformance::sql::run(fresh, Without { blobs: false }).await))
        }
        _ => None,
    }
}

/// Counts that the object was constructed, in its storage.
pub(crate) fn count_construction(host: &EdgeHost) {
    let counted = host.plain_sql().write(vec![
        Stmt::new(
            "CREATE TABLE IF NOT EXISTS test_constructed (id INTEGER PRIMARY KEY, times INTEGER)",
        ),
        Stmt::new(
            "INSERT INTO test_constructed (id, times) VALUES (1, 1) \
             ON CONFLICT (id) DO UPDATE SET times = times + 1",
        ),
    ]);
    if let Err(error) = counted {
        tracing::error!(?error, "a construction was not counted");
    }
}

fn constructed(host: &EdgeHost) -> Result<u64> {
    let find = Stmt::new("SELECT times FROM test_constructed");
    let rows = host.plain_sql().write(vec![find])?;
    let row = rows.into_iter().flatten().next();
    row.ok_or_else(|| Error::internal("no construction was counted"))?.take(0)
}

async fn conformance_of_d1(env: &Env) -> Result<Response> {
    let fresh = async || {
        let sql: Box<dyn Sql> = Box::new(D1::new(env.clone()));
        Ok(sql)
    };
    let result = conformance::sql::run(fresh, Without { blobs: true }).await;
    report(result).map_err(map_worker_error)
}

async fn conformance_of_http(site: &str) -> Result<Response> {
    let site = serde_json::from_str(site)?;
    let result =
        conformance::http::run(&EdgeHttp, &site, conformance::http::Without { reasons: true })
            .await;
    report(result).map_err(map_worker_error)
}

/// 200, or 500 with the sentence that did not hold.
fn report(result: Result<()>) -> worker::Result<Response> {
    match result {
        Ok(()) => Response::from_json(&json!({ "conforms": true })),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let broken = cause.unwrap_or_else(|| error.to_string());
            let response = Response::from_json(&json!({ "conforms": false, "broken": broken }))?;
            Ok(response.with_status(500))
        }
    }
}
