//! The SQL port over one SQLite file in WAL mode: one writer that commits in groups, and a few
//! readers that never wait for it.

mod connection;
mod readers;
mod writer;

use std::{
    fs::{DirBuilder, OpenOptions},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

use async_trait::async_trait;
use skerry::{
    Error, Result,
    ports::{Row, Sql, Stmt},
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use self::{readers::Readers, writer::Writer};

/// The database's file name in the data directory.
pub const FILE_NAME: &str = "skerry.db";

/// Pages (4 KiB) in the write-ahead log after which a commit moves them into the database. That
/// commit takes the longer the more there are; with fewer, pages are written more often.
const CHECKPOINT_PAGES: u32 = 2_000;
/// Page cache of the writer, in KiB.
const WRITER_CACHE_KIB: u32 = 8_192;
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
        let options = options(&file);
        let for_writing = options
            .clone()
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
            .statement_cache_capacity(writer::STATEMENT_CACHE);
        let writer = Writer::open(&for_writing).await?;
        let readers = Readers::open(
            &options
                .pragma("query_only", "ON")
                .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
                .statement_cache_capacity(readers::STATEMENT_CACHE),
        )
        .await?;
        Ok(Self { writer, readers })
    }

    /// Finishes what was asked, moves the write-ahead log into the database and closes it.
    pub async fn close(&self) -> Result<()> {
        self.readers.close().await;
        self.writer.close().await
    }
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .foreign_keys(false)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("temp_store", "MEMORY")
        .row_buffer_size(ROWS_AHEAD)
        .thread_name(|id| format!("sqlite-{id}"))
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
