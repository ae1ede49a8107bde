//! Rate limits at the edge, which cost neither an object nor a row.
//!
//! This isolate counts in its memory, and the platform's rate limiting knows what the other
//! isolates of a place have let through. What is counted of a user is counted by the object that
//! is asked next as well, where all isolates meet: their `User`, or a `Room`, each in its memory.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use skerry::{
    Result,
    limits::{Limits, refused},
    ports::{Clock as _, Limiter},
};
use skerry_core::rate_limits::{Bucket, Per};
use worker::{Env, send::SendFuture};

use crate::machine::EdgeClock;

/// When whom the platform refused should come back, in milliseconds: it does not say when it will
/// let them through, and counts by the minute.
const RETRY_AFTER_MS: u64 = 20_000;

/// The binding that counts a bucket besides the isolate, if there is one.
fn binding(bucket: Bucket) -> Option<&'static str> {
    match bucket {
        Bucket::LoginAddress | Bucket::LoginAccount => Some("LIMIT_LOGIN"),
        Bucket::Register => Some("LIMIT_REGISTER"),
        Bucket::RegistrationToken => Some("LIMIT_REGISTRATION_TOKEN"),
        Bucket::CreateRoom
        | Bucket::Joins
        | Bucket::Invites
        | Bucket::Invited
        | Bucket::Profile
        | Bucket::Filters
        | Bucket::Aliases
        | Bucket::Account => Some("LIMIT_FEW"),
        Bucket::Messages
        | Bucket::AccountData
        | Bucket::Memberships
        | Bucket::Directory
        | Bucket::Refresh
        | Bucket::UserNames => Some("LIMIT_MANY"),
        _ => None,
    }
}

/// What an object is to count of a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Charge {
    bucket: String,
    key: String,
    requests: u32,
}

impl Charge {
    /// Counts it. A bucket that this program does not know is none.
    pub(crate) fn take(&self, limits: &Limits) -> Result<()> {
        match Bucket::named(&self.bucket) {
            Some(bucket) => limits.take(bucket, &self.key, self.requests, EdgeClock.now_ms()),
            None => Ok(()),
        }
    }
}

/// What is still to be counted by an object, of one request from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Charges(Arc<Mutex<Vec<Charge>>>);

impl Charges {
    /// What the object of this name is to count: a room takes all, and a user what is theirs.
    pub(crate) fn take_for(&self, name: &str) -> Vec<Charge> {
        let is_room = name.starts_with('!');
        let is_for = |it: &mut Charge| is_room || it.key.split(' ').next() == Some(name);
        self.lock().extract_if(.., is_for).collect()
    }

    fn add(&self, charge: Charge) {
        self.lock().push(charge);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Charge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts for this isolate, asks the platform, and leaves the rest to the objects.
pub(crate) struct EdgeLimiter {
    limits: Arc<Limits>,
    env: Env,
    charges: Charges,
}

impl EdgeLimiter {
    pub(crate) fn new(limits: Arc<Limits>, env: Env, charges: Charges) -> Self {
        Self { limits, env, charges }
    }

    /// Leaves what is a user's to the objects.
    fn leave_to_objects(&self, bucket: Bucket, key: &str, requests: u32) {
        let is_of_user = matches!(bucket.per(), Per::User | Per::Device) && key.starts_with('@');
        if is_of_user && self.limits.limits(bucket) {
            let (bucket, key) = (bucket.name().to_owned(), key.to_owned());
            self.charges.add(Charge { bucket, key, requests });
        }
    }

    /// Where the binding is missing or fails, requests that must be limited are counted for this
    /// isolate all together.
    async fn count(&self, bucket: Bucket, key: &str, requests: u32) -> Result<()> {
        let take = |key: &str| self.limits.take(bucket, key, requests, EdgeClock.now_ms());
        let Some(binding) = binding(bucket).filter(|_| self.limits.limits(bucket)) else {
            return take(key);
        };
        take(key)?;
        let asked = match self.env.rate_limiter(binding) {
            Ok(platform) => platform.limit(format!("{} {key}", bucket.name())).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(outcome) if outcome.success => Ok(()),
            Ok(_) => Err(refused(bucket, RETRY_AFTER_MS)),
            Err(error) if bucket.fails_closed() => {
                tracing::error!(%error, binding, "a rate limit is counted for all together");
                take("")
            }
            Err(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Limiter for EdgeLimiter {
    async fn take(&self, bucket: Bucket, key: &str, requests: u32) -> Result<()> {
        SendFuture::new(self.count(bucket, key, requests)).await?;
        self.leave_to_objects(bucket, key, requests);
        Ok(())
    }

    fn check(&self, bucket: Bucket, key: &str) -> Result<()> {
        self.limits.check(bucket, key, EdgeClock.now_ms())
    }

    fn charge(&self, bucket: Bucket, key: &str, used: u32) {
        self.limits.charge(bucket, key, used, EdgeClock.now_ms());
    }
}
