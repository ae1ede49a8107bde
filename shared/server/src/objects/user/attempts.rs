//! Attempts at the password: how many there may be, and who waits for their turn behind whom.
//!
//! Wrong ones are counted by account. Where there were too many, strangers have to wait; who is
//! where the account is in use, on a device or within a session, is counted by themselves.

use skerry_core::{
    rate_limits::{Bucket, address_key},
    turns::Asker,
};

use super::{User, password};
use crate::{Result, limits::refused, messages::secret::Secret, store::user::devices};

/// An attempt that has begun: it is taken for a wrong one until it was right.
pub(super) struct Attempt {
    key: String,
    asker: Asker,
}

impl User {
    /// A login from this address. `limited_for_ms`: [`Login::limited_for_ms`].
    ///
    /// [`Login::limited_for_ms`]: crate::messages::user::Login::limited_for_ms
    pub(super) async fn begin_login(
        &self,
        address: Option<&str>,
        limited_for_ms: Option<u64>,
    ) -> Result<Attempt> {
        let (limits, now_ms) = (self.host.limits(), self.host.clock().now_ms());
        let mut asker = self.at_address(address);
        asker.is_known = self.is_used_at(&asker.address).await?;
        let own = format!("{} {}", asker.account, asker.address);
        match limited_for_ms {
            Some(_) if asker.is_known => limits.take(Bucket::LoginAccount, &own, 1, now_ms)?,
            Some(wait_ms) => return Err(refused(Bucket::LoginAccount, wait_ms)),
            None => {}
        }
        let all = asker.account.clone();
        let key = match limits.take(Bucket::LoginFailed, &all, 1, now_ms) {
            Ok(()) => all,
            Err(_) if asker.is_known => {
                limits.take(Bucket::LoginFailed, &own, 1, now_ms)?;
                own
            }
            Err(error) => return Err(error),
        };
        Ok(Attempt { key, asker })
    }

    /// A password within a session, which confirms an operation.
    pub(super) fn begin_check(&self) -> Result<Attempt> {
        let asker = self.in_session();
        let key = asker.address.clone();
        let now_ms = self.host.clock().now_ms();
        self.host.limits().take(Bucket::LoginFailed, &key, 1, now_ms)?;
        Ok(Attempt { key, asker })
    }

    /// Whether the password is the one that was hashed. Only a wrong one counts.
    pub(super) async fn try_password(
        &self,
        attempt: Attempt,
        given: &Secret,
        hash: Option<&Secret>,
    ) -> Result<bool> {
        let Attempt { key, asker } = attempt;
        let result = password::verify(&*self.host, given, hash, asker).await;
        if !matches!(result, Ok(false)) {
            let now_ms = self.host.clock().now_ms();
            self.host.limits().give_back(Bucket::LoginFailed, &key, 1, now_ms);
        }
        result
    }

    /// Who has a session waits behind nobody but themselves.
    pub(super) fn in_session(&self) -> Asker {
        let account = self.id.to_string();
        Asker { address: format!("session {account}"), account, is_known: true }
    }

    /// Whoever asks from this address, not known to the account.
    pub(super) fn at_address(&self, address: Option<&str>) -> Asker {
        Asker { address: address_key(address), account: self.id.to_string(), is_known: false }
    }

    /// Whether a device of this user has logged in from there.
    async fn is_used_at(&self, address: &str) -> Result<bool> {
        if address.is_empty() {
            return Ok(false);
        }
        let devices = devices::list(self.sql(), self.scope()).await?;
        let seen = devices.into_iter().filter_map(|it| it.last_seen_ip);
        Ok(seen.into_iter().any(|it| address_key(Some(&it)) == address))
    }
}
