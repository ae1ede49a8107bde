//! One connection that reads: a statement in, rows out. It lives on a thread of its own, so every
//! call costs two changes of threads.

use futures_util::TryStreamExt as _;
use skerry::{
    Error, Result,
    ports::{Row, Stmt, Value},
};
use sqlx::{
    ConnectOptions as _, Decode as _, Executor as _, Row as _, Sqlite, TypeInfo as _,
    ValueRef as _,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteValueRef},
};

use super::{RELEASE_PAGES, integer};
use crate::vital::Vital;

/// One connection that reads.
#[derive(Debug)]
pub(super) struct Connection {
    inner: SqliteConnection,
    vital: Vital,
}

impl Connection {
    /// Opens it. Statements are not logged: their values are what users wrote.
    pub(super) async fn open(options: &SqliteConnectOptions, vital: &Vital) -> Result<Self> {
        let connection = options.clone().disable_statement_logging().connect().await;
        let inner = connection.map_err(map_error)?;
        Ok(Self { inner, vital: vital.clone() })
    }

    /// The rows of one statement.
    pub(super) async fn rows(&mut self, stmt: Stmt) -> Result<Vec<Row>> {
        let query = bind(sqlx::query(stmt.sql), stmt.values);
        let mut stream = self.inner.fetch(query);
        let mut rows = Vec::new();
        loop {
            match stream.try_next().await {
                Ok(Some(row)) => rows.push(decode(&row)?),
                Ok(None) => return Ok(rows),
                Err(error) => {
                    if matches!(error, sqlx::Error::WorkerCrashed) {
                        drop(self.vital.guard("sqlite-reader"));
                    }
                    return Err(map_error(error));
                }
            }
        }
    }

    /// Gives back what it keeps in memory: pages and prepared statements.
    pub(super) async fn release(&mut self) {
        let statements = sqlx::Connection::clear_cached_statements(&mut self.inner).await;
        let pages = self.inner.execute(sqlx::raw_sql(RELEASE_PAGES)).await;
        if let Err(error) = statements.and(pages) {
            tracing::debug!(%error, "a connection keeps its memory");
        }
    }

    pub(super) async fn close(self) {
        // It can only fail when its thread is gone.
        let _ = sqlx::Connection::close(self.inner).await;
    }
}

fn bind(
    mut query: Query<'_, Sqlite, SqliteArguments>,
    values: impl IntoIterator<Item = Value>,
) -> Query<'_, Sqlite, SqliteArguments> {
    for value in values {
        query = match value {
            Value::Null => query.bind(None::<i64>),
            Value::Integer(it) => query.bind(it),
            Value::Text(it) => query.bind(it),
            Value::Blob(it) => query.bind(it),
        };
    }
    query
}

fn decode(row: &SqliteRow) -> Result<Row> {
    let value = |index| decode_value(row.try_get_raw(index).map_err(map_error)?);
    (0..row.len()).map(value).collect::<Result<_>>().map(Row)
}

fn decode_value(value: SqliteValueRef<'_>) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let decoded = match value.type_info().name() {
        "INTEGER" => return integer(i64::decode(value).map_err(Error::internal)?),
        "TEXT" => String::decode(value).map(Value::Text),
        "BLOB" => Vec::decode(value).map(Value::Blob),
        other => Err(format!("a column holds a {other}").into()),
    };
    decoded.map_err(Error::internal)
}

fn map_error(error: sqlx::Error) -> Error {
    Error::internal(error)
}
