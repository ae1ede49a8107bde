//! Profiles of users of other servers: only those know them, and are asked.

use std::time::Duration;

use ruma::{UserId, api::federation::query::get_profile_information, profile::ProfileFieldName};
use skerry_core::{gather::Gather as _, profile, rate_limits::Bucket};

use crate::{
    Result,
    api::{Cx, access::missing_token, remote::not_found},
    messages::{Caller, user::Profile},
    peers::Limits,
};

/// What an answer may take: a profile has at most 64 KiB.
const LIMITS: Limits = Limits { max_answer_bytes: 80 * 1024, timeout: Duration::from_secs(20) };

/// The profile of a user of another server, or one field of it. Only who has an account here may
/// ask: strangers would have this server ask whomever they like.
///
/// # Errors
///
/// `M_NOT_FOUND`, where their server says so or is not reached.
pub(super) async fn find(
    cx: &Cx,
    caller: Option<&Caller>,
    user_id: &UserId,
    field: Option<ProfileFieldName>,
) -> Result<Profile> {
    let caller = caller.ok_or_else(missing_token)?;
    cx.ports.limiter.take(Bucket::Directory, caller.user_id.as_str(), 1).await?;
    let mut request = get_profile_information::v1::Request::new(user_id.to_owned());
    request.field = field;
    let answer = cx.peers().ask(user_id.server_name(), request, LIMITS).await;
    Ok(profile::of_other_server(answer.map_err(not_found)?).gather())
}
