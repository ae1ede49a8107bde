//! Patterns ([spec]), matched in time that is linear in the text: whatever the pattern, each
//! character of the text costs the same few instructions.
//!
//! A pattern is an automaton whose states are bits: state `n` says that the first `n` characters
//! of the pattern were found, and one step moves all of them (Baeza-Yates and Gonnet, 1992).
//!
//! [spec]: https://spec.matrix.org/v1.19/appendices/#glob-style-matching

/// Words of 64 states: as many as [`super::MAX_PATTERN_BYTES`] need.
const WORDS: usize = 4;

type States = [u64; WORDS];

/// A pattern, ready to be matched.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    /// The number of characters besides asterisks: of the last state.
    length: usize,
    /// States in which any number of characters may follow.
    repeats: States,
    /// States that any character leads to.
    any: States,
    /// States that a character leads to, in its order.
    by_char: Vec<(char, States)>,
}

impl Glob {
    /// A pattern with its `*` and `?`. None: it is longer than any that is kept.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        Self::of(pattern, true)
    }

    /// A text that is looked for as it is.
    pub(super) fn literal(text: &str) -> Option<Self> {
        Self::of(text, false)
    }

    fn of(pattern: &str, has_wildcards: bool) -> Option<Self> {
        let mut glob = Self {
            length: 0,
            repeats: States::default(),
            any: States::default(),
            by_char: Vec::new(),
        };
        for c in pattern.chars().flat_map(char::to_lowercase) {
            if has_wildcards && c == '*' {
                set(&mut glob.repeats, glob.length)?;
                continue;
            }
            glob.length += 1;
            let states = match glob.by_char.binary_search_by_key(&c, |(it, _)| *it) {
                _ if has_wildcards && c == '?' => &mut glob.any,
                Ok(index) => &mut glob.by_char.get_mut(index)?.1,
                Err(index) => {
                    glob.by_char.insert(index, (c, States::default()));
                    &mut glob.by_char.get_mut(index)?.1
                }
            };
            set(states, glob.length)?;
        }
        Some(glob)
    }

    /// Whether it is the whole of a text, whatever the case.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut states = States::default();
        set(&mut states, 0);
        for c in text.chars().flat_map(char::to_lowercase) {
            states = self.step(states, c);
            if states == States::default() {
                return false;
            }
        }
        self.is_end(states)
    }

    /// Whether it is a part of a text that begins and ends at the boundary of a word.
    pub(super) fn matches_words(&self, text: &str) -> bool {
        if self.length == 0 && self.repeats == States::default() {
            return text.is_empty();
        }
        let mut states = States::default();
        let mut chars = text.chars().flat_map(char::to_lowercase).peekable();
        let mut before = None;
        loop {
            let after = chars.next();
            let is_in_word = before.is_some_and(is_word) && after.is_some_and(is_word);
            if !is_in_word {
                set(&mut states, 0);
                if self.is_end(states) {
                    return true;
                }
            }
            let Some(c) = after else { return false };
            states = self.step(states, c);
            before = after;
        }
    }

    fn step(&self, states: States, c: char) -> States {
        let found = self.by_char.binary_search_by_key(&c, |(it, _)| *it);
        let of_char = found.ok().and_then(|it| self.by_char.get(it));
        let of_char = of_char.map_or(States::default(), |(_, it)| *it);
        let mut next = States::default();
        let mut carry = 0;
        let words = next.iter_mut().zip(states).zip(of_char).zip(self.any).zip(self.repeats);
        for ((((next, states), of_char), any), repeats) in words {
            *next = ((states << 1 | carry) & (of_char | any)) | (states & repeats);
            carry = states >> 63;
        }
        next
    }

    fn is_end(&self, states: States) -> bool {
        states.get(self.length / 64).is_some_and(|it| it >> (self.length % 64) & 1 == 1)
    }
}

fn set(states: &mut States, state: usize) -> Option<()> {
    *states.get_mut(state / 64)? |= 1 << (state % 64);
    Some(())
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_whole_of_a_text() {
        let cases = [
            ("lunc?*", "Lunch plans", true),
            ("lunc?*", "LUNCH", true),
            ("lunc?*", " lunch", false),
            ("lunc?*", "lunc", false),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("**a", "ba", true),
            ("?", "ö", true),
            ("?", "", false),
            ("m.room.message", "m.room.message", true),
            ("m.room.message", "mxroomxmessage", false),
            ("ÄÖ", "äö", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(Glob::new(pattern).unwrap().matches(text), expected, "{pattern}: {text}");
        }
    }

    #[test]
    fn a_pattern_is_a_part_of_a_text_between_words() {
        let cases = [
            ("ex*ple", "An example event.", true),
            ("ex*ple", "exple", true),
            ("ex*ple", "An exciting triple-whammy", true),
            ("ex*ple", "An exciting triples", false),
            ("cake", "a piece of Cake!", true),
            ("cake", "pancake", false),
            ("cake", "cakes", false),
            ("cake", "pancake, cake", true),
            ("ca?e", "cave", true),
            ("a_b", "a_b", true),
            ("b", "a_b", false),
            ("b", "a-b", true),
            ("", "", true),
            ("", "word", false),
            ("*", "", true),
            ("*", "word", true),
            ("öl", "trinköl", true),
            ("ann?", "ann", false),
        ];
        for (pattern, text, expected) in cases {
            let glob = Glob::new(pattern).unwrap();
            assert_eq!(glob.matches_words(text), expected, "{pattern}: {text}");
        }
        assert!(Glob::literal("what?").unwrap().matches_words("say what? yes"));
        assert!(!Glob::literal("what?").unwrap().matches_words("say whats yes"));
    }

    /// T1b: with backtracking this would never end.
    #[test]
    fn t1b_no_pattern_takes_longer_than_others() {
        let text = "a".repeat(10_000);
        let patterns = ["a*".repeat(127) + "b", "?".repeat(254) + "b", "a".repeat(254) + "b"];
        for pattern in &patterns {
            let glob = Glob::new(pattern).unwrap();
            assert!(!glob.matches(&text) && !glob.matches_words(&text), "{pattern}");
        }
    }

    #[test]
    fn what_is_too_long_is_no_pattern() {
        assert!(Glob::new(&"a".repeat(super::super::MAX_PATTERN_BYTES)).is_some());
        assert!(Glob::new(&"a".repeat(256)).is_none());
        // One character becomes two when it is made small.
        assert!(Glob::new(&"İ".repeat(127)).is_some());
    }
}
