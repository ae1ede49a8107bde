//! The SQL port over one SQLite file in WAL mode: one writer that commits in groups, and a few
//! readers that never wait for it.

mod checkpoints;
mod connection;
mod in_memory;
mod readers;
mod transactions;
mod writer;

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    time::Duration,
};

use async_trait::async_trait;
use clap::ValueEnum;
use rusqlite::{
    ErrorCode,
    ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE},
};
use serde::Deserialize;
use skerry::{
    Error, Result,
    ports::{
        Row, Sql, Stmt, Value,
        sql::{self, MAX_SAFE_INTEGER},
    },
};
use sqlx::sqlite::SqliteConnectOptions;

pub use self::in_memory::InMemory;
use self::{readers::Readers, writer::Writer};
use crate::vital::Vital;

/// The database's file name in the data directory.
pub const FILE_NAME: &str = "skerry.db";

/// How long nobody has read or written when connections give back what they keep in memory: for
/// readers that is between one and two of these. Tests do not wait so long.
const QUIET: Duration =
    if cfg!(feature = "test-routes") { Duration::from_millis(300) } else { Duration::from_mins(1) };
/// Gives back the memory that a connection keeps pages in.
const RELEASE_PAGES: &str = "PRAGMA shrink_memory";
/// Page cache of each reader, in KiB.
const READER_CACHE_KIB: u32 = 2_048;
/// Rows that a connection's thread may be ahead of who reads them: few pages need more, and each
/// time the thread must wait costs two thread switches.
const ROWS_AHEAD: usize = 1_024;
/// How long a connection waits for a lock of another process (a backup).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// When what is acknowledged is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// Before it is acknowledged.
    #[default]
    Full,
    /// Some seconds later: when the power fails, the newest may be lost. A crash of the process
    /// loses nothing.
    Normal,
}

impl Synchronous {
    fn as_sql(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// One database file.
#[derive(Debug)]
pub struct Sqlite {
    writer: Writer,
    readers: Readers,
    vital: Vital,
}

impl Sqlite {
    /// Opens the database in this directory; both are made when missing, for this user alone, and
    /// refused when other users may read them.
    pub async fn open(directory: &Path) -> Result<Self> {
        Self::open_with(directory, Synchronous::default()).await
    }

    /// The same, with the operator's choice of when what is acknowledged is on the disk.
    pub async fn open_with(directory: &Path, synchronous: Synchronous) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| {
            Error::internal(format!("cannot create {}: {error}", directory.display()))
        })?;
        refuse_exposed(directory, 0o700)?;
        let file = directory.join(FILE_NAME);
        // SQLite would make the file with the process's umask; its side files take its mode.
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&file)
            .map_err(|error| Error::internal(format!("cannot open {}: {error}", file.display())))?;
        for suffix in ["", "-wal", "-shm"] {
            refuse_exposed(&directory.join(format!("{FILE_NAME}{suffix}")), 0o600)?;
        }
        let vital = Vital::default();
        // The writer comes first: it sets up the file that readers find.
        let writer = Writer::open(&file, synchronous, &vital)?;
        let readers = Readers::open(&for_reading(&file), &vital).await?;
        Ok(Self { writer, readers, vital })
    }

    /// Returns when it can be used no more: what to say of it.
    pub async fn failed(&self) -> Error {
        self.vital.failed().await
    }

    /// Finishes what was asked, moves the write-ahead log into the database and closes it.
    pub async fn close(&self) -> Result<()> {
        self.readers.close().await;
        self.writer.close().await
    }
}

/// Refuses what other users may read, write or enter. Password hashes, tokens and messages are in
/// there. A file that is not there yet is none.
fn refuse_exposed(path: &Path, mode: u32) -> Result<()> {
    let permissions = match path.metadata().map(|it| it.permissions()) {
        Ok(it) => it,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(Error::internal(format!("cannot read {}: {error}", path.display())));
        }
    };
    if permissions.mode() & 0o077 != 0 {
        let path = path.display();
        let message = format!("{path} is open to other users: chmod {mode:o} {path}");
        return Err(Error::internal(message));
    }
    Ok(())
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
