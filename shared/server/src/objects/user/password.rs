//! Passwords: what they must be, and argon2id. Who hashes holds no lock of the user's: it takes
//! long, and others may be before them.

use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};
use ruma::api::error::{ErrorKind, LimitExceededErrorData, RetryAfter};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Error, Result, messages::secret::Secret, ports::Random};

/// The fewest characters of a new password.
pub const MIN_PASSWORD_CHARS: usize = 8;

/// The most bytes of a password.
pub const MAX_PASSWORD_BYTES: usize = 512;

/// Passwords hashed at the same time. Each takes 19 MiB and tens of milliseconds of one thread,
/// which is then lost to everybody else, so one thread is all that logins may ever take.
const MAX_CONCURRENT_HASHES: usize = 1;

/// Requests that may wait for their turn; the next is told to come back.
const MAX_WAITING_HASHES: usize = 256;

/// When a request that found the queue full should come back.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);

/// OWASP's recommendation for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

const SALT_BYTES: usize = 16;

/// Checks a new password.
pub fn check(password: &str) -> Result<()> {
    if password.len() > MAX_PASSWORD_BYTES {
        let message = format!("a password has at most {MAX_PASSWORD_BYTES} bytes");
        return Err(Error::invalid_param(message));
    }
    if password.chars().count() < MIN_PASSWORD_CHARS {
        let message = format!("a password has at least {MIN_PASSWORD_CHARS} characters");
        return Err(Error::api(ErrorKind::WeakPassword, message));
    }
    Ok(())
}

/// Hashes a new password, if it is one.
pub(super) async fn hash(random: &dyn Random, password: &Secret) -> Result<Secret> {
    check(password.expose())?;
    let _turn = turn().await?;
    let mut salt = [0; SALT_BYTES];
    random.fill(&mut salt)?;
    hash_with(password.expose(), &salt).map(Secret::new)
}

/// Whether the password is the one that was hashed. Without a hash it is not, which takes the
/// same time, so that nobody learns which accounts exist.
pub(super) async fn verify(password: &Secret, hash: Option<&Secret>) -> Result<bool> {
    let password = password.expose();
    if password.len() > MAX_PASSWORD_BYTES {
        return Ok(false);
    }
    let _turn = turn().await?;
    let Some(hash) = hash else {
        hash_with(password, &[0; SALT_BYTES])?;
        return Ok(false);
    };
    let hash =
        PasswordHash::new(hash.expose()).map_err(|error| Error::internal(error.to_string()))?;
    Ok(argon2()?.verify_password(password.as_bytes(), &hash).is_ok())
}

fn hash_with(password: &str, salt: &[u8]) -> Result<String> {
    let hash = argon2()?.hash_password_with_salt(password.as_bytes(), salt);
    hash.map(|it| it.to_string()).map_err(|error| Error::internal(error.to_string()))
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None);
    let params = params.map_err(|error| Error::internal(error.to_string()))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

/// Waits for a turn. At the edge nobody ever waits: a turn is held across no await, and there is
/// one thread.
async fn turn() -> Result<SemaphorePermit<'static>> {
    static HASHING: Semaphore = Semaphore::const_new(MAX_CONCURRENT_HASHES);
    let _waiting = Waiting::begin()?;
    HASHING.acquire().await.map_err(Error::internal)
}

/// A place in the queue, given back also when the client does not wait.
struct Waiting;

static WAITING: AtomicUsize = AtomicUsize::new(0);

impl Waiting {
    fn begin() -> Result<Self> {
        if WAITING.fetch_add(1, Ordering::Relaxed) < MAX_WAITING_HASHES {
            return Ok(Self);
        }
        WAITING.fetch_sub(1, Ordering::Relaxed);
        let mut data = LimitExceededErrorData::new();
        data.retry_after = Some(RetryAfter::Delay(RETRY_AFTER));
        Err(Error::api(ErrorKind::LimitExceeded(data), "too many logins at once"))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_password_must_be() {
        let longest = "x".repeat(MAX_PASSWORD_BYTES);
        let cases = [
            ("", Some("M_WEAK_PASSWORD")),
            ("1234567", Some("M_WEAK_PASSWORD")),
            ("ßßßßßßß", Some("M_WEAK_PASSWORD")),
            ("12345678", None),
            ("correct horse battery staple", None),
            (&longest, None),
            (&format!("{longest}x"), Some("M_INVALID_PARAM")),
        ];
        for (password, expected) in cases {
            let error = check(password).err().map(|it| it.to_json()["errcode"].clone());
            let expected = expected.map(serde_json::Value::from);
            assert_eq!(error, expected, "{} bytes", password.len());
        }
    }

    #[test]
    fn a_hash_is_argon2id_and_knows_its_password_only() {
        let hash = hash_with("swordfish", &[7; SALT_BYTES]).unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        let parsed = PasswordHash::new(&hash).unwrap();
        assert!(argon2().unwrap().verify_password(b"swordfish", &parsed).is_ok());
        assert!(argon2().unwrap().verify_password(b"Swordfish", &parsed).is_err());
        assert_ne!(hash, hash_with("swordfish", &[8; SALT_BYTES]).unwrap());
    }
}
