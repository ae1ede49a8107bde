//! Accounts.

use ruma::UserId;

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// An account.
#[derive(Debug)]
pub struct Account {
    /// argon2id in PHC form; none: no password logs in.
    pub password_hash: Option<String>,
    /// Whether its user may administer the server.
    pub is_admin: bool,
    /// Whether it is gone for good.
    pub is_deactivated: bool,
}

/// One account.
pub async fn find(global: &dyn Sql, user_id: &UserId) -> Result<Option<Account>> {
    let find = Stmt::new(
        "SELECT password_hash, is_admin, deactivated_at_ms IS NOT NULL \
         FROM accounts WHERE user_id = ?",
    );
    let Some(mut row) = global.row(find.bind(user_id.as_str())).await? else { return Ok(None) };
    Ok(Some(Account {
        password_hash: row.take(0)?,
        is_admin: row.take(1)?,
        is_deactivated: row.take(2)?,
    }))
}

/// Whether there is any account at all.
pub async fn exist(global: &dyn Sql) -> Result<bool> {
    let row = global.row(Stmt::new("SELECT 1 FROM accounts LIMIT 1")).await?;
    Ok(row.is_some())
}

/// A new account. A conflict: the ID is or was somebody's. `first_is_admin`: it administers the
/// server when there is no other account.
pub fn insert(user_id: &UserId, password_hash: &str, first_is_admin: bool, now_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO accounts (user_id, password_hash, is_admin, created_at_ms) \
         SELECT ?, ?, ? AND NOT EXISTS (SELECT 1 FROM accounts), ? \
         RETURNING is_admin",
    )
    .bind(user_id.as_str())
    .bind(password_hash)
    .bind(first_is_admin)
    .bind(now_ms)
}

/// A new account for a registration token, which decides whether it administers the server. No
/// row is returned when the token has no use left: checked where it is written, so that two
/// accounts made at once do not share the last use.
pub fn insert_with_token(
    user_id: &UserId,
    password_hash: &str,
    token_hash: &str,
    now_ms: u64,
) -> Stmt {
    Stmt::new(
        "INSERT INTO accounts (user_id, password_hash, is_admin, created_at_ms) \
         SELECT ?, ?, makes_admin, ? FROM registration_tokens \
         WHERE token_hash = ? AND (uses_allowed IS NULL OR uses < uses_allowed) \
         RETURNING is_admin",
    )
    .bind(user_id.as_str())
    .bind(password_hash)
    .bind(now_ms)
    .bind(token_hash)
}

/// A new password.
pub fn update_password(user_id: &UserId, password_hash: &str) -> Stmt {
    Stmt::new("UPDATE accounts SET password_hash = ? WHERE user_id = ?")
        .bind(password_hash)
        .bind(user_id.as_str())
}

/// Takes the account out of use for good.
pub fn update_deactivated(user_id: &UserId, now_ms: u64) -> Stmt {
    Stmt::new(
        "UPDATE accounts SET password_hash = NULL, is_admin = 0, deactivated_at_ms = ? \
         WHERE user_id = ? AND deactivated_at_ms IS NULL",
    )
    .bind(now_ms)
    .bind(user_id.as_str())
}
