//! `POST /_matrix/client/*/keys/query` ([spec])
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3keysquery

use std::collections::BTreeMap;

use futures_util::future::join;
use ruma::{
    OwnedUserId, UserId, api::client::keys::get_keys, encryption::CrossSigningKey, serde::Raw,
};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    device_keys::{
        answers::with_signatures,
        cross_signing::{self, MASTER},
    },
    gather::Gather as _,
};

use super::{Asked, USERS_AT_ONCE, part, remote};
use crate::{
    Result,
    api::{Cx, many_users::ask_each},
    messages::{
        Caller,
        user::{GetSignatures, GetUserKeys, KeysFor, UserKeys},
    },
};

/// `POST /_matrix/client/*/keys/query`
pub(super) async fn get_keys(
    cx: Cx,
    caller: Caller,
    request: get_keys::v3::Request,
) -> Result<get_keys::v3::Response> {
    let mut response = get_keys::v3::Response::new();
    let (mut found, failures) =
        find(&cx, &caller.user_id, request.device_keys, request.timeout).await?;
    response.failures = failures;
    add_own_signatures(&cx, &caller, &mut found).await?;
    for (user_id, keys) in found {
        let UserKeys { devices, cross_signing, .. } = keys;
        let devices = devices.into_iter().map(|(it, keys)| (it, Raw::from_json(keys)));
        response.device_keys.insert(user_id.clone(), devices.gather());
        let slots = [
            (cross_signing.master, &mut response.master_keys),
            (cross_signing.self_signing, &mut response.self_signing_keys),
            (cross_signing.user_signing, &mut response.user_signing_keys),
        ];
        for (key, keys) in slots {
            if let Some(key) = key {
                keys.insert(user_id.clone(), raw(key)?);
            }
        }
    }
    Ok(response)
}

/// The keys of users, for one of them or another: local ones and those of other servers side by
/// side; and which servers have not answered.
pub(super) async fn find(
    cx: &Cx,
    reader: &UserId,
    asked: Asked,
    timeout: Option<std::time::Duration>,
) -> Result<(BTreeMap<OwnedUserId, UserKeys>, remote::Failures)> {
    let (local, remote) = part(cx, asked)?;
    let question = |(user_id, device_ids): (OwnedUserId, _)| {
        let reader = if user_id == reader { KeysFor::Owner } else { KeysFor::User };
        (user_id, GetUserKeys { device_ids, reader })
    };
    let local = ask_each(cx, local.into_iter().map(question).collect(), USERS_AT_ONCE);
    let (local, (remote, failures)) = join(local, remote::query(cx, reader, remote, timeout)).await;
    let local = local.into_iter().map(|it| it.map(|(user_id, keys)| (user_id, *keys)));
    Ok((local.chain(remote.into_iter().map(Ok)).try_gather()?, failures))
}

/// Adds what the caller has signed of others' master keys.
async fn add_own_signatures(
    cx: &Cx,
    caller: &Caller,
    found: &mut BTreeMap<OwnedUserId, UserKeys>,
) -> Result<()> {
    let has_master = |(user_id, keys): &(&OwnedUserId, &UserKeys)| {
        **user_id != caller.user_id && keys.cross_signing.master.is_some()
    };
    let user_ids: Vec<_> = found.iter().filter(has_master).map(|it| it.0.clone()).collect();
    if user_ids.is_empty() {
        return Ok(());
    }
    let signatures = cx.ports.objects.ask(&*caller.user_id, GetSignatures { user_ids }).await?;
    for (user_id, of_user) in signatures {
        let Some(keys) = found.get_mut(&user_id) else { continue };
        let Some(master) = keys.cross_signing.master.take() else { continue };
        let name = cross_signing::read(&master, &user_id, MASTER).ok();
        let name = name.as_ref().map(cross_signing::CrossSigningKey::public);
        let of_key = of_user.into_iter().filter(|(key, ..)| Some(key.as_str()) == name);
        let by: Vec<_> = of_key.map(|(_, signer, signature)| (signer, signature)).collect();
        keys.cross_signing.master = Some(with_signatures(master, &caller.user_id, &by));
    }
    Ok(())
}

/// A cross-signing key, as it goes out.
pub(in crate::api) fn raw(key: String) -> Result<Raw<CrossSigningKey>> {
    Ok(Raw::from_json(RawJsonValue::from_string(key)?))
}
