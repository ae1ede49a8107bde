//! The list of accounts, for administrators. What an account is, its user's object knows.

use ruma::UserId;

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// An account, as administrators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedAccount {
    /// Whether its user may administer the server.
    pub is_admin: bool,
    /// When it was registered, in milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When it was taken out of use for good, if it was.
    pub deactivated_at_ms: Option<u64>,
}

/// One account.
pub async fn find(global: &dyn Sql, user_id: &UserId) -> Result<Option<ListedAccount>> {
    let find = Stmt::new(
        "SELECT is_admin, created_at_ms, deactivated_at_ms FROM accounts WHERE user_id = ?",
    );
    let Some(mut row) = global.row(find.bind(user_id.as_str())).await? else { return Ok(None) };
    Ok(Some(ListedAccount {
        is_admin: row.take(0)?,
        created_at_ms: row.take(1)?,
        deactivated_at_ms: row.take(2)?,
    }))
}

/// Whether there is any account at all.
pub async fn exist(global: &dyn Sql) -> Result<bool> {
    let row = global.row(Stmt::new("SELECT 1 FROM accounts LIMIT 1")).await?;
    Ok(row.is_some())
}

/// Lists an account as it is. What comes late brings no deactivated account back.
pub fn upsert(user_id: &UserId, it: &ListedAccount) -> Stmt {
    Stmt::new(
        "INSERT INTO accounts (user_id, is_admin, created_at_ms, deactivated_at_ms) \
         VALUES (?, ?, ?, ?) ON CONFLICT (user_id) DO UPDATE SET \
         is_admin = excluded.is_admin AND deactivated_at_ms IS NULL, \
         deactivated_at_ms = coalesce(deactivated_at_ms, excluded.deactivated_at_ms)",
    )
    .bind(user_id.as_str())
    .bind(it.is_admin)
    .bind(it.created_at_ms)
    .bind(it.deactivated_at_ms)
}
