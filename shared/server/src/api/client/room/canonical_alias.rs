//! What an `m.room.canonical_alias` event may say ([spec]): aliases that lead to its room.
//!
//! The room cannot know: aliases are in the global store.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#mroomcanonical_alias

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, RoomAliasId, RoomId,
    api::error::ErrorKind,
};
use serde_json::value::to_raw_value;
use skerry_core::{canonical_alias, pdu};

use super::{ask, get_state, reservation, send_state};
use crate::{
    Error, Result,
    api::Cx,
    messages::{
        Caller, RawJson,
        room::{Action, CheckMay},
    },
};

const EVENT_TYPE: &str = "m.room.canonical_alias";

/// Checks the content of the event before it is sent. Aliases that the event before it listed
/// are not looked up again: they may be gone, which must not keep anybody from changing the rest.
pub(super) async fn check(
    cx: &Cx,
    caller: &Caller,
    room_id: &RoomId,
    content: &RawJson,
) -> Result<()> {
    // Who may not send the event at all learns nothing of its aliases.
    let user_id = caller.user_id.clone();
    ask(cx, room_id, CheckMay { user_id, action: Action::ChangeDirectory }).await?;
    let content = pdu::parse_content(content).map_err(|it| Error::bad_json(it.to_string()))?;
    let wanted =
        canonical_alias::listed(&content).map_err(|it| Error::invalid_param(it.to_string()))?;
    let known = match find(cx, caller, room_id).await? {
        Some(before) => canonical_alias::listed(&before).unwrap_or_default(),
        None => Vec::new(),
    };
    for alias in wanted.iter().filter(|it| !known.contains(it)) {
        check_alias(cx, room_id, alias).await?;
    }
    Ok(())
}

/// Takes an alias that is gone out of the event that lists it, if this caller may.
pub(super) async fn drop_alias(
    cx: &Cx,
    caller: Caller,
    room_id: &RoomId,
    alias: &RoomAliasId,
) -> Result<()> {
    let Some(mut content) = find(cx, &caller, room_id).await? else { return Ok(()) };
    let listed = canonical_alias::listed(&content).unwrap_or_default();
    if !listed.iter().any(|it| it == alias) {
        return Ok(());
    }
    if content.get("alias").is_some_and(|it| names(it, alias)) {
        content.remove("alias");
    }
    if let Some(others) = content.get_mut("alt_aliases").and_then(|it| it.as_array_mut()) {
        others.retain(|it| !names(it, alias));
        if others.is_empty() {
            content.remove("alt_aliases");
        }
    }
    let content = to_raw_value(&content)?;
    send_state(cx, caller, room_id, EVENT_TYPE, String::new(), content).await?;
    Ok(())
}

/// The content of the present event; none, too, when the caller may not see it.
async fn find(cx: &Cx, caller: &Caller, room_id: &RoomId) -> Result<Option<CanonicalJsonObject>> {
    let event_type = EVENT_TYPE.to_owned();
    match get_state::find(cx, caller.clone(), room_id, event_type, String::new()).await {
        Ok(event) => Ok(pdu::parse_content(&get_state::content_of(&event)?).ok()),
        Err(error) if error.is_refusal() => Ok(None),
        Err(other) => Err(other),
    }
}

fn names(value: &CanonicalJsonValue, alias: &RoomAliasId) -> bool {
    value.as_str() == Some(alias.as_str())
}

async fn check_alias(cx: &Cx, room_id: &RoomId, alias: &OwnedRoomAliasId) -> Result<()> {
    match reservation::find(cx, alias).await? {
        Some(found) if found.room_id == room_id => Ok(()),
        _ => Err(Error::api(
            ErrorKind::BadAlias,
            format!("the alias {alias} does not point to this room"),
        )),
    }
}
