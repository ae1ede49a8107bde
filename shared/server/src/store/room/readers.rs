//! Who may have read everything and is to hear of the next event: `room_readers`
//! ([`skerry_core::delivery`]).

use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};

use crate::{
    Error, Result,
    ports::{Sql, Stmt},
};

/// Who reads rooms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// A local user.
    User(OwnedUserId),
    /// Another server.
    Server(OwnedServerName),
}

impl Reader {
    /// How it is stored: no server is called as a user is.
    fn as_str(&self) -> &str {
        match self {
            Self::User(user_id) => user_id.as_str(),
            Self::Server(server) => server.as_str(),
        }
    }

    fn parse(text: String) -> Result<Self> {
        match text.starts_with('@') {
            true => UserId::parse(text).map(Self::User).map_err(Error::internal),
            false => ServerName::parse(text).map(Self::Server).map_err(Error::internal),
        }
    }
}

/// All of them.
pub async fn list(sql: &dyn Sql, scope: i64) -> Result<Vec<Reader>> {
    let stmt = Stmt::new("SELECT reader FROM room_readers WHERE scope = ?").bind(scope);
    let rows = sql.rows(stmt).await?;
    rows.into_iter().map(|mut row| Reader::parse(row.take(0)?)).collect()
}

/// A reader, who may be there already.
pub fn insert(scope: i64, reader: &Reader) -> Stmt {
    Stmt::new("INSERT OR IGNORE INTO room_readers (scope, reader) VALUES (?, ?)")
        .bind(scope)
        .bind(reader.as_str())
}

/// All servers that are in the room are readers.
pub fn insert_servers(scope: i64) -> Stmt {
    Stmt::new(
        "INSERT OR IGNORE INTO room_readers (scope, reader) \
         SELECT scope, server FROM room_servers WHERE scope = ? AND joined > 0",
    )
    .bind(scope)
}

/// Removes readers.
pub fn remove_list(scope: i64, readers: &[Reader]) -> Result<Stmt> {
    let readers: Vec<_> = readers.iter().map(Reader::as_str).collect();
    Ok(Stmt::new(
        "DELETE FROM room_readers WHERE scope = ? \
         AND reader IN (SELECT value FROM json_each(?))",
    )
    .bind(scope)
    .bind(serde_json::to_string(&readers)?))
}
