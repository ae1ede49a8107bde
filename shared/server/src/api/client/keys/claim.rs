//! `POST /_matrix/client/*/keys/claim` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysclaim

use std::collections::BTreeMap;

use futures_util::future::try_join;
use ruma::{
    OneTimeKeyId, OwnedDeviceId, OwnedOneTimeKeyId, OwnedUserId, api::client::keys::claim_keys,
    encryption::OneTimeKey, serde::Raw,
};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::gather::Gather as _;

use super::{Devices, MAX_DEVICES, USERS_AT_ONCE, part, remote};
use crate::{
    Error, Result,
    api::{Cx, many_users::ask_each},
    messages::{
        Caller,
        user::{ClaimKeys, ClaimedKeys},
    },
};

/// The keys that were given, as they go out.
type Given = BTreeMap<OwnedDeviceId, BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>>;

/// `POST /_matrix/client/*/keys/claim`
pub(super) async fn claim_keys(
    cx: Cx,
    _: Caller,
    request: claim_keys::v3::Request,
) -> Result<claim_keys::v3::Response> {
    check(&request.one_time_keys)?;
    let (local, remote) = part(&cx, request.one_time_keys)?;
    let local = local_keys(&cx, local);
    let remote = async { Ok(remote::claim(&cx, remote, request.timeout).await) };
    let (local, (remote, failures)) = try_join(local, remote).await?;
    let given = local.into_iter().chain(remote).filter(|(_, keys)| !keys.is_empty());
    let given = given.map(|(user_id, keys)| -> Result<_> { Ok((user_id, to_given(keys)?)) });
    let mut response = claim_keys::v3::Response::new(given.try_gather()?);
    response.failures = failures;
    Ok(response)
}

/// Refuses who claims keys of too many devices.
pub(in crate::api) fn check<T>(
    claims: &BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, T>>,
) -> Result<()> {
    match claims.values().map(BTreeMap::len).sum::<usize>() > MAX_DEVICES {
        true => Err(Error::invalid_param("there are too many devices in one request")),
        false => Ok(()),
    }
}

/// Keys of this server's users.
pub(in crate::api) async fn local_keys(
    cx: &Cx,
    claims: Vec<(OwnedUserId, Devices)>,
) -> Result<Vec<(OwnedUserId, ClaimedKeys)>> {
    let question = |(user_id, devices): (OwnedUserId, Devices)| {
        let devices = devices.into_iter().map(|(it, algorithm)| (it, algorithm.to_string()));
        (user_id, ClaimKeys { devices: devices.collect() })
    };
    let claims = claims.into_iter().map(question).collect();
    ask_each(cx, claims, USERS_AT_ONCE).await.into_iter().collect()
}

/// Keys as they go out.
pub(in crate::api) fn to_given(keys: ClaimedKeys) -> Result<Given> {
    let of_device = |(device_id, key): (_, skerry_core::device_keys::upload::OneTimeKey)| {
        let name = OneTimeKeyId::parse(key.name()).map_err(Error::internal)?;
        let key = Raw::from_json(RawJsonValue::from_string(key.json)?);
        Ok((device_id, [(name, key)].into_iter().gather()))
    };
    keys.into_iter().map(of_device).try_gather()
}
