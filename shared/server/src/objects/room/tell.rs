//! What a room must tell its local members, so that nothing is lost and little is said.
//!
//! A membership is told before the request is answered; it stays marked in the store until it
//! was. Activity is told to a member once, and not again until they have read the room: a room
//! of a thousand sleeping members costs nothing per message. Who has been told is kept in memory
//! alone; the alarm writes down how far everybody has been told, and a room that finds itself
//! behind when it is loaded tells everybody again. Both messages are idempotent.

use std::{collections::BTreeSet, sync::Arc};

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedUserId, UserId, events::room::member::MembershipState};
use skerry_core::{Pdu, client_event};

use super::{Room, limits, load::Loaded, loaded, plan::Changed};
use crate::{
    Result,
    messages::{RawJson, room::Position, user},
    ports::Stmt,
    store::room::{events, members, meta, typing},
};

/// State events that an invitation or a knock shows ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#stripped-state
const STRIPPED: [&str; 8] = [
    "m.room.avatar",
    "m.room.canonical_alias",
    "m.room.create",
    "m.room.encryption",
    "m.room.history_visibility",
    "m.room.join_rules",
    "m.room.name",
    "m.room.topic",
];

/// Who waits to be told of the next activity.
#[derive(Debug, Default)]
pub(super) enum Watchers {
    /// Every local member: the room was loaded and does not know better.
    #[default]
    Everyone,
    /// These members have read everything.
    These(BTreeSet<OwnedUserId>),
}

/// What the room has told and not yet written down.
#[derive(Debug, Default)]
pub(super) struct Watch {
    watchers: Watchers,
    /// Members who have been told of their membership at this position.
    told: Vec<(OwnedUserId, Position)>,
    /// Tellings of activity that are under way.
    telling: usize,
    /// The room was loaded before everybody had been told of its newest event.
    is_behind: bool,
    /// Members who could not be told of activity: the alarm tries again.
    failed: BTreeSet<OwnedUserId>,
    /// When the alarm is due, if one is set.
    alarm_at_ms: Option<u64>,
}

impl Watch {
    /// Who is to be told of what happened just now. They are not told again until they read.
    pub(super) fn take_watchers(&mut self) -> Watchers {
        std::mem::replace(&mut self.watchers, Watchers::These(BTreeSet::new()))
    }

    /// This member has read everything and wants to be told of what comes.
    pub(super) fn watch(&mut self, user_id: &UserId) {
        if let Watchers::These(users) = &mut self.watchers
            && !users.contains(user_id)
        {
            users.insert(user_id.to_owned());
        }
    }

    /// Whether this member wants to be told; if so they are taken off the list.
    pub(super) fn take_watcher(&mut self, user_id: &UserId) -> bool {
        match &mut self.watchers {
            Watchers::Everyone => true,
            Watchers::These(users) => users.remove(user_id),
        }
    }
}

impl Room {
    /// Commits statements together with what is still to be written down, and sees to it that
    /// the alarm will come.
    pub(super) async fn commit_and_settle(&self, mut stmts: Vec<Stmt>) -> Result<()> {
        let scope = self.scope();
        let due = self.now_ms() + limits::SETTLE_MS;
        let (told, alarm) = {
            let mut watch = self.watch();
            let alarm = watch.alarm_at_ms.is_none().then_some(due);
            watch.alarm_at_ms.get_or_insert(due);
            (std::mem::take(&mut watch.told), alarm)
        };
        stmts.extend(
            told.iter().map(|(user, position)| members::update_told(scope, user, *position)),
        );
        let result = self.host.commit(stmts, alarm).await;
        if result.is_err() {
            let mut watch = self.watch();
            watch.told.extend(told);
            if alarm.is_some() {
                watch.alarm_at_ms = None;
            }
        }
        result.map(drop)
    }

    /// Tells users of their new membership, before the request is answered.
    pub(super) async fn tell_memberships(self: &Arc<Self>, memberships: Vec<Changed>) {
        for (user_id, membership, position, pdu) in memberships {
            let pdu = pdu.as_deref();
            if let Err(error) = self.tell_membership(&user_id, membership, position, pdu).await {
                // The alarm will tell them again.
                tracing::warn!(%error, %user_id, "a user could not be told of a membership");
            }
        }
    }

    /// Tells one user of their new membership.
    async fn tell_membership(
        self: &Arc<Self>,
        user_id: &UserId,
        membership: MembershipState,
        position: Position,
        pdu: Option<&Pdu>,
    ) -> Result<()> {
        let stripped_state = match (&membership, pdu) {
            (MembershipState::Invite | MembershipState::Knock, Some(pdu)) => {
                self.stripped_state(pdu).await?
            }
            _ => Vec::new(),
        };
        let message = user::Membership {
            room_id: self.id.clone(),
            membership,
            position,
            sender: pdu.map_or_else(|| user_id.to_owned(), |it| it.sender.clone()),
            stripped_state,
        };
        self.host.objects().ask(user_id, message).await?;
        self.watch().told.push((user_id.to_owned(), position));
        Ok(())
    }

