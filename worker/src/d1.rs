//! The SQL port over D1: the global store.

use async_trait::async_trait;
use skerry::{
    Error, Result,
    ports::{Row, Sql, Stmt, Value, sql::check},
};
use wasm_bindgen::{JsCast as _, JsValue};
use worker::{
    Env,
    js_sys::{Array, Object},
    send::SendFuture,
    wasm_bindgen_futures::JsFuture,
};

use crate::js;

/// The binding's name.
const BINDING: &str = "DB";

/// The global store. Nothing is asked of the platform before the first statement.
#[derive(Clone)]
pub(crate) struct D1(Env);

impl D1 {
    pub(crate) fn new(env: Env) -> Self {
        Self(env)
    }

    fn database(&self) -> Result<js::Database> {
        let database = self.0.d1(BINDING).map_err(js::map_worker_error)?;
        Ok(JsValue::from(database).unchecked_into())
    }

    fn prepare(database: &js::Database, stmt: Stmt) -> Result<js::Statement> {
        check(&stmt)?;
        if stmt.values.iter().any(|it| matches!(it, Value::Blob(_))) {
            return Err(Error::internal("blobs are kept out of the global store"));
        }
        let statement = database.prepare(stmt.sql).map_err(js::map_error)?;
        statement.bind(&js::to_js(stmt.values)).map_err(js::map_error)
    }

    async fn read(&self, stmt: Stmt) -> Result<Vec<Row>> {
        let promise = Self::prepare(&self.database()?, stmt)?.rows().map_err(js::map_error)?;
        let rows = JsFuture::from(promise).await.map_err(js::map_error)?;
        js::to_rows(&Array::from(&rows))
    }

    async fn write(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        if stmts.is_empty() {
            return Ok(Vec::new());
        }
        let database = self.database()?;
        let statements = Array::new();
        for stmt in stmts {
            statements.push(Self::prepare(&database, stmt)?.as_ref());
        }
        let promise = database.batch(&statements).map_err(js::map_error)?;
        let results = JsFuture::from(promise).await.map_err(js::map_error)?;
        Array::from(&results).iter().map(|it| returned(it.unchecked_ref())).collect()
    }
}

/// The rows a statement of a batch returned: here they are objects, with the columns in order.
fn returned(result: &js::StatementResult) -> Result<Vec<Row>> {
    let rows = result.results().unwrap_or_default();
    rows.iter().map(|row| js::to_row(&Object::values(row.unchecked_ref()))).collect()
}

#[async_trait]
impl Sql for D1 {
    async fn rows(&self, stmt: Stmt) -> Result<Vec<Row>> {
        SendFuture::new(self.read(stmt)).await
    }

    async fn batch(&self, stmts: Vec<Stmt>) -> Result<Vec<Vec<Row>>> {
        SendFuture::new(self.write(stmts)).await
    }
}
