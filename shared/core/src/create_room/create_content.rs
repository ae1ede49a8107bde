//! The content of the `m.room.create` event ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#mroomcreate

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, EventId, OwnedUserId, RoomId, RoomVersionId, UserId,
    api::client::room::create_room::v3::Request, room_version_rules::RoomVersionRules,
};

use super::{CreateRoomError, MAX_ADDITIONAL_CREATORS};

/// The content, and all creators of the room: the sender first, then the additional ones.
///
/// `trusted` are the users a preset makes creators where a room can have several.
pub(super) fn build(
    request: &Request,
    creator: &UserId,
    version: &RoomVersionId,
    rules: &RoomVersionRules,
    trusted: &[OwnedUserId],
) -> Result<(CanonicalJsonObject, Vec<OwnedUserId>), CreateRoomError> {
    let mut content = match &request.creation_content {
        None => CanonicalJsonObject::new(),
        Some(raw) => serde_json::from_str(raw.json().get())
            .map_err(|_| CreateRoomError::CreationContent("not a canonical JSON object"))?,
    };
    check_fields(&content)?;
    content.insert("room_version".to_owned(), version.as_str().into());
    content.remove("creator");
    if !rules.authorization.use_room_create_sender {
        content.insert("creator".to_owned(), creator.as_str().into());
    }
    // Without a meaning in older versions, where it would only mislead readers.
    let additional = content.remove("additional_creators");
    let mut creators = vec![creator.to_owned()];
    if rules.authorization.additional_room_creators {
        let wished = additional.as_ref().map_or(Ok(Vec::new()), parse_creators)?;
        for user_id in wished.iter().chain(trusted) {
            if !creators.contains(user_id) {
                creators.push(user_id.clone());
            }
        }
        if creators.len() > MAX_ADDITIONAL_CREATORS + 1 {
            return Err(CreateRoomError::TooManyCreators);
        }
        let ids: Vec<_> = creators.iter().skip(1).map(|it| it.as_str().into()).collect();
        if !ids.is_empty() {
            content.insert("additional_creators".to_owned(), CanonicalJsonValue::Array(ids));
        }
    }
    Ok((content, creators))
}

/// Checks the fields that the specification gives a meaning. Others are passed on as they are.
fn check_fields(content: &CanonicalJsonObject) -> Result<(), CreateRoomError> {
    if content.get("m.federate").is_some_and(|it| !it.is_bool()) {
        return Err(CreateRoomError::CreationContent("m.federate is not a boolean"));
    }
    if content.get("type").is_some_and(|it| !it.is_string()) {
        return Err(CreateRoomError::CreationContent("type is not a string"));
    }
    match content.get("predecessor") {
        Some(predecessor) if !is_predecessor(predecessor) => Err(CreateRoomError::CreationContent(
            "predecessor is not an object with a room ID and, if any, an event ID",
        )),
        _ => Ok(()),
    }
}

fn is_predecessor(value: &CanonicalJsonValue) -> bool {
    let Some(fields) = value.as_object() else {
        return false;
    };
    let is_room_id =
        |it: &CanonicalJsonValue| it.as_str().is_some_and(|it| RoomId::parse(it).is_ok());
    let is_event_id =
        |it: &CanonicalJsonValue| it.as_str().is_some_and(|it| EventId::parse(it).is_ok());
    fields.get("room_id").is_some_and(is_room_id) && fields.get("event_id").is_none_or(is_event_id)
}

/// Reads `additional_creators`. Every server rejects a room in which one is not a user ID.
fn parse_creators(value: &CanonicalJsonValue) -> Result<Vec<OwnedUserId>, CreateRoomError> {
    let error =
        || CreateRoomError::CreationContent("additional_creators is not a list of user IDs");
    let items = value.as_array().ok_or_else(error)?;
    if items.len() > MAX_ADDITIONAL_CREATORS {
        return Err(CreateRoomError::TooManyCreators);
    }
    items
        .iter()
        .map(|item| {
            let user_id = UserId::parse(item.as_str()?).ok()?;
            user_id.validate_historical().is_ok().then_some(user_id)
        })
        .collect::<Option<Vec<_>>>()
        .ok_or_else(error)
}
