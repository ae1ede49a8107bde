//! The writer: one thread that commits whatever waits in one transaction.
//!
//! A commit costs about as much as a few statements, so under load many batches share one. The
//! promise of the port still holds for each batch alone: when any of them fails, all are rolled
//! back and run again one by one, so that only the guilty one fails.

use std::{
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    time::Duration,
};

use skerry::{
    Error, Result,
    ports::{Row, Stmt},
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::Instant,
};

use super::{
    QUIET, Synchronous, check,
    checkpoints::{Checkpoints, Mode, checkpoint, empty_at_once},
    transactions::Transactions,
};
use crate::{memory, vital::Vital};

/// Batches that share one transaction.
const GROUP: usize = 64;
/// Batches that wait, before who asks must wait too.
const QUEUE: usize = 1_024;
/// A moment without writes: time to make the write-ahead log empty.
const PAUSE: Duration = Duration::from_secs(2);
/// Without a quiet moment, how long the log's file may hold what has been deleted.
const EMPTY_EVERY: Duration = Duration::from_secs(10);
/// When emptying it is tried again, if somebody was reading.
const EMPTY_AGAIN: Duration = Duration::from_secs(1);

type Results = Vec<Vec<Row>>;

struct Batch {
    stmts: Vec<Stmt>,
    reply: oneshot::Sender<Result<Results>>,
}

enum Job {
    Batch(Batch),
    Close(oneshot::Sender<()>),
}

#[derive(Debug)]
pub(super) struct Writer {
    queue: Sender<Job>,
    /// A permit for each place in the queue.
    places: Semaphore,
}

impl Writer {
    /// Opens the database, which is made if it is missing. The thread ends when the writer is
    /// closed or dropped.
    pub(super) fn open(file: &Path, synchronous: Synchronous, vital: &Vital) -> Result<Self> {
        let transactions = Transactions::open(file, synchronous)?;
        let checkpoints = Checkpoints::open(file, transactions.connection(), vital)?;
        let (queue, jobs) = mpsc::channel();
        let empty_at = Instant::now() + EMPTY_EVERY;
        let work = Work { transactions, checkpoints, jobs, is_dirty: false, empty_at };
        vital.thread("sqlite-writer", move || work.run())?;
        Ok(Self { queue, places: Semaphore::new(QUEUE) })
    }

    /// Once the batch is in the queue it is carried out, whether or not anyone still waits.
    pub(super) async fn batch(&self, stmts: Vec<Stmt>) -> Result<Results> {
        check(&stmts)?;
        if stmts.is_empty() {
            return Ok(Vec::new());
        }
        let _place = self.places.acquire().await.map_err(closed)?;
        let (reply, result) = oneshot::channel();
        self.queue.send(Job::Batch(Batch { stmts, reply })).map_err(closed)?;
        result.await.map_err(closed)?
    }

    /// Finishes what was asked, moves the write-ahead log into the database and closes it.
    pub(super) async fn close(&self) -> Result<()> {
        let (reply, closed_now) = oneshot::channel();
        self.queue.send(Job::Close(reply)).map_err(closed)?;
        closed_now.await.map_err(closed)
    }
}

fn closed<E>(_: E) -> Error {
    Error::internal("the database is closed")
}

/// What the writer's thread does.
struct Work {
    transactions: Transactions,
    checkpoints: Checkpoints,
    jobs: Receiver<Job>,
    /// Something was written since the write-ahead log was made empty.
    is_dirty: bool,
    /// When it is to be made empty, however much there is to do.
    empty_at: Instant,
}

impl Work {
    /// Fails when the database is not to be written any more.
    fn run(mut self) -> Result<()> {
        while let Some(first) = self.wait() {
            let mut batches = Vec::new();
            let mut closing = None;
            let waiting = self.jobs.try_iter().take(GROUP - 1);
            for job in std::iter::once(first).chain(waiting) {
                match job {
                    Job::Batch(batch) => batches.push(batch),
                    Job::Close(reply) => closing = Some(reply),
                }
            }
            self.commit(batches)?;
            self.checkpoints.committed(self.transactions.connection());
            self.empty_in_time();
            if let Some(reply) = closing {
                self.close();
                // Who asked may have gone.
                let _ = reply.send(());
                return Ok(());
            }
        }
        self.close();
        Ok(())
    }

    /// Makes the write-ahead log empty and closes the database.
    fn close(self) {
        let Self { transactions, checkpoints, .. } = self;
        drop(checkpoints);
        checkpoint(transactions.connection(), Mode::Truncate);
    }

    /// The next job; none when nobody is left to give any.
    fn wait(&mut self) -> Option<Job> {
        if self.is_dirty {
            match self.jobs.recv_timeout(PAUSE) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    checkpoint(self.transactions.connection(), Mode::Truncate);
                    self.is_dirty = false;
                }
            }
        }
        match self.jobs.recv_timeout(QUIET) {
            Err(RecvTimeoutError::Timeout) => {
                self.transactions.release();
                memory::give_back_of_c();
                self.jobs.recv().ok()
            }
            job => job.ok(),
        }
    }

    /// Makes the write-ahead log empty when there was no quiet moment for it.
    fn empty_in_time(&mut self) {
        let now = Instant::now();
        if self.is_dirty && now >= self.empty_at {
            let is_empty = empty_at_once(self.transactions.connection());
            self.is_dirty = !is_empty;
            self.empty_at = now + if is_empty { EMPTY_EVERY } else { EMPTY_AGAIN };
        }
    }

    fn commit(&mut self, batches: Vec<Batch>) -> Result<()> {
        self.is_dirty |= !batches.is_empty();
        if batches.len() > 1 {
            let together = batches.iter().map(|it| it.stmts.as_slice());
            match self.transactions.run(together) {
                Ok(results) => {
                    for (batch, results) in batches.into_iter().zip(results) {
                        // Who asked may have gone.
                        let _ = batch.reply.send(Ok(results));
                    }
                    return Ok(());
                }
                Err(error) if !self.transactions.is_sound(&error) => return Err(error),
                Err(error) => tracing::debug!(?error, "a group failed; its batches run alone"),
            }
        }
        for batch in batches {
            let results = match self.transactions.run([batch.stmts.as_slice()]) {
                Err(error) if !self.transactions.is_sound(&error) => return Err(error),
                results => results.map(|it| it.into_iter().flatten().collect()),
            };
            let _ = batch.reply.send(results);
        }
        Ok(())
    }
}
