//! The client-server API ([spec]): one file per area or per endpoint, each with its `routes`.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/

pub mod account;
pub mod account_data;
pub mod backup;
pub mod dehydrated_device;
pub mod device;
pub mod discovery;
pub mod filter;
pub mod keys;
pub mod presence;
pub mod profile;
pub mod push;
pub mod read_marker;
pub mod receipt;
pub mod room;
pub mod secret;
pub mod session;
pub mod sync;
pub mod tag;
pub mod to_device;
pub mod typing;
pub mod uiaa;

use super::mount::Routes;

/// Mounts all of it.
pub fn routes(routes: Routes) -> Routes {
    let areas = [
        account::routes,
        account_data::routes,
        backup::routes,
        dehydrated_device::routes,
        device::routes,
        discovery::routes,
        filter::routes,
        keys::routes,
        presence::routes,
        profile::routes,
        push::routes,
        read_marker::routes,
        receipt::routes,
        room::routes,
        session::routes,
        sync::routes,
        tag::routes,
        to_device::routes,
        typing::routes,
    ];
    areas.into_iter().fold(routes, |routes, area| area(routes))
}
