//! What the membership events of this server's users say of them, and who can be invited.

use ruma::{OwnedMxcUri, UserId};
use serde_json::Value as JsonValue;
use skerry_core::{create_room::Profile, rate_limits::Bucket};

use crate::{
    Error, Result,
    api::{Cx, client::profile},
    messages::{
        Caller,
        room::{ChangeMembership, MembershipAction},
        user,
    },
};

/// The profile of a local user: display name and avatar.
pub(super) async fn find(cx: &Cx, user_id: &UserId) -> Result<Profile> {
    Ok(in_rooms(profile::find(cx, user_id).await?.unwrap_or_default()))
}

/// What membership events repeat of a profile.
fn in_rooms(mut fields: user::Profile) -> Profile {
    let mut text = |name| match fields.remove(name) {
        Some(JsonValue::String(it)) => Some(it),
        _ => None,
    };
    Profile { displayname: text("displayname"), avatar_url: text("avatar_url") }
}

/// The profile of a user who is to be invited. Of another server's nothing is said: it is asked for
/// nobody's profile for that.
///
/// # Errors
///
/// `M_NOT_FOUND` when they are of this server but nobody: no object is made for who does not exist.
async fn find_invitable(cx: &Cx, user_id: &UserId) -> Result<Profile> {
    if !cx.server.is_local(user_id) {
        return Ok(Profile::default());
    }
    match profile::find(cx, user_id).await? {
        Some(profile) => Ok(in_rooms(profile)),
        None => Err(Error::not_found(format!("there is no user {user_id} on this server"))),
    }
}

/// As [`find_invitable`], of a user who is being invited: how often they may be is counted.
pub(super) async fn find_invitee(cx: &Cx, user_id: &UserId) -> Result<Profile> {
    let profile = find_invitable(cx, user_id).await?;
    cx.ports.limiter.take(Bucket::Invited, user_id.as_str(), 1).await?;
    Ok(profile)
}

/// A change of membership. The profile matters where the target's own event will carry it.
pub(super) fn change(
    caller: Caller,
    target: &UserId,
    action: MembershipAction,
    reason: Option<String>,
    profile: Profile,
) -> ChangeMembership {
    ChangeMembership {
        caller,
        target: target.to_owned(),
        action,
        reason,
        displayname: profile.displayname,
        avatar_url: profile.avatar_url.map(OwnedMxcUri::from),
        is_direct: false,
    }
}
