//! What the room has for another server: the events of this server's users, what came here to be
//! handed on, and what users of this server have read.

use std::sync::Arc;

use ruma::{EventId, OwnedUserId, ServerName, UserId, events::receipt::ReceiptThread};
use serde_json::value::RawValue as RawJsonValue;
use skerry_core::{destination::fitting_receipts, edu::ReadReceipt, integer};

use crate::{
    Error, Result,
    messages::{
        RawJson,
        room::{GetOutgoing, Outgoing, Position},
    },
    objects::room::{Room, limits, loaded::Loaded},
    store::room::{
        device_changes,
        outgoing::{self, LOOKED_AT, Looked},
        readers::Reader,
        receipts::{self, Receipt},
        servers::{self, Presence},
        stored_us, timestamps,
    },
};

impl Room {
    /// What waits for a server that is in the room, up to where its last user left. Once it has
    /// read the room to its end, the next event is to be delivered to it.
    pub(crate) async fn get_outgoing(
        self: &Arc<Self>,
        question: GetOutgoing,
    ) -> Result<Box<Outgoing>> {
        let GetOutgoing { server, after, limit, newest_only, receipts, devices } = question;
        let room = self.read().await?;
        let departures = self.departures(&room, &server, after.unwrap_or(0)).await?;
        let (sql, scope) = (self.sql(), self.scope());
        let presence = servers::find(sql, scope, &server).await?;
        let is_let_in = self.is_let_in(&room, &server).await?;
        let reader = Reader::Server(server.clone());
        let Some(presence) = presence else {
            self.deliveries().activity.gone(&reader);
            return Ok(Box::new(Outgoing {
                upto: room.head,
                is_over: true,
                ..Outgoing::default()
            }));
        };
        let devices_after = match devices.filter(|_| is_let_in && room.devices_head > 0) {
            Some(_) => self.devices_after(&server, presence, after).await?,
            None => 0,
        };
        let after = after.unwrap_or(0).max(presence.since);
        let range = (after, presence.until.unwrap_or(room.head));
        let (devices, cut) = match devices.filter(|_| is_let_in) {
            Some(limit) => self.outgoing_devices(&room, (devices_after, range.1), limit).await?,
            None => (Vec::new(), None),
        };
        let range = (after, cut.unwrap_or(range.1));
        let local = self.local();
        let Taken { mut pdus, upto, mut is_all } = match (is_let_in, newest_only) {
            (false, _) => Taken { is_all: true, ..Taken::default() },
            (true, true) => newest(outgoing::list_newest(sql, scope, range, &local).await?)?,
            (true, false) => oldest(outgoing::list(sql, scope, range, &local).await?, limit)?,
        };
        let mut upto = if is_all { range.1 } else { upto.max(after) };
        is_all &= cut.is_none();
        let receipts = match is_let_in {
            true => self.outgoing_receipts(&room, (after, upto), receipts).await?,
            false => TakenReceipts::default(),
        };
        if let Some(cut) = receipts.cut {
            // What comes behind the last of them is given together with the next ones.
            upto = cut;
            is_all = false;
            pdus.retain(|(position, _)| *position <= cut);
        }
        let (pdus, receipts) =
            (pdus.into_iter().map(|(_, json)| json).collect(), receipts.receipts);
        if !is_all {
            return Ok(Box::new(Outgoing {
                pdus,
                receipts,
                devices,
                upto,
                has_more: true,
                is_over: false,
                departures,
            }));
        }
        let is_over = presence.until.is_some();
        match is_over {
            true => self.deliveries().activity.gone(&reader),
            false => self.begin_reading(&reader).await?,
        }
        let (upto, has_more) = (room.head, false);
        Ok(Box::new(Outgoing { pdus, receipts, devices, upto, has_more, is_over, departures }))
    }

    /// Behind which position the server is told of devices. One whose join comes late, by way of
    /// others, may have asked for keys since it joined, and was not told of what has changed then.
    async fn devices_after(
        &self,
        server: &ServerName,
        presence: Presence,
        after: Option<Position>,
    ) -> Result<Position> {
        let after = after.unwrap_or(0);
        if after >= presence.since {
            return Ok(after);
        }
        let (sql, scope) = (self.sql(), self.scope());
        let Some(joined_ms) = timestamps::find_join(sql, scope, server, presence.since).await?
        else {
            return Ok(after.max(presence.since));
        };
        let instant_us = joined_ms.saturating_sub(limits::CLOCK_SKEW_MS).saturating_mul(1_000);
        // A store refuses what is larger, and the other server says what it likes.
        let instant_us = instant_us.min(integer::MAX_SAFE);
        let then = stored_us::find_position_before(sql, scope, instant_us).await?;
        Ok(after.max(then.min(presence.since)))
    }

    /// Local users whose devices have changed in a range, as many as are wanted; and up to where
    /// these are all, where there are more.
    async fn outgoing_devices(
        &self,
        room: &Loaded,
        range: (Position, Position),
        limit: u64,
    ) -> Result<(Vec<OwnedUserId>, Option<Position>)> {
        if room.devices_head <= range.0 {
            return Ok((Vec::new(), None));
        }
        let (sql, scope, local) = (self.sql(), self.scope(), self.local());
        let listed = device_changes::list_outgoing(sql, scope, range, &local, limit + 1).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let cut = listed.get(limit).map(|(position, _)| position - 1);
        Ok((listed.into_iter().take(limit).map(|(_, it)| it).collect(), cut))
    }

