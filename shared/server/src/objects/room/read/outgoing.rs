//! What the room has for another server: the events of this server's users, and what came here to
//! be handed on.

use std::sync::Arc;

use serde_json::value::RawValue as RawJsonValue;

use crate::{
    Result,
    messages::{
        RawJson,
        room::{GetOutgoing, Outgoing, Position},
    },
    objects::room::{Room, limits},
    store::room::{
        outgoing::{self, LOOKED_AT, Looked},
        readers::Reader,
        servers,
    },
};

impl Room {
    /// What waits for a server that is in the room, up to where its last user left. Once it has
    /// read the room to its end, the next event is to be delivered to it.
    pub(crate) async fn get_outgoing(
        self: &Arc<Self>,
        question: GetOutgoing,
    ) -> Result<Box<Outgoing>> {
        let GetOutgoing { server, after, limit, newest_only } = question;
        let room = self.read().await?;
        let (sql, scope) = (self.sql(), self.scope());
        let presence = servers::find(sql, scope, &server).await?;
        let is_let_in = self.is_let_in(&room, &server).await?;
        let reader = Reader::Server(server);
        let Some(presence) = presence else {
            self.deliveries().activity.gone(&reader);
            return Ok(Box::new(Outgoing {
                upto: room.head,
                is_over: true,
                ..Outgoing::default()
            }));
        };
        let after = after.unwrap_or(0).max(presence.since);
        let range = (after, presence.until.unwrap_or(room.head));
        let local = self.local();
        let taken = match (is_let_in, newest_only) {
            (false, _) => Taken { is_all: true, ..Taken::default() },
            (true, true) => newest(outgoing::list_newest(sql, scope, range, &local).await?)?,
            (true, false) => oldest(outgoing::list(sql, scope, range, &local).await?, limit)?,
        };
        let Taken { pdus, upto, is_all } = taken;
        if !is_all {
            return Ok(Box::new(Outgoing { pdus, upto: upto.max(after), is_over: false }));
        }
        let is_over = presence.until.is_some();
        match is_over {
            true => self.deliveries().activity.gone(&reader),
            false => self.begin_reading(&reader).await?,
        }
        Ok(Box::new(Outgoing { pdus, upto: room.head, is_over }))
    }
}

/// What is taken of what was looked at.
#[derive(Default)]
struct Taken {
    pdus: Vec<RawJson>,
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
            taken.pdus.push(RawJsonValue::from_string(json)?);
        }
        taken.upto = position;
    }
    Ok(taken)
}

/// The newest event alone.
fn newest(looked: Vec<Looked>) -> Result<Taken> {
    let json = looked.into_iter().find_map(|(_, json)| json);
    let pdus = json.map(RawJsonValue::from_string).into_iter().collect::<Result<_, _>>()?;
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
        assert_eq!(taken.pdus[0].get().len(), 5);
        assert!(newest(looked(&[(9, 0)])).unwrap().pdus.is_empty());
    }
}
