//! The edge host: a Cloudflare Worker, its adapters and the shells of its Durable Objects.
//!
//! **Invariant:** no Matrix rule here. What a client can see is decided in `shared`.
//!
//! `entry.mjs` is the main module: it stands between the platform and what is exported here, so
//! that a panic fails the calls that were pending instead of leaving them without an answer.

mod api;
mod body;
mod classes;
mod d1;
mod dns;
mod host;
mod http;
mod js;
mod limits;
mod log;
mod machine;
mod object_sql;
mod objects;
mod server;
mod sessions;
mod shell;
#[cfg(feature = "test-routes")]
mod test_routes;
mod wire;

use worker::{Context, Env, Request, Response, event};

pub use self::classes::{DestinationObject, RoomObject, UserObject};

/// Runs once in every instance.
#[event(start)]
fn start() {
    log::start();
}

/// Answers a request from outside.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> worker::Result<Response> {
    #[cfg(feature = "test-routes")]
    if let Some(answer) = test_routes::answer(&request, &env).await {
        return answer;
    }
    api::answer(request, &env).await
}
