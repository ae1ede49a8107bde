//! The writer: one connection that commits whatever waits in one transaction.
//!
//! A commit costs about as much as a few statements, so under load many batches share one. The
//! promise of the port still holds for each batch alone: when any of them fails, all are rolled
//! back and run again one by one, so that only the guilty one fails.

use std::{collections::HashMap, time::Duration};

use skerry::{
    Error, Result,
    ports::{Row, Stmt},
};
use sqlx::sqlite::SqliteConnectOptions;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::connection::{self, Connection, STATEMENTS_A_CALL};

/// Batches that share one transaction.
const GROUP: usize = 64;
/// Batches of the same texts that travel in one call.
const BATCHES_A_CALL: usize = 8;
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
        // Who is about to ask is let do so: a larger group costs hardly more than a small one.
        tokio::task::yield_now().await;
        while jobs.len() < GROUP
            && let Ok(job) = queue.try_recv()
        {
            jobs.push(job);
        }
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

/// Carries out all batches in one transaction. They were asked for at the same time, so none of
/// them comes before another.
async fn together(connection: &mut Connection, batches: &[Batch]) -> Result<Vec<Results>> {
    let mut all: Vec<Results> = batches.iter().map(|_| Vec::new()).collect();
    let (parts, owners): (Vec<_>, Vec<_>) = parts(batches).into_iter().unzip();
    let results = transaction(connection, &parts).await?;
    for (owner, result) in owners.into_iter().flatten().zip(results) {
        if let Some(results) = all.get_mut(owner) {
            results.push(result);
        }
    }
    Ok(all)
}

/// What travels in one call: statements, and to which batch each of them belongs.
type Part<'a> = (Vec<&'a Stmt>, Vec<usize>);

/// The batches as they are to travel: those of the same texts together, by eights, fours and twos,
/// so that the text of a call is met again.
fn parts(batches: &[Batch]) -> Vec<Part<'_>> {
    let mut alike: HashMap<Vec<&str>, Vec<(usize, &Batch)>> = HashMap::new();
    for (index, batch) in batches.iter().enumerate() {
        let texts = batch.stmts.iter().map(|it| it.sql).collect();
        alike.entry(texts).or_default().push((index, batch));
    }
    let mut parts = Vec::new();
    for (texts, batches) in alike {
        let fit = (STATEMENTS_A_CALL / texts.len().max(1)).clamp(1, BATCHES_A_CALL);
        let mut rest = batches.as_slice();
        while !rest.is_empty() {
            let count = 1 << fit.min(rest.len()).ilog2();
            let (call, left) = rest.split_at(count);
            rest = left;
            let stmts = call.iter().flat_map(|(index, it)| it.stmts.iter().map(|it| (it, *index)));
            let stmts: Vec<(&Stmt, usize)> = stmts.collect();
            parts.extend(stmts.chunks(STATEMENTS_A_CALL).map(|it| it.iter().copied().unzip()));
        }
    }
    parts
}

async fn alone(connection: &mut Connection, stmts: &[Stmt]) -> Result<Results> {
    let stmts: Vec<&Stmt> = stmts.iter().collect();
    if let [_single] = stmts.as_slice() {
        // A statement is a transaction already.
        return connection.run_part(&stmts, false, false).await;
    }
    let parts: Vec<Vec<&Stmt>> = stmts.chunks(STATEMENTS_A_CALL).map(<[_]>::to_vec).collect();
    transaction(connection, &parts).await
}

/// Runs all parts in one transaction: the rows of each statement, in order.
async fn transaction(connection: &mut Connection, parts: &[Vec<&Stmt>]) -> Result<Results> {
    let mut all = Vec::new();
    for (index, stmts) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        match connection.run_part(stmts, index == 0, is_last).await {
            Ok(results) => all.extend(results),
            Err(error) => return Err(rolled_back(connection, error).await),
        }
    }
    Ok(all)
}

async fn rolled_back(connection: &mut Connection, cause: Error) -> Error {
    // SQLite rolls back by itself after some errors (a full disk); then there is nothing to do.
    let _ = connection.execute("ROLLBACK").await;
    cause
}
