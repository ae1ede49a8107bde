//! Whether the content of a state event is well-formed, for the types that the specification knows
//! ([spec]): asked of what this server's own clients send, in `/createRoom` and later alike.
//!
//! The authorization rules look at little of it, and differently in each room version. Events of
//! other servers are taken as those rules have them; nothing here is asked of them.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#room-events

#[cfg(test)]
mod tests;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue as Value, OwnedUserId, RoomId, ServerName, UserId,
    events::room::server_acl::RoomServerAclEventContent,
};

/// Why a content is not well-formed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field is missing that must be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A field is of another form.
    #[error("`{0}` is not {1}")]
    Form(&'static str, &'static str),
    /// Power levels name a creator whose power is infinite.
    #[error("`users` names {0}, who is a creator of the room and has infinite power")]
    Creator(OwnedUserId),
    /// The access control list denies the server that its sender is on.
    #[error("the list denies this server, which could not take part in the room any more")]
    DeniesThisServer,
}

/// What is asked of a value, and what it is called.
type Form = (fn(&Value) -> bool, &'static str);

const STRING: Form = (Value::is_string, "a string");
const STRING_OR_NULL: Form = (|it| it.is_string() || matches!(it, Value::Null), "a string");
const BOOLEAN: Form = (Value::is_bool, "a boolean");
const INTEGER: Form = (Value::is_integer, "an integer");
const OBJECT: Form = (Value::is_object, "an object");
const STRINGS: Form = (are_strings, "a list of strings");
const ROOM: Form = (is_room, "a room ID");
const LEVELS: Form = (are_levels, "an object of integers");
const LEVELS_OF_USERS: Form = (are_levels_of_users, "an object of user IDs with integers");
const ALLOW: Form =
    (is_allow, "a list of conditions with a type, and a room ID where it names one");
const MEMBERSHIP: Form = (
    |it| is_one_of(it, &["ban", "invite", "join", "knock", "leave"]),
    "`ban`, `invite`, `join`, `knock` or `leave`",
);
const JOIN_RULE: Form = (
    |it| {
        let rules = ["invite", "knock", "knock_restricted", "private", "public", "restricted"];
        is_one_of(it, &rules)
    },
    "a join rule of the specification",
);
const VISIBILITY: Form = (
    |it| is_one_of(it, &["invited", "joined", "shared", "world_readable"]),
    "`invited`, `joined`, `shared` or `world_readable`",
);
const GUEST_ACCESS: Form =
    (|it| is_one_of(it, &["can_join", "forbidden"]), "`can_join` or `forbidden`");

/// What a content must be, field by field; the first of them that is not is named.
struct Fields<'a>(&'a CanonicalJsonObject);

impl Fields<'_> {
    fn may_have(self, name: &'static str, (is, what): Form) -> Result<Self, Malformed> {
        match self.0.get(name) {
            Some(value) if !is(value) => Err(Malformed::Form(name, what)),
            _ => Ok(self),
        }
    }

    fn must_have(self, name: &'static str, form: Form) -> Result<Self, Malformed> {
        match self.0.contains_key(name) {
            true => self.may_have(name, form),
            false => Err(Malformed::Missing(name)),
        }
    }
}

