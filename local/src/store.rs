//! The statements of the host's own tables: where objects are, and when to wake them.

use skerry::{
    Error, Result,
    objects::{Object as _, destination::Destination, room::Room, user::User},
    ports::{Row, Sql, Stmt},
    store::migrations::{self, Migration},
};

/// The host's own tables.
const LOCAL: &[Migration] = &[Migration {
    name: "0001_local",
    usable_since: "0001_local",
    sql: include_str!("../../migrations/local/0001_local.sql"),
}];

/// Brings all tables of the database up to date.
pub async fn migrate(sql: &dyn Sql) -> Result<()> {
    migrations::apply(sql, "local", LOCAL).await?;
    migrations::apply(sql, "global", migrations::GLOBAL).await?;
    migrations::apply(sql, migrations::OBJECT_KIND, migrations::OBJECT).await?;
    migrations::apply(sql, Room::KIND, Room::MIGRATIONS).await?;
    migrations::apply(sql, User::KIND, User::MIGRATIONS).await?;
    migrations::apply(sql, Destination::KIND, Destination::MIGRATIONS).await
}

/// The scope of an object that has written something.
pub async fn find_scope(sql: &dyn Sql, kind: &'static str, name: &str) -> Result<Option<i64>> {
    let find = Stmt::new("SELECT scope FROM objects WHERE kind = ? AND name = ?");
    sql.row(find.bind(kind).bind(name)).await?.map(|mut row| row.take(0)).transpose()
}

/// The largest scope given so far.
pub async fn last_scope(sql: &dyn Sql) -> Result<i64> {
    let find = Stmt::new("SELECT coalesce(max(scope), 0) FROM objects");
    sql.row(find).await?.ok_or_else(|| Error::internal("max() gives a row"))?.take(0)
}

/// Gives an object its scope. Two first commits of one object may overlap; two objects of one
/// name are a conflict.
pub fn insert_object(scope: i64, kind: &'static str, name: &str) -> Stmt {
    Stmt::new(
        "INSERT INTO objects (scope, kind, name) VALUES (?, ?, ?) \
         ON CONFLICT (scope) DO NOTHING",
    )
    .bind(scope)
    .bind(kind)
    .bind(name)
}

/// Forgets an object that has no rows any more, and its alarm.
pub fn remove_object(scope: i64) -> [Stmt; 2] {
    ["DELETE FROM objects WHERE scope = ?", "DELETE FROM alarms WHERE scope = ?"]
        .map(|sql| Stmt::new(sql).bind(scope))
}

/// Brings the alarm of an object forward, unless one is set for an earlier time. The one that goes
/// off at this moment, by the time it was set for, is none that is yet to come.
pub fn upsert_alarm(scope: i64, at_ms: u64, went_off_ms: u64) -> Stmt {
    Stmt::new(
        "INSERT INTO alarms (scope, at_ms) VALUES (?, ?) \
         ON CONFLICT (scope) DO UPDATE SET \
         at_ms = iif(at_ms = ?, excluded.at_ms, min(at_ms, excluded.at_ms))",
    )
    .bind(scope)
    .bind(at_ms)
    .bind(went_off_ms)
}

/// When the alarm of an object is set, if it is: also one that is going off at this moment.
pub async fn find_alarm(sql: &dyn Sql, scope: i64) -> Result<Option<u64>> {
    let find = Stmt::new("SELECT at_ms FROM alarms WHERE scope = ?").bind(scope);
    sql.row(find).await?.map(|mut row| row.take(0)).transpose()
}

/// Removes an alarm, unless it was replaced since.
pub fn remove_alarm(scope: i64, at_ms: u64) -> Stmt {
    Stmt::new("DELETE FROM alarms WHERE scope = ? AND at_ms = ?").bind(scope).bind(at_ms)
}

/// Puts an alarm off, unless it was replaced since.
pub fn delay_alarm(scope: i64, at_ms: u64, until_ms: u64) -> Stmt {
    Stmt::new("UPDATE alarms SET at_ms = ? WHERE scope = ? AND at_ms = ?")
        .bind(until_ms)
        .bind(scope)
        .bind(at_ms)
}

/// An alarm and the object it wakes.
#[derive(Debug)]
pub struct Alarm {
    /// The object.
    pub scope: i64,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The next alarms, the earliest first.
pub async fn list_alarms(sql: &dyn Sql, limit: u64) -> Result<Vec<Alarm>> {
    let list = Stmt::new(
        "SELECT alarms.scope, kind, name, at_ms FROM alarms JOIN objects USING (scope) \
         ORDER BY at_ms LIMIT ?",
    );
    let alarm = |mut row: Row| {
        Ok(Alarm {
            scope: row.take(0)?,
            kind: row.take(1)?,
            name: row.take(2)?,
            at_ms: row.take(3)?,
        })
    };
    sql.rows(list.bind(limit)).await?.into_iter().map(alarm).collect()
}
