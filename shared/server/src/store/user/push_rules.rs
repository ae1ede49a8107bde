//! Push rules that are not the server-default ones: `user_push_rules`.

use skerry_core::push_rules::UserRules;

use crate::{
    Result,
    messages::user::{PushRules, StreamPosition},
    ports::{Sql, Stmt},
};

/// The rules, and which version of the server-default ones clients were told of. None: nothing
/// was ever stored.
pub async fn find(sql: &dyn Sql, scope: i64) -> Result<Option<(PushRules, u64)>> {
    let stmt = Stmt::new("SELECT rules, server_default, seq FROM user_push_rules WHERE scope = ?");
    let Some(mut row) = sql.row(stmt.bind(scope)).await? else { return Ok(None) };
    let rules = serde_json::from_str(&row.take::<String>(0)?)?;
    Ok(Some((PushRules { rules, revision: row.take(2)? }, row.take(1)?)))
}

/// Stores them.
pub fn upsert(
    scope: i64,
    rules: &UserRules,
    server_default: u64,
    seq: StreamPosition,
) -> Result<Stmt> {
    let stmt = Stmt::new(
        "INSERT INTO user_push_rules (scope, rules, server_default, seq) VALUES (?, ?, ?, ?) \
         ON CONFLICT (scope) DO UPDATE SET rules = excluded.rules, \
         server_default = excluded.server_default, seq = excluded.seq",
    );
    Ok(stmt.bind(scope).bind(serde_json::to_string(rules)?).bind(server_default).bind(seq))
}

/// Removes them.
pub fn remove(scope: i64) -> Stmt {
    Stmt::new("DELETE FROM user_push_rules WHERE scope = ?").bind(scope)
}
