//! Finding the event that is nearest to a time.

use std::sync::Arc;

use ruma::{
    OwnedServerName,
    api::client::filter::RoomEventFilter,
    events::room::{history_visibility::HistoryVisibility, member::MembershipState},
};
use serde::Deserialize;
use skerry_core::{
    near::{Wanted, median},
    visibility::Timeline,
};

use crate::{
    Result,
    messages::{
        Requester,
        room::{Direction, EventNear, GetEventNear, Position},
    },
    objects::room::{
        Room, limits,
        loaded::Loaded,
        read::{
            access::View,
            audience::Audience,
            scan::{Budget, Scan},
        },
    },
    store::room::{
        events::{self, StoredEvent},
        servers, timestamps,
    },
};

impl Room {
    pub(crate) async fn get_event_near(
        self: &Arc<Self>,
        question: GetEventNear,
    ) -> Result<Box<EventNear>> {
        let GetEventNear { requester, timestamp_ms, direction, ignored_users } = question;
        let is_forward = direction == Direction::Forward;
        let wanted = Wanted { timestamp_ms, is_forward };
        let room = self.read().await?;
        let view = self.view(&room, &requester).await?;
        let audience = self.audience(&room, &requester, &view.timeline).ignoring(&ignored_users);
        let place = self.place_of(&view, wanted).await?;
        let (found, searched_kib) = self.nearest(&room, audience, &view, place, wanted).await?;
        let mut near = EventNear { event: None, elsewhere: Vec::new(), searched_kib };
        if self.may_be_elsewhere(&room, found.as_ref(), (place, wanted)).await? {
            near.elsewhere = self.who_may_have_it(&requester, &view.timeline).await?;
        }
        near.event = found.map(|it| (timestamp_of(&it), it.event_id)).map(|(ts, id)| (id, ts));
        Ok(Box::new(near))
    }

    /// About where events begin that do not stand before the time.
    async fn place_of(&self, view: &View, wanted: Wanted) -> Result<Position> {
        let (mut low, mut high) = (0, view.upto);
        while low < high {
            let middle = low.midpoint(high);
            let probe = timestamps::list(self.sql(), self.scope(), (middle, high), limits::PROBE);
            let probe = probe.await?;
            let first = probe.first().map(|(position, _)| *position);
            match (first, median(probe.into_iter().map(|(_, it)| it).collect())) {
                (Some(first), Some(timestamp)) if wanted.is_behind(timestamp) => low = first,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The nearest event that the requester may see, and how many KiB were searched for it.
    async fn nearest(
        &self,
        room: &Loaded,
        audience: Audience<'_>,
        view: &View,
        place: Position,
        wanted: Wanted,
    ) -> Result<(Option<StoredEvent>, u32)> {
        let (sql, scope) = (self.sql(), self.scope());
        // The place is about right: a few events on its other side are looked at too.
        let (mut range, direction) = match wanted.is_forward {
            true => {
                let back = Direction::Backward;
                let before = events::page(sql, scope, 0, place, back, limits::AROUND).await?;
                let from = before.last().map_or(0, |it| it.position - 1);
                ((from, view.upto), Direction::Forward)
            }
            false => {
                let on = Direction::Forward;
                let after = events::page(sql, scope, place, view.upto, on, limits::AROUND).await?;
                let upto = after.last().map_or(place, |it| it.position);
                ((0, upto), Direction::Backward)
            }
        };
        let budget = Budget { events: limits::NEAR_EVENTS, bytes: limits::PAGE_BYTES };
        let mut searched_kib = 0_u32;
        for _ in 0..limits::NEAR_SCANS {
            let filter = RoomEventFilter::default();
            let scan = self.scan(room, audience, range, direction, budget, &filter).await?;
            let Scan { mut events, next, searched_kib: kib, .. } = scan;
            searched_kib = searched_kib.saturating_add(kib);
            if let Some(index) = wanted.nearest(events.iter().map(timestamp_of)) {
                return Ok((Some(events.swap_remove(index)), searched_kib));
            }
            match (next, direction) {
                (None, _) => break,
                (Some(next), Direction::Forward) => range.0 = next,
                (Some(next), Direction::Backward) => range.1 = next,
            }
        }
        Ok((None, searched_kib))
    }

    /// Whether history is missing here between the event that was found and those that stand on the
    /// other side of the time.
    async fn may_be_elsewhere(
        &self,
        room: &Loaded,
        found: Option<&StoredEvent>,
        (place, wanted): (Position, Wanted),
    ) -> Result<bool> {
        if room.gaps.is_empty() {
            return Ok(false);
        }
        let (sql, scope) = (self.sql(), self.scope());
        let position = found.map(|it| it.position);
        let (from, to) = match wanted.is_forward {
            true => {
                let to = position.unwrap_or(Position::MAX);
                let end = position.map_or(room.head, |it| it - 1);
                let before = events::page(sql, scope, 0, end, Direction::Backward, 1).await?;
                (before.first().map_or(0, |it| it.position), to)
            }
            false => {
                let from = position.unwrap_or(0);
                let after = position.unwrap_or(place);
                let next = events::page(sql, scope, after, room.head, Direction::Forward, 1);
                let next = next.await?;
                (from, next.first().map_or(Position::MAX, |it| it.position))
            }
        };
        Ok(room.gaps.iter().any(|gap| gap.after >= from && gap.next <= to))
    }

    /// Servers that a member may have asked for what is missing here. Whether the member may see it
    /// cannot be known: so nobody is asked where newcomers do not see what was before them.
    async fn who_may_have_it(
        &self,
        requester: &Requester,
        timeline: &Timeline,
    ) -> Result<Vec<OwnedServerName>> {
        let visibility = timeline.visibilities.last().map(|(_, it)| it);
        let is_closed =
            matches!(visibility, Some(HistoryVisibility::Joined | HistoryVisibility::Invited));
        match requester {
            Requester::User(_) if !is_closed && timeline.membership() == MembershipState::Join => {
                servers::list(self.sql(), self.scope()).await
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// When an event was sent, as it says.
fn timestamp_of(event: &StoredEvent) -> u64 {
    #[derive(Deserialize)]
    struct Sent {
        origin_server_ts: u64,
    }
    serde_json::from_str::<Sent>(&event.json).map_or(0, |it| it.origin_server_ts)
}
