//! Which fields of an event a client is given ([spec]).
//!
//! [spec]: https://spec.matrix.org/v1.19/client-server-api/#filtering

use serde_json::{
    Map as JsonMap, Value as JsonValue,
    value::{RawValue as RawJsonValue, to_raw_value},
};

/// The fields a client wants of each event (`event_fields`): paths whose parts are divided by
/// dots, `\` before a dot or a `\` that belongs to a name.
#[derive(Clone, Debug)]
pub struct EventFields(Vec<Vec<String>>);

impl EventFields {
    /// Reads the paths. One that lies below another asks for nothing more, so that nothing of an
    /// event is copied twice.
    pub fn new(fields: &[String]) -> Self {
        let mut paths: Vec<_> = fields.iter().map(|it| parse_path(it)).collect();
        paths.sort_unstable();
        paths.dedup_by(|path, shorter| path.starts_with(shorter));
        Self(paths)
    }

    /// The event with these fields alone.
    ///
    /// # Errors
    ///
    /// When it is not a JSON object.
    pub fn keep(&self, event: &RawJsonValue) -> Result<Box<RawJsonValue>, serde_json::Error> {
        let event: JsonMap<String, JsonValue> = serde_json::from_str(event.get())?;
        let mut kept = JsonMap::new();
        for path in &self.0 {
            copy_path(&event, &mut kept, path);
        }
        to_raw_value(&kept)
    }
}

fn parse_path(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut chars = path.chars().peekable();
    while let Some(it) = chars.next() {
        match (it, chars.peek()) {
            ('\\', Some(&escaped @ ('.' | '\\'))) => {
                part.push(escaped);
                chars.next();
            }
            ('.', _) => parts.push(std::mem::take(&mut part)),
            _ => part.push(it),
        }
    }
    parts.push(part);
    parts
}

/// Copies what stands at the path, if anything does. Recursion is as deep as the event.
fn copy_path(
    from: &JsonMap<String, JsonValue>,
    to: &mut JsonMap<String, JsonValue>,
    path: &[String],
) {
    let Some((name, rest)) = path.split_first() else { return };
    let Some(value) = from.get(name) else { return };
    if rest.is_empty() {
        to.insert(name.clone(), value.clone());
        return;
    }
    let Some(inner) = value.as_object() else { return };
    let mut kept = match to.remove(name) {
        Some(JsonValue::Object(kept)) => kept,
        _ => JsonMap::new(),
    };
    copy_path(inner, &mut kept, rest);
    if !kept.is_empty() {
        to.insert(name.clone(), kept.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn which_fields_are_kept() {
        let event = json!({
            "type": "m.room.message",
            "content": {"body": "hi", "msgtype": "m.text", "m.relates_to": {"event_id": "$a"}},
        });
        let cases = [
            (vec!["type"], json!({"type": "m.room.message"})),
            (vec!["content.body"], json!({"content": {"body": "hi"}})),
            (
                vec!["content.body", "content.msgtype"],
                json!({"content": {"body": "hi", "msgtype": "m.text"}}),
            ),
            (
                vec![r"content.m\.relates_to.event_id"],
                json!({"content": {"m.relates_to": {"event_id": "$a"}}}),
            ),
            (vec!["content.m.relates_to"], json!({})),
            (vec!["type.deeper", "nowhere", ""], json!({})),
            (vec!["content", "content.body"], json!({"content": event["content"]})),
        ];
        for (fields, expected) in cases {
            let fields: Vec<_> = fields.into_iter().map(str::to_owned).collect();
            let kept = EventFields::new(&fields).keep(&to_raw_value(&event).unwrap()).unwrap();
            let kept: JsonValue = serde_json::from_str(kept.get()).unwrap();
            assert_eq!(kept, expected, "{fields:?}");
        }
    }

    #[test]
    fn a_path_below_another_adds_nothing() {
        let fields =
            |paths: &[&str]| -> Vec<_> { paths.iter().map(|it| (*it).to_owned()).collect() };
        let parts = |paths: &[&str]| EventFields::new(&fields(paths)).0;
        assert_eq!(parts(&["content.a.b", "content", "content.a", "content"]), [["content"]]);
        assert_eq!(parts(&["content.ab", "content.a", "c"]).len(), 3);
    }
}
