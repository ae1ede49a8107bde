//! The SQL port over one SQLite file in WAL mode: one writer that commits in groups, and a few
//! readers that never wait for it.

mod checkpoints;
mod connection;
mod readers;
mod transactions;
mod writer;

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use async_trait::async_trait;
use rusqlite::{
    ErrorCode,
    ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE},
};
use skerry::{
    Error, Result,
    ports::{
        Row, Sql, Stmt, Value,
        sql::{self, MAX_SAFE_INTEGER},
    },
};
use sqlx::sqlite::SqliteConnectOptions;

use self::{readers::Readers, writer::Writer};

/// The database's file name in the data directory.
pub const FILE_NAME: &str = "skerry.db";

/// Page cache of each reader, in KiB.
const READER_CACHE_KIB: u32 = 2_048;
/// Rows that a connection's thread may be ahead of who reads them: few pages need more, and each
/// time the thread must wait costs two thread switches.
const ROWS_AHEAD: usize = 1_024;
/// How long a connection waits for a lock of another process (a backup).
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// One database file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
}

impl Sqlite {
    /// Opens the database in this directory; both are made when missing, for this user alone.
    pub async fn open(directory: &Path) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            Error::internal(format!("cannot create {}: {error}", directory.display()))
        })?;
        let file = directory.join(FILE_NAME);
        // SQLite would make the file with the process's umask; its side files take its mode.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(|error| Error::internal(format!("cannot open {}: {error}", file.display())))?;
        // The writer comes first: it sets up the file that readers find.
        let writer = Writer::open(&file)?;
        let readers = Readers::open(&for_reading(&file)).await?;
        Ok(Self { writer, readers })
    }

    /// Finishes what was asked, moves the write-ahead log into the database and closes it.
    pub async fn close(&self) -> Result<()> {
        self.readers.close().await;
        self.writer.close().await
    }
}

fn for_reading(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("temp_store", "MEMORY")
        .pragma("query_only", "ON")
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
        .statement_cache_capacity(readers::STATEMENT_CACHE)
        .row_buffer_size(ROWS_AHEAD)
        .thread_name(|id| format!("sqlite-{id}"))
}

/// What SQLite would let pass: too few values would be NULL, too many would be ignored.
fn check(stmts: &[Stmt]) -> Result<()> {
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

/// An integer of a row. The edge's numbers are exact up to 2^53 - 1, so no column holds more.
fn integer(value: i64) -> Result<Value> {
    match value.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() {
        true => Err(Error::internal("a column holds an integer beyond 2^53 - 1")),
        false => Ok(Value::Integer(value)),
    }
}

fn map_error(error: rusqlite::Error) -> Error {
    let is_conflict = error.sqlite_error().is_some_and(|it| {
        it.code == ErrorCode::ConstraintViolation
            && [SQLITE_CONSTRAINT_UNIQUE, SQLITE_CONSTRAINT_PRIMARYKEY].contains(&it.extended_code)
    });
    match is_conflict {
        true => Error::Conflict,
        false => Error::internal(error),
    }
}

#[async_trait]
impl Sql for Sqlite {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        self.readers.rows(stmt).await
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        self.writer.batch(stmts).await
    }
}
