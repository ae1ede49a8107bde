//! The readers: a few connections that see every acknowledged commit and never wait for the
//! writer.
//!
//! Not sqlx's own pool, which pings a connection at every use: that would double a read's cost.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, Weak,
    atomic::{AtomicU32, Ordering},
};

use skerry::{
    Error, Result,
    ports::{Row, Stmt},
};
use sqlx::sqlite::SqliteConnectOptions;
use tokio::{sync::Semaphore, time::sleep};

use super::{QUIET, check, connection::Connection};
use crate::{memory, vital::Vital};

/// Connections. Each has a thread and a page cache; reads are short.
const READERS: usize = 3;
/// Prepared statements kept by each reader: all that the stores read with.
pub(super) const STATEMENT_CACHE: usize = 256;

#[derive(Debug)]
pub(super) struct Readers(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    /// Idle connections. The one used last is used next: its caches are warm.
    idle: Mutex<Vec<Connection>>,
    /// A permit for each idle connection.
    permits: Semaphore,
    /// How often it was looked whether somebody reads, since somebody did.
    quiet: AtomicU32,
}

impl Readers {
    pub(super) async fn open(options: &SqliteConnectOptions, vital: &Vital) -> Result<Self> {
        let mut idle = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            idle.push(Connection::open(options, vital).await?);
        }
        let permits = Semaphore::new(READERS);
        let pool = Pool { idle: Mutex::new(idle), permits, quiet: AtomicU32::new(0) };
        let pool = Arc::new(pool);
        tokio::spawn(release_when_quiet(Arc::downgrade(&pool)));
        Ok(Self(pool))
    }

    pub(super) async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        check(std::slice::from_ref(&stmt))?;
        let pool = &*self.0;
        let _permit = pool.permits.acquire().await.map_err(Error::internal)?;
        pool.quiet.store(0, Ordering::Relaxed);
        let taken = pool.idle().pop();
        // A reader that is dropped half-way through a read goes back too: its thread ends the
        // read before it begins the next.
        let mut borrowed = Borrowed { pool, connection: taken };
        match &mut borrowed.connection {
            Some(connection) => connection.rows(stmt).await,
            None => Err(Error::internal("the database is closed")),
        }
    }

    pub(super) async fn close(&self) {
        self.0.permits.close();
        let idle = std::mem::take(&mut *self.0.idle());
        for connection in idle {
            connection.close().await;
        }
    }
}

impl Pool {
    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has all connections give back what they keep in memory, unless one is in use.
    async fn release(&self) {
        let all = u32::try_from(READERS).unwrap_or(u32::MAX);
        let Ok(_permits) = self.permits.try_acquire_many(all) else { return };
        for _ in 0..READERS {
            // It goes to the other end when it is given back.
            let first = |idle: &mut Vec<_>| (!idle.is_empty()).then(|| idle.remove(0));
            let connection = first(&mut self.idle());
            let mut borrowed = Borrowed { pool: self, connection };
            if let Some(connection) = &mut borrowed.connection {
                connection.release().await;
            }
        }
        memory::give_back_of_c();
    }
}

async fn release_when_quiet(pool: Weak<Pool>) {
    loop {
        sleep(QUIET).await;
        let Some(pool) = pool.upgrade() else { return };
        if pool.quiet.fetch_add(1, Ordering::Relaxed) == 1 {
            pool.release().await;
        }
    }
}

/// A connection on loan.
struct Borrowed<'a> {
    pool: &'a Pool,
    connection: Option<Connection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.idle().push(connection);
        }
    }
}
