//! What the edge provides to one object.

use std::sync::Arc;

use async_trait::async_trait;
use skerry::{
    Error, Result,
    ports::{Clock, Deferred, ObjectHost, Objects, Sql, Stmt},
    server::Server,
    store::migrations::Migration,
};
use wasm_bindgen::{JsCast as _, JsValue};
use worker::{
    Env, State,
    send::{SendFuture, SendWrapper},
    wasm_bindgen_futures::JsFuture,
};

use crate::{d1::D1, js, machine::EdgeClock, object_sql::ObjectSql, objects::EdgeObjects, server};

/// Every object has a database of its own, so the column says nothing.
const SCOPE: i64 = 1;

/// What one object stands on.
pub(crate) struct EdgeHost {
    pub(crate) state: SendWrapper<State>,
    storage: SendWrapper<js::Storage>,
    pub(crate) sql: ObjectSql,
    objects: EdgeObjects,
}

impl EdgeHost {
    pub(crate) fn new(
        state: State,
        env: Env,
        kind: &'static str,
        migrations: &'static [Migration],
    ) -> Arc<Self> {
        let storage: js::Storage =
            state.storage().as_raw().unchecked_ref::<JsValue>().clone().unchecked_into();
        Arc::new(Self {
            state: SendWrapper::new(state),
            sql: ObjectSql::new(storage.clone(), kind, migrations),
            storage: SendWrapper::new(storage),
            objects: EdgeObjects(env),
        })
    }

    /// The store without the object's tables.
    #[cfg(feature = "test-routes")]
    pub(crate) fn plain_sql(&self) -> ObjectSql {
        ObjectSql::new(self.storage.0.clone(), "test", &[])
    }

    /// The object's name.
    pub(crate) fn name(&self) -> Result<String> {
        self.state.id().name().ok_or_else(|| Error::internal("an object was reached by its ID"))
    }

    /// The homeserver this object belongs to.
    pub(crate) async fn server(&self) -> Result<Arc<Server>> {
        let env = &self.objects.0;
        server::for_object(&D1::new(env)?, env).await
    }

    /// The alarm is set in the same event as the write, with nothing in between: the platform
    /// makes both durable together, before anything leaves the object.
    async fn write(&self, stmts: Vec<Stmt>, alarm_at_ms: Option<u64>) -> Result<()> {
        self.sql.write(stmts)?;
        if let Some(at_ms) = alarm_at_ms {
            #[expect(clippy::cast_precision_loss, reason = "a time is far below 2^53")]
            let promise = self.storage.set_alarm(at_ms as f64).map_err(js::map_error)?;
            JsFuture::from(promise).await.map_err(js::map_error)?;
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectHost for EdgeHost {
    fn sql(&self) -> &dyn Sql {
        &self.sql
    }

    fn scope(&self) -> i64 {
        SCOPE
    }

    async fn commit(&self, stmts: Vec<Stmt>, alarm_at_ms: Option<u64>) -> Result<()> {
        SendFuture::new(self.write(stmts, alarm_at_ms)).await
    }

    fn wake(&self, position: u64) {
        for socket in self.state.get_websockets() {
            // One that is closed already has nobody waiting behind it.
            let _ = socket.send_with_str(position.to_string());
        }
    }

    fn defer(&self, work: Deferred) {
        self.state.wait_until(work);
    }

    fn clock(&self) -> &dyn Clock {
        &EdgeClock
    }

    fn objects(&self) -> &dyn Objects {
        &self.objects
    }
}
