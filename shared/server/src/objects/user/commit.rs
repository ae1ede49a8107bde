//! How a batch is written: what is in memory follows it, and is in doubt while nobody knows.

use super::{Due, State, User};
use crate::{
    Result, messages::user::StreamPosition, objects::agenda::AgendaPlan, ports::Stmt,
    store::user::meta,
};

impl User {
    /// Writes a batch that moves the stream one step on.
    pub(super) async fn commit(
        &self,
        state: &mut State,
        mut stmts: Vec<Stmt>,
        alarm_by_ms: Option<u64>,
    ) -> Result<StreamPosition> {
        stmts.push(meta::upsert_seq(self.scope(), state.seq + 1));
        self.commit_step(state, stmts, alarm_by_ms).await
    }

    /// As [`Self::commit`], for a batch in which a row says by itself that the stream has got
    /// there.
    pub(super) async fn commit_step(
        &self,
        state: &mut State,
        stmts: Vec<Stmt>,
        alarm_by_ms: Option<u64>,
    ) -> Result<StreamPosition> {
        let seq = state.seq + 1;
        // Also when this future is dropped at the `await`: then nobody knows what was written.
        state.is_in_doubt = true;
        state.keys_shown.forget();
        self.host.commit(stmts, alarm_by_ms).await?;
        state.is_in_doubt = false;
        state.seq = seq;
        Ok(seq)
    }

    /// As [`Self::commit`], with changes of the agenda.
    pub(super) async fn commit_with(
        &self,
        state: &mut State,
        mut stmts: Vec<Stmt>,
        agenda: AgendaPlan<Due>,
    ) -> Result<StreamPosition> {
        stmts.extend(agenda.stmts(self.scope()));
        let seq = self.commit(state, stmts, agenda.alarm_by_ms()).await?;
        state.agenda.apply(agenda);
        Ok(seq)
    }

    /// Writes a batch that leaves the stream where it is.
    pub(super) async fn write(
        &self,
        state: &mut State,
        mut stmts: Vec<Stmt>,
        agenda: AgendaPlan<Due>,
    ) -> Result<()> {
        stmts.extend(agenda.stmts(self.scope()));
        if stmts.is_empty() {
            return Ok(());
        }
        state.is_in_doubt = true;
        state.keys_shown.forget();
        self.host.commit(stmts, agenda.alarm_by_ms()).await?;
        state.is_in_doubt = false;
        state.agenda.apply(agenda);
        Ok(())
    }
}
