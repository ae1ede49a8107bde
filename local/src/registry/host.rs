//! What the native host provides to one object.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use ruma::UserId;
use skerry::{
    Error, Result,
    ports::{Clock, Deferred, ObjectHost, Objects, Sql, Stmt},
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
        }
    }

    /// Refuses every commit from now on: an object has one writer.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
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

    async fn commit(&self, mut stmts: Vec<Stmt>, alarm_at_ms: Option<u64>) -> Result<()> {
        if self.retired.load(Ordering::Acquire) {
            return Err(Error::internal(format!("this instance of {} was replaced", self.name)));
        }
        // An alarm that is going off is told from one that was set since by its time.
        let alarm_at_ms = alarm_at_ms.map(|it| it.max(self.clock().now_ms() + 1));
        let known = self.known.load(Ordering::Acquire);
        if !known {
            stmts.push(store::insert_object(self.scope, self.kind, &self.name));
        }
        if let Some(at_ms) = alarm_at_ms {
            stmts.push(store::upsert_alarm(self.scope, at_ms));
        }
        self.registry().sql.batch(stmts).await?;
        if !known {
            self.known.store(true, Ordering::Release);
        }
        if let Some(at_ms) = alarm_at_ms {
            self.registry().alarms.set(at_ms);
        }
        Ok(())
    }

    fn wake(&self, position: u64) {
        match <&UserId>::try_from(self.name.as_str()) {
            Ok(user_id) => self.registry().waiters.wake(user_id, position),
            Err(_) => tracing::error!(kind = self.kind, "only a user's object wakes waiters"),
        }
    }

    fn defer(&self, work: Deferred) {
        self.registry().tasks.spawn(work);
    }

    fn clock(&self) -> &dyn Clock {
        &*self.registry().clock
    }

    fn objects(&self) -> &dyn Objects {
        &self.objects
    }
}
