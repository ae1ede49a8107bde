//! Moving the write-ahead log into the database beside the writer.
//!
//! A commit that moves thousands of pages makes everybody wait. A connection of its own moves them
//! while others are committed; the writer moves only what came meanwhile, and the log begins anew.

use std::{
    cell::Cell,
    path::Path,
    sync::mpsc::{self, Receiver, Sender},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use skerry::Result;

use super::{BUSY_TIMEOUT, map_error};
use crate::vital::Vital;

/// Pages (4 KiB) in the log after which they are moved; and, while somebody reads an old state, so
/// that the log cannot begin anew, pages between one try and the next.
const CHECKPOINT_PAGES: u32 = 2_000;

thread_local! {
    /// Pages in the log after the newest commit of this thread's connection.
    static LOG_PAGES: Cell<u32> = const { Cell::new(0) };
}

/// What the writer knows of the log, and the thread that moves it.
pub(super) struct Checkpoints {
    /// Asks for a round; none when the thread is to end.
    rounds: Option<Sender<()>>,
    done: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    /// A round has been asked for and is not done.
    is_under_way: bool,
    /// Pages in the log at which the next round begins.
    next_at: u32,
    /// Pages in the log when this was asked last.
    pages: u32,
}

impl Checkpoints {
    /// `writing` is the connection that writes, on its thread.
    pub(super) fn open(file: &Path, writing: &Connection, vital: &Vital) -> Result<Self> {
        writing.wal_hook(Some(|_, pages| {
            LOG_PAGES.set(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }));
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(file, flags).map_err(map_error)?;
        connection.busy_timeout(BUSY_TIMEOUT).map_err(map_error)?;
        let (rounds, asked) = mpsc::channel();
        let (report, done) = mpsc::channel();
        let thread = vital.thread("sqlite-log", move || {
            for () in asked {
                checkpoint(&connection, Mode::Passive);
                // The writer may have gone.
                let _ = report.send(());
            }
            Ok(())
        })?;
        Ok(Self {
            rounds: Some(rounds),
            done,
            thread: Some(thread),
            is_under_way: false,
            next_at: CHECKPOINT_PAGES,
            pages: 0,
        })
    }

    /// To be called after each commit.
    pub(super) fn committed(&mut self, writing: &Connection) {
        let pages = LOG_PAGES.get();
        if pages < self.pages {
            // The log has begun anew.
            self.next_at = CHECKPOINT_PAGES;
        }
        self.pages = pages;
        if self.is_under_way {
            if self.done.try_recv().is_ok() {
                self.is_under_way = false;
                checkpoint(writing, Mode::Passive);
                self.next_at = pages + CHECKPOINT_PAGES;
            }
        } else if pages >= self.next_at
            && let Some(rounds) = &self.rounds
        {
            self.is_under_way = rounds.send(()).is_ok();
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.rounds = None;
        if self.thread.take().is_some_and(|it| it.join().is_err()) {
            tracing::error!("the thread that moves the write-ahead log panicked");
        }
    }
}

/// How much is moved.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// What can be moved without waiting for anybody.
    Passive,
    /// All, and the log's file is made empty.
    Truncate,
}

/// Empties the log's file at once, or not at all while somebody reads an old state. What the log
/// held of deleted content is gone then.
pub(super) fn empty_at_once(connection: &Connection) -> bool {
    let set = |wait| connection.busy_timeout(wait).is_ok();
    let is_empty = set(Duration::ZERO) && checkpoint(connection, Mode::Truncate);
    if !set(BUSY_TIMEOUT) {
        tracing::warn!("the writer does not wait for locks any more");
    }
    is_empty
}

/// Moves the write-ahead log into the database. Says whether it came to its end.
pub(super) fn checkpoint(connection: &Connection, mode: Mode) -> bool {
    let sql = match mode {
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    // The row says whether somebody who reads, or a backup that is being taken, kept it from it.
    match connection.query_row(sql, [], |row| row.get::<_, i64>(0)) {
        Ok(busy) => busy == 0,
        Err(error) => {
            tracing::warn!(%error, "the write-ahead log was not moved into the database");
            false
        }
    }
}
