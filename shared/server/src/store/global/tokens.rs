//! Access and refresh tokens, known by their SHA-256 only.
//!
//! A device has at most two pairs: the one in use, and after a refresh the new one as long as the
//! client has not shown that it received it ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{DeviceId, OwnedDeviceId, UserId};
use sha2::{Digest as _, Sha256};

use crate::{
    Result,
    messages::Caller,
    ports::{Sql, Stmt},
};

/// An access token.
#[derive(Debug)]
pub struct AccessToken {
    /// Whose it is.
    pub user_id: String,
    /// The device.
    pub device_id: String,
    /// When it expires; none: never.
    pub expires_at_ms: Option<u64>,
    /// The refresh token that was given together with it.
    pub refresh_hash: Option<String>,
    /// Made by a refresh and not used yet.
    pub unconfirmed: bool,
}

/// A refresh token.
#[derive(Debug)]
pub struct RefreshToken {
    /// Whose it is.
    pub user_id: String,
    /// The device.
    pub device_id: String,
}

/// What is stored of a token: it is random, so a plain hash cannot be searched.
pub fn hash(token: &str) -> String {
    STANDARD_NO_PAD.encode(Sha256::digest(token.as_bytes()))
}

/// The access token with this hash.
pub async fn find_access_token(global: &dyn Sql, hash: &str) -> Result<Option<AccessToken>> {
    let find = Stmt::new(
        "SELECT user_id, device_id, expires_at_ms, refresh_hash, unconfirmed \
         FROM access_tokens WHERE token_hash = ?",
    );
    let Some(mut row) = global.row(find.bind(hash)).await? else { return Ok(None) };
    Ok(Some(AccessToken {
        user_id: row.take(0)?,
        device_id: row.take(1)?,
        expires_at_ms: row.take(2)?,
        refresh_hash: row.take(3)?,
        unconfirmed: row.take(4)?,
    }))
}

/// The refresh token with this hash.
pub async fn find_refresh_token(global: &dyn Sql, hash: &str) -> Result<Option<RefreshToken>> {
    let find = Stmt::new("SELECT user_id, device_id FROM refresh_tokens WHERE token_hash = ?");
    let Some(mut row) = global.row(find.bind(hash)).await? else { return Ok(None) };
    Ok(Some(RefreshToken { user_id: row.take(0)?, device_id: row.take(1)? }))
}

/// The tokens of a new session, from a login.
#[derive(Debug)]
pub struct NewSession<'a> {
    /// The user on the device.
    pub caller: &'a Caller,
    /// Hash of the access token.
    pub access_hash: &'a str,
    /// Hash of the refresh token, if the client can use one.
    pub refresh_hash: Option<&'a str>,
    /// When the access token expires.
    pub expires_at_ms: Option<u64>,
}

/// Begins a session in place of the one the device had, if the password is still the one that
/// was checked: a login that overlaps a password change or a deactivation gets nothing. The
/// statement that inserts the access token comes last and then returns no row.
pub fn insert_session(session: &NewSession<'_>, password_hash: &str) -> Vec<Stmt> {
    let Caller { user_id, device_id } = session.caller;
    let mut stmts = Vec::from(remove_of_device(user_id, device_id));
    stmts.push(
        Stmt::new(
            "INSERT INTO refresh_tokens (token_hash, user_id, device_id) \
             SELECT ?, user_id, ? FROM accounts \
             WHERE ? IS NOT NULL AND user_id = ? AND password_hash = ?",
        )
        .bind(session.refresh_hash.unwrap_or_default())
        .bind(device_id.as_str())
        .bind(session.refresh_hash)
        .bind(user_id.as_str())
        .bind(password_hash),
    );
    stmts.push(
        Stmt::new(
            "INSERT INTO access_tokens \
             (token_hash, user_id, device_id, expires_at_ms, refresh_hash, unconfirmed) \
             SELECT ?, user_id, ?, ?, ?, 0 FROM accounts \
             WHERE user_id = ? AND password_hash = ? \
             RETURNING 1",
        )
        .bind(session.access_hash)
        .bind(device_id.as_str())
        .bind(session.expires_at_ms)
        .bind(session.refresh_hash)
        .bind(user_id.as_str())
        .bind(password_hash),
    );
    stmts
}

