//! `GET /_matrix/federation/v1/user/devices/{userId}` ([spec][devices]),
//! `POST /_matrix/federation/v1/user/keys/query` and `…/claim` ([spec][keys])
//!
//! Of users of this server. What people call their devices is for users of this server alone.
//!
//! [devices]: https://spec.matrix.org/v1.19/server-server-api/#device-management
//! [keys]: https://spec.matrix.org/v1.19/server-server-api/#end-to-end-encryption

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use js_int::UInt;
use ruma::{
    OwnedUserId, UserId,
    api::federation::{
        device::get_devices,
        keys::{claim_keys, get_keys},
    },
    serde::Raw,
};
use skerry_core::gather::Gather as _;

use crate::{
    Error, Result,
    api::{
        Cx,
        client::keys::{MAX_USERS, USERS_AT_ONCE, claim, query::raw},
        mount::Routes,
        origin::Origin,
    },
    messages::user::{GetUserKeys, KeysFor, UserKeys},
};

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_devices).mount(get_keys).mount(claim_keys)
}

async fn get_devices(
    cx: Cx,
    _: Origin,
    request: get_devices::v1::Request,
) -> Result<get_devices::v1::Response> {
    let user_id = request.user_id;
    if !cx.server.is_local(&user_id) {
        return Err(Error::not_found("this is a user of another server"));
    }
    let UserKeys { seq, devices, cross_signing } = find(&cx, &user_id, Vec::new()).await?;
    let mut response = get_devices::v1::Response::new(user_id, UInt::new_saturating(seq));
    let devices = devices.into_iter();
    let devices =
        devices.map(|(id, keys)| get_devices::v1::UserDevice::new(id, Raw::from_json(keys)));
    response.devices = devices.collect();
    response.master_key = cross_signing.master.map(raw).transpose()?;
    response.self_signing_key = cross_signing.self_signing.map(raw).transpose()?;
    Ok(response)
}

async fn get_keys(
    cx: Cx,
    _: Origin,
    request: get_keys::v1::Request,
) -> Result<get_keys::v1::Response> {
    let asked = own(&cx, request.device_keys)?;
    let (cx, mut response) = (&cx, get_keys::v1::Response::default());
    let of_user = |(user_id, device_ids): (OwnedUserId, _)| async move {
        let keys = find(cx, &user_id, device_ids).await?;
        Ok::<_, Error>((user_id, keys))
    };
    let found = stream::iter(asked).map(of_user).buffer_unordered(USERS_AT_ONCE);
    for (user_id, keys) in found.try_collect::<Vec<_>>().await? {
        let UserKeys { devices, cross_signing, .. } = keys;
        let devices = devices.into_iter().map(|(it, keys)| (it, Raw::from_json(keys)));
        response.device_keys.insert(user_id.clone(), devices.collect());
        if let Some(key) = cross_signing.master {
            response.master_keys.insert(user_id.clone(), raw(key)?);
        }
        if let Some(key) = cross_signing.self_signing {
            response.self_signing_keys.insert(user_id, raw(key)?);
        }
    }
    Ok(response)
}

async fn claim_keys(
    cx: Cx,
    _: Origin,
    request: claim_keys::v1::Request,
) -> Result<claim_keys::v1::Response> {
    claim::check(&request.one_time_keys)?;
    let claimed = claim::local_keys(&cx, own(&cx, request.one_time_keys)?).await?;
    let claimed = claimed.into_iter().filter(|(_, keys)| !keys.is_empty());
    let claimed =
        claimed.map(|(user_id, keys)| -> Result<_> { Ok((user_id, claim::to_given(keys)?)) });
    Ok(claim_keys::v1::Response::new(claimed.try_gather()?))
}

/// What is asked of this server's users. Of others nothing is answered.
fn own<T>(cx: &Cx, asked: BTreeMap<OwnedUserId, T>) -> Result<Vec<(OwnedUserId, T)>> {
    if asked.len() > MAX_USERS {
        return Err(Error::invalid_param("there are too many users in one request"));
    }
    Ok(asked.into_iter().filter(|(user_id, _)| cx.server.is_local(user_id)).collect())
}

async fn find(cx: &Cx, user_id: &UserId, device_ids: Vec<ruma::OwnedDeviceId>) -> Result<UserKeys> {
    let question = GetUserKeys { device_ids, reader: KeysFor::Server };
    Ok(*cx.ports.objects.ask(user_id, question).await?)
}
