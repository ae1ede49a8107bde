//! What the native host provides to one object.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use ruma::UserId;
use skerry::{
    Error, Result,
    limits::Limits,
    objects::{Object as _, user::User},
    ports::{Clock, Deferred, Dns, Http, ObjectHost, Objects, Random, Row, Sql, Stmt},
    server::Server,
    space::Space,
    store::agenda,
};

use super::{LocalObjects, Registry};
use crate::store;

/// What one object stands on.
pub(super) struct LocalHost {
    objects: LocalObjects,
    kind: &'static str,
    name: String,
    scope: i64,
    /// The store knows the object's scope.
    known: AtomicBool,
    /// Another instance may have taken this one's place.
    retired: AtomicBool,
    /// The time of the last alarm that went off. Its row stays until it has been dealt with, so
    /// that a crash does not lose it.
    went_off_ms: AtomicU64,
}

impl LocalHost {
    /// `scope` is none for an object that has not written anything yet.
    pub(super) fn new(
        registry: &Arc<Registry>,
        kind: &'static str,
        name: &str,
        scope: Option<i64>,
    ) -> Self {
        Self {
            objects: LocalObjects(registry.clone()),
            kind,
            name: name.to_owned(),
            scope: scope.unwrap_or_else(|| registry.next_scope()),
            known: AtomicBool::new(scope.is_some()),
            retired: AtomicBool::new(false),
            went_off_ms: AtomicU64::new(0),
        }
    }

    /// The alarm that was set for this time is going off.
    pub(super) fn alarm_goes_off(&self, at_ms: u64) {
        self.went_off_ms.store(at_ms, Ordering::Release);
    }

    /// Refuses every commit from now on: an object has one writer.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// The user, when the object is one: for others nobody waits.
    fn user_id(&self) -> Option<&UserId> {
        (self.kind == User::KIND).then(|| self.name.as_str().try_into().ok()).flatten()
    }

    fn registry(&self) -> &Arc<Registry> {
        &self.objects.0
    }
}

#[async_trait]
impl ObjectHost for LocalHost {
    fn sql(&self) -> &dyn Sql {
        &*self.registry().sql
    }

    fn scope(&self) -> i64 {
        self.scope
    }

    async fn commit(
        &self,
        mut stmts: Vec<Stmt>,
        alarm_by_ms: Option<u64>,
    ) -> Result<Vec<Vec<Row>>> {
        if self.retired.load(Ordering::Acquire) {
            return Err(Error::internal(format!("this instance of {} was replaced", self.name)));
        }
        // An alarm that is going off is told from one that was set since by its time.
        let alarm_by_ms = alarm_by_ms.map(|it| it.max(self.clock().now_ms() + 1));
        let asked = stmts.len();
        let known = self.known.load(Ordering::Acquire);
        if !known {
            stmts.push(store::insert_object(self.scope, self.kind, &self.name));
        }
        if let Some(at_ms) = alarm_by_ms {
            let went_off_ms = self.went_off_ms.load(Ordering::Acquire);
            stmts.push(store::upsert_alarm(self.scope, at_ms, went_off_ms));
        }
        let mut results = self.registry().sql.batch(stmts).await?;
        results.truncate(asked);
        if !known {
            self.known.store(true, Ordering::Release);
        }
        if let Some(at_ms) = alarm_by_ms {
            self.registry().alarms.set(at_ms);
        }
        Ok(results)
    }

    fn wake(&self) {
        if let Some(user_id) = self.user_id() {
            self.registry().waiters.wake(user_id);
        }
    }

    fn is_waited_for(&self) -> bool {
        self.user_id().is_some_and(|it| self.registry().waiters.has(it))
    }

    async fn destroy(&self, pages: Vec<Stmt>) -> Result<()> {
        if self.retired.load(Ordering::Acquire) {
            return Err(Error::internal(format!("this instance of {} was replaced", self.name)));
        }
        let sql = &*self.registry().sql;
        for page in pages {
            while !sql.batch(vec![page.clone()]).await?.concat().is_empty() {}
        }
        let mut rest = store::remove_object(self.scope).to_vec();
        rest.push(agenda::remove_all(self.scope));
        sql.batch(rest).await?;
        self.known.store(false, Ordering::Release);
        Ok(())
    }

    async fn alarm_at_ms(&self) -> Result<Option<u64>> {
        store::find_alarm(&*self.registry().sql, self.scope).await
    }

    fn forget_sessions(&self) {
        match <&UserId>::try_from(self.name.as_str()) {
            Ok(user_id) => self.registry().sessions.forget(user_id),
            Err(_) => tracing::error!(kind = self.kind, "only a user's object has sessions"),
        }
    }

    fn limits(&self) -> &Limits {
        &self.registry().limits
    }

    fn space(&self) -> &Space {
        &self.registry().space
    }

    fn defer(&self, work: Deferred) {
        self.registry().tasks.spawn(work);
    }

    fn clock(&self) -> &dyn Clock {
        &*self.registry().clock
    }

    fn random(&self) -> &dyn Random {
        &*self.registry().random
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn objects(&self) -> &dyn Objects {
        &self.objects
    }

    fn global(&self) -> &dyn Sql {
        &*self.registry().sql
    }

    fn http(&self) -> &dyn Http {
        &*self.registry().http
    }

    fn dns(&self) -> &dyn Dns {
        &*self.registry().dns
    }

    async fn server(&self) -> Result<Arc<Server>> {
        Ok(self.registry().server.clone())
    }
}
