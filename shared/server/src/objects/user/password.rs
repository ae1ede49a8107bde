//! Passwords: what they must be, and argon2id. Who hashes holds no lock of the user's: it takes
//! long, and others may be before them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version,
    password_hash::phc::PasswordHash,
};
use ruma::api::error::ErrorKind;
use skerry_core::{
    rate_limits::Bucket,
    turns::{Asker, Places, Turns},
};
use tokio::sync::oneshot;

use crate::{Error, Result, limits, messages::secret::Secret, ports::ObjectHost};

/// The fewest characters of a new password.
pub const MIN_PASSWORD_CHARS: usize = 8;

/// The most bytes of a password.
pub const MAX_PASSWORD_BYTES: usize = 512;

/// Requests that may wait for their turn; the next is told to come back. One at a time is hashed:
/// it takes 19 MiB and tens of milliseconds of one thread, which is then lost to everybody else.
const PLACES: Places = Places { all: 256, per_address: 16, per_account: 32 };

/// When a request that found no place should come back, in milliseconds.
const RETRY_AFTER_MS: u64 = 5_000;

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
pub(super) async fn hash(host: &dyn ObjectHost, password: &Secret, asker: Asker) -> Result<Secret> {
    check(password.expose())?;
    let _turn = turn(host, asker).await?;
    let mut salt = [0; SALT_BYTES];
    host.random().fill(&mut salt)?;
    hash_with(password.expose(), &salt).map(Secret::new)
}

/// Whether the password is the one that was hashed. Without a hash it is not, which takes the
/// same time, so that nobody learns which accounts exist.
pub(super) async fn verify(
    host: &dyn ObjectHost,
    password: &Secret,
    hash: Option<&Secret>,
    asker: Asker,
) -> Result<bool> {
    let password = password.expose();
    if password.len() > MAX_PASSWORD_BYTES {
        return Ok(false);
    }
    let _turn = turn(host, asker).await?;
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

/// Waits until a password may be hashed.
async fn turn(host: &dyn ObjectHost, asker: Asker) -> Result<Turn> {
    match host.may_compute(&asker.address).await {
        true => turn_of_thread(asker).await,
        false => Err(no_place()),
    }
}

/// Waits for a turn of the thread that hashes. At the edge nobody ever waits here: a turn is held
/// across no await, and there is one thread.
async fn turn_of_thread(asker: Asker) -> Result<Turn> {
    let (ticket, given) = {
        let mut queue = queue();
        if !queue.is_busy {
            queue.is_busy = true;
            return Ok(Turn(()));
        }
        let (give, given) = oneshot::channel();
        // Who is displaced hears of it when their end of the channel is dropped.
        let place = queue.turns.push(asker, give).ok_or_else(no_place)?;
        (place.ticket, given)
    };
    let _waiting = Waiting(ticket);
    given.await.map_err(|_| no_place())
}

fn no_place() -> Error {
    limits::refused(Bucket::LoginAddress, RETRY_AFTER_MS)
}

/// Who hashes, and who waits.
struct Queue {
    is_busy: bool,
    turns: Turns<oneshot::Sender<Turn>>,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue { is_busy: false, turns: Turns::new(PLACES) });

fn queue() -> MutexGuard<'static, Queue> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to hash. Given up, it goes to who is next.
struct Turn(());

impl Drop for Turn {
    fn drop(&mut self) {
        loop {
            let mut queue = queue();
            let Some(next) = queue.turns.pop() else {
                queue.is_busy = false;
                return;
            };
            drop(queue);
            match next.send(Self(())) {
                Ok(()) => return,
                // Whoever it was does not wait any longer.
                Err(turn) => std::mem::forget(turn),
            }
        }
    }
}

/// A place in the queue, given back also when the client does not wait.
struct Waiting(u64);

impl Drop for Waiting {
    fn drop(&mut self) {
        queue().turns.remove(self.0);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

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

    /// Polls a future once, at the beginning of its wait.
    fn begin<F: Future>(future: F) -> std::pin::Pin<Box<F>> {
        let mut future = Box::pin(future);
        assert!(future.as_mut().now_or_never().is_none(), "it has a turn at once");
        future
    }

    fn ready<F: Future>(future: &mut std::pin::Pin<Box<F>>) -> Option<F::Output> {
        future.as_mut().now_or_never()
    }

    #[test]
    fn whoever_asks_once_waits_for_one_of_those_who_ask_often() {
        let asker = |address: &str| Asker {
            address: address.to_owned(),
            account: "@ann:x".to_owned(),
            is_known: true,
        };
        let busy = turn_of_thread(asker("a")).now_or_never().unwrap().unwrap();
        let mut many: Vec<_> = (0..3).map(|_| begin(turn_of_thread(asker("a")))).collect();
        let mut once = begin(turn_of_thread(asker("b")));
        let gone = begin(turn_of_thread(asker("c")));
        drop(busy);
        let first = ready(&mut many[0]).unwrap().unwrap();
        drop(gone);
        drop(first);
        let own = ready(&mut once).unwrap().unwrap();
        assert!(ready(&mut many[1]).is_none());
        drop(own);
        // A turn that was given to somebody who has gone meanwhile goes on to the next.
        drop(many.remove(1));
        let last = ready(&mut many[1]).unwrap().unwrap();
        drop(last);
        drop(turn_of_thread(asker("a")).now_or_never().unwrap().unwrap());
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
