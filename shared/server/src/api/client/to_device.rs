//! Messages from device to device ([spec]).
//!
//! Nothing is kept of a request: whoever gets a message knows it again by its ID, which a repeated
//! request gives it too. So one that failed half way is repeated, and nobody gets anything twice.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#send-to-device-messaging

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, future::join, stream};
use ruma::{
    OwnedServerName, OwnedUserId,
    api::{
        client::to_device::send_event_to_device::v3::{Request, Response},
        error::ErrorKind,
    },
};
use skerry_core::{
    identifier::MAX_ID_BYTES,
    to_device::{self, ContentError, Contents, MAX_TYPE_BYTES, Message},
};

use super::super::{Cx, many_users::ask_each, mount::Routes};
use crate::{
    Error, Result,
    messages::{Caller, RawJson, destination::SendEdus, user::DeliverToDevice},
};

/// Local users whom one request may reach. A body has room for the messages of fewer, unless they
/// are empty.
pub const MAX_USERS: usize = 2_000;

/// Other servers that one request may reach: each is a request to an object, beside those to users.
pub const MAX_SERVERS: usize = 400;

/// Those that are reached at the same time.
const RECIPIENTS_AT_ONCE: usize = 256;

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(send_event_to_device)
}

/// Whom messages go to.
#[derive(Default)]
struct Recipients {
    users: Vec<(OwnedUserId, Contents)>,
    servers: BTreeMap<OwnedServerName, BTreeMap<OwnedUserId, Contents>>,
}

/// `PUT /_matrix/client/*/sendToDevice/{eventType}/{txnId}`
pub async fn send_event_to_device(cx: Cx, caller: Caller, request: Request) -> Result<Response> {
    let event_type = request.event_type.to_string();
    if event_type.len() > MAX_TYPE_BYTES {
        return Err(Error::invalid_param("the type is too long"));
    }
    let Recipients { users, servers } = recipients(&cx, request.messages)?;
    let sender = &caller.user_id;
    let device_id = caller.device_id.as_str();
    let id = to_device::id(sender, device_id, &event_type, request.txn_id.as_str());
    let to_users = users.into_iter().map(|(user_id, contents)| {
        let (id, sender, event_type) = (id.clone(), sender.clone(), event_type.clone());
        let message = Message { id, sender, event_type, contents };
        (user_id, DeliverToDevice { messages: vec![message] })
    });
    let to_servers = servers.into_iter().map(|(server, messages)| {
        send(&cx, server, to_device::edus(sender, &event_type, &id, messages))
    });
    let to_users = ask_each(&cx, to_users.collect(), RECIPIENTS_AT_ONCE);
    let to_servers = stream::iter(to_servers).buffer_unordered(RECIPIENTS_AT_ONCE);
    // Whoever can be reached is, whatever became of the others.
    let (users, servers) = join(to_users, to_servers.collect::<Vec<_>>()).await;
    users.into_iter().map(|it| it.map(drop)).chain(servers).collect::<Result<()>>()?;
    Ok(Response::new())
}

/// Whom these go to. Who cannot be, because no user has such a name, is passed over, as whoever
/// does not exist is.
fn recipients(cx: &Cx, messages: BTreeMap<OwnedUserId, Contents>) -> Result<Recipients> {
    let mut recipients = Recipients::default();
    for (user_id, contents) in messages {
        let is_local = user_id.server_name() == cx.server.name;
        let check = if is_local { to_device::check } else { to_device::check_signed };
        contents.values().try_for_each(check).map_err(refused)?;
        if contents.is_empty() || user_id.as_str().len() > MAX_ID_BYTES {
            continue;
        }
        match is_local {
            true => recipients.users.push((user_id, contents)),
            false => {
                let server = user_id.server_name().to_owned();
                recipients.servers.entry(server).or_default().insert(user_id, contents);
            }
        }
    }
    if recipients.users.len() > MAX_USERS || recipients.servers.len() > MAX_SERVERS {
        let message =
            format!("at most {MAX_USERS} users and {MAX_SERVERS} servers get messages at once");
        return Err(Error::api(ErrorKind::TooLarge, message));
    }
    Ok(recipients)
}

fn refused(error: ContentError) -> Error {
    match error {
        ContentError::NoObject | ContentError::NotCanonical => Error::bad_json(error.to_string()),
        ContentError::TooLarge => Error::api(ErrorKind::TooLarge, error.to_string()),
    }
}

async fn send(
    cx: &Cx,
    server: OwnedServerName,
    edus: Vec<ruma::api::federation::transactions::edu::Edu>,
) -> Result<()> {
    let edus = edus.iter().map(serde_json::value::to_raw_value);
    let edus = edus.collect::<Result<Vec<RawJson>, _>>()?;
    cx.ports.objects.ask(&*server, SendEdus { edus }).await
}
