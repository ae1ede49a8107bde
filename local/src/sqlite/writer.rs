//! The writer: one connection that commits whatever waits in one transaction.
//!
//! A commit costs about as much as a few statements, so under load many batches share one. The
//! promise of the port still holds for each batch alone: when any of them fails, all are rolled
//! back and run again one by one, so that only the guilty one fails.

use std::time::Duration;

use skerry::{
    Error, Result,
    ports::{Row, Stmt},
};
use sqlx::sqlite::SqliteConnectOptions;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::connection::{self, Connection};

/// Batches that share one transaction.
const GROUP: usize = 64;
/// Batches that wait, before who asks must wait too.
const QUEUE: usize = 1_024;
/// Prepared texts kept: each combination of statements that a batch is made of is one.
pub(super) const STATEMENT_CACHE: usize = 256;
/// A quiet moment after a write: time to make the write-ahead log empty.
const QUIET: Duration = Duration::from_secs(2);

type Results = Vec<Vec<Row>>;

#[derive(Debug)]
struct Batch {
    stmts: Vec<Stmt>,
    reply: oneshot::Sender<Result<Results>>,
}

#[derive(Debug)]
enum Job {
    Batch(Batch),
    Close(oneshot::Sender<()>),
}

#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    pub(super) async fn open(options: &SqliteConnectOptions) -> Result<Self> {
        let connection = Connection::open(options).await?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(work(connection, jobs));
        Ok(Self { queue })
    }

    /// Once the batch is in the queue it is carried out, whether or not anyone still waits.
    pub(super) async fn batch(&self, stmts: Vec<Stmt>) -> Result<Results> {
        connection::check(&stmts)?;
        if stmts.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, result) = oneshot::channel();
        self.queue.send(Job::Batch(Batch { stmts, reply })).await.map_err(closed)?;
        result.await.map_err(closed)?
    }

    pub(super) async fn close(&self) -> Result<()> {
        let (reply, closed_now) = oneshot::channel();
        self.queue.send(Job::Close(reply)).await.map_err(closed)?;
        closed_now.await.map_err(closed)
    }
}

fn closed<E>(_: E) -> Error {
    Error::internal("the database is closed")
}

async fn work(mut connection: Connection, mut queue: mpsc::Receiver<Job>) {
    let mut jobs = Vec::with_capacity(GROUP);
    let mut dirty = false;
    loop {
        let received = if dirty {
            match timeout(QUIET, queue.recv_many(&mut jobs, GROUP)).await {
                Ok(received) => received,
                Err(_quiet) => {
                    checkpoint(&mut connection).await;
                    dirty = false;
                    continue;
                }
            }
        } else {
            queue.recv_many(&mut jobs, GROUP).await
        };
        let (batches, closing) = sort(jobs.drain(..));
        dirty |= !batches.is_empty();
        commit(&mut connection, batches).await;
        if received == 0 || closing.is_some() {
            queue.close();
            checkpoint(&mut connection).await;
            connection.close().await;
            if let Some(reply) = closing {
                // Who asked may have gone.
                let _ = reply.send(());
            }
            return;
        }
    }
}

fn sort(jobs: impl Iterator<Item = Job>) -> (Vec<Batch>, Option<oneshot::Sender<()>>) {
    let mut batches = Vec::new();
    let mut closing = None;
    for job in jobs {
        match job {
            Job::Batch(batch) => batches.push(batch),
            Job::Close(reply) => closing = Some(reply),
        }
    }
    (batches, closing)
}

/// Moves the write-ahead log into the database and makes its file empty.
async fn checkpoint(connection: &mut Connection) {
    if let Err(error) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").await {
        tracing::warn!(?error, "the write-ahead log was not moved into the database");
    }
}

async fn commit(connection: &mut Connection, batches: Vec<Batch>) {
    match batches.as_slice() {
        [] => return,
        [_alone] => {}
        _ => match together(connection, &batches).await {
            Ok(results) => {
                for (batch, results) in batches.into_iter().zip(results) {
                    // Who asked may have gone.
                    let _ = batch.reply.send(Ok(results));
                }
                return;
            }
            Err(error) => tracing::debug!(?error, "a group failed; its batches run alone"),
        },
    }
    for batch in batches {
        let results = alone(connection, &batch.stmts).await;
        let _ = batch.reply.send(results);
    }
}

async fn together(connection: &mut Connection, batches: &[Batch]) -> Result<Vec<Results>> {
    begin(connection).await?;
    let mut all = Vec::with_capacity(batches.len());
    for batch in batches {
        match connection.run(&batch.stmts).await {
            Ok(results) => all.push(results),
            Err(error) => return Err(rolled_back(connection, error).await),
        }
    }
    match connection.execute("COMMIT").await {
        Ok(()) => Ok(all),
        Err(error) => Err(rolled_back(connection, error).await),
    }
}

async fn alone(connection: &mut Connection, stmts: &[Stmt]) -> Result<Results> {
    if let [_single] = stmts {
        // A statement is a transaction already.
        return connection.run(stmts).await;
    }
    begin(connection).await?;
    let results = match connection.run(stmts).await {
        Ok(results) => results,
        Err(error) => return Err(rolled_back(connection, error).await),
    };
    match connection.execute("COMMIT").await {
        Ok(()) => Ok(results),
        Err(error) => Err(rolled_back(connection, error).await),
    }
}

async fn begin(connection: &mut Connection) -> Result<()> {
    if connection.execute("BEGIN IMMEDIATE").await.is_ok() {
        return Ok(());
    }
    // A rollback that failed would have left its transaction open.
    let _ = connection.execute("ROLLBACK").await;
    connection.execute("BEGIN IMMEDIATE").await
}

async fn rolled_back(connection: &mut Connection, cause: Error) -> Error {
    // SQLite rolls back by itself after some errors (a full disk); then there is nothing to do.
    let _ = connection.execute("ROLLBACK").await;
    cause
}