/// The pair that follows a refresh token, valid beside what it replaces until it is used. The
/// statement that inserts the access token comes last and returns no row when the refresh token
/// is gone.
pub fn insert_refreshed(session: &NewSession<'_>, used_hash: &str) -> Vec<Stmt> {
    vec![
        Stmt::new(
            "INSERT INTO refresh_tokens (token_hash, user_id, device_id) \
             SELECT ?, user_id, device_id FROM refresh_tokens WHERE token_hash = ?",
        )
        .bind(session.refresh_hash.unwrap_or_default())
        .bind(used_hash),
        Stmt::new(
            "INSERT INTO access_tokens \
             (token_hash, user_id, device_id, expires_at_ms, refresh_hash, unconfirmed) \
             SELECT ?, user_id, device_id, ?, ?, 1 FROM refresh_tokens WHERE token_hash = ? \
             RETURNING 1",
        )
        .bind(session.access_hash)
        .bind(session.expires_at_ms)
        .bind(session.refresh_hash)
        .bind(used_hash),
    ]
}

/// The first use of an access token: it and its refresh token are all its device has.
pub fn confirm_access_token(token: &AccessToken, hash: &str) -> Vec<Stmt> {
    vec![
        Stmt::new("UPDATE access_tokens SET unconfirmed = 0 WHERE token_hash = ?").bind(hash),
        Stmt::new(
            "DELETE FROM access_tokens WHERE user_id = ? AND device_id = ? AND token_hash <> ?",
        )
        .bind(token.user_id.as_str())
        .bind(token.device_id.as_str())
        .bind(hash),
        remove_other_refresh_tokens(token, token.refresh_hash.as_deref()),
    ]
}

/// The use of a refresh token: it and the access token given with it are all its device has left,
/// until the pair that follows is used.
pub fn use_refresh_token(token: &RefreshToken, hash: &str) -> Vec<Stmt> {
    vec![
        Stmt::new(
            "DELETE FROM access_tokens \
             WHERE user_id = ? AND device_id = ? AND refresh_hash IS NOT ?",
        )
        .bind(token.user_id.as_str())
        .bind(token.device_id.as_str())
        .bind(hash),
        Stmt::new(
            "DELETE FROM refresh_tokens WHERE user_id = ? AND device_id = ? AND token_hash <> ?",
        )
        .bind(token.user_id.as_str())
        .bind(token.device_id.as_str())
        .bind(hash),
        Stmt::new(
            "UPDATE access_tokens SET unconfirmed = 0 WHERE refresh_hash = ? AND user_id = ?",
        )
        .bind(hash)
        .bind(token.user_id.as_str()),
    ]
}

/// Everything a device has.
pub fn remove_of_device(user_id: &UserId, device_id: &DeviceId) -> [Stmt; 2] {
    let of_device = |sql| Stmt::new(sql).bind(user_id.as_str()).bind(device_id.as_str());
    [
        of_device("DELETE FROM access_tokens WHERE user_id = ? AND device_id = ?"),
        of_device("DELETE FROM refresh_tokens WHERE user_id = ? AND device_id = ?"),
    ]
}

/// Everything these devices have.
pub fn remove_of_devices(user_id: &UserId, device_ids: &[OwnedDeviceId]) -> Result<[Stmt; 2]> {
    let device_ids = serde_json::to_string(device_ids)?;
    let of_devices = |sql| Stmt::new(sql).bind(user_id.as_str()).bind(device_ids.as_str());
    Ok([
        of_devices(
            "DELETE FROM access_tokens \
             WHERE user_id = ? AND device_id IN (SELECT value FROM json_each(?))",
        ),
        of_devices(
            "DELETE FROM refresh_tokens \
             WHERE user_id = ? AND device_id IN (SELECT value FROM json_each(?))",
        ),
    ])
}

/// Everything all devices of a user have, save for one device if so wished.
pub fn remove_of_user(user_id: &UserId, except: Option<&DeviceId>) -> [Stmt; 2] {
    let except = except.map(DeviceId::as_str);
    let of_user = |sql| Stmt::new(sql).bind(user_id.as_str()).bind(except);
    [
        of_user("DELETE FROM access_tokens WHERE user_id = ? AND device_id IS NOT ?"),
        of_user("DELETE FROM refresh_tokens WHERE user_id = ? AND device_id IS NOT ?"),
    ]
}

fn remove_other_refresh_tokens(token: &AccessToken, hash: Option<&str>) -> Stmt {
    Stmt::new(
        "DELETE FROM refresh_tokens \
         WHERE user_id = ? AND device_id = ? AND token_hash IS NOT ?",
    )
    .bind(token.user_id.as_str())
    .bind(token.device_id.as_str())
    .bind(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_as_its_hash() {
        assert_eq!(hash("abc"), "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0");
    }
}
