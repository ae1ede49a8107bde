//! The options of a `/sync` request, its filter among them.

use js_int::UInt;
use ruma::{
    RoomId, UserId,
    api::client::{
        filter::{EventFormat, FilterDefinition, LazyLoadOptions},
        sync::sync_events::v3::{Filter, Request},
    },
};
use serde::Deserialize;
use skerry_core::filter::{self, EventFields, Matcher};

use crate::{
    Error, Result,
    api::Cx,
    messages::{Caller, RawJson, user::GetFilter},
};

/// The options of a request.
#[derive(Clone, Debug)]
pub(super) struct SyncOptions {
    /// Its filter.
    pub(super) filter: FilterDefinition,
    /// The whole state of every room.
    pub(super) full_state: bool,
    /// The state behind the timeline and not before it.
    pub(super) state_after: bool,
    /// Which fields of events, if not all.
    fields: Option<EventFields>,
}

impl SyncOptions {
    /// Reads the request, with a filter that is in it or that is remembered. None: more must be
    /// asked, or refused, of which only who has a session may know.
    pub(super) fn from_memory(cx: &Cx, user_id: &UserId, request: &Request) -> Option<Self> {
        let filter = match &request.filter {
            None => FilterDefinition::default(),
            Some(Filter::FilterDefinition(filter)) if filter::check(filter).is_ok() => {
                filter.clone()
            }
            Some(Filter::FilterId(id)) => cx.ports.filters.find(user_id, id)?,
            Some(_) => return None,
        };
        Some(Self::new(filter, request))
    }

    /// Reads the request, and its filter from where it is stored.
    pub(super) async fn resolve(cx: &Cx, caller: &Caller, request: &Request) -> Result<Self> {
        let filter = match &request.filter {
            None => FilterDefinition::default(),
            Some(Filter::FilterDefinition(filter)) => {
                filter::check(filter).map_err(|it| Error::bad_json(it.to_string()))?;
                filter.clone()
            }
            Some(Filter::FilterId(id)) => stored_filter(cx, caller, id).await?,
            Some(_) => return Err(Error::invalid_param("an unknown kind of filter")),
        };
        Ok(Self::new(filter, request))
    }

    fn new(filter: FilterDefinition, request: &Request) -> Self {
        let fields = filter.event_fields.as_deref().map(EventFields::new);
        let (full_state, state_after) = (request.full_state, request.use_state_after);
        Self { filter, full_state, state_after, fields }
    }

    /// Whether the filter lets anything of the room through.
    pub(super) fn passes_room(&self, room_id: &RoomId) -> bool {
        let filter = &self.filter.room;
        filter::passes_room(filter.rooms.as_deref(), &filter.not_rooms, room_id)
    }

    /// Whether there are rooms that the filter lets nothing through of.
    pub(super) fn keeps_out_rooms(&self) -> bool {
        let filter = &self.filter.room;
        filter.rooms.is_some() || !filter.not_rooms.is_empty()
    }

    /// Whether members that were sent once need not be sent again.
    pub(super) fn remembers_members(&self) -> bool {
        self.filter.room.state.lazy_load_options
            == LazyLoadOptions::Enabled { include_redundant_members: false }
    }

    /// Whether events are to look as they do over federation.
    pub(super) fn is_federation_format(&self) -> bool {
        self.filter.event_format == EventFormat::Federation
    }

    /// Account data of no room that the filter lets through.
    pub(super) fn account_data(&self, mut events: Vec<RawJson>) -> Vec<RawJson> {
        let matcher = Matcher::new(&self.filter.account_data);
        events.retain(|it| passes(&matcher, it));
        events
    }

    /// Statuses of users that the filter lets through.
    pub(super) fn presence(&self, mut events: Vec<RawJson>) -> Vec<RawJson> {
        let matcher = Matcher::new(&self.filter.presence);
        events.retain(|it| passes(&matcher, it));
        events
    }

    /// Account data of a room that the filter lets through.
    pub(super) fn room_account_data(
        &self,
        room_id: &RoomId,
        mut events: Vec<RawJson>,
    ) -> Vec<RawJson> {
        if !events.is_empty() {
            let matcher = Matcher::of_room(&self.filter.room.account_data, room_id);
            events.retain(|it| passes(&matcher, it));
        }
        events
    }

    /// Whether an event stands in the timeline of a room that has no other.
    pub(super) fn passes_timeline(&self, room_id: &RoomId, event: &RawJson) -> bool {
        let filter = &self.filter.room.timeline;
        let is_wanted = filter.limit != Some(UInt::MIN);
        is_wanted && passes(&Matcher::of_room(filter, room_id), event)
    }

    /// Room events with the fields that the filter names.
    pub(super) fn fields(&self, events: Vec<RawJson>) -> Result<Vec<RawJson>> {
        let Some(fields) = &self.fields else { return Ok(events) };
        events.iter().map(|it| fields.keep(it).map_err(Error::internal)).collect()
    }
}

async fn stored_filter(cx: &Cx, caller: &Caller, id: &str) -> Result<FilterDefinition> {
    // What began like a filter and did not parse as one.
    if id.trim_start().starts_with('{') {
        return Err(Error::bad_json("the filter is not valid"));
    }
    let question = GetFilter { filter_id: id.to_owned() };
    let filter = cx.ports.objects.ask(&*caller.user_id, question).await?;
    let filter = filter.ok_or_else(|| Error::invalid_param("there is no such filter"))?;
    let bytes = filter.get().len();
    let filter: FilterDefinition = serde_json::from_str(filter.get())?;
    cx.ports.filters.insert(&caller.user_id, id, filter.clone(), bytes);
    Ok(filter)
}

/// Whether a filter lets through what has neither sender nor URL.
fn passes(matcher: &Matcher<'_>, event: &RawJson) -> bool {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        event_type: String,
        sender: Option<String>,
    }
    serde_json::from_str::<Event>(event.get())
        .is_ok_and(|it| matcher.passes(&it.event_type, it.sender.as_deref(), || false))
}
