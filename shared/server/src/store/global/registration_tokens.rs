//! Tokens that allow to register, known by their SHA-256 only.

use crate::{
    Result,
    ports::{Sql, Stmt},
};

/// A token that may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrationToken {
    /// Whether the account made with it administers the server.
    pub makes_admin: bool,
}

/// The token with this hash, if it may still be used.
pub async fn find(global: &dyn Sql, hash: &str) -> Result<Option<RegistrationToken>> {
    let find = Stmt::new(
        "SELECT makes_admin FROM registration_tokens \
         WHERE token_hash = ? AND (uses_allowed IS NULL OR uses < uses_allowed)",
    );
    let row = global.row(find.bind(hash)).await?;
    row.map(|mut row| Ok(RegistrationToken { makes_admin: row.take(0)? })).transpose()
}

/// A token that may be used `uses_allowed` times, or any number of times.
pub fn upsert(hash: &str, uses_allowed: Option<u64>, makes_admin: bool) -> Stmt {
    Stmt::new(
        "INSERT INTO registration_tokens (token_hash, uses_allowed, uses, makes_admin) \
         VALUES (?, ?, 0, ?) \
         ON CONFLICT (token_hash) DO UPDATE SET \
             uses_allowed = excluded.uses_allowed, makes_admin = excluded.makes_admin",
    )
    .bind(hash)
    .bind(uses_allowed)
    .bind(makes_admin)
}

/// Counts one use, if there is one left: goes into one batch with the account made with it.
pub fn update_used(hash: &str) -> Stmt {
    Stmt::new(
        "UPDATE registration_tokens SET uses = uses + 1 \
         WHERE token_hash = ? AND (uses_allowed IS NULL OR uses < uses_allowed)",
    )
    .bind(hash)
}

/// Takes back the tokens of first starts that nobody used: their text is lost.
pub fn remove_for_admin() -> Stmt {
    Stmt::new("DELETE FROM registration_tokens WHERE makes_admin = 1")
}
