//! `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync` ([MSC4186]): sliding sync.
//!
//! The user's object says of which rooms something is to be given. Where it is not sure which these
//! are, some rooms are asked first where they stand. The rooms are read side by side; then the
//! user's object records how far they were read, for `/sync` as for the connection, and gives the
//! position that says so.
//!
//! [MSC4186]: https://github.com/matrix-org/matrix-spec-proposals/pull/4186

mod asked;
mod places;
mod read_rooms;
mod response;

use std::{collections::BTreeMap, time::Duration};

use ruma::{OwnedRoomId, api::client::sync::sync_events::v5::Request};
use skerry_core::{
    presence::rank,
    sliding_sync::{self, Pos},
    sync_token::SyncToken,
};

use self::{
    asked::Asked,
    read_rooms::{ReadRooms, read_rooms},
    response::Builder,
};
use super::{
    super::{
        Cx,
        access::UncheckedToken,
        counted::charge_search,
        mount::Routes,
        patched::{Json, Patched},
    },
    sync::{Devices, MAX_WAIT},
};
use crate::{
    Error, Result,
    messages::{
        Caller,
        user::{
            AskSliding, AskedAs, Changes, ConnectionRead, GetChanges, Inbox, Read, Recorded,
            SlidingChanges,
        },
    },
    server::Presence,
};

