//! What the edge provides to one object.

use std::{cell::Cell, sync::Arc, time::Duration};

use async_trait::async_trait;
use skerry::{
    Error, Result,
    ports::{Clock, Deferred, Dns, Http, ObjectHost, Objects, Random, Row, Sql, Stmt},
    server::Server,
    store::migrations::Migration,
};
use wasm_bindgen::{JsCast as _, JsValue};
use worker::{
    Delay, Env, State,
    send::{SendFuture, SendWrapper},
    wasm_bindgen_futures::JsFuture,
};

use crate::{
    d1::D1,
    dns::EdgeDns,
    http::EdgeHttp,
    js,
    machine::{EdgeClock, EdgeRandom},
    object_sql::ObjectSql,
    objects::EdgeObjects,
    server,
};

/// Every object has a database of its own, so the column says nothing.
const SCOPE: i64 = 1;

/// What one object stands on.
pub(crate) struct EdgeHost {
    pub(crate) state: SendWrapper<State>,
    storage: SendWrapper<js::Storage>,
    pub(crate) sql: ObjectSql,
    objects: EdgeObjects,
    dns: EdgeDns,
    global: D1,
    alarm: SendWrapper<Cell<Alarm>>,
}

/// What is known of the alarm that the platform keeps.
#[derive(Clone, Copy)]
enum Alarm {
    /// The object was built anew and has not asked.
    Unknown,
    /// None is set.
    Unset,
    /// One is set, for this time.
    Set(u64),
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
            global: D1::new(env.clone()),
            dns: EdgeDns::new(env.clone()),
            objects: EdgeObjects(env),
            alarm: SendWrapper::new(Cell::new(Alarm::Unknown)),
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

    /// The alarm is going off: none is set.
    pub(crate) fn alarm_goes_off(&self) {
        self.alarm.set(Alarm::Unset);
    }

    /// When the platform's alarm is set, if it is.
    async fn find_alarm(&self) -> Result<Option<u64>> {
        match self.alarm.get() {
            Alarm::Unset => return Ok(None),
            Alarm::Set(at_ms) => return Ok(Some(at_ms)),
            Alarm::Unknown => {}
        }
        let promise = self.storage.get_alarm().map_err(js::map_error)?;
        let found = JsFuture::from(promise).await.map_err(js::map_error)?.as_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time is a whole number"
        )]
        let found = found.map(|it| it as u64);
        self.alarm.set(found.map_or(Alarm::Unset, Alarm::Set));
        Ok(found)
    }

    /// The alarm is set in the same event as the write, with nothing in between: the platform
    /// makes both durable together, before anything leaves the object. It is set first: where it
    /// cannot be, nothing is written.
    async fn write(&self, stmts: Vec<Stmt>, alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>> {
        let mut setting = None;
        if let Some(by_ms) = alarm_by_ms
            && self.find_alarm().await?.is_none_or(|it| it > by_ms)
        {
            #[expect(clippy::cast_precision_loss, reason = "a time is far below 2^53")]
            let promise = self.storage.set_alarm(by_ms as f64).map_err(js::map_error)?;
            self.alarm.set(Alarm::Set(by_ms));
            setting = Some(promise);
        }
        let written = match stmts.is_empty() {
            true => Ok(Vec::new()),
            false => self.sql.write(stmts),
        };
        if let Some(promise) = setting {
            JsFuture::from(promise).await.map_err(js::map_error)?;
        }
        written
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

    async fn commit(&self, stmts: Vec<Stmt>, alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>> {
        SendFuture::new(self.write(stmts, alarm_by_ms)).await
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

    fn random(&self) -> &dyn Random {
        &EdgeRandom
    }

    async fn sleep(&self, duration: Duration) {
        SendFuture::new(Delay::from(duration)).await;
    }

    fn objects(&self) -> &dyn Objects {
        &self.objects
    }

    fn global(&self) -> &dyn Sql {
        &self.global
    }

    fn http(&self) -> &dyn Http {
        &EdgeHttp
    }

    fn dns(&self) -> &dyn Dns {
        &self.dns
    }

    async fn server(&self) -> Result<Arc<Server>> {
        SendFuture::new(server::for_object(&self.global, &self.objects.0)).await
    }
}
