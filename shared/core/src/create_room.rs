//! Planning a new room: what the request asks for becomes the content of the create event and
//! the state events after it, in the order the specification gives ([spec]).
//!
//! Whether the room's own rules allow these events is not asked here: the room checks each of
//! them as it would any other event.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#post_matrixclientv3createroom

mod create_content;
mod encryption;
mod power_levels;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, OwnedUserId, RoomAliasId,
    RoomVersionId, ServerName, UserId,
    api::client::room::{
        Visibility,
        create_room::v3::{Request, RoomPreset},
    },
    room_version_rules::RoomVersionRules,
};
use serde::Deserialize;

pub use self::encryption::{EncryptionByDefault, NoSuchDefault, encrypt_by_default};
use crate::{canonical_alias, room_version, state_content};

/// Events `initial_state` may list. They are written in one atomic batch with the rest.
pub const MAX_INITIAL_STATE: usize = 100;

/// Users one request may invite.
pub const MAX_INVITES: usize = 100;

/// Users who are invited by a third-party identifier when a room is created: for each an identity
/// server is asked.
pub const MAX_THIRD_PARTY_INVITES: usize = 10;

/// `additional_creators` of one room, invited ones included.
pub const MAX_ADDITIONAL_CREATORS: usize = 100;

/// Bytes of a room alias, sigil and server name included ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/appendices/#room-aliases
pub const MAX_ALIAS_BYTES: usize = 255;

/// Why a room cannot be created as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateRoomError {
    /// The room version is not supported.
    #[error("room version {0} is not supported")]
    UnsupportedVersion(RoomVersionId),
    /// The preset is none of the specification's.
    #[error("the preset {0:?} is unknown")]
    UnknownPreset(String),
    /// The visibility is neither `public` nor `private`.
    #[error("the visibility {0:?} is unknown")]
    UnknownVisibility(String),
    /// `creation_content` is not an object, or a field of it has the wrong form.
    #[error("creation_content: {0}")]
    CreationContent(&'static str),
    /// An item of `initial_state` is not `{type, state_key, content}`.
    #[error("initial_state: item {0} is not an object with a type and a content object")]
    InitialState(usize),
    /// `initial_state` holds an event that other parts of the request stand for.
    #[error("initial_state may not hold {0}: the server makes it")]
    ManagedState(String),
    /// `power_level_content_override` is not an object.
    #[error("power_level_content_override is not a JSON object")]
    PowerLevels,
    /// Power levels name a creator whose power is infinite.
    #[error("{0} is a creator of the room and may not be among the users of its power levels")]
    CreatorInPowerLevels(OwnedUserId),
    /// Power levels leave out the creator, who could do nothing further.
    #[error("power_level_content_override: users does not contain the creator")]
    CreatorNotInPowerLevels,
    /// The alias name cannot be part of an alias.
    #[error("room_alias_name is not the local part of a room alias")]
    AliasName,
    /// `initial_state` names an alias that does not point to the room.
    #[error("{0} does not point to this room")]
    ForeignAlias(OwnedRoomAliasId),
    /// The aliases of `m.room.canonical_alias` in `initial_state` cannot be read.
    #[error("initial_state: {0}")]
    Aliases(#[from] canonical_alias::AliasError),
    /// The content of a state event is not well-formed.
    #[error("{0}: {1}")]
    Malformed(String, state_content::Malformed),
    /// More than [`MAX_INITIAL_STATE`] events.
    #[error("initial_state holds more than {MAX_INITIAL_STATE} events")]
    TooManyInitialState,
    /// More than [`MAX_INVITES`] users.
    #[error("more than {MAX_INVITES} users are invited at once")]
    TooManyInvites,
    /// More than [`MAX_THIRD_PARTY_INVITES`] users.
    #[error("more than {MAX_THIRD_PARTY_INVITES} users are invited by a third-party identifier")]
    TooManyThirdPartyInvites,
    /// More than [`MAX_ADDITIONAL_CREATORS`] users.
    #[error("a room has at most {MAX_ADDITIONAL_CREATORS} additional creators")]
    TooManyCreators,
}

/// What a membership event says of its user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Display name.
    pub displayname: Option<String>,
    /// Avatar.
    pub avatar_url: Option<String>,
}

/// A state event yet to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateItem {
    /// Event type.
    pub event_type: String,
    /// State key.
    pub state_key: String,
    /// Content.
    pub content: CanonicalJsonObject,
}

/// A room as it shall be.
#[derive(Clone, Debug)]
#[must_use = "a plan does nothing until it is carried out"]
pub struct Plan {
    /// The room's version.
    pub version: RoomVersionId,
    /// Its rules.
    pub rules: RoomVersionRules,
    /// Content of the `m.room.create` event.
    pub create_content: CanonicalJsonObject,
    /// Every state event after it, in order; the first is the creator's join.
    pub state: Vec<StateItem>,
    /// Users to invite then, and the content of their membership events.
    pub invites: Vec<(OwnedUserId, CanonicalJsonObject)>,
}

