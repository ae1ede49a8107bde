//! Floats as power levels, which room versions 1 to 5 allow ([spec]). ruma reads integers and
//! text only, so the content that decides is given to it with floats cut off at their points; the
//! event itself stays as it is.
//!
//! [spec]: https://spec.matrix.org/v1.19/rooms/v1/#mroompower_levels-events-accept-values-as-floats

use ruma::events::TimelineEventType;
use serde_json::{
    Value as JsonValue,
    value::{RawValue as RawJsonValue, to_raw_value},
};

use super::MAX_DEPTH as MAX_INTEGER;

/// The content of an event, as rules read it. Only events of versions 1 to 5 can hold floats.
pub(crate) fn truncated(
    content: Box<RawJsonValue>,
    event_type: &TimelineEventType,
) -> Box<RawJsonValue> {
    if *event_type != TimelineEventType::RoomPowerLevels || !has_float(content.get()) {
        return content;
    }
    let Ok(mut value) = serde_json::from_str(content.get()) else {
        return content;
    };
    truncate(&mut value);
    to_raw_value(&value).unwrap_or(content)
}

/// Whether JSON has a number with a point or an exponent.
fn has_float(json: &str) -> bool {
    let (mut is_text, mut is_escaped, mut before) = (false, false, b' ');
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            b'.' | b'E' if !is_text => return true,
            b'e' if !is_text && before.is_ascii_digit() => return true,
            _ => {}
        }
        before = byte;
    }
    false
}

/// Cuts floats off. Those beyond what an integer may be stay, and are refused where they are read.
fn truncate(value: &mut JsonValue) {
    match value {
        JsonValue::Number(number) => {
            let cut = number.as_f64().filter(|_| number.is_f64()).map(f64::trunc);
            // Within these bounds an integer is written as it is, without a point.
            #[expect(clippy::cast_precision_loss, reason = "2^53 - 1 is a float")]
            if let Some(cut) = cut.filter(|it| it.abs() <= MAX_INTEGER as f64) {
                *number = format!("{cut:.0}").parse::<i64>().unwrap_or_default().into();
            }
        }
        JsonValue::Array(values) => values.iter_mut().for_each(truncate),
        JsonValue::Object(fields) => fields.values_mut().for_each(truncate),
        JsonValue::Null | JsonValue::Bool(_) | JsonValue::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_cut_off_and_nothing_else_changes() {
        let cases = [
            (r#"{"ban":50.7,"users":{"@a:b.c":-1.9}}"#, r#"{"ban":50,"users":{"@a:b.c":-1}}"#),
            (r#"{"ban":5.114698E4}"#, r#"{"ban":51146}"#),
            (r#"{"ban":1e2,"x":-0.5}"#, r#"{"ban":100,"x":0}"#),
            (r#"{"ban":1e300}"#, r#"{"ban":1e+300}"#),
            (
                r#"{ "ban": 50, "a.e": "1.5", "\".": true }"#,
                r#"{ "ban": 50, "a.e": "1.5", "\".": true }"#,
            ),
        ];
        for (content, expected) in cases {
            let raw = RawJsonValue::from_string(content.to_owned()).unwrap();
            let levels = truncated(raw.clone(), &TimelineEventType::RoomPowerLevels);
            assert_eq!(levels.get(), expected);
            assert_eq!(truncated(raw, &TimelineEventType::RoomName).get(), content);
        }
    }
}
