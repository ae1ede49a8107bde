//! Keys for end-to-end encryption ([spec]): one file per endpoint, and what other servers are
//! asked.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#key-management-api

mod changes;
pub(in crate::api) mod claim;
mod cross_signing;
pub(in crate::api) mod query;
mod remote;
mod signatures;

use std::collections::BTreeMap;

use js_int::UInt;
use ruma::{
    OneTimeKeyAlgorithm, OwnedDeviceId, OwnedOneTimeKeyId, OwnedServerName, OwnedUserId,
    api::client::keys::upload_keys, encryption::OneTimeKey, serde::Raw,
};
use skerry_core::{device_keys::upload, gather::Gather as _};

use super::super::{Cx, mount::Routes};
use crate::{
    Error, Result,
    messages::{Caller, user::UploadKeys},
};

/// Users of whom one request asks for keys. A room of a thousand, and who asks.
pub const MAX_USERS: usize = 1_001;
/// Devices of which one request claims keys.
pub const MAX_DEVICES: usize = 5_000;
/// Users of this server who are asked at once for one request.
pub const USERS_AT_ONCE: usize = 256;

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes
        .mount(upload_keys)
        .mount(query::get_keys)
        .mount(claim::claim_keys)
        .mount(changes::get_key_changes)
        .mount(cross_signing::upload_signing_keys)
        .mount(signatures::upload_signatures)
}

/// `POST /_matrix/client/*/keys/upload`
async fn upload_keys(
    cx: Cx,
    caller: Caller,
    request: upload_keys::v3::Request,
) -> Result<upload_keys::v3::Response> {
    let upload_keys::v3::Request { device_keys, one_time_keys, fallback_keys, .. } = request;
    let (user_id, device_id) = (&*caller.user_id, &*caller.device_id);
    let device_keys =
        device_keys.map(|it| upload::device_keys(it.json().get(), user_id, device_id));
    let upload = upload::Upload {
        device_keys: device_keys.transpose()?,
        one_time_keys: upload::one_time_keys(texts(&one_time_keys), user_id, device_id)?,
        fallback_keys: upload::fallback_keys(texts(&fallback_keys), user_id, device_id)?,
    };
    let question = UploadKeys { device_id: caller.device_id.clone(), upload };
    let counts = cx.ports.objects.ask(user_id, question).await?;
    let none = (OneTimeKeyAlgorithm::SignedCurve25519, UInt::MIN);
    let counts = counts.into_iter().map(|(it, count)| (it.into(), UInt::new_saturating(count)));
    Ok(upload_keys::v3::Response::new([none].into_iter().chain(counts).gather()))
}

/// Keys by their names.
pub(super) fn texts(
    keys: &BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>,
) -> impl ExactSizeIterator<Item = (&str, &str)> {
    keys.iter().map(|(name, key)| (name.as_str(), key.json().get()))
}

/// Of whom keys are asked for: devices of a user, or all.
type Asked = BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>;

/// What is claimed of a user: an algorithm for each device.
type Devices = BTreeMap<OwnedDeviceId, OneTimeKeyAlgorithm>;

/// What is asked of users, by where they are: here, or on other servers.
type Parted<T> = (Vec<(OwnedUserId, T)>, BTreeMap<OwnedServerName, BTreeMap<OwnedUserId, T>>);

/// Parts what is asked of users by where they are.
fn part<T>(cx: &Cx, asked: BTreeMap<OwnedUserId, T>) -> Result<Parted<T>> {
    if asked.len() > MAX_USERS {
        return Err(Error::invalid_param("there are too many users in one request"));
    }
    let (mut local, mut remote) = (Vec::new(), BTreeMap::<_, BTreeMap<_, _>>::new());
    for (user_id, what) in asked {
        if user_id.server_name() == cx.server.name {
            local.push((user_id, what));
        } else {
            let server = user_id.server_name().to_owned();
            remote.entry(server).or_default().insert(user_id, what);
        }
    }
    Ok((local, remote))
}
