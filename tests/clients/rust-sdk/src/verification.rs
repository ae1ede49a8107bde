//! Comparing emojis, which are known to be the same here because both sides run in this program.

use anyhow::{Context as _, Result, ensure};
use matrix_sdk::{
    encryption::verification::{SasVerification, Verification, VerificationRequest},
    ruma::UserId,
};

use super::person::{Device, until};

/// Who has asked somebody to compare emojis.
pub struct Side<'a> {
    device: &'a Device,
    request: VerificationRequest,
}

impl<'a> Side<'a> {
    /// Asks a user, who may be the device's own.
    pub async fn of(device: &'a Device, user: &UserId) -> Result<Self> {
        let identity = until("the identity", || async {
            Ok(device.client.encryption().request_user_identity(user).await?)
        });
        let request = identity.await?.request_verification().await?;
        Ok(Self { device, request })
    }
}

/// The other one accepts; both see the same emojis, and say so.
pub async fn compare(asking: &Side<'_>, asked: &Device) -> Result<()> {
    let (by, flow) = (asking.device.user()?, asking.request.flow_id().to_owned());
    let encryption = asked.client.encryption();
    let request = until("the request", || async {
        Ok(encryption.get_verification_request(&by, &flow).await)
    });
    request.await?.accept().await?;
    until("readiness", || async { Ok(asking.request.is_ready().then_some(())) }).await?;
    let own = asking.request.start_sas().await?.context("no emojis")?;
    let other = until("the start", || async {
        let found = encryption.get_verification(&by, &flow).await;
        Ok(found.and_then(Verification::sas))
    })
    .await?;
    other.accept().await?;
    let shown = |it: &SasVerification| it.emoji().map(|it| it.map(|it| it.symbol));
    let [own_emojis, other_emojis] = [
        until("emojis", || async { Ok(shown(&own)) }).await?,
        until("the other one's emojis", || async { Ok(shown(&other)) }).await?,
    ];
    ensure!(own_emojis == other_emojis, "{own_emojis:?} and {other_emojis:?}");
    own.confirm().await?;
    other.confirm().await?;
    for it in [&own, &other] {
        until("the end", || async { Ok(it.is_done().then_some(())) }).await?;
    }
    Ok(())
}
