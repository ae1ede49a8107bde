//! The account: `user_account`.

use crate::{
    Result,
    messages::secret::Secret,
    ports::{Sql, Stmt},
};

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// argon2id in PHC form; none: no password logs in.
    pub password_hash: Option<Secret>,
    /// Whether its user may administer the server.
    pub is_admin: bool,
    /// When it was registered, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When it was taken out of use for good, if it was.
    pub deactivated_at_ms: Option<u64>,
    /// The registration token of which it is a use, by its hash, if it is one.
    pub registration_token: Option<String>,
}

/// The account, if the name was ever registered.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Option<Account>> {
    let stmt = Stmt::new(
        "SELECT password_hash, is_admin, created_at_ms, deactivated_at_ms, registration_token \
         FROM user_account WHERE scope = ?",
    );
    let Some(mut row) = sql.row(stmt.bind(scope)).await? else { return Ok(None) };
    Ok(Some(Account {
        password_hash: row.take::<Option<String>>(0)?.map(Secret::new),
        is_admin: row.take(1)?,
        created_at_ms: row.take(2)?,
        deactivated_at_ms: row.take(3)?,
        registration_token: row.take(4)?,
    }))
}

/// A new account. A conflict: there is one.
pub fn insert(scope: i64, it: &Account) -> Stmt {
    Stmt::new(
        "INSERT INTO user_account (scope, password_hash, is_admin, created_at_ms, \
         deactivated_at_ms, registration_token) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(it.password_hash.as_ref().map(Secret::expose))
    .bind(it.is_admin)
    .bind(it.created_at_ms)
    .bind(it.deactivated_at_ms)
    .bind(it.registration_token.as_deref())
}

/// What may change of an account.
pub fn update(scope: i64, it: &Account) -> Stmt {
    Stmt::new(
        "UPDATE user_account SET password_hash = ?, is_admin = ?, deactivated_at_ms = ? \
         WHERE scope = ?",
    )
    .bind(it.password_hash.as_ref().map(Secret::expose))
    .bind(it.is_admin)
    .bind(it.deactivated_at_ms)
    .bind(scope)
}
