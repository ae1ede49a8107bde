//! What the edge provides to one object.

use std::{
    cell::{Cell, OnceCell},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::LocalBoxFuture;
use ruma::UserId;
use skerry::{
    Error, Result,
    limits::Limits,
    ports::{Clock, Deferred, Dns, Http, ObjectHost, Objects, Random, Row, Sql, Stmt},
    server::Server,
    space::Space,
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
    limits::Charges,
    machine::{EdgeClock, EdgeRandom, slot_ms},
    object_sql::ObjectSql,
    objects::EdgeObjects,
    server, sessions,
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
    answer_waiting: SendWrapper<OnceCell<Answering>>,
    limits: SendWrapper<OnceCell<Limits>>,
    space: Space,
}

/// Answers those who wait.
type Answering = Box<dyn Fn() -> LocalBoxFuture<'static, ()>>;

/// What is known of the alarm that the platform keeps.
#[derive(Clone, Copy)]
enum Alarm {
    /// The object was built anew and has not asked.
    Unknown,
    /// None is set.
    Unset,
    /// One is going off at this moment, and no other is set.
    GoingOff,
    /// One is set, for this time.
    Set(u64),
}

impl EdgeHost {
    /// Reads the signing keys again where it is time to.
    pub(crate) async fn reload_keys_if_due(&self) {
        server::reload_keys_if_due(&self.global).await;
    }

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
            objects: EdgeObjects::new(env, Charges::default()),
            alarm: SendWrapper::new(Cell::new(Alarm::Unknown)),
            answer_waiting: SendWrapper::new(OnceCell::new()),
            limits: SendWrapper::new(OnceCell::new()),
            space: Space::default(),
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

    /// The alarm is going off.
    pub(crate) fn alarm_goes_off(&self) {
        self.alarm.set(Alarm::GoingOff);
    }

    /// The object has dealt with the alarm.
    pub(crate) fn alarm_was_heard(&self) {
        if matches!(self.alarm.get(), Alarm::GoingOff) {
            self.alarm.set(Alarm::Unset);
        }
    }

    /// What is done when there may be something new for those who wait.
    pub(crate) fn on_wake(&self, answer: impl Fn() -> LocalBoxFuture<'static, ()> + 'static) {
        // The shell makes its host once, and says this once.
        let _ = self.answer_waiting.set(Box::new(answer));
    }

    /// When the platform's alarm is set, if it is.
    async fn find_alarm(&self) -> Result<Option<u64>> {
        match self.alarm.get() {
            Alarm::Unset | Alarm::GoingOff => return Ok(None),
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

impl EdgeHost {
    /// Both deletions are begun in the same event, with nothing in between.
    async fn delete_all(&self) -> Result<()> {
        let alarm = self.storage.delete_alarm().map_err(js::map_error)?;
        let rows = self.storage.delete_all().map_err(js::map_error)?;
        self.alarm.set(Alarm::Unset);
        self.sql.was_deleted();
        JsFuture::from(alarm).await.map_err(js::map_error)?;
        JsFuture::from(rows).await.map_err(js::map_error)?;
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

    async fn commit(&self, stmts: Vec<Stmt>, alarm_by_ms: Option<u64>) -> Result<Vec<Vec<Row>>> {
        SendFuture::new(self.write(stmts, alarm_by_ms)).await
    }

    fn wake(&self) {
        if self.is_waited_for()
            && let Some(answer) = self.answer_waiting.get()
        {
            self.state.wait_until(answer());
        }
    }

    fn is_waited_for(&self) -> bool {
        !self.state.get_websockets().is_empty()
    }

    /// The store is the object's own, and is dropped as a whole.
    async fn destroy(&self, _pages: Vec<Stmt>) -> Result<()> {
        SendFuture::new(self.delete_all()).await
    }

    async fn alarm_at_ms(&self) -> Result<Option<u64>> {
        match self.alarm.get() {
            Alarm::GoingOff => Ok(Some(EdgeClock.now_ms())),
            _ => SendFuture::new(self.find_alarm()).await,
        }
    }

    /// The isolate may be another than that of the Worker which asked; that one forgets too.
    fn forget_sessions(&self) {
        let name = self.name();
        match name.as_deref().map(<&UserId>::try_from) {
            Ok(Ok(user_id)) => sessions::of_this_isolate().forget(user_id),
            _ => tracing::error!("only a user's object has sessions"),
        }
    }

    fn limits(&self) -> &Limits {
        // Variables that say none are refused where requests come in: nothing gets here by them.
        let rates = || server::rate_limits(self.objects.env()).unwrap_or_default();
        self.limits.get_or_init(|| Limits::new(rates()))
    }

    fn space(&self) -> &Space {
        &self.space
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

    async fn may_compute(&self, address: &str) -> bool {
        let Some(wait_ms) = slot_ms(address) else { return false };
        if wait_ms > 0 {
            self.sleep(Duration::from_millis(wait_ms)).await;
        }
        true
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
        SendFuture::new(server::for_object(&self.global, self.objects.env())).await
    }
}