    /// What an invitation or a knock shows of the room.
    async fn stripped_state(self: &Arc<Self>, pdu: &Pdu) -> Result<Vec<RawJson>> {
        let room = self.read().await?;
        let mut keys: Vec<_> =
            STRIPPED.iter().map(|it| ((*it).to_owned(), String::new())).collect();
        keys.push(("m.room.member".to_owned(), pdu.sender.to_string()));
        let mut stripped = Vec::new();
        for (_, (_, event)) in self.state_events(&room, &keys).await? {
            if event.event_id != pdu.event_id {
                stripped.push(client_event::strip(&event.json)?);
            }
        }
        stripped.push(client_event::strip(&pdu.json)?);
        Ok(stripped)
    }

    /// Tells those who wait of activity up to `head`, after the reply.
    pub(super) fn tell_activity_later(self: &Arc<Self>, watchers: Watchers, head: Position) {
        if matches!(&watchers, Watchers::These(users) if users.is_empty()) {
            return;
        }
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.tell_activity(watchers, head).await }));
    }

    /// The room was loaded before everybody had been told of its newest event, at `head`: tells
    /// all local members, after the reply, or the alarm does.
    pub(super) fn catch_up_later(self: &Arc<Self>, head: Position) {
        self.watch().is_behind = true;
        let room = Arc::clone(self);
        self.host.defer(Box::pin(async move { room.catch_up(head).await }));
    }

    async fn catch_up(self: &Arc<Self>, head: Position) {
        if std::mem::take(&mut self.watch().is_behind) {
            self.tell_activity(Watchers::Everyone, head).await;
        }
    }

    async fn tell_activity(self: &Arc<Self>, watchers: Watchers, head: Position) {
        self.watch().telling += 1;
        let users = match watchers {
            Watchers::These(users) => users,
            Watchers::Everyone => self.local_members().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "a room's members could not be read");
                self.watch().is_behind = true;
                BTreeSet::new()
            }),
        };
        let tell = |user_id: OwnedUserId| async move {
            let activity = user::RoomActivity { room_id: self.id.clone(), position: head };
            if let Err(error) = self.host.objects().ask(&*user_id, activity).await {
                tracing::warn!(%error, %user_id, "a user could not be told of activity");
                self.watch().failed.insert(user_id);
            }
        };
        stream::iter(users).for_each_concurrent(limits::TOLD_AT_ONCE, tell).await;
        self.watch().telling -= 1;
    }

    async fn local_members(self: &Arc<Self>) -> Result<BTreeSet<OwnedUserId>> {
        let ending = format!(":{}", self.server.name);
        let local = members::list_joined_local(self.sql(), self.scope(), &ending).await?;
        Ok(local.into_iter().collect())
    }

    /// The alarm: writes down who has been told, tells again who has not, and ends typing that
    /// has expired.
    pub(super) async fn on_alarm(self: &Arc<Self>) -> Result<()> {
        self.watch().alarm_at_ms = None;
        let mut guard = self.write().await?;
        let expired = self.end_expired_typing(loaded(&mut guard)?).await?;
        let head = loaded(&mut guard)?.head;
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

    /// Tells members whom a crash or a failure kept from being told of their membership.
    async fn tell_untold(self: &Arc<Self>) -> Result<()> {
        let (sql, scope) = (self.sql(), self.scope());
        let untold = members::list_untold(sql, scope, limits::TOLD_MEMBERS).await?;
        if untold.is_empty() {
            return Ok(());
        }
        let nums: Vec<_> = untold.iter().filter_map(|it| it.event).collect();
        let stored = events::list(sql, scope, &nums).await?;
        for member in untold {
            let event = stored.iter().find(|it| Some(it.num) == member.event);
            let pdu = match event {
                Some(event) => Some(self.to_pdu(event.event_id.clone(), event.json.clone())?),
                None => None,
            };
            let (user_id, position) = (&member.user_id, member.position);
            self.tell_membership(user_id, member.membership, position, pdu.as_deref()).await?;
        }
        self.commit_and_settle(Vec::new()).await
    }

    /// Removes typing that has expired; whether there was any.
    async fn end_expired_typing(&self, room: &mut Loaded) -> Result<bool> {
        let (scope, now) = (self.scope(), self.now_ms());
        let typing = typing::list(self.sql(), scope).await?;
        let mut stmts: Vec<_> = typing
            .iter()
            .filter(|(_, expires_ms)| *expires_ms <= now)
            .map(|(user_id, _)| typing::remove(scope, user_id))
            .collect();
        if stmts.is_empty() {
            return Ok(false);
        }
        stmts.push(typing::upsert_changed(scope, room.head + 1));
        self.host.commit(stmts, None).await?;
        room.head += 1;
        room.typing_head = room.head;
        Ok(true)
    }

    /// Commits statements, and brings the alarm forward to `at_ms` when it would come later.
    pub(super) async fn commit_before(&self, stmts: Vec<Stmt>, at_ms: Option<u64>) -> Result<()> {
        let set = self.watch().alarm_at_ms;
        let alarm = at_ms.filter(|at_ms| set.is_none_or(|it| it > *at_ms));
        self.host.commit(stmts, alarm).await?;
        if alarm.is_some() {
            self.watch().alarm_at_ms = alarm;
        }
        Ok(())
    }
}
