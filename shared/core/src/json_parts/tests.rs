//! What is found in an object, however it is cut, and what is refused.

use serde_json::{Value as JsonValue, json};

use super::*;

const WANTED: Wanted = Wanted {
    arrays: &["state", "chain"],
    fields: &["event", "omitted"],
    limits: Limits { value_bytes: 64, elements: 5 },
};

type Found = Vec<(&'static str, String)>;

/// What is found in a text that comes in these pieces.
fn found(pieces: &[&[u8]]) -> Result<Found, PartsError> {
    let (mut parts, mut found) = (Parts::new(WANTED), Vec::new());
    for piece in pieces {
        parts.feed(piece, &mut found)?;
    }
    parts.finish()?;
    let text = |part| match part {
        Part::Element(of, json) | Part::Field(of, json) => (of, json.get().to_owned()),
    };
    Ok(found.into_iter().map(text).collect())
}

/// The same however the text is cut.
fn found_in(text: &str) -> Result<Found, PartsError> {
    let bytes = text.as_bytes();
    let whole = found(&[bytes]);
    let single: Vec<_> = bytes.chunks(1).collect();
    assert_eq!(found(&single), whole, "byte by byte: {text}");
    for at in 0..=bytes.len() {
        let (before, after) = bytes.split_at(at);
        assert_eq!(found(&[before, after]), whole, "cut at {at}: {text}");
    }
    whole
}

#[test]
fn what_is_wanted_is_found_wherever_it_stands() {
    let cases: [(&str, &[(&str, &str)]); 9] = [
        (r#"{"state":[],"chain":[]}"#, &[]),
        (" {\n\"state\" : [ ] ,\t\"chain\":[\r\n]} \n", &[]),
        (
            r#"{"state":[{"a":1},{"b":[2,{}]}],"chain":[{}]}"#,
            &[("state", r#"{"a":1}"#), ("state", r#"{"b":[2,{}]}"#), ("chain", "{}")],
        ),
        (
            r#"{"event":{"x":"y"},"chain":[ {} , {"é":"ü"} ],"omitted":true,"state":[]}"#,
            &[
                ("event", r#"{"x":"y"}"#),
                ("chain", "{}"),
                ("chain", r#"{"é":"ü"}"#),
                ("omitted", "true"),
            ],
        ),
        // Brackets and quotes within strings.
        (
            r#"{"state":["]}\"[{,\\"],"chain":["\\\"\u007d"]}"#,
            &[("state", r#""]}\"[{,\\""#), ("chain", r#""\\\"\u007d""#)],
        ),
        // Elements that are no objects.
        (
            r#"{"state":[1,-2.5e3 ,null],"chain":[true,"x"]}"#,
            &[
                ("state", "1"),
                ("state", "-2.5e3"),
                ("state", "null"),
                ("chain", "true"),
                ("chain", r#""x""#),
            ],
        ),
        // What is not wanted is passed over, however large it is.
        (
            r#"{"state":[],"other":{"state":["01234567890123456789012345678901234567890123456789"]},
                "a":1,"b":"}","c":null,"chain":[],"":[[]]}"#,
            &[],
        ),
        // A name is what it says, however it is written.
        (r#"{"st\u0061te":[7],"chain":[]}"#, &[("state", "7")]),
        (r#"{"omitted":false,"state":[],"chain":[]}"#, &[("omitted", "false")]),
    ];
    for (text, expected) in cases {
        let expected: Found = expected.iter().map(|(of, it)| (*of, (*it).to_owned())).collect();
        assert_eq!(found_in(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_is_no_such_object_is_refused() {
    use PartsError::{BreaksOff, Missing, NoArray, Syntax, TooDeep, TooLarge, TooMany, Twice};
    let deep = format!(r#"{{"x":{}"#, "[".repeat(200));
    let large = format!(r#"{{"state":["{}"]}}"#, "x".repeat(70));
    let name = format!(r#"{{"{}":1}}"#, "n".repeat(2_000));
    let cases = [
        ("", BreaksOff),
        ("  ", BreaksOff),
        ("{", BreaksOff),
        (r#"{"state":[{"#, BreaksOff),
        (r#"{"state":[{}"#, BreaksOff),
        (r#"{"state":[],"chain":[]"#, BreaksOff),
        ("{}", Missing("state")),
        (r#"{"state":[]}"#, Missing("chain")),
        ("[]", Syntax),
        ("null", Syntax),
        (r#"{"state":[],"chain":[]}{"#, Syntax),
        (r#"{"state":[],"chain":[]},"#, Syntax),
        (r#"{"state":[],}"#, Syntax),
        (r#"{,"state":[]}"#, Syntax),
        (r#"{"state":[{},],"chain":[]}"#, Syntax),
        (r#"{"state":[,{}],"chain":[]}"#, Syntax),
        (r#"{"state":[{}{}],"chain":[]}"#, Syntax),
        (r#"{"state":[1"x"],"chain":[]}"#, Syntax),
        (r#"{"state":[1{}],"chain":[]}"#, Syntax),
        (r#"{"state":[{]}],"chain":[]}"#, Syntax),
        (r#"{"state":[{"a"}],"chain":[]}"#, Syntax),
        (r#"{"state":[tru],"chain":[]}"#, Syntax),
        (r#"{"state":[}"#, Syntax),
        (r#"{"state" []}"#, Syntax),
        (r#"{"state":}"#, NoArray("state")),
        (r#"{"other":}"#, Syntax),
        (r#"{"other":]}"#, Syntax),
        (r#"{"state":{}}"#, NoArray("state")),
        (r#"{"chain":3}"#, NoArray("chain")),
        (r#"{"state":[],"state":[]}"#, Twice("state")),
        (r#"{"event":1,"event":1}"#, Twice("event")),
        (r#"{"state":[1,2,3],"chain":[4,5,6]}"#, TooMany),
        (&deep, TooDeep),
        (&large, TooLarge),
        (&name, TooLarge),
    ];
    for (text, expected) in cases {
        assert_eq!(found_in(text), Err(expected), "{text}");
    }
    let no_text = [b"{\"state\":[\"\xff\"],\"chain\":[]}".as_slice()];
    assert_eq!(found(&no_text), Err(Syntax));
}

/// xorshift64*: the same run for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let it = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(it).unwrap() % limit
    }

    fn value(&mut self, depth: usize) -> JsonValue {
        const TEXTS: [&str; 6] = ["", "\"", "\\", "]}", "ä\n,", "state"];
        match self.below(if depth == 0 { 4 } else { 6 }) {
            0 => json!(null),
            1 => json!(self.below(1_000)),
            2 => json!(self.below(2) == 0),
            3 => json!(TEXTS[self.below(TEXTS.len())]),
            4 => (0..self.below(3)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let field = |dice: &mut Self| {
                    (TEXTS[dice.below(TEXTS.len())].to_owned(), dice.value(depth - 1))
                };
                JsonValue::Object((0..self.below(3)).map(|_| field(self)).collect())
            }
        }
    }
}

/// What is found is what a reader of the whole finds.
#[test]
fn whole_and_in_pieces_are_the_same() {
    for seed in 1..300 {
        let mut dice = Dice(seed);
        let list =
            |dice: &mut Dice| -> JsonValue { (0..dice.below(3)).map(|_| dice.value(2)).collect() };
        let mut object = json!({ "state": list(&mut dice), "chain": list(&mut dice) });
        for name in ["event", "omitted", "a", "z"] {
            if dice.below(2) == 0 {
                object[name] = dice.value(2);
            }
        }
        let pretty = serde_json::to_string_pretty(&object).unwrap();
        for text in [object.to_string(), pretty] {
            let result = found_in(&text);
            let Ok(found) = result else {
                assert_eq!(result, Err(PartsError::TooLarge), "{text}");
                continue;
            };
            let of = |name: &str| -> Vec<JsonValue> {
                let parts = found.iter().filter(|it| it.0 == name);
                parts.map(|it| serde_json::from_str(&it.1).unwrap()).collect()
            };
            for name in WANTED.arrays {
                assert_eq!(object[*name], json!(of(name)), "{text}");
            }
            for name in WANTED.fields {
                assert_eq!(object.get(*name), of(name).first(), "{text}");
            }
        }
    }
}