/// Mounts the endpoints of this area.
pub fn routes(routes: Routes) -> Routes {
    routes.mount(sync_events)
}

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`
pub async fn sync_events(
    cx: Cx,
    token: UncheckedToken,
    Patched { request, patch: Asked(body) }: Patched<Request, Asked>,
) -> Result<Json> {
    if let Err(error) = body.check() {
        token.check(&cx).await?;
        return Err(Error::invalid_param(error.to_string()));
    }
    let wait = request.timeout.unwrap_or_default().min(MAX_WAIT);
    let deadline_ms = now_ms(&cx).saturating_add(millis(wait));
    let children = places::children(&cx, &token, &body).await?;
    let mut asked = asking(&cx, &request, body, children)?;
    let mut looked_at = None;
    loop {
        let left_ms = deadline_ms.saturating_sub(now_ms(&cx));
        let may_wait = asked.pos.is_some() && left_ms > 0;
        let question = GetChanges {
            since: None,
            include_leave: false,
            full_state: false,
            access_hash: token.access_hash.clone(),
            lazy_loads: false,
            looked_at,
            limit: 0,
            presence: asked_as(&cx, &request, if may_wait { left_ms } else { 0 }),
            sliding: Some(Box::new(asked.clone())),
        };
        let objects = &cx.ports.objects;
        let changes = match may_wait {
            true => {
                let left = Duration::from_millis(left_ms);
                objects.wait_for_changes(&token.user_id, question, left).await
            }
            false => objects.ask(&*token.user_id, question).await,
        };
        let mut changes = token.answered(&cx, changes).await?;
        let sliding = changes.sliding.take();
        let mut sliding =
            *sliding.ok_or_else(|| Error::internal("a user has answered another question"))?;
        let device_id = changes.device_id.clone();
        let caller = Caller { user_id: token.user_id.clone(), device_id };
        let found = (Some(changes.position), Some(sliding.version));
        let is_looked_at = may_wait && found == (looked_at, asked.looked_at);
        let counts = std::mem::take(&mut sliding.counts);
        let mut builder = Builder::new(&asked.request, counts);
        if may_wait && (is_looked_at || (changes.is_empty() && sliding.is_empty())) {
            builder.add_key_counts(std::mem::take(&mut changes.key_counts));
            let pos = note_seen(&cx, &caller, &asked, &changes).await?.unwrap_or(sliding.pos);
            return builder.finish(pos);
        }
        if !sliding.unplaced.is_empty() && asked.places.is_none() {
            asked.placed_at = sliding.index_version;
            asked.places = Some(places::ask(&cx, &caller, sliding.unplaced).await);
            continue;
        }
        let answered =
            assemble(&cx, &caller, (&asked, may_wait), &mut builder, *changes, sliding).await?;
        if asked.pos.is_none() || !may_wait || !builder.is_empty() {
            return builder.finish(answered.pos);
        }
        // What changed is nothing this client wants to see: it need not be looked at again.
        (looked_at, asked.looked_at) = found;
        (asked.continues, asked.token) =
            (answered.number.or(asked.continues), Some(answered.token));
    }
}

/// What the user's object is asked at first.
fn asking(
    cx: &Cx,
    request: &Request,
    body: sliding_sync::Request,
    children: BTreeMap<OwnedRoomId, Vec<OwnedRoomId>>,
) -> Result<AskSliding> {
    Ok(AskSliding {
        request: body,
        pos: request.pos.clone(),
        nonce: cx.ports.random.number()?,
        asked_us: cx.ports.clock.instant_us(),
        continues: None,
        token: None,
        looked_at: None,
        places: None,
        placed_at: 0,
        children,
    })
}

/// What a client is answered with.
struct Answered {
    pos: String,
    /// The number of that position, where something was recorded on the connection.
    number: Option<u64>,
    /// Up to where of the stream everything was seen.
    token: SyncToken,
}

/// Reads what changed, records it and puts it together.
async fn assemble(
    cx: &Cx,
    caller: &Caller,
    (asked, may_wait): (&AskSliding, bool),
    builder: &mut Builder<'_>,
    mut changes: Changes,
    mut sliding: SlidingChanges,
) -> Result<Answered> {
    let begins = sliding.is_initial.then_some(asked.nonce);
    let account_data = std::mem::take(&mut changes.account_data);
    let room_account_data = std::mem::take(&mut sliding.account_data);
    let key_changes = std::mem::take(&mut changes.key_changes);
    let inbox = std::mem::take(&mut changes.inbox);
    let push_rules = std::mem::take(&mut changes.push_rules);
    let has_new_rules = changes.has_new_push_rules;
    let has_global = !account_data.is_empty() || !key_changes.is_empty() || has_new_rules;
    let is_recorded = begins.is_some() || has_global || !room_account_data.is_empty();
    builder.add_key_counts(std::mem::take(&mut changes.key_counts));
    let new_rules = (begins.is_some() || has_new_rules).then_some(&push_rules);
    builder.add_account_data(caller, new_rules, account_data, room_account_data)?;
    let looked_up_us = changes.looked_up_us;
    let (position, instance, ephemeral) = (changes.position, changes.instance, changes.ephemeral);
    let given_us = sliding.given_us;
    let live_after_us = if sliding.is_initial { None } else { Some(given_us) };
    let pos = std::mem::take(&mut sliding.pos);
    let ignored_users = std::mem::take(&mut changes.ignored_users);
    let read =
        read_rooms(cx, caller, (&ignored_users, &push_rules), live_after_us, sliding).await?;
    let ReadRooms { rooms, recorded, given, devices, active_ms, searched_kib } = read;
    charge_search(cx, caller, searched_kib);
    let mut changed = Devices::new(key_changes);
    for it in devices {
        changed.add(it);
    }
    builder.add_devices(changed.resolve(cx, caller).await?);
    for room in rooms {
        builder.add_room(caller, room, now_ms(cx))?;
    }
    builder.add_to_device(inbox.clone());
    // What was read of devices is remembered by the request as long as it goes on.
    let has_read = asked.token.is_some() || !recorded.is_empty();
    let is_last = !may_wait || !builder.is_empty();
    let is_recorded = is_recorded || !given.is_empty() || (has_read && is_last);
    let connection = is_recorded
        .then(|| ConnectionRead { rooms: given, ..connection_read(asked, begins, looked_up_us) });
    let is_told = begins.is_none() && cx.server.config.presence != Presence::Off;
    if connection.is_none() && recorded.is_empty() {
        let token = SyncToken::at(position).with_ephemeral(ephemeral);
        return Ok(Answered { pos, number: None, token });
    }
    let read = Read {
        position,
        instance,
        device_id: caller.device_id.clone(),
        rooms: recorded,
        active_ms: active_ms.filter(|_| is_told),
        connection: connection.map(Box::new),
    };
    let Recorded { token, inbox: newer, pos: recorded } =
        cx.ports.objects.ask(&*caller.user_id, read).await?;
    builder.add_to_device(newest_inbox(asked, inbox, newer));
    let token = token.with_ephemeral(ephemeral);
    let Some(recorded) = recorded else { return Ok(Answered { pos, number: None, token }) };
    let recorded: Pos =
        recorded.parse().map_err(|_| Error::internal("a user has given no position"))?;
    let pos = recorded.with_ephemeral(ephemeral).to_string();
    Ok(Answered { pos, number: Some(recorded.number), token })
}

/// The request has seen more of the user's stream than its connection says, and nothing to show:
/// notes that, and gives the position that says so. None: it has not.
async fn note_seen(
    cx: &Cx,
    caller: &Caller,
    asked: &AskSliding,
    changes: &Changes,
) -> Result<Option<String>> {
    if asked.token.is_none() {
        return Ok(None);
    }
    let connection = connection_read(asked, None, changes.looked_up_us);
    let read = Read {
        position: changes.position,
        instance: changes.instance,
        device_id: caller.device_id.clone(),
        rooms: Vec::new(),
        active_ms: None,
        connection: Some(Box::new(connection)),
    };
    let recorded = cx.ports.objects.ask(&*caller.user_id, read).await?;
    let pos = recorded.pos.and_then(|it| it.parse::<Pos>().ok());
    Ok(pos.map(|it| it.with_ephemeral(changes.ephemeral).to_string()))
}

/// A connection that is given nothing yet.
fn connection_read(asked: &AskSliding, begins: Option<u64>, looked_up_us: u64) -> ConnectionRead {
    ConnectionRead {
        conn_id: asked.request.conn_id.clone(),
        begins,
        asked_us: asked.asked_us,
        looked_up_us,
        rooms: Vec::new(),
    }
}

/// What waits for the device after the rooms were read: no event comes before its key. Who has said
/// how many they want gets those that were looked up before.
fn newest_inbox(asked: &AskSliding, before: Inbox, after: Inbox) -> Inbox {
    match asked.request.extensions.to_device.limit {
        Some(_) => before,
        None => after,
    }
}

/// What the request says of its user, where anybody is told.
fn asked_as(cx: &Cx, request: &Request, wait_ms: u64) -> Option<AskedAs> {
    let presence = request.set_presence.clone();
    let is_told = cx.server.config.presence != Presence::Off && rank(&presence).is_some();
    is_told.then_some(AskedAs { presence, wait_ms })
}

fn now_ms(cx: &Cx) -> u64 {
    cx.ports.clock.now_ms()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