/// The alias a request asks for.
///
/// # Errors
///
/// [`CreateRoomError::AliasName`] when its name is empty, too long, or has characters that would
/// end the local part or could not be typed.
pub fn alias(
    request: &Request,
    server_name: &ServerName,
) -> Result<Option<OwnedRoomAliasId>, CreateRoomError> {
    let Some(name) = &request.room_alias_name else {
        return Ok(None);
    };
    let alias = RoomAliasId::parse(format!("#{name}:{server_name}"))
        .map_err(|_| CreateRoomError::AliasName)?;
    if name.contains(':') || !is_new_alias(&alias) {
        return Err(CreateRoomError::AliasName);
    }
    Ok(Some(alias))
}

/// Whether an alias has a form in which this server makes aliases: stricter than the grammar,
/// which allows white space and the empty name.
pub fn is_new_alias(alias: &RoomAliasId) -> bool {
    let name = alias.alias();
    let is_fit = |it: char| !it.is_whitespace() && !it.is_control();
    !name.is_empty() && alias.as_str().len() <= MAX_ALIAS_BYTES && name.chars().all(is_fit)
}

/// The users a request invites: each once, without the creator, who is in the room anyway.
///
/// # Errors
///
/// [`CreateRoomError::TooManyInvites`].
pub fn invitees(request: &Request, creator: &UserId) -> Result<Vec<OwnedUserId>, CreateRoomError> {
    if request.invite.len() > MAX_INVITES {
        return Err(CreateRoomError::TooManyInvites);
    }
    if request.invite_3pid.len() > MAX_THIRD_PARTY_INVITES {
        return Err(CreateRoomError::TooManyThirdPartyInvites);
    }
    let mut users: Vec<OwnedUserId> = Vec::with_capacity(request.invite.len());
    for user_id in &request.invite {
        if user_id != creator && !users.contains(user_id) {
            users.push(user_id.clone());
        }
    }
    Ok(users)
}

/// Plans the room. `profiles` holds what is known of the creator and the invitees.
///
/// # Errors
///
/// See [`CreateRoomError`].
pub fn plan(
    request: &Request,
    creator: &UserId,
    profiles: &BTreeMap<OwnedUserId, Profile>,
) -> Result<Plan, CreateRoomError> {
    let version = request.room_version.clone().unwrap_or(room_version::DEFAULT);
    let rules = room_version::rules(&version)
        .ok_or_else(|| CreateRoomError::UnsupportedVersion(version.clone()))?;
    let preset = Preset::of(request)?;
    let invitees = invitees(request, creator)?;
    let alias = alias(request, creator.server_name())?;
    let (own_power_levels, initial_state): (Vec<_>, Vec<_>) =
        parse_initial_state(request, alias.as_deref())?
            .into_iter()
            .partition(|it| it.event_type == power_levels::EVENT_TYPE && it.state_key.is_empty());

    let trusted = if preset == Preset::TrustedPrivate { &invitees[..] } else { &[] };
    let (create_content, creators) =
        create_content::build(request, creator, &version, &rules, trusted)?;
    let default_power_levels = power_levels::build(request, preset, &creators, trusted, &rules)?;
    // In the place of the default ones and not after them: who was given as much power as the
    // creator by a first event could not be given less by a second.
    let power_levels = own_power_levels
        .into_iter()
        .next_back()
        .unwrap_or_else(|| StateItem::new(power_levels::EVENT_TYPE, "", default_power_levels));

    let profile = |user_id: &UserId| profiles.get(user_id).cloned().unwrap_or_default();
    let join = membership("join", &profile(creator));
    let mut state = vec![StateItem::new("m.room.member", creator.as_str(), join), power_levels];
    let overridden = |event_type: &str| {
        initial_state.iter().any(|it| it.event_type == event_type && it.state_key.is_empty())
    };
    let implied = alias.iter().map(canonical_alias_item).chain(preset.state());
    state.extend(implied.filter(|it| !overridden(&it.event_type)));
    let named = [name_item(request), topic_item(request)].into_iter().flatten();
    let named: Vec<_> = named.collect();
    let is_named = |item: &StateItem| named.iter().any(|it| it.has_key_of(item));
    state.extend(initial_state.into_iter().filter(|it| !is_named(it)));
    state.extend(named);
    let is_infinite = rules.authorization.explicitly_privilege_room_creators;
    let infinite = if is_infinite { &creators[..] } else { &[] };
    for StateItem { event_type, state_key, content } in &state {
        state_content::check((event_type, state_key), content, creator.server_name(), infinite)
            .map_err(|it| CreateRoomError::Malformed(event_type.clone(), it))?;
    }

    let invites = invitees.into_iter().map(|user_id| {
        let content = invite(&profile(&user_id), request.is_direct);
        (user_id, content)
    });
    Ok(Plan { version, rules, create_content, state, invites: invites.collect() })
}

/// A preset, known to be one of the specification's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preset {
    Private,
    TrustedPrivate,
    Public,
}

