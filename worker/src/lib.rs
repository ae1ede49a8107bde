//! The edge host: a Cloudflare Worker, its adapters and the shells of its Durable Objects.
//!
//! **Invariant:** no Matrix rule here. What a client can see is decided in `shared`.
//!
//! `entry.mjs` is the main module: it stands between the platform and what is exported here, so
//! that a panic fails the calls that were pending instead of leaving them without an answer.

mod api;
mod d1;
mod host;
mod js;
mod log;
mod machine;
mod object_sql;
mod objects;
#[expect(missing_docs, reason = "of what the macro exports")]
mod room_object;
mod server;
#[cfg(feature = "test-routes")]
mod test_routes;
#[expect(missing_docs, reason = "of what the macro exports")]
mod user_object;
mod wire;

use worker::{Context, Env, Request, Response, event};

pub use self::{room_object::RoomObject, user_object::UserObject};

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
