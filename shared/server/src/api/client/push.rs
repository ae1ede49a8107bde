//! Push rules ([spec]), as far as every client asks for them when it starts: the rules that a
//! user has who never changed any. Changing them is not offered.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#push-rules-api

use ruma::{
    api::client::push::{get_pushrules_all, get_pushrules_global_scope},
    push::Ruleset,
};

use super::super::{Cx, mount::Routes};
use crate::{Result, messages::Caller};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(get_pushrules_all).mount(get_pushrules_global_scope)
}

/// `GET /_matrix/client/*/pushrules/`
pub async fn get_pushrules_all(
    _: Cx,
    caller: Caller,
    _: get_pushrules_all::v3::Request,
) -> Result<get_pushrules_all::v3::Response> {
    Ok(get_pushrules_all::v3::Response::new(Ruleset::server_default(&caller.user_id)))
}

/// `GET /_matrix/client/*/pushrules/global/`
pub async fn get_pushrules_global_scope(
    _: Cx,
    caller: Caller,
    _: get_pushrules_global_scope::v3::Request,
) -> Result<get_pushrules_global_scope::v3::Response> {
    let rules = Ruleset::server_default(&caller.user_id);
    Ok(get_pushrules_global_scope::v3::Response::new(rules))
}
