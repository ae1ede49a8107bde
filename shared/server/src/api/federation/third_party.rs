//! Users who have shown to an identity server that they are who was invited by a third-party
//! identifier ([spec]).
//!
//! An identity server tells the user's server, and that the server of whoever has invited, which
//! invites them. What the identity server says proves itself by its signatures, so it is not known
//! who it is, and nothing is kept here: what came to nothing is answered so, and told again.
//!
//! [spec]: https://spec.matrix.org/v1.19/server-server-api/#third-party-invites

use http::StatusCode;
use ruma::{
    UserId,
    api::{
        error::ErrorKind,
        federation::thirdparty::{
            bind_callback::{self, v1::ThirdPartyInvite},
            exchange_invite,
        },
    },
    events::StateEventType,
};
use serde::Deserialize;

use crate::{
    Error, Result,
    api::{
        Cx,
        client::room::exchange::{Exchanging, exchange, exchange_anywhere},
        mount::Routes,
        origin::Origin,
    },
    messages::{RawJson, user::GetProfile},
};

/// Invitations that one notification may bring.
const MAX_INVITES: usize = 20;

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(exchange_invite).mount(bind_callback)
}

/// `PUT /_matrix/federation/v1/exchange_third_party_invite/{roomId}`
async fn exchange_invite(
    cx: Cx,
    Origin(server): Origin,
    request: exchange_invite::v1::Request,
) -> Result<exchange_invite::v1::Response> {
    #[derive(Deserialize)]
    struct Content {
        membership: String,
        third_party_invite: ThirdParty,
    }
    #[derive(Deserialize)]
    struct ThirdParty {
        signed: RawJson,
    }
    let exchange_invite::v1::Request { room_id, kind, sender, state_key: target, content, .. } =
        request;
    let content: Content = serde_json::from_str(content.json().get())
        .map_err(|_| Error::bad_json("the content is no invitation by a third party"))?;
    if kind != StateEventType::RoomMember || content.membership != "invite" {
        return Err(Error::invalid_param("the event is no invitation"));
    }
    if target.server_name() != server {
        return Err(Error::forbidden("this is a user of another server"));
    }
    let exchanging = Exchanging { sender, target, signed: content.third_party_invite.signed };
    exchange(&cx, &room_id, Some(server), exchanging).await?;
    Ok(exchange_invite::v1::Response::new())
}

/// `PUT /_matrix/federation/v1/3pid/onbind`
async fn bind_callback(
    cx: Cx,
    request: bind_callback::v1::Request,
) -> Result<bind_callback::v1::Response> {
    let bind_callback::v1::Request { mxid, invites, .. } = request;
    if !cx.server.is_local(&mxid) {
        return Err(Error::forbidden("this is a user of another server"));
    }
    if invites.len() > MAX_INVITES {
        let message = format!("a notification has at most {MAX_INVITES} invitations");
        return Err(Error::api(ErrorKind::TooLarge, message));
    }
    if cx.ports.objects.ask(&*mxid, GetProfile {}).await?.is_none() {
        return Err(Error::not_found("there is no such user on this server"));
    }
    let mut worst = None;
    let mut is_any_done = false;
    for invite in invites {
        match exchange_one(&cx, &mxid, invite).await {
            Ok(()) => is_any_done = true,
            // What may come to something later is to be told again.
            Err(error) if may_pass(error.status()) => return Err(error),
            Err(error) => worst = Some(error),
        }
    }
    match worst {
        Some(error) if !is_any_done => Err(error),
        _ => Ok(bind_callback::v1::Response::new()),
    }
}

/// Has the server of whoever has invited invite a user of this one.
async fn exchange_one(cx: &Cx, mxid: &UserId, invite: ThirdPartyInvite) -> Result<()> {
    let ThirdPartyInvite { mxid: target, room_id, sender, signed, .. } = invite;
    if target != mxid {
        return Err(Error::forbidden("one of the invitations is for another user"));
    }
    let exchanging = Exchanging { sender, target, signed: signed.into_json() };
    exchange_anywhere(cx, &room_id, exchanging).await
}

/// Whether asking again may help.
fn may_pass(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}
