//! Signatures that the user's devices and cross-signing keys make: of the user's own keys, for all
//! to see, and of others' master keys, for themselves.

use std::sync::Arc;

use ruma::{OwnedUserId, api::error::ErrorKind};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{
    device_keys::{
        Fault, InvalidKeys, MAX_KEYS_BYTES, Signed,
        cross_signing::{
            self as keys, Added, CrossSigningKeys, MASTER, SELF_SIGNING, USER_SIGNING,
        },
    },
    receipt::VerifyKey,
};

use crate::{
    Error, Result,
    messages::user::{AddSignatures, RefusedSignatures, SignedMaster},
    objects::{
        agenda::AgendaPlan,
        user::{User, limits},
    },
    ports::Stmt,
    store::user::{
        cross_signing::{self, Signature},
        device_keys::{self, DeviceKeys},
    },
};

/// The keys that the user has.
struct Known {
    cross_signing: CrossSigningKeys,
    devices: Vec<DeviceKeys>,
}

impl User {
    /// Takes signatures, each by itself.
    pub(in super::super) async fn add_signatures(
        self: &Arc<Self>,
        it: AddSignatures,
    ) -> Result<RefusedSignatures> {
        let AddSignatures { own, others } = it;
        let mut state = self.lock_in_use().await?;
        let (sql, scope, seq) = (self.sql(), self.scope(), state.seq + 1);
        let (cross_signing, _) = cross_signing::find(sql, scope).await?;
        let devices = device_keys::list_since(sql, scope, 0).await?;
        let mut known = Known { cross_signing, devices };
        let (mut stmts, mut refused) = (Vec::new(), RefusedSignatures::new());
        for (key, given) in own {
            match self.sign_own(&mut known, &key, &given, seq) {
                Ok(stmt) => stmts.extend(stmt),
                Err(error) => refused.push(refusal(self.id.clone(), key, &error.into())),
            }
        }
        let is_public = !stmts.is_empty();
        let mut space = limits::SIGNED_USERS;
        space = space.saturating_sub(cross_signing::count_signatures(sql, scope).await?);
        for SignedMaster { user_id, key, known: master, signed } in others {
            let added = self.sign_other(&known, &user_id, (&key, master.as_deref()), &signed);
            match added {
                Ok(added) if added.len() as u64 > space => {
                    let error = Error::api(ErrorKind::TooLarge, "there are too many signatures");
                    refused.push(refusal(user_id, key, &error));
                }
                Ok(added) => {
                    space = space.saturating_sub(added.len() as u64);
                    let stmt = |(signer, signature): &(String, String)| {
                        let it = Signature { user_id: &user_id, key: &key, signer, signature };
                        cross_signing::upsert_signature(scope, &it, seq)
                    };
                    stmts.extend(added.iter().map(stmt));
                }
                Err(error) => refused.push(refusal(user_id, key, &error.into())),
            }
        }
        let agenda = AgendaPlan::default();
        match (is_public, stmts.is_empty()) {
            (_, true) => return Ok(refused),
            (true, _) => self.commit_keys(&mut state, stmts, agenda).await?,
            (false, _) => self.commit_own_keys(&mut state, stmts, agenda).await?,
        }
        drop(state);
        self.drain_outbox_soon().await;
        Ok(refused)
    }

    /// A signature on a device by the self-signing key, or on the master key by devices.
    fn sign_own(
        &self,
        known: &mut Known,
        key: &str,
        given: &RawJsonValue,
        seq: u64,
    ) -> Result<Option<Stmt>, InvalidKeys> {
        let scope = self.scope();
        let device = known.devices.iter_mut().find(|it| it.device_id.as_str() == key);
        if let Some(DeviceKeys { device_id, json: Some(json), .. }) = device {
            let signers = self.signer(known.cross_signing.self_signing.as_deref(), SELF_SIGNING);
            let added = keys::add_signatures(json, given.get(), &self.id, &signers)?;
            let is_new = !added.signatures.is_empty();
            let stmt = is_new.then(|| device_keys::upsert(scope, device_id, &added.json, seq));
            *json = added.json;
            return Ok(stmt);
        }
        let signers: Vec<_> = known.devices.iter().filter_map(device_signer).collect();
        let master = known.cross_signing.master.as_mut();
        let master = master.filter(|it| is_named(it, &self.id, key));
        let Some(master) = master else { return Err(unknown()) };
        let added = keys::add_signatures(master, given.get(), &self.id, &signers)?;
        let is_new = !added.signatures.is_empty();
        let stmt = is_new.then(|| cross_signing::upsert(scope, MASTER, &added.json, seq));
        *master = added.json;
        Ok(stmt)
    }

    /// Signatures on another user's master key by the user-signing key.
    fn sign_other(
        &self,
        known: &Known,
        user_id: &OwnedUserId,
        (key, master): (&str, Option<&str>),
        given: &RawJsonValue,
    ) -> Result<Vec<(String, String)>, InvalidKeys> {
        let master = master.filter(|it| is_named(it, user_id, key));
        let Some(master) = master else { return Err(unknown()) };
        let signers = self.signer(known.cross_signing.user_signing.as_deref(), USER_SIGNING);
        let Added { signatures, .. } =
            keys::add_signatures(master, given.get(), &self.id, &signers)?;
        Ok(signatures)
    }

    /// A cross-signing key as one that signs.
    fn signer(&self, json: Option<&str>, usage: &str) -> Vec<(String, VerifyKey)> {
        let key = json.and_then(|it| keys::read(it, &self.id, usage).ok());
        key.into_iter().map(|it| (it.key_id, it.key)).collect()
    }
}

/// A device's key as one that signs.
fn device_signer(device: &DeviceKeys) -> Option<(String, VerifyKey)> {
    let key_id = format!("ed25519:{}", device.device_id);
    let keys = Signed::read(device.json.as_deref()?, MAX_KEYS_BYTES).ok()?;
    let key = keys.ed25519(&key_id)?;
    Some((key_id, key))
}

/// Whether a master key has this name.
fn is_named(master: &str, user_id: &ruma::UserId, key: &str) -> bool {
    keys::read(master, user_id, MASTER).is_ok_and(|it| it.public() == key)
}

fn unknown() -> InvalidKeys {
    InvalidKeys { fault: Fault::NotFound, message: "there is no such key" }
}

fn refusal(
    user_id: OwnedUserId,
    key: String,
    error: &Error,
) -> (OwnedUserId, String, String, String) {
    let code = match error {
        Error::Api { kind, .. } => kind.errcode().to_string(),
        _ => ErrorKind::Unknown.errcode().to_string(),
    };
    (user_id, key, code, error.to_string())
}
