//! Accounts: making them, changing them, ending them ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#account-management

pub mod change_password;
pub mod check_registration_token_validity;
pub mod deactivate;
pub mod get_username_availability;
mod permit;
pub mod register;
pub mod request_openid_token;
pub mod username;
pub mod whoami;

use super::super::mount::Routes;

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(register::register)
        .mount(get_username_availability::get_username_availability)
        .mount(check_registration_token_validity::check_registration_token_validity)
        .mount(whoami::whoami)
        .mount(change_password::change_password)
        .mount(deactivate::deactivate)
        .mount(request_openid_token::request_openid_token)
}
