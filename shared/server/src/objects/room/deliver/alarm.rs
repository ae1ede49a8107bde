//! The alarm.

use std::sync::Arc;

use crate::{
    Result,
    objects::room::{
        Room, limits,
        loaded::{in_memory, watch::Watchers},
    },
    store::room::{members, meta, typing},
};

impl Room {
    /// The alarm: writes down who has been told, tells again who has not, and ends typing that
    /// has expired.
    pub(crate) async fn on_alarm(self: &Arc<Self>) -> Result<()> {
        self.watch().alarm_at_ms = None;
        let mut guard = self.write().await?;
        let expired = self.end_expired_typing(in_memory(&mut guard)?).await?;
        let head = in_memory(&mut guard)?.head;
        if expired {
            let watchers = self.watch().take_watchers();
            drop(guard);
            self.tell_activity(watchers, head).await;
        } else {
            drop(guard);
        }
        self.catch_up(head).await;
        let failed = std::mem::take(&mut self.watch().failed);
        self.tell_activity(Watchers::These(failed), head).await;
        let (told, all_told) = {
            let mut watch = self.watch();
            let all_told = watch.telling == 0 && watch.failed.is_empty() && !watch.is_behind;
            (std::mem::take(&mut watch.told), all_told)
        };
        let scope = self.scope();
        let mut stmts: Vec<_> = told
            .iter()
            .map(|(user, position)| members::update_told(scope, user, *position))
            .collect();
        if all_told {
            stmts.push(meta::update_notified(scope, head));
        }
        let retry = (!all_told).then(|| self.now_ms() + limits::SETTLE_MS);
        let typing = typing::list(self.sql(), scope).await?;
        let next = typing.iter().map(|(_, at)| *at).chain(retry).min();
        self.watch().alarm_at_ms = next;
        self.host.commit(stmts, next).await?;
        self.tell_untold().await
    }
}
