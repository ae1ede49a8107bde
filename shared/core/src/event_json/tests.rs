//! Tests of JSON that only room versions 1 to 5 allow.

use super::*;

fn lax(json: &str) -> Result<String, EventJsonError> {
    EventJson::parse(json, false)?.text().map_err(Into::into)
}

#[test]
fn numbers_are_written_as_python_writes_them() {
    // Made with `json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))`.
    let cases = [
        ("1.0", "1.0"),
        ("1.50", "1.5"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("0e5", "0.0"),
        ("1e3", "1000.0"),
        ("1E+2", "100.0"),
        ("0.1", "0.1"),
        ("0.30000000000000004", "0.30000000000000004"),
        ("100000000000000000000", "100000000000000000000"),
        ("-123456789012345678901234567890", "-123456789012345678901234567890"),
        ("9007199254740992", "9007199254740992"),
        ("9223372036854775807", "9223372036854775807"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("1e15", "1000000000000000.0"),
        ("1e16", "1e+16"),
        ("123456789012345680000.0", "1.2345678901234568e+20"),
        ("9999999999999998.0", "9999999999999998.0"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("0.000012345", "1.2345e-05"),
        ("1.5e300", "1.5e+300"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("51146.98", "51146.98"),
    ];
    for (text, expected) in cases {
        let json = format!(r#"{{"z":[{text}],"a":{{"k":{text},"b":0.5}}}}"#);
        let expected = format!(r#"{{"a":{{"b":0.5,"k":{expected}}},"z":[{expected}]}}"#);
        assert_eq!(lax(&json).unwrap(), expected, "{text}");
        assert_eq!(lax(&expected).unwrap(), expected, "{text} again");
    }
}

#[test]
fn canonical_json_comes_out_the_same_from_both_readers() {
    let cases = [
        r"{}",
        r#" { "b" : 1 , "a" : [ ] , "a" : [ { } , "\u672c\n\"\\\u0007\/" , null , true , false ] } "#,
        r#"{"日":{"本":-9007199254740991},"":"\\"}"#,
    ];
    for json in cases {
        let strict = EventJson::parse(json, true).unwrap();
        let (object, numbers) = lax::parse(json).unwrap();
        assert_eq!(object, strict.object, "{json}");
        assert!(numbers.is_empty(), "{json}");
    }
}

#[test]
fn what_is_not_json_is_refused_by_both_readers() {
    let deep = format!("{{\"a\":{}0.5{}}}", "[".repeat(130), "]".repeat(130));
    let cases = [
        "",
        "1.5",
        "[0.5]",
        "{",
        r#"{"a":0.5"#,
        r#"{"a":0.5,}"#,
        r#"{"a" 0.5}"#,
        r#"{"a":01.5}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":NaN}"#,
        r#"{"a":Infinity}"#,
        r#"{"a":1e400}"#,
        r#"{"a":-1e400}"#,
        r#"{"a":0.5,"b":"\ud800"}"#,
        r#"{"a":0.5}}"#,
        r"{a:0.5}",
        &deep,
    ];
    for json in cases {
        assert!(EventJson::parse(json, true).is_err(), "{json}");
        assert!(lax(json).is_err(), "{json}");
    }
}

#[test]
fn strict_reading_refuses_every_number_that_is_not_canonical() {
    for number in ["1.0", "-0", "1e3", "9007199254740992", "-9007199254740992", "0.5"] {
        let json = format!(r#"{{"a":{number}}}"#);
        assert!(EventJson::parse(&json, true).is_err(), "{number}");
        assert!(lax(&json).is_ok(), "{number}");
    }
}

#[test]
fn no_string_passes_for_a_number() {
    for string in ["\u{10ffff}0", "a\u{10ffff}0", r"\udbff\udfff0", r#"\"\udbff\udfff0"#] {
        for json in [format!(r#"{{"a":0.5,"b":"{string}"}}"#), format!(r#"{{"{string}":0.5}}"#)] {
            assert!(lax(&json).is_err(), "{json}");
        }
        // Where every number is canonical, nothing stands for a number.
        let json = format!(r#"{{"b":"{string}"}}"#);
        let expected = format!(r#"{{"b":"{}"}}"#, string.replace(r"\udbff\udfff", "\u{10ffff}"));
        assert_eq!(lax(&json).unwrap(), expected);
    }
}

#[test]
fn an_event_with_floats_is_redacted_like_any_other() {
    let rules = ruma::room_version_rules::RoomVersionRules::V1;
    let json = r#"{"type":"m.room.power_levels","x":1.5,"content":{"ban":50.7,"invite":0.5},
        "unsigned":{"age":1.5},"signatures":{"s":{}},"hashes":{}}"#;
    let mut event = EventJson::parse(json, false).unwrap();
    assert_eq!(event.content().unwrap().get(), r#"{"ban":50.7,"invite":0.5}"#);
    let signed = r#"{"content":{"ban":50.7},"hashes":{},"type":"m.room.power_levels"}"#;
    assert_eq!(event.signed_text(&rules.redaction).unwrap(), signed);
    let hashed = r#"{"content":{"ban":50.7,"invite":0.5},"type":"m.room.power_levels","x":1.5}"#;
    assert_eq!(event.hashed_text().unwrap(), hashed);
    event.redact(&rules.redaction).unwrap();
    let expected = r#"{"content":{"ban":50.7},"hashes":{},"signatures":{"s":{}},"type":"m.room.power_levels"}"#;
    assert_eq!(event.text().unwrap(), expected);
}
