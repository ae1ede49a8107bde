//! `GET /_matrix/client/*/rooms/{roomId}/messages` ([spec][messages]),
//! `GET /_matrix/client/*/rooms/{roomId}/context/{eventId}` ([spec][context])
//!
//! [messages]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidmessages
//! [context]: https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid

use js_int::UInt;
use ruma::{
    api::{
        Direction,
        client::{context::get_context, filter::RoomEventFilter, message::get_message_events},
        error::DeserializationError,
    },
    serde::Raw,
};
use serde::Serialize;
use skerry_core::filter;

use super::{ask, ignored_users, page_token};
use crate::{
    Error, Result,
    api::{
        Cx,
        counted::charge_search,
        mount::Routes,
        patched::{AnsweredAsJson, Body, Json, Patch, Patched},
    },
    messages::{
        Caller, RawJson, Requester,
        room::{self, GetContext, GetMessages},
    },
};

/// Events of one page, whatever the client asks for. Ten when it does not say, by ruma's types.
const MAX_PAGE_EVENTS: u64 = 1000;

/// Mounts the endpoints.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.mount(get_message_events).mount(get_context)
}

async fn get_message_events(
    cx: Cx,
    caller: Caller,
    Patched { request, .. }: Patched<get_message_events::v3::Request, DefaultDirection>,
) -> Result<get_message_events::v3::Response> {
    check(&request.filter)?;
    let room_id = &request.room_id;
    // Other servers take an empty token for none, and clients count on that.
    let token = |it: &Option<String>| it.clone().filter(|it| !it.is_empty());
    let (from, to) = (token(&request.from), token(&request.to));
    let from = page_token::resolve(&cx, &caller, room_id, from.as_deref()).await?;
    let to = page_token::resolve(&cx, &caller, room_id, to.as_deref()).await?;
    let ignored_users = ignored_users(&cx, &caller).await?;
    let question = GetMessages {
        requester: Requester::User(caller.clone()),
        from,
        to,
        direction: match request.dir {
            Direction::Backward => room::Direction::Backward,
            Direction::Forward => room::Direction::Forward,
        },
        // Without a single event a page could not lead anywhere.
        limit: limit(request.limit).max(1),
        filter: request.filter,
        ignored_users,
    };
    let page = ask(&cx, room_id, question).await?;
    charge_search(&cx, &caller, page.searched_kib);
    let mut response = get_message_events::v3::Response::new();
    response.start = page_token::of(page.start);
    response.end = page.end.map(page_token::of);
    response.chunk = raw(page.chunk);
    response.state = raw(page.state);
    Ok(response)
}

async fn get_context(
    cx: Cx,
    caller: Caller,
    Patched { request, .. }: Patched<get_context::v3::Request, AnsweredAsJson>,
) -> Result<Json> {
    let get_context::v3::Request { room_id, event_id, limit: wished, filter, .. } = request;
    check(&filter)?;
    let ignored_users = ignored_users(&cx, &caller).await?;
    let limit = limit(wished);
    let question = GetContext { caller: caller.clone(), event_id, limit, filter, ignored_users };
    let context = ask(&cx, &room_id, question).await?;
    charge_search(&cx, &caller, context.searched_kib);
    Ok(Json::of(&Surroundings {
        start: page_token::of(context.start),
        end: page_token::of(context.end),
        event: &context.event,
        events_before: &context.events_before,
        events_after: &context.events_after,
        state: &context.state,
    })?)
}

/// The answer about an event's surroundings. Every field is always there, which ruma's response
/// would leave out where it is empty.
#[derive(Serialize)]
struct Surroundings<'a> {
    start: String,
    end: String,
    event: &'a RawJson,
    events_before: &'a [RawJson],
    events_after: &'a [RawJson],
    state: &'a [RawJson],
}

/// A page whose direction is not said goes forward, as other servers have it.
struct DefaultDirection;

impl Patch<get_message_events::v3::Request> for DefaultDirection {
    type Response = get_message_events::v3::Response;

    fn patch(_: &mut Body<'_>) -> Result<Self, DeserializationError> {
        Ok(Self)
    }

    const DEFAULT_PARAMETER: Option<(&'static str, &'static str)> = Some(("dir", "f"));
}

fn check(filter: &RoomEventFilter) -> Result<()> {
    filter::check_room_filter(filter).map_err(|it| Error::bad_json(it.to_string()))
}

fn limit(wished: UInt) -> u64 {
    u64::from(wished).min(MAX_PAGE_EVENTS)
}

fn raw<T>(events: Vec<RawJson>) -> Vec<Raw<T>> {
    events.into_iter().map(Raw::from_json).collect()
}