/// Checks the content of a state event that a client of this server wants to send.
///
/// `creators` are those users whose power the room's version has as infinite.
///
/// # Errors
///
/// See [`Malformed`].
pub fn check(
    (event_type, state_key): (&str, &str),
    content: &CanonicalJsonObject,
    server_name: &ServerName,
    creators: &[OwnedUserId],
) -> Result<(), Malformed> {
    let fields = Fields(content);
    let checked = match (event_type, state_key) {
        // The authorization rules read it whatever its key.
        ("m.room.power_levels", _) => return check_power_levels(fields, creators),
        ("m.room.member", _) => fields
            .must_have("membership", MEMBERSHIP)?
            .may_have("displayname", STRING_OR_NULL)?
            .may_have("avatar_url", STRING_OR_NULL)?
            .may_have("reason", STRING)?
            .may_have("is_direct", BOOLEAN),
        ("m.space.child", _) => fields
            .may_have("via", STRINGS)?
            .may_have("order", STRING)?
            .may_have("suggested", BOOLEAN),
        ("m.space.parent", _) => fields.may_have("via", STRINGS)?.may_have("canonical", BOOLEAN),
        ("m.room.join_rules", "") => {
            fields.must_have("join_rule", JOIN_RULE)?.may_have("allow", ALLOW)
        }
        ("m.room.history_visibility", "") => fields.must_have("history_visibility", VISIBILITY),
        ("m.room.guest_access", "") => fields.must_have("guest_access", GUEST_ACCESS),
        ("m.room.server_acl", "") => return check_server_acl(fields, server_name),
        ("m.room.encryption", "") => fields
            .must_have("algorithm", STRING)?
            .may_have("rotation_period_ms", INTEGER)?
            .may_have("rotation_period_msgs", INTEGER),
        // A name that is absent or null is none.
        ("m.room.name", "") => fields.may_have("name", STRING_OR_NULL),
        ("m.room.topic", "") => fields.may_have("topic", STRING)?.may_have("m.topic", OBJECT),
        ("m.room.avatar", "") => fields.may_have("url", STRING)?.may_have("info", OBJECT),
        ("m.room.pinned_events", "") => fields.must_have("pinned", STRINGS),
        ("m.room.tombstone", "") => {
            fields.may_have("body", STRING)?.may_have("replacement_room", ROOM)
        }
        _ => Ok(fields),
    };
    checked.map(drop)
}

fn check_power_levels(fields: Fields<'_>, creators: &[OwnedUserId]) -> Result<(), Malformed> {
    let Fields(content) = fields
        .may_have("ban", INTEGER)?
        .may_have("events_default", INTEGER)?
        .may_have("invite", INTEGER)?
        .may_have("kick", INTEGER)?
        .may_have("redact", INTEGER)?
        .may_have("state_default", INTEGER)?
        .may_have("users_default", INTEGER)?
        .may_have("events", LEVELS)?
        .may_have("notifications", LEVELS)?
        .may_have("users", LEVELS_OF_USERS)?;
    let users = content.get("users").and_then(Value::as_object);
    let is_named = |it: &&OwnedUserId| users.is_some_and(|users| users.contains_key(it.as_str()));
    match creators.iter().find(is_named) {
        Some(creator) => Err(Malformed::Creator(creator.clone())),
        None => Ok(()),
    }
}

fn check_server_acl(fields: Fields<'_>, server_name: &ServerName) -> Result<(), Malformed> {
    let Fields(content) = fields
        .may_have("allow", STRINGS)?
        .may_have("deny", STRINGS)?
        .may_have("allow_ip_literals", BOOLEAN)?;
    let list = serde_json::to_value(content).and_then(serde_json::from_value);
    let list = list.map_err(|_| Malformed::Form("allow", STRINGS.1))?;
    match RoomServerAclEventContent::is_allowed(&list, server_name) {
        true => Ok(()),
        false => Err(Malformed::DeniesThisServer),
    }
}

fn is_one_of(value: &Value, words: &[&str]) -> bool {
    value.as_str().is_some_and(|it| words.contains(&it))
}

fn are_strings(value: &Value) -> bool {
    value.as_array().is_some_and(|items| items.iter().all(Value::is_string))
}

fn is_room(value: &Value) -> bool {
    value.as_str().is_some_and(|it| RoomId::parse(it).is_ok())
}

fn are_levels(value: &Value) -> bool {
    value.as_object().is_some_and(|levels| levels.values().all(Value::is_integer))
}

fn are_levels_of_users(value: &Value) -> bool {
    let are_users =
        |levels: &CanonicalJsonObject| levels.keys().all(|it| UserId::parse(it).is_ok());
    are_levels(value) && value.as_object().is_some_and(are_users)
}

/// Conditions of types that are not known here belong to whoever invented them.
fn is_allow(value: &Value) -> bool {
    let is_condition = |condition: &Value| {
        let Some(condition) = condition.as_object() else { return false };
        match condition.get("type").map(Value::as_str) {
            Some(Some("m.room_membership")) => condition.get("room_id").is_some_and(is_room),
            Some(Some(_)) => true,
            _ => false,
        }
    };
    value.as_array().is_some_and(|conditions| conditions.iter().all(is_condition))
}
