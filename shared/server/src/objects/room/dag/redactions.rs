//! Redactions that came from other servers: they may come before what they redact.

use std::sync::Arc;

use skerry_core::{
    Pdu,
    engine::{Num, State, Verdict, redaction},
    redact,
};

use crate::{
    Error, Result,
    objects::room::{
        Room,
        dag::ahead::Ahead,
        limits,
        loaded::{Loaded, plan::Plan},
    },
    ports::Stmt,
    store::room::{events, graph, redactions},
};

impl Room {
    /// What a visible event does as a redaction, and what redactions that came before it do to
    /// it. Whether anything was redacted.
    pub(crate) async fn apply_redactions(
        &self,
        room: &mut Loaded,
        plan: &mut Plan,
        (num, pdu): (Num, &Arc<Pdu>),
        before: Option<&State>,
        ahead: &mut Ahead,
    ) -> Result<bool> {
        let scope = self.scope();
        let mut redacted = false;
        if let Some(target) = redaction::target(pdu, &room.rules) {
            let sql = self.store_of(room).await?;
            match graph::find_nums(sql, scope, std::slice::from_ref(&target)).await?.pop() {
                None => {
                    let now_ms = self.now_ms();
                    plan.expire_at(now_ms + limits::WAITING_REDACTION_MS);
                    plan.stmts.push(redactions::insert(scope, &target, num, now_ms));
                    let most = limits::WAITING_REDACTIONS;
                    plan.stmts.push(redactions::remove_excess(scope, most));
                    ahead.redaction_waits(target);
                }
                Some((_, at)) => {
                    if let Some(stored) = events::list(sql, scope, &[at]).await?.pop()
                        && stored.redacted_by.is_none()
                    {
                        let target = self.to_pdu(stored.event_id, stored.json)?;
                        let may = self.may_redact(room, pdu, before).await?;
                        redacted |= self.redact_by(room, plan, (num, pdu), (at, &target), may)?;
                    }
                }
            }
        }
        if ahead.is_not_redacted(&pdu.event_id) {
            return Ok(redacted);
        }
        let sql = self.store_of(room).await?;
        let waiting = redactions::list(sql, scope, &pdu.event_id).await?;
        if waiting.is_empty() {
            return Ok(redacted);
        }
        plan.stmts.push(redactions::remove(scope, &pdu.event_id));
        for row in graph::list(sql, scope, &waiting).await? {
            let Some(states) = row.states.filter(|_| row.verdict == Verdict::Accepted) else {
                continue;
            };
            let by = self.to_pdu(row.event_id, row.json)?;
            let may = self.may_redact(room, &by, Some(&states.before.into())).await?;
            if self.redact_by(room, plan, (row.num, &by), (num, pdu), may)? {
                redacted = true;
                break;
            }
        }
        Ok(redacted)
    }

    /// Plans a redaction's effect, when it has one.
    fn redact_by(
        &self,
        room: &Loaded,
        plan: &mut Plan,
        (by, redaction): (Num, &Pdu),
        (num, target): (Num, &Pdu),
        may_redact: bool,
    ) -> Result<bool> {
        if !redaction::applies(redaction, target, may_redact, &room.rules) {
            return Ok(false);
        }
        plan.redact(&target.event_type.to_string(), target.state_key.is_some());
        plan.stmts.push(self.redact_stored(room, num, &target.json, by)?);
        Ok(true)
    }

    /// Replaces a stored event by what its redaction leaves. What authorization reads of it is
    /// kept beside it: servers that have not seen the redaction must come to the same state.
    pub(crate) fn redact_stored(
        &self,
        room: &Loaded,
        num: Num,
        json: &str,
        by: Num,
    ) -> Result<Stmt> {
        let left = redact::redacted(json, &room.rules.redaction).map_err(Error::internal)?;
        let auth = redaction::auth_form(json).map_err(Error::internal)?;
        Ok(events::redact(self.scope(), num, &left, auth, by))
    }

    /// Whether the sender has the power to redact events of others in the state before.
    async fn may_redact(
        &self,
        room: &mut Loaded,
        pdu: &Pdu,
        before: Option<&State>,
    ) -> Result<bool> {
        let state = self.powers(room, before).await?;
        let piece =
            |name: &str| state.iter().find(|(key, _)| key.0 == name).map(|(_, event)| &**event);
        let levels = piece("m.room.power_levels");
        Ok(piece("m.room.create")
            .is_some_and(|it| redaction::may_redact(&pdu.sender, it, levels, &room.rules)))
    }
}
