//! The SQL port over a database that no file has: for servers that live inside a test. Whoever
//! calls waits for nothing and nobody, so that such a test runs the same way every time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use skerry::{
    Result,
    ports::{Row, Sql, Stmt},
};

use super::{check, transactions::Transactions};

/// One database in memory.
pub struct InMemory(Mutex<Transactions>);

impl std::fmt::Debug for InMemory {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("InMemory")
    }
}

impl InMemory {
    /// An empty one.
    pub fn new() -> Result<Self> {
        Ok(Self(Mutex::new(Transactions::in_memory()?)))
    }

    /// Another one with the same content.
    pub fn copy(&self) -> Result<Self> {
        let mut copy = Transactions::in_memory()?;
        copy.copy_from(&self.transactions())?;
        Ok(Self(Mutex::new(copy)))
    }

    fn transactions(&self) -> MutexGuard<'_, Transactions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Sql for InMemory {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        check(std::slice::from_ref(&stmt))?;
        self.transactions().rows(&stmt)
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        check(&stmts)?;
        let results = self.transactions().run([stmts.as_slice()])?;
        Ok(results.into_iter().flatten().collect())
    }
}