impl Preset {
    /// The preset of a request, by its visibility when it names none.
    fn of(request: &Request) -> Result<Self, CreateRoomError> {
        let by_visibility = match &request.visibility {
            Visibility::Public => Self::Public,
            Visibility::Private => Self::Private,
            other => return Err(CreateRoomError::UnknownVisibility(other.to_string())),
        };
        match &request.preset {
            None => Ok(by_visibility),
            Some(RoomPreset::PrivateChat) => Ok(Self::Private),
            Some(RoomPreset::TrustedPrivateChat) => Ok(Self::TrustedPrivate),
            Some(RoomPreset::PublicChat) => Ok(Self::Public),
            Some(other) => Err(CreateRoomError::UnknownPreset(other.to_string())),
        }
    }

    /// The state a preset stands for.
    fn state(self) -> [StateItem; 3] {
        let (join_rule, guest_access) = match self {
            Self::Private | Self::TrustedPrivate => ("invite", "can_join"),
            Self::Public => ("public", "forbidden"),
        };
        let item = |event_type, field, value: &str| {
            StateItem::new(event_type, "", object([(field, value.into())]))
        };
        [
            item("m.room.join_rules", "join_rule", join_rule),
            item("m.room.history_visibility", "history_visibility", "shared"),
            item("m.room.guest_access", "guest_access", guest_access),
        ]
    }
}

impl StateItem {
    fn new(event_type: &str, state_key: &str, content: CanonicalJsonObject) -> Self {
        Self { event_type: event_type.to_owned(), state_key: state_key.to_owned(), content }
    }

    fn has_key_of(&self, other: &Self) -> bool {
        self.event_type == other.event_type && self.state_key == other.state_key
    }
}

/// An item of `initial_state` as a client sends it.
#[derive(Deserialize)]
struct InitialState {
    #[serde(rename = "type")]
    event_type: String,
    #[serde(default)]
    state_key: String,
    content: CanonicalJsonObject,
}

fn parse_initial_state(
    request: &Request,
    alias: Option<&RoomAliasId>,
) -> Result<Vec<StateItem>, CreateRoomError> {
    if request.initial_state.len() > MAX_INITIAL_STATE {
        return Err(CreateRoomError::TooManyInitialState);
    }
    let mut items = Vec::with_capacity(request.initial_state.len());
    for (index, raw) in request.initial_state.iter().enumerate() {
        let InitialState { event_type, state_key, content } =
            serde_json::from_str(raw.json().get())
                .map_err(|_| CreateRoomError::InitialState(index))?;
        match event_type.as_str() {
            // There is one create event, and memberships are what `invite` is for: it looks
            // whether the users exist.
            "m.room.create" | "m.room.member" => {
                return Err(CreateRoomError::ManagedState(event_type));
            }
            "m.room.canonical_alias" => check_aliases(&content, alias)?,
            _ => {}
        }
        items.push(StateItem { event_type, state_key, content });
    }
    Ok(items)
}

/// Only the alias made with the room can point to it.
fn check_aliases(
    content: &CanonicalJsonObject,
    alias: Option<&RoomAliasId>,
) -> Result<(), CreateRoomError> {
    match canonical_alias::listed(content)?.into_iter().find(|it| Some(&**it) != alias) {
        None => Ok(()),
        Some(foreign) => Err(CreateRoomError::ForeignAlias(foreign)),
    }
}

fn canonical_alias_item(alias: &OwnedRoomAliasId) -> StateItem {
    StateItem::new("m.room.canonical_alias", "", object([("alias", alias.as_str().into())]))
}

fn name_item(request: &Request) -> Option<StateItem> {
    let name = request.name.as_deref()?;
    Some(StateItem::new("m.room.name", "", object([("name", name.into())])))
}

/// The topic, and again as a text block, whose type is plain text when it names none.
fn topic_item(request: &Request) -> Option<StateItem> {
    let topic = request.topic.as_deref()?;
    let body = CanonicalJsonValue::Object(object([("body", topic.into())]));
    let block = object([("m.text", CanonicalJsonValue::Array(vec![body]))]);
    let content = object([("topic", topic.into()), ("m.topic", CanonicalJsonValue::Object(block))]);
    Some(StateItem::new("m.room.topic", "", content))
}

fn membership(membership: &str, profile: &Profile) -> CanonicalJsonObject {
    let mut content = object([("membership", membership.into())]);
    let fields = [("displayname", &profile.displayname), ("avatar_url", &profile.avatar_url)];
    for (name, value) in fields {
        if let Some(value) = value {
            content.insert(name.to_owned(), value.as_str().into());
        }
    }
    content
}

fn invite(profile: &Profile, is_direct: bool) -> CanonicalJsonObject {
    let mut content = membership("invite", profile);
    if is_direct {
        content.insert("is_direct".to_owned(), true.into());
    }
    content
}

fn object<const N: usize>(fields: [(&str, CanonicalJsonValue); N]) -> CanonicalJsonObject {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
