//! Events that come together. Those that are ordinary next events, each behind what is there, are
//! planned one on another and written in one batch: as if each had been written before the next one
//! was decided. Whatever has to be read from the store meanwhile has the batch written first.

use std::sync::Arc;

use skerry_core::Pdu;

use crate::{
    Result,
    messages::room::{Kind, Outcome},
    objects::room::{
        Room,
        dag::intake::{Arrived, Intake},
        loaded::Loaded,
    },
};

impl Room {
    /// Receives events in this order. What is said of each is written by the time that it is said.
    pub(super) async fn receive_together(
        self: &Arc<Self>,
        room: &mut Loaded,
        pdus: &[Arc<Pdu>],
        kind: Kind,
        intake: &mut Intake,
    ) -> Result<Vec<Outcome>> {
        intake.ahead = self.look_ahead(room, pdus, kind).await?;
        if kind != Kind::Outlier {
            intake.gap_positions =
                self.gap_positions_with_waiting(room, &intake.ahead, pdus).await?;
        }
        let mut outcomes = Vec::with_capacity(pdus.len());
        while let Some(rest) = pdus.get(outcomes.len()..).filter(|it| !it.is_empty()) {
            let mut planned = Vec::new();
            intake.is_together = true;
            let written = self.receive_batch(room, (rest, kind), intake, &mut planned).await;
            intake.is_together = false;
            match written {
                Ok(()) => outcomes.append(&mut planned),
                Err(_) if self.doubt.has_failed() && !planned.is_empty() => {
                    self.load_anew(room).await?;
                    let each = self.receive_each(room, (rest, kind), intake, planned).await?;
                    outcomes.extend(each);
                }
                Err(error) => {
                    // It is the error of one event alone: what comes before it is written.
                    if !self.doubt.has_failed() {
                        self.write_planned(room).await?;
                    }
                    return Err(error);
                }
            }
        }
        Ok(outcomes)
    }

    /// Receives the first of these events: up to one behind which nothing is left to be written.
    async fn receive_batch(
        &self,
        room: &mut Loaded,
        (pdus, kind): (&[Arc<Pdu>], Kind),
        intake: &mut Intake,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<()> {
        for pdu in pdus {
            let arrived = Arrived::new(Arc::clone(pdu), kind);
            outcomes.push(self.receive_event(room, arrived, intake).await?);
            if room.unwritten.is_empty() {
                return Ok(());
            }
        }
        self.write_planned(room).await
    }

    /// Receives each by itself, after their batch has failed: those of which it was planned what
    /// becomes of them, and the one that came next. Nobody knows whether the batch was written;
    /// what was, is known and has become what was planned.
    async fn receive_each(
        &self,
        room: &mut Loaded,
        (pdus, kind): (&[Arc<Pdu>], Kind),
        intake: &mut Intake,
        planned: Vec<Outcome>,
    ) -> Result<Vec<Outcome>> {
        let tried = planned.len() + 1;
        let mut planned = planned.into_iter();
        let mut outcomes = Vec::with_capacity(tried);
        for pdu in pdus.iter().take(tried) {
            let arrived = Arrived::new(Arc::clone(pdu), kind);
            let outcome = self.receive_event(room, arrived, intake).await?;
            outcomes.push(match (outcome, planned.next()) {
                (Outcome::Known, Some(planned)) => planned,
                (outcome, _) => outcome,
            });
        }
        Ok(outcomes)
    }
}
