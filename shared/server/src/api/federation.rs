//! The server-server API ([spec]): one file per area, each with its `routes`.
//!
//! Of other servers nothing is believed but what they have signed: [`super::origin`] says by which
//! one a request is, and rooms check events by themselves.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/

mod devices;
mod discovery;
mod event;
mod events;
mod first_version;
mod hierarchy;
mod invites;
mod keys;
mod membership;
mod openid;
mod public_rooms;
mod query;
mod rescissions;
mod state_answer;
mod third_party;
mod timestamp;
mod transactions;

use super::mount::Routes;

/// Mounts all of it.
pub fn routes(routes: Routes) -> Routes {
    let areas = [
        devices::routes,
        discovery::routes,
        event::routes,
        events::routes,
        first_version::routes,
        invites::routes,
        hierarchy::routes,
        keys::routes,
        membership::routes,
        openid::routes,
        public_rooms::routes,
        query::routes,
        third_party::routes,
        timestamp::routes,
        transactions::routes,
    ];
    areas.into_iter().fold(routes, |routes, area| area(routes))
}