    /// The oldest receipts of a range, as many as fit into one answer.
    async fn outgoing_receipts(
        &self,
        room: &Loaded,
        range: (Position, Position),
        limit: u64,
    ) -> Result<TakenReceipts> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(limits::OUTGOING_RECEIPTS);
        if limit == 0 || room.receipts_head <= range.0 {
            return Ok(TakenReceipts::default());
        }
        let (sql, scope) = (self.sql(), self.scope());
        let one_more = limit as u64 + 1;
        let listed = receipts::list_outgoing(sql, scope, range, &self.local(), one_more).await?;
        let all = listed.iter().map(to_read_receipt).collect::<Result<Vec<_>>>()?;
        let fitting = fitting_receipts(all.iter().map(|it| &*it.user_id), limit);
        let cut = (fitting < listed.len()).then(|| fitting.checked_sub(1));
        let cut = cut.flatten().and_then(|last| listed.get(last)).map(|it| it.position);
        Ok(TakenReceipts { receipts: all.into_iter().take(fitting).collect(), cut })
    }
}

/// What is taken of receipts.
#[derive(Default)]
struct TakenReceipts {
    receipts: Vec<ReadReceipt>,
    /// Up to where; none: these are all.
    cut: Option<Position>,
}

fn to_read_receipt(it: &Receipt) -> Result<ReadReceipt> {
    let thread = Some(it.thread.as_str()).filter(|it| !it.is_empty());
    Ok(ReadReceipt {
        user_id: UserId::parse(it.user_id.as_str()).map_err(Error::internal)?,
        event_id: EventId::parse(it.event_id.as_str()).map_err(Error::internal)?,
        thread: ReceiptThread::try_from(thread).map_err(Error::internal)?,
        ts_ms: Some(it.ts),
    })
}

/// What is taken of what was looked at.
#[derive(Default)]
struct Taken {
    /// With where they stand.
    pdus: Vec<(Position, RawJson)>,
    /// Up to where.
    upto: Position,
    /// Nothing is left.
    is_all: bool,
}

/// The oldest events, as many as fit into one answer.
fn oldest(looked: Vec<Looked>, limit: u64) -> Result<Taken> {
    let limit = usize::try_from(limit.min(limits::OUTGOING)).unwrap_or(usize::MAX);
    let is_last = (looked.len() as u64) < LOOKED_AT;
    let (mut taken, mut bytes) = (Taken { is_all: is_last, ..Taken::default() }, 0);
    for (position, json) in looked {
        if let Some(json) = json {
            bytes += json.len();
            let fits = taken.pdus.len() < limit && bytes <= limits::OUTGOING_BYTES;
            if !fits && !taken.pdus.is_empty() {
                taken.is_all = false;
                break;
            }
            taken.pdus.push((position, RawJsonValue::from_string(json)?));
        }
        taken.upto = position;
    }
    Ok(taken)
}

/// The newest event alone.
fn newest(looked: Vec<Looked>) -> Result<Taken> {
    let found = looked.into_iter().find_map(|(position, json)| Some((position, json?)));
    let found = found.map(|(position, json)| Ok((position, RawJsonValue::from_string(json)?)));
    let pdus = found.into_iter().collect::<Result<_>>()?;
    Ok(Taken { pdus, upto: 0, is_all: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked(events: &[(Position, usize)]) -> Vec<Looked> {
        let json = |bytes: usize| (bytes > 0).then(|| format!("\"{}\"", "x".repeat(bytes - 2)));
        events.iter().map(|(position, bytes)| (*position, json(*bytes))).collect()
    }

    /// Positions and bytes of events; how many are taken, up to where, and whether that is all.
    type Case = (&'static str, &'static [(Position, usize)], u64, (usize, Position, bool));

    #[test]
    fn what_is_taken_fits_into_one_answer() {
        const LARGE: usize = limits::OUTGOING_BYTES;
        let cases: [Case; 7] = [
            ("nothing", &[], 5, (0, 0, true)),
            ("nothing of ours", &[(3, 0), (4, 0)], 5, (0, 4, true)),
            ("all", &[(3, 9), (4, 0), (7, 9)], 2, (2, 7, true)),
            ("as many as are wanted", &[(3, 9), (4, 0), (7, 9), (8, 9)], 2, (2, 7, false)),
            ("what is not ours behind it", &[(3, 9), (4, 0), (7, 0)], 1, (1, 7, true)),
            ("one always does", &[(3, LARGE + 1), (4, 9)], 5, (1, 3, false)),
            ("bytes", &[(3, LARGE - 9), (4, 9), (5, 9)], 5, (2, 4, false)),
        ];
        for (name, events, limit, expected) in cases {
            let Taken { pdus, upto, is_all } = oldest(looked(events), limit).unwrap();
            assert_eq!((pdus.len(), upto, is_all), expected, "{name}");
        }
        let page: Vec<_> = (1..=LOOKED_AT).map(|it| (it, 0)).collect();
        let Taken { pdus, upto, is_all } = oldest(looked(&page), 5).unwrap();
        assert_eq!((pdus.len(), upto, is_all), (0, LOOKED_AT, false), "there may be more");
    }

    #[test]
    fn of_the_newest_there_is_one() {
        let taken = newest(looked(&[(9, 0), (8, 5), (7, 9)])).unwrap();
        assert_eq!(taken.pdus.len(), 1);
        assert_eq!((taken.pdus[0].0, taken.pdus[0].1.get().len()), (8, 5));
        assert!(newest(looked(&[(9, 0)])).unwrap().pdus.is_empty());
    }
}
