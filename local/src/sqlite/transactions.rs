//! Transactions on the connection that writes.
//!
//! Not by sqlx: its connection is on a thread of its own, and each call costs two changes of
//! threads. A transaction has many calls, so they are made on the thread that asks for them.

use std::path::Path;

use rusqlite::{
    CachedStatement, Connection, ErrorCode, OpenFlags, ToSql,
    backup::Backup,
    types::{Null, ValueRef},
};
use skerry::{
    Error, Result,
    ports::{Row, Stmt, Value},
};

use super::{BUSY_TIMEOUT, RELEASE_PAGES, Synchronous, integer, map_error};

/// Page cache, in KiB.
const CACHE_KIB: u32 = 8_192;
/// Prepared statements kept: all that the stores write with.
const STATEMENT_CACHE: usize = 256;

/// The rows of each statement of a batch.
type Results = Vec<Vec<Row>>;

/// The connection that writes.
pub(super) struct Transactions(Connection);

impl Transactions {
    /// Opens the database and sets it up for writers and readers.
    pub(super) fn open(file: &Path, synchronous: Synchronous) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(map_error)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(map_error)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        // What is deleted is overwritten, whole pages too: `FAST` would leave those as they were.
        let synchronous = synchronous.as_sql();
        let set_up = format!(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = {synchronous};
             PRAGMA secure_delete = ON;
             PRAGMA foreign_keys = OFF;
             PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -{CACHE_KIB};"
        );
        connection.execute_batch(&set_up).map_err(map_error)?;
        Ok(Self(connection))
    }

    /// A database that no file has. There is no log, and nothing to wait for.
    pub(super) fn in_memory() -> Result<Self> {
        let connection = Connection::open_in_memory().map_err(map_error)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        Ok(Self(connection))
    }

    /// Becomes a copy of another one.
    pub(super) fn copy_from(&mut self, other: &Self) -> Result<()> {
        let backup = Backup::new(&other.0, &mut self.0).map_err(map_error)?;
        backup.step(-1).map(drop).map_err(map_error)
    }

    /// The connection itself.
    pub(super) fn connection(&self) -> &Connection {
        &self.0
    }

    /// Gives back what it keeps in memory: pages and prepared statements.
    pub(super) fn release(&self) {
        self.0.flush_prepared_statement_cache();
        if let Err(error) = self.0.execute_batch(RELEASE_PAGES) {
            tracing::debug!(%error, "the writer keeps its memory");
        }
    }

    /// Runs all batches in one transaction: the rows of each statement of each batch, in order.
    /// They were asked for at the same time. When any statement fails, all are rolled back.
    pub(super) fn run<'a>(
        &self,
        batches: impl IntoIterator<Item = &'a [Stmt]>,
    ) -> Result<Vec<Results>> {
        self.execute("BEGIN IMMEDIATE")?;
        let results = batches.into_iter().map(|stmts| self.batch(stmts)).collect();
        match results {
            Ok(results) => match self.execute("COMMIT") {
                Ok(()) => Ok(results),
                Err(error) => Err(self.rolled_back(error)),
            },
            Err(error) => Err(self.rolled_back(error)),
        }
    }

    /// After an error: whether the next transaction may succeed. Nothing is to be written any more
    /// to a file that could not be written or read, or whose content makes no sense: what is on
    /// the disk is known only when it is opened again.
    pub(super) fn is_sound(&self, error: &Error) -> bool {
        let code = match error {
            Error::Internal(cause) => cause.downcast_ref::<rusqlite::Error>(),
            Error::Api { .. } | Error::Uiaa(_) | Error::UnknownRoom | Error::Conflict => None,
        };
        let code = code.and_then(rusqlite::Error::sqlite_error_code);
        let is_broken = matches!(
            code,
            Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        );
        self.0.is_autocommit() && !is_broken
    }

    fn batch(&self, stmts: &[Stmt]) -> Result<Results> {
        stmts.iter().map(|stmt| self.rows(stmt)).collect()
    }

    pub(super) fn rows(&self, stmt: &Stmt) -> Result<Vec<Row>> {
        let mut prepared = self.0.prepare_cached(stmt.sql).map_err(map_error)?;
        bind(&mut prepared, &stmt.values).map_err(map_error)?;
        let columns = prepared.column_count();
        let mut found = prepared.raw_query();
        let mut rows = Vec::new();
        while let Some(row) = found.next().map_err(map_error)? {
            let value = |index| decode(row.get_ref(index).map_err(map_error)?);
            rows.push(Row((0..columns).map(value).collect::<Result<_>>()?));
        }
        Ok(rows)
    }

    fn execute(&self, sql: &'static str) -> Result<()> {
        let mut prepared = self.0.prepare_cached(sql).map_err(map_error)?;
        prepared.execute([]).map(drop).map_err(map_error)
    }

    fn rolled_back(&self, cause: Error) -> Error {
        // SQLite rolls back by itself after some errors (a full disk); then there is nothing to do.
        if !self.0.is_autocommit()
            && let Err(error) = self.execute("ROLLBACK")
        {
            tracing::error!(%error, "a transaction was not rolled back");
        }
        cause
    }
}

fn bind(prepared: &mut CachedStatement<'_>, values: &[Value]) -> rusqlite::Result<()> {
    for (index, value) in values.iter().enumerate() {
        let value: &dyn ToSql = match value {
            Value::Null => &Null,
            Value::Integer(it) => it,
            Value::Text(it) => it,
            Value::Blob(it) => it,
        };
        prepared.raw_bind_parameter(index + 1, value)?;
    }
    Ok(())
}

fn decode(value: ValueRef<'_>) -> Result<Value> {
    match value {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(it) => integer(it),
        ValueRef::Text(it) => {
            String::from_utf8(it.to_vec()).map(Value::Text).map_err(Error::internal)
        }
        ValueRef::Blob(it) => Ok(Value::Blob(it.to_vec())),
        ValueRef::Real(_) => Err(Error::internal("a column holds a REAL")),
    }
}
