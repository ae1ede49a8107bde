//! Tokens with which accounts may be registered, known by their SHA-256 only, and who uses them.
//!
//! A use is *reserved* under a user ID before the account is registered, and *spent* when the
//! account is there. The user's object registers nobody once [`REGISTER_WITHIN_MS`] have passed
//! since the reservation; so after [`RESERVATION_MS`] a reservation whose account is not there, or
//! was registered by another request, is that of nobody, and its use is free again.

use ruma::{OwnedUserId, UserId};

use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// How long a use is reserved, in milliseconds.
pub const RESERVATION_MS: u64 = 10 * 60 * 1000;

/// How long after the reservation an account may be registered with it, in milliseconds. The rest
/// of [`RESERVATION_MS`] is for clocks that differ.
pub const REGISTER_WITHIN_MS: u64 = 5 * 60 * 1000;

/// Reservations that are looked at when a token has no use left.
const MAX_RECLAIMED: u64 = 10;

/// A token that may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationToken {
    /// Whether the account made with it administers the server.
    pub makes_admin: bool,
    /// Whether it may be used any number of times: then no use is reserved.
    pub is_unlimited: bool,
}

/// The token with this hash, as far as it seems to have a use left.
pub async fn find(
    global: &dyn Sql,
    token_hash: &str,
    now_ms: u64,
) -> Result<Option<RegistrationToken>> {
    let find = Stmt::new(
        "SELECT t.makes_admin, t.uses_allowed IS NULL FROM registration_tokens t \
         WHERE t.token_hash = ? AND (t.uses_allowed IS NULL OR t.uses_allowed > (\
             SELECT COUNT(*) FROM registration_token_uses u WHERE u.token_hash = t.token_hash \
             AND (u.is_spent = 1 OR u.reserved_at_ms > ?)))",
    );
    let expired_ms = now_ms.saturating_sub(RESERVATION_MS);
    let row = global.row(find.bind(token_hash).bind(expired_ms)).await?;
    row.map(|mut row| {
        Ok(RegistrationToken { makes_admin: row.take(0)?, is_unlimited: row.take(1)? })
    })
    .transpose()
}

/// Reserves a use of a stored token under a user ID. A row is returned, whether the account
/// administers the server, if there is a use left. Checked where it is written, so that two
/// registrations at once do not share the last use. The user's own reservation is renewed.
pub fn reserve(token_hash: &str, user_id: &UserId, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO registration_token_uses \
             (token_hash, user_id, makes_admin, reserved_at_ms, is_spent) \
         SELECT t.token_hash, ?, t.makes_admin, ?, 0 FROM registration_tokens t \
         WHERE t.token_hash = ? AND (t.uses_allowed IS NULL OR t.uses_allowed > (\
             SELECT COUNT(*) FROM registration_token_uses u \
             WHERE u.token_hash = t.token_hash AND u.user_id <> ?)) \
         AND (t.makes_admin = 0 OR NOT EXISTS (\
             SELECT 1 FROM registration_token_uses u WHERE u.makes_admin = 1 \
             AND (u.token_hash <> t.token_hash OR u.user_id <> ?))) \
         ON CONFLICT (token_hash, user_id) DO UPDATE SET reserved_at_ms = excluded.reserved_at_ms \
         RETURNING makes_admin",
    )
    .bind(user_id.as_str())
    .bind(now_ms)
    .bind(token_hash)
    .bind(user_id.as_str())
    .bind(user_id.as_str())
}

/// Reserves the place of the first account, which administers the server, for a user who showed
/// the operator's token. A row is returned if that place is free.
pub fn reserve_first(token_hash: &str, user_id: &UserId, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO registration_token_uses \
             (token_hash, user_id, makes_admin, reserved_at_ms, is_spent) \
         SELECT ?, ?, 1, ?, 0 WHERE NOT EXISTS (SELECT 1 FROM accounts) AND NOT EXISTS (\
             SELECT 1 FROM registration_token_uses WHERE makes_admin = 1 \
             AND (token_hash <> ? OR user_id <> ?)) \
         ON CONFLICT (token_hash, user_id) DO UPDATE SET reserved_at_ms = excluded.reserved_at_ms \
         RETURNING makes_admin",
    )
    .bind(token_hash)
    .bind(user_id.as_str())
    .bind(now_ms)
    .bind(token_hash)
    .bind(user_id.as_str())
}

/// A reservation whose time is over: either its account is there, and knows that it is a use of the
/// token, or nobody will have it.
#[derive(Clone, Debug)]
pub struct Overdue {
    /// The token.
    pub token_hash: String,
    /// For whom.
    pub user_id: OwnedUserId,
    reserved_at_ms: u64,
}

/// Reservations that are overdue, of this token and of the place of the first account.
pub async fn list_overdue(global: &dyn Sql, token_hash: &str, now_ms: u64) -> Result<Vec<Overdue>> {
    let list = Stmt::new(
        "SELECT token_hash, user_id, reserved_at_ms FROM registration_token_uses \
         WHERE is_spent = 0 AND reserved_at_ms <= ? AND (token_hash = ? OR makes_admin = 1) \
         ORDER BY reserved_at_ms LIMIT ?",
    )
    .bind(now_ms.saturating_sub(RESERVATION_MS))
    .bind(token_hash)
    .bind(MAX_RECLAIMED);
    let overdue = |mut row: Row| {
        Ok(Overdue {
            token_hash: row.take(0)?,
            user_id: UserId::parse(row.take::<String>(1)?).map_err(Error::internal)?,
            reserved_at_ms: row.take(2)?,
        })
    };
    global.rows(list).await?.into_iter().map(overdue).collect()
}

/// Frees the use of an overdue reservation, unless it was renewed meanwhile.
pub fn remove_overdue(it: &Overdue) -> Stmt {
    Stmt::new(
        "DELETE FROM registration_token_uses WHERE token_hash = ? AND user_id = ? \
         AND reserved_at_ms = ? AND is_spent = 0",
    )
    .bind(it.token_hash.as_str())
    .bind(it.user_id.as_str())
    .bind(it.reserved_at_ms)
}

/// The account is there.
pub fn update_spent(token_hash: &str, user_id: &UserId) -> Stmt {
    Stmt::new(
        "UPDATE registration_token_uses SET is_spent = 1 WHERE token_hash = ? AND user_id = ?",
    )
    .bind(token_hash)
    .bind(user_id.as_str())
}

/// A token that may be used `uses_allowed` times, or any number of times.
pub fn upsert(token_hash: &str, uses_allowed: Option<u64>, makes_admin: bool) -> Stmt {
    Stmt::new(
        "INSERT INTO registration_tokens (token_hash, uses_allowed, makes_admin) \
         VALUES (?, ?, ?) ON CONFLICT (token_hash) DO UPDATE SET \
         uses_allowed = excluded.uses_allowed, makes_admin = excluded.makes_admin",
    )
    .bind(token_hash)
    .bind(uses_allowed)
    .bind(makes_admin)
}

/// The token for the first account, unless there is one. A row is returned if it was made.
pub fn insert_for_admin(token_hash: &str) -> Stmt {
    Stmt::new(
        "INSERT INTO registration_tokens (token_hash, uses_allowed, makes_admin) \
         SELECT ?, 1, 1 WHERE NOT EXISTS (\
             SELECT 1 FROM registration_tokens WHERE makes_admin = 1) \
         RETURNING 1",
    )
    .bind(token_hash)
}

/// Takes back the tokens of first starts that nobody used: their text is lost.
pub fn remove_for_admin() -> Stmt {
    Stmt::new("DELETE FROM registration_tokens WHERE makes_admin = 1")
}
