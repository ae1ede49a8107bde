//! One connection: statements in, rows out.
//!
//! A connection lives on a thread of its own, so every call costs two thread switches. Statements
//! that belong together therefore travel together, as one text with several statements.

use futures_util::TryStreamExt as _;
use skerry::{
    Error, Result,
    ports::{
        Row, Stmt, Value,
        sql::{self, MAX_SAFE_INTEGER},
    },
};
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Decode as _, Either, Executor as _, Row as _, Sqlite,
    TypeInfo as _, ValueRef as _,
    error::ErrorKind,
    query::Query,
    sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteRow, SqliteValueRef},
};

/// Statements that travel in one call. More would only make for more different texts, each of
/// which is prepared and cached by itself.
pub(super) const STATEMENTS_A_CALL: usize = 32;

/// Begins a transaction that writes: it waits for another writer now, and not at its first write.
const BEGIN: &str = "BEGIN IMMEDIATE";
/// Ends a transaction.
const COMMIT: &str = "COMMIT";

/// One connection.
#[derive(Debug)]
pub(super) struct Connection(SqliteConnection);

impl Connection {
    /// Opens it. Statements are not logged: their values are what users wrote.
    pub(super) async fn open(options: &SqliteConnectOptions) -> Result<Self> {
        let connection = options.clone().disable_statement_logging().connect().await;
        connection.map(Self).map_err(map_error)
    }

    /// The rows of one statement.
    pub(super) async fn rows(&mut self, stmt: Stmt) -> Result<Vec<Row>> {
        let query = bind(sqlx::query(stmt.sql), stmt.values);
        let mut stream = self.0.fetch(query);
        let mut rows = Vec::new();
        while let Some(row) = stream.try_next().await.map_err(map_error)? {
            rows.push(decode(&row)?);
        }
        Ok(rows)
    }

    /// Runs a part of a transaction, at most [`STATEMENTS_A_CALL`]: the rows of each statement, in
    /// order. The first part begins the transaction, the last one commits it. When a part fails,
    /// the transaction is still open.
    pub(super) async fn run_part(
        &mut self,
        stmts: &[&Stmt],
        is_first: bool,
        is_last: bool,
    ) -> Result<Vec<Vec<Row>>> {
        let begin = is_first.then_some(BEGIN);
        let commit = is_last.then_some(COMMIT);
        let texts = begin.into_iter().chain(stmts.iter().map(|it| it.sql)).chain(commit);
        // Nothing but constant texts is joined.
        let query = sqlx::query(AssertSqlSafe(texts.collect::<Vec<_>>().join("\n;")));
        let values = stmts.iter().flat_map(|it| it.values.iter().cloned());
        let mut stream = self.0.fetch_many(bind(query, values));
        let (mut results, mut rows) = (Vec::with_capacity(stmts.len()), Vec::new());
        let mut is_beginning = is_first;
        while let Some(step) = stream.try_next().await.map_err(map_error)? {
            match step {
                Either::Right(row) => rows.push(decode(&row)?),
                Either::Left(_begun) if std::mem::take(&mut is_beginning) => {}
                Either::Left(_done) => results.push(std::mem::take(&mut rows)),
            }
        }
        // What committing gives.
        results.truncate(stmts.len());
        Ok(results)
    }

    /// Runs a statement that has neither values nor rows.
    pub(super) async fn execute(&mut self, text: &'static str) -> Result<()> {
        self.0.execute(sqlx::query(text)).await.map_err(map_error)?;
        Ok(())
    }

    pub(super) async fn close(self) {
        // It can only fail when its thread is gone.
        let _ = sqlx::Connection::close(self.0).await;
    }
}

/// What SQLite would let pass: too few values would be NULL, too many would be ignored, and
/// within a joined text they would slide into the next statement.
pub(super) fn check(stmts: &[Stmt]) -> Result<()> {
    for stmt in stmts {
        sql::check(stmt)?;
        let parameters = stmt.sql.bytes().filter(|it| *it == b'?').count();
        if parameters != stmt.values.len() {
            return Err(Error::internal(format!(
                "{} values for {parameters} parameters of: {}",
                stmt.values.len(),
                stmt.sql
            )));
        }
    }
    Ok(())
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
        "INTEGER" => i64::decode(value).map(Value::Integer),
        "TEXT" => String::decode(value).map(Value::Text),
        "BLOB" => Vec::decode(value).map(Value::Blob),
        other => Err(format!("a column holds a {other}").into()),
    };
    match decoded.map_err(Error::internal)? {
        Value::Integer(it) if it.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() => {
            Err(Error::internal("a column holds an integer beyond 2^53 - 1"))
        }
        value => Ok(value),
    }
}

fn map_error(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::Database(it) if it.kind() == ErrorKind::UniqueViolation => Error::Conflict,
        _ => Error::internal(error),
    }
}
