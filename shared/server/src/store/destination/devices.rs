//! What the server was told of this server's users' devices, and what it has said of its own users'
//! and rooms are still to be told: `destination_devices`, `destination_changed_users`.

use ruma::{OwnedUserId, UserId};
use skerry_core::device_keys::updates::Sent;

use crate::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};

/// What the server was told of a user.
pub async fn find(sql: &dyn Sql, scope: i64, user_id: &UserId) -> Result<Option<Sent>> {
    let stmt = Stmt::new(
        "SELECT devices, signing FROM destination_devices WHERE scope = ? AND user_id = ?",
    )
    .bind(scope)
    .bind(user_id.as_str());
    let read = |mut row: Row| Ok(Sent { devices: row.take(0)?, signing: row.take(1)? });
    sql.row(stmt).await?.map(read).transpose()
}

/// The server was told so much of a user.
pub fn upsert(scope: i64, user_id: &UserId, sent: Sent) -> Stmt {
    Stmt::new(
        "INSERT OR REPLACE INTO destination_devices (scope, user_id, devices, signing) \
         VALUES (?, ?, ?, ?)",
    )
    .bind(scope)
    .bind(user_id.as_str())
    .bind(sent.devices)
    .bind(sent.signing)
}

/// Rooms are to be told that the devices of a user of the server have changed. `change`: which
/// change, so that none is taken for another.
pub fn upsert_changed(scope: i64, user_id: &UserId, change: u64) -> Stmt {
    Stmt::new(
        "INSERT OR REPLACE INTO destination_changed_users (scope, user_id, change) \
         VALUES (?, ?, ?)",
    )
    .bind(scope)
    .bind(user_id.as_str())
    .bind(change)
}

/// Users of whom rooms are to be told, `limit` at most.
pub async fn list_changed(
    sql: &dyn Sql,
    scope: i64,
    limit: u64,
) -> Result<Vec<(OwnedUserId, u64)>> {
    let stmt =
        Stmt::new("SELECT user_id, change FROM destination_changed_users WHERE scope = ? LIMIT ?")
            .bind(scope)
            .bind(limit);
    let read = |mut row: Row| {
        let user_id = UserId::parse(row.take::<String>(0)?).map_err(Error::internal)?;
        Ok((user_id, row.take(1)?))
    };
    sql.rows(stmt).await?.into_iter().map(read).collect()
}

/// All rooms were told of a change.
pub fn remove_changed(scope: i64, user_id: &UserId, change: u64) -> Stmt {
    Stmt::new(
        "DELETE FROM destination_changed_users \
         WHERE scope = ? AND user_id = ? AND change = ?",
    )
    .bind(scope)
    .bind(user_id.as_str())
    .bind(change)
}
