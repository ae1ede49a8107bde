//! The SQL port over the database of a Durable Object.
//!
//! Everything here is synchronous in truth: nothing can come between the statements of a batch.
//! The tables are made by the first write. Until then a read finds no rows: asking for an object
//! that does not exist makes nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use skerry::{
    Error, Result,
    ports::{Row, Sql, Stmt, sql::check},
    store::migrations::{self, Migration},
};
use wasm_bindgen::JsValue;
use worker::send::SendWrapper;

use crate::js;

/// An object's private store.
pub(crate) struct ObjectSql {
    storage: SendWrapper<js::Storage>,
    database: SendWrapper<js::ObjectDatabase>,
    kind: &'static str,
    migrations: &'static [Migration],
    /// The tables are there and up to date.
    is_ready: AtomicBool,
}

impl ObjectSql {
    pub(crate) fn new(
        storage: js::Storage,
        kind: &'static str,
        migrations: &'static [Migration],
    ) -> Self {
        let database = SendWrapper::new(storage.sql());
        let storage = SendWrapper::new(storage);
        Self { storage, database, kind, migrations, is_ready: AtomicBool::new(false) }
    }

    /// Writes all or nothing.
    pub(crate) fn write(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        stmts.iter().try_for_each(check)?;
        let results = self.transaction(|| {
            self.migrate()?;
            stmts.into_iter().map(|it| self.exec(it)).collect()
        })?;
        self.is_ready.store(true, Ordering::Relaxed);
        Ok(results)
    }

    /// The tables are gone: the next write makes them anew.
    pub(crate) fn was_deleted(&self) {
        self.is_ready.store(false, Ordering::Relaxed);
    }

    fn read(&self, stmt: Stmt) -> Result<Vec<Row>> {
        check(&stmt)?;
        if !self.is_ready.load(Ordering::Relaxed) {
            if self.exec(migrations::find_table())?.is_empty() {
                return Ok(Vec::new());
            }
            self.write(Vec::new())?;
        }
        self.exec(stmt)
    }

    /// Makes the tables, or brings them up to date. Part of a transaction.
    fn migrate(&self) -> Result<()> {
        if self.is_ready.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.exec(migrations::create_table())?;
        let kinds = [(migrations::OBJECT_KIND, migrations::OBJECT), (self.kind, self.migrations)];
        for (kind, migrations) in kinds {
            let applied = self.exec(migrations::list(kind))?;
            for stmt in migrations::pending(kind, migrations, applied)?.concat() {
                self.exec(stmt)?;
            }
        }
        Ok(())
    }

    fn exec(&self, stmt: Stmt) -> Result<Vec<Row>> {
        let values = js::to_js(stmt.values);
        let cursor = self.database.exec(stmt.sql, &values).map_err(js::map_error)?;
        let rows = cursor.raw().and_then(|it| it.to_array()).map_err(js::map_error)?;
        js::to_rows(&rows)
    }

    /// Runs work in a transaction, which is rolled back when the work fails.
    fn transaction<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut work = Some(work);
        let mut outcome = None;
        let thrown = self.storage.transaction_sync(&mut || {
            let result = work.take().map(|work| work());
            let is_done = matches!(result, Some(Ok(_)));
            outcome = result;
            // What is thrown is caught below: it only has to be something.
            is_done.then_some(()).ok_or_else(|| JsValue::from_str("rolled back"))
        });
        match (outcome, thrown) {
            (Some(Ok(value)), Ok(_)) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(_)) | None, Err(error)) => Err(js::map_error(error)),
            (None, Ok(_)) => Err(Error::internal("a transaction did not run")),
        }
    }
}

#[async_trait]
impl Sql for ObjectSql {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        self.read(stmt)
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        match stmts.is_empty() {
            true => Ok(Vec::new()),
            false => self.write(stmts),
        }
    }
}
