//! What administrators may have this server do, with their access tokens: paths of this project's
//! own.

mod refetch_state;

use super::{Cx, access::Verified, mount::Routes};
use crate::{
    Error, Result,
    messages::{Caller, user::GetAccount},
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(refetch_state::refetch_state)
}

/// Whether a user administers this server.
pub(super) async fn is_admin(cx: &Cx, caller: &Caller) -> Result<bool> {
    let account = cx.ports.objects.ask(&*caller.user_id, GetAccount {}).await?;
    Ok(account.is_some_and(|it| it.is_admin))
}

/// Refuses who does not.
async fn check_admin(cx: &Cx, Verified(caller): &Verified) -> Result<()> {
    match is_admin(cx, caller).await? {
        true => Ok(()),
        false => Err(Error::forbidden("only who administers this server may do that")),
    }
}
