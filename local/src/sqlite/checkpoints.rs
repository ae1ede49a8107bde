//! Moves the write-ahead log into the database, without making writers wait for it.
//!
//! SQLite would do that inside some unlucky commit, which then takes 50 ms and more, and with it
//! everyone who waits to write. Here a connection of its own moves the bulk while the writer goes
//! on; the writer itself moves only what was written meanwhile, and makes the log empty.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use skerry::{Result, ports::Stmt};
use sqlx::sqlite::SqliteConnectOptions;
use tokio::{task::JoinHandle, time::Instant};

use super::connection::Connection;

/// The size of the log at which it is moved.
const LOG_BYTES: u64 = 16 * 1024 * 1024;
/// The log cannot be made empty while somebody reads from it (a backup): no new attempt for so
/// long, because the writer waits during each.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// The state of the log.
#[derive(Debug)]
pub(super) struct Checkpoints {
    log: PathBuf,
    mover: Mover,
    not_before: Option<Instant>,
}

#[derive(Debug)]
enum Mover {
    Idle(Connection),
    Busy(JoinHandle<Connection>),
    /// Its task panicked: the writer does all by itself.
    Gone,
}

impl Checkpoints {
    pub(super) async fn open(options: &SqliteConnectOptions, file: &Path) -> Result<Self> {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        let mover = Mover::Idle(Connection::open(options).await?);
        Ok(Self { log: log.into(), mover, not_before: None })
    }

    /// Does what is due. Cheap when nothing is.
    pub(super) async fn after_commit(&mut self, writer: &mut Connection) {
        match &self.mover {
            Mover::Busy(task) if !task.is_finished() => return,
            Mover::Idle(_) if !self.is_due() => return,
            _ => {}
        }
        match std::mem::replace(&mut self.mover, Mover::Gone) {
            Mover::Idle(mut connection) => {
                self.mover = Mover::Busy(tokio::spawn(async move {
                    log_failure(checkpoint(&mut connection, "PRAGMA wal_checkpoint(PASSIVE)").await);
                    connection
                }));
            }
            Mover::Busy(task) => {
                if let Ok(connection) = task.await {
                    self.mover = Mover::Idle(connection);
                }
                self.truncate(writer).await;
            }
            Mover::Gone => self.truncate(writer).await,
        }
    }

    /// Moves what is left and makes the log empty.
    pub(super) async fn truncate(&mut self, writer: &mut Connection) {
        let done = checkpoint(writer, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        if !matches!(done, Ok(true)) {
            self.not_before = Some(Instant::now() + RETRY_AFTER);
        }
        log_failure(done);
    }

    /// For the last time.
    pub(super) async fn close(&mut self, writer: &mut Connection) {
        match std::mem::replace(&mut self.mover, Mover::Gone) {
            Mover::Idle(connection) => connection.close().await,
            Mover::Busy(task) => {
                if let Ok(connection) = task.await {
                    connection.close().await;
                }
            }
            Mover::Gone => {}
        }
        self.truncate(writer).await;
    }

    fn is_due(&self) -> bool {
        let length = std::fs::metadata(&self.log).map_or(0, |it| it.len());
        length >= LOG_BYTES && self.not_before.is_none_or(|it| it <= Instant::now())
    }
}

/// Whether the whole log was moved.
async fn checkpoint(connection: &mut Connection, pragma: &'static str) -> Result<bool> {
    let rows = connection.rows(Stmt::new(pragma)).await?;
    let mut busy = rows.into_iter().map(|mut row| row.take::<bool>(0));
    Ok(!busy.next().transpose()?.unwrap_or(true))
}

fn log_failure(result: Result<bool>) {
    if let Err(error) = result {
        tracing::warn!(?error, "the write-ahead log was not moved into the database");
    }
}
