//! Profiles ([spec]): what fields may be called, and what is passed on of another server's answer.
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#profiles

use serde_json::Value as JsonValue;

/// The most bytes of a field's name.
pub const MAX_FIELD_NAME_BYTES: usize = 255;

/// The most bytes of a display name: it is repeated in every membership event of the user.
pub const MAX_DISPLAY_NAME_BYTES: usize = 1024;

/// The most bytes of an avatar's URL, for the same reason.
pub const MAX_AVATAR_URL_BYTES: usize = 1024;

/// Fields of another server's user that are passed on.
pub const MAX_REMOTE_FIELDS: usize = 100;

/// Whether a field may be called so, apart from its length. Names follow the common namespaced
/// identifier grammar; the two oldest do too.
pub fn is_field_name(name: &str) -> bool {
    let fits = |it: u8| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let starts_right = name.bytes().next().is_some_and(|it| it.is_ascii_lowercase());
    starts_right && name.bytes().all(fits)
}

/// What is passed on of the profile that another server has answered: fields that could be set
/// here.
pub fn of_other_server(
    fields: impl IntoIterator<Item = (String, JsonValue)>,
) -> impl Iterator<Item = (String, JsonValue)> {
    let is_text_of = |value: &JsonValue, max| value.as_str().is_some_and(|it| it.len() <= max);
    let is_kept = move |(name, value): &(String, JsonValue)| match &**name {
        "displayname" => is_text_of(value, MAX_DISPLAY_NAME_BYTES),
        "avatar_url" => is_text_of(value, MAX_AVATAR_URL_BYTES),
        other => other.len() <= MAX_FIELD_NAME_BYTES && is_field_name(other) && !value.is_null(),
    };
    fields.into_iter().filter(is_kept).take(MAX_REMOTE_FIELDS)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_passed_on_of_another_servers_profile() {
        let long = "x".repeat(MAX_DISPLAY_NAME_BYTES + 1);
        let name = "a".repeat(MAX_FIELD_NAME_BYTES + 1);
        let cases = [
            ("displayname", json!("Ann"), true),
            ("displayname", json!(""), true),
            ("displayname", json!(null), false),
            ("displayname", json!(7), false),
            ("displayname", json!({ "a": 1 }), false),
            ("displayname", json!(long), false),
            ("avatar_url", json!("mxc://a/b"), true),
            ("avatar_url", json!([]), false),
            ("m.tz", json!("Europe/London"), true),
            ("org.example.any", json!({ "deep": [1] }), true),
            ("org.example.any", json!(null), false),
            ("errcode!", json!("x"), false),
            ("Name", json!("x"), false),
            ("", json!("x"), false),
            (&name, json!("x"), false),
        ];
        for (name, value, expected) in cases {
            let kept = of_other_server([(name.to_owned(), value.clone())]).count() == 1;
            assert_eq!(kept, expected, "{name} {value}");
        }
        let many = (0..2 * MAX_REMOTE_FIELDS).map(|it| (format!("org.example.f{it}"), json!(1)));
        assert_eq!(of_other_server(many).count(), MAX_REMOTE_FIELDS);
    }
}
