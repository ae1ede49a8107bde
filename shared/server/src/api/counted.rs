//! Who sends a request, as it is counted against the rate limits.

use std::{borrow::Cow, sync::Arc};

use ruma::{ServerName, api::error::ErrorKind};
use skerry_core::rate_limits::{Bucket, Per, address_key};

use super::Cx;
use crate::{Error, Result, messages::Caller, ports::Limiter};

/// The address a request came from. A host puts it into the extensions where it knows it; behind
/// a proxy that is what the proxy says, if the operator trusts it.
/// Cheap to clone: a host may make one for all requests of a connection.
#[derive(Clone, Debug)]
pub struct ClientAddress {
    pub(super) text: Arc<str>,
    /// What requests from there are counted by.
    key: Arc<str>,
}

impl ClientAddress {
    /// An address, as it is written.
    pub fn new(text: &str) -> Self {
        Self { text: text.into(), key: address_key(Some(text)).into() }
    }
}

/// Who sends a request, as it is counted.
pub(super) struct Counted<'a> {
    /// From where.
    pub(super) address: &'a str,
    /// The user on the device, if that was checked.
    pub(super) caller: Option<&'a Caller>,
    /// The hash of the access token, where nobody has checked it: whoever invents one uses up
    /// nothing of the user's whom it names.
    pub(super) token: Option<&'a str>,
}

impl<'a> Counted<'a> {
    fn key(&self, per: Per) -> Cow<'a, str> {
        match (per, self.caller, self.token) {
            (Per::User, Some(caller), _) => caller.user_id.as_str().into(),
            (Per::Device, Some(caller), _) => {
                format!("{} {}", caller.user_id, caller.device_id).into()
            }
            (Per::User | Per::Device, None, Some(token)) => token.into(),
            _ => self.address.into(),
        }
    }

    /// Counts a request.
    pub(super) async fn take(&self, cx: &Cx, buckets: &[Bucket]) -> Result<()> {
        for bucket in buckets {
            cx.ports.limiter.take(*bucket, &self.key(bucket.per()), 1).await?;
        }
        Ok(())
    }
}

/// Who is to be charged for an answer, once it is known how large it is.
#[derive(Clone)]
pub(super) struct Payer {
    limiter: Arc<dyn Limiter>,
    bucket: Bucket,
    key: String,
}

impl Payer {
    /// That of whoever sends a request.
    ///
    /// # Errors
    ///
    /// `M_LIMIT_EXCEEDED`, where they have had too much.
    pub(super) fn of(cx: &Cx, counted: &Counted<'_>) -> Result<Self> {
        Self::new(cx, Bucket::Answers, counted.key(Bucket::Answers.per()).into_owned())
    }

    /// That of another server.
    ///
    /// # Errors
    ///
    /// `M_LIMIT_EXCEEDED`, where it has had too much.
    pub(super) fn of_server(cx: &Cx, server: &ServerName) -> Result<Self> {
        Self::new(cx, Bucket::FederationAnswers, server.to_string())
    }

    fn new(cx: &Cx, bucket: Bucket, key: String) -> Result<Self> {
        cx.ports.limiter.check(bucket, &key)?;
        Ok(Self { limiter: Arc::clone(&cx.ports.limiter), bucket, key })
    }

    /// Charges an answer of so many bytes. Small ones cost nothing.
    pub(super) fn charge(&self, bytes: usize) {
        let kib = u32::try_from(bytes / 1024).unwrap_or(u32::MAX);
        charge(&*self.limiter, self.bucket, &self.key, kib);
    }
}

/// Charges a user for history that was searched for an answer and is not in it.
pub(super) fn charge_search(cx: &Cx, caller: &Caller, kib: u32) {
    charge(&*cx.ports.limiter, Bucket::Answers, caller.user_id.as_str(), kib);
}

/// Charges another server for work that shows in no answer, as if that had so many KiB.
pub(super) fn charge_server(cx: &Cx, server: &ServerName, kib: u32) {
    charge(&*cx.ports.limiter, Bucket::FederationAnswers, server.as_str(), kib);
}

fn charge(limiter: &dyn Limiter, bucket: Bucket, key: &str, kib: u32) {
    if kib > 0 {
        limiter.charge(bucket, key, kib);
    }
}

/// What the address of a request is counted by.
pub(super) fn counted_address(extensions: &http::Extensions) -> Arc<str> {
    let known = extensions.get::<ClientAddress>().map(|it| it.key.clone());
    known.unwrap_or_else(|| address_key(None).into())
}

/// Counts an access token, if this error says that nobody has it.
pub(super) async fn count_unknown_token(cx: &Cx, address: &str, error: &Error) {
    let is_unknown = |kind: &ErrorKind| matches!(kind, ErrorKind::UnknownToken(_));
    if matches!(error, Error::Api { kind, .. } if is_unknown(kind)) {
        // The answer is given already: the next such request is the one to be refused.
        let _ = cx.ports.limiter.take(Bucket::UnknownTokens, address, 1).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_whom_a_request_is_counted() {
        let caller = Caller { user_id: ruma::owned_user_id!("@ann:x"), device_id: "D".into() };
        let known = Counted { address: "192.0.2.1", caller: Some(&caller), token: None };
        let unknown = Counted { address: "192.0.2.1", caller: None, token: None };
        let unchecked = Counted { address: "192.0.2.1", caller: None, token: Some("hash") };
        let cases = [
            (&known, Per::User, "@ann:x"),
            (&known, Per::Device, "@ann:x D"),
            (&known, Per::Address, "192.0.2.1"),
            (&unknown, Per::User, "192.0.2.1"),
            (&unknown, Per::Address, "192.0.2.1"),
            (&unchecked, Per::Device, "hash"),
            (&unchecked, Per::Address, "192.0.2.1"),
        ];
        for (counted, per, expected) in cases {
            assert_eq!(counted.key(per), expected, "{per:?}");
        }
    }
}
