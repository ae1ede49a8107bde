//! Accounts: making them, changing them, ending them ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#account-management

pub mod change_password;
pub mod check_registration_token_validity;
pub mod deactivate;
pub mod get_username_availability;
mod permit;
pub mod register;
pub mod username;
pub mod whoami;

use axum::Router;

use super::super::mount;

/// Mounts the endpoints of this area.
pub fn routes(router: Router) -> Router {
    let router = mount::open_to_client(router, register::register);
    let router = mount::open(router, get_username_availability::get_username_availability);
    let check = check_registration_token_validity::check_registration_token_validity;
    let router = mount::open(router, check);
    let router = mount::account(router, whoami::whoami);
    let router = mount::account(router, change_password::change_password);
    mount::account(router, deactivate::deactivate)
}
