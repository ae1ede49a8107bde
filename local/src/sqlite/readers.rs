//! The readers: a few connections that see every acknowledged commit and never wait for the
//! writer.
//!
//! Not sqlx's own pool, which pings a connection at every use: that would double a read's cost.

use std::sync::{Mutex, PoisonError};

use skerry::{
    Error, Result,
    ports::{Row, Stmt},
};
use sqlx::sqlite::SqliteConnectOptions;
use tokio::sync::Semaphore;

use super::{check, connection::Connection};
use crate::vital::Vital;

/// Connections. Each has a thread and a page cache; reads are short.
const READERS: usize = 3;
/// Prepared statements kept by each reader: all that the stores read with.
pub(super) const STATEMENT_CACHE: usize = 256;

#[derive(Debug)]
pub(super) struct Readers {
    /// Idle connections. The one used last is used next: its caches are warm.
    idle: Mutex<Vec<Connection>>,
    /// A permit for each idle connection.
    permits: Semaphore,
}

impl Readers {
    pub(super) async fn open(options: &SqliteConnectOptions, vital: &Vital) -> Result<Self> {
        let mut idle = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            idle.push(Connection::open(options, vital).await?);
        }
        Ok(Self { idle: Mutex::new(idle), permits: Semaphore::new(READERS) })
    }

    pub(super) async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        check(std::slice::from_ref(&stmt))?;
        let _permit = self.permits.acquire().await.map_err(Error::internal)?;
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // A reader that is dropped half-way through a read goes back too: its thread ends the
        // read before it begins the next.
        let mut borrowed = Borrowed { readers: self, connection: taken };
        match &mut borrowed.connection {
            Some(connection) => connection.rows(stmt).await,
            None => Err(Error::internal("the database is closed")),
        }
    }

    pub(super) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            connection.close().await;
        }
    }
}

/// A connection on loan.
struct Borrowed<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            let mut idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push(connection);
        }
    }
}
