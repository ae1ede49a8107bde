//! Bodies: what an endpoint expects, but for one place in it.

use super::{cast::Cast, oddities, one_of, rng::Rng};
use skerry_tests::Value;

/// The largest body that the server takes.
const MOST_BYTES: usize = 1024 * 1024;

/// Words that mean something in one place or another.
const WORDS: [&str; 24] = [
    "public",
    "private",
    "trusted_private_chat",
    "invite",
    "join",
    "knock",
    "restricted",
    "leave",
    "ban",
    "world_readable",
    "shared",
    "joined",
    "m.space",
    "m.room.member",
    "m.room.create",
    "m.login.token",
    "m.login.password",
    "m.login.dummy",
    "m.id.thirdparty",
    "main",
    "federation",
    "1",
    "12",
    "99",
];

/// A body that is odd in one place, or as a whole.
pub(super) fn odd(rng: &mut Rng, expected: &Value, cast: &Cast) -> Vec<u8> {
    match rng.percent(20) {
        true => odd_as_a_whole(rng, expected),
        false => odd_in_one_place(rng, expected, cast),
    }
}

fn odd_as_a_whole(rng: &mut Rng, expected: &Value) -> Vec<u8> {
    let mut proper = expected.to_string().into_bytes();
    let place = rng.below(proper.len());
    match rng.below(16) {
        0..=3 => proper = oddities::json(rng),
        4 => proper.truncate(place),
        5 => proper.extend(b"{}"),
        6 => proper.extend(b" \n\t"),
        7 => drop(proper.splice(..0, *b"\xef\xbb\xbf")),
        8 => return expected.to_string().encode_utf16().flat_map(u16::to_le_bytes).collect(),
        9 | 10 => proper[place] ^= 1 << rng.below(8),
        11 => proper.insert(place, *one_of(rng, b"\0\xff\"\\{}[],:")),
        // Gzip's first bytes.
        12 => drop(proper.splice(..0, *b"\x1f\x8b\x08\0")),
        13 => proper.resize(MOST_BYTES + rng.below(3) - 1, b' '),
        14 => return filled(MOST_BYTES - rng.below(100)),
        _ if rng.percent(20) => return filled(2 * MOST_BYTES),
        _ => return "{}".repeat(rng.below(20)).into(),
    }
    proper
}

/// An object of a few bytes more than that, with one long text.
fn filled(bytes: usize) -> Vec<u8> {
    format!("{{\"body\":\"{}\"}}", "x".repeat(bytes - 12)).into()
}

/// JSON in which one value is odd, or missing, or there twice.
pub(super) fn odd_in_one_place(rng: &mut Rng, expected: &Value, cast: &Cast) -> Vec<u8> {
    let values = count(expected);
    // The whole is one of them.
    let place = if values == 1 { 0 } else { 1 + rng.below(values - 1) };
    let mut writer = Writer { out: Vec::new(), rng, cast, place, seen: 0 };
    writer.write(expected);
    writer.out
}

fn count(value: &Value) -> usize {
    let parts = match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    };
    1 + parts
}

/// Writes a value, another one in one place.
struct Writer<'a> {
    out: Vec<u8>,
    rng: &'a mut Rng,
    cast: &'a Cast,
    /// Which value is to be odd.
    place: usize,
    /// How many values were met.
    seen: usize,
}

impl Writer<'_> {
    fn write(&mut self, value: &Value) {
        if self.is_here() {
            let odd = self.instead_of(value);
            self.out.extend(odd);
            return;
        }
        match value {
            Value::Array(items) => {
                self.out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    self.comma(index);
                    self.write(item);
                }
                self.out.push(b']');
            }
            Value::Object(members) => {
                self.out.push(b'{');
                for (index, (key, member)) in members.iter().enumerate() {
                    self.comma(index);
                    self.member(key, member);
                }
                self.out.push(b'}');
            }
            other => self.plain(other),
        }
    }

    fn member(&mut self, key: &str, value: &Value) {
        if self.seen != self.place {
            self.key(key);
            self.write(value);
            return;
        }
        match self.rng.below(10) {
            // Missing; what stands for it is nothing that anybody looks for.
            0 => self.key("org.example.none"),
            1 => {
                self.key(key);
                self.plain(value);
                self.out.push(b',');
                self.key(key);
            }
            2 => {
                let odd = oddities::text(self.rng);
                self.key(&odd);
            }
            3 => {
                let odd = match self.rng.percent(50) {
                    true => b"\"\\ud800\":".to_vec(),
                    false => format!("\"{}\":", "k".repeat(70_000)).into(),
                };
                self.out.extend(odd);
            }
            _ => self.key(key),
        }
        self.write(value);
    }

    /// Whether the value that is met is to be odd.
    fn is_here(&mut self) -> bool {
        self.seen += 1;
        self.seen == self.place + 1
    }

    fn instead_of(&mut self, value: &Value) -> Vec<u8> {
        let rng = &mut *self.rng;
        let plain = value.to_string();
        match (rng.below(20), value) {
            (0, _) => format!("[{plain}]").into(),
            (1, _) => format!("{{\"value\":{plain}}}").into(),
            (2, _) => Value::from(plain).to_string().into(),
            (3, _) => format!("[{plain}{}]", format!(",{plain}").repeat(rng.below(300))).into(),
            (4..=6, Value::String(_)) => Value::from(*one_of(rng, &WORDS)).to_string().into(),
            (7..=8, Value::String(it)) => Value::from(oddities::nearly(rng, it)).to_string().into(),
            (9..=10, Value::String(_)) => {
                Value::from(self.cast.fitting("", rng)).to_string().into()
            }
            (4..=10, Value::Number(_)) => oddities::number(rng).into(),
            (4..=10, Value::Bool(it)) => Value::from(!it).to_string().into(),
            _ => oddities::json(rng),
        }
    }

    fn comma(&mut self, index: usize) {
        if index > 0 {
            self.out.push(b',');
        }
    }

    fn key(&mut self, key: &str) {
        self.plain(&Value::from(key));
        self.out.push(b':');
    }

    fn plain(&mut self, value: &Value) {
        self.out.extend(value.to_string().bytes());
    }
}
