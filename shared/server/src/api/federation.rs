//! The server-server API ([spec]): one file per area, each with its `routes`.
//!
//! Of other servers nothing is believed but what they have signed: [`super::origin`] says by which
//! one a request is, and rooms check events by themselves.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/

mod discovery;
mod events;
mod keys;
mod membership;
mod public_rooms;
mod query;
mod transactions;

use super::mount::Routes;

/// Mounts all of it.
pub fn routes(routes: Routes) -> Routes {
    let areas = [
        discovery::routes,
        events::routes,
        keys::routes,
        membership::routes,
        public_rooms::routes,
        query::routes,
        transactions::routes,
    ];
    areas.into_iter().fold(routes, |routes, area| area(routes))
}
