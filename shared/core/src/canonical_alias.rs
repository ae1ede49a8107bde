//! The aliases that an `m.room.canonical_alias` event names ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#mroomcanonical_alias

use ruma::{CanonicalJsonObject, CanonicalJsonValue, OwnedRoomAliasId, RoomAliasId};

/// Aliases one event may name. Each is looked up before the event is sent.
pub const MAX_LISTED_ALIASES: usize = 100;

/// Why the aliases of an event cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// `alias` or an item of `alt_aliases` is not a room alias.
    #[error("{0:?} is not a room alias")]
    Syntax(String),
    /// More than [`MAX_LISTED_ALIASES`].
    #[error("the event names more than {MAX_LISTED_ALIASES} aliases")]
    TooMany,
}

/// The aliases in the content of an `m.room.canonical_alias` event, `alias` first.
///
/// # Errors
///
/// See [`AliasError`].
pub fn listed(content: &CanonicalJsonObject) -> Result<Vec<OwnedRoomAliasId>, AliasError> {
    let main = content.get("alias").filter(|it| !is_unset(it));
    let others = match content.get("alt_aliases") {
        None | Some(CanonicalJsonValue::Null) => &[][..],
        Some(CanonicalJsonValue::Array(items)) => items,
        Some(other) => return Err(AliasError::Syntax(other.to_string())),
    };
    if others.len() >= MAX_LISTED_ALIASES {
        return Err(AliasError::TooMany);
    }
    main.into_iter().chain(others).map(parse).collect()
}

/// An empty string and null both mean that there is no canonical alias.
fn is_unset(value: &CanonicalJsonValue) -> bool {
    match value {
        CanonicalJsonValue::Null => true,
        CanonicalJsonValue::String(it) => it.is_empty(),
        _ => false,
    }
}

fn parse(value: &CanonicalJsonValue) -> Result<OwnedRoomAliasId, AliasError> {
    let error = || AliasError::Syntax(value.to_string());
    RoomAliasId::parse(value.as_str().ok_or_else(error)?).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as JsonValue, json};

    use super::*;

    fn check(content: JsonValue) -> Result<Vec<String>, AliasError> {
        let content: CanonicalJsonObject = serde_json::from_value(content).unwrap();
        listed(&content).map(|it| it.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn both_kinds_are_listed() {
        let aliases = check(json!({ "alias": "#a:x.y", "alt_aliases": ["#b:x.y", "#c:z.w"] }));
        assert_eq!(aliases, Ok(vec!["#a:x.y".into(), "#b:x.y".into(), "#c:z.w".into()]));
    }

    #[test]
    fn none_is_listed_when_there_is_none() {
        for content in [json!({}), json!({ "alias": "" }), json!({ "alias": null })] {
            assert_eq!(check(content), Ok(Vec::new()));
        }
    }

    #[test]
    fn what_is_not_an_alias_is_refused() {
        for content in [
            json!({ "alias": "a:x.y" }),
            json!({ "alias": 5 }),
            json!({ "alt_aliases": "#a:x.y" }),
            json!({ "alt_aliases": [{}] }),
        ] {
            assert!(matches!(check(content), Err(AliasError::Syntax(_))));
        }
    }

    #[test]
    fn the_number_is_limited() {
        let content = json!({ "alt_aliases": vec!["#a:x.y"; MAX_LISTED_ALIASES] });
        assert_eq!(check(content), Err(AliasError::TooMany));
    }
}
